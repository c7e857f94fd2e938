"""`adapter-transfer serve SOURCE`: a trained model on a page and a JSON endpoint of this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from adapter_transfer.serving.loopback import DEFAULT_PORT, listen, require_installed
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, errors, print_json, printable, tell_wait

EXAMPLE = """Example: adapter-transfer serve 1f0c3a --port 7860

SOURCE is what `predict` takes. The page is for this machine alone (127.0.0.1); from another, tunnel to it with
ssh -L 7860:127.0.0.1:7860 HOST and open http://127.0.0.1:7860 there. POST /api/predict takes a question as JSON
(premise, question, choices) or a list of such; GET /api/info tells what is served. Ctrl-C ends it."""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLE)(serve)


def serve(
    source: options.Trained,
    port: int = typer.Option(DEFAULT_PORT, min=0, max=65535, help="Of the page; 0 takes any that is free."),
    seed: options.SeedOfSeveral = None,
    backbone: options.Encoder = None,
    precision: options.EncoderPrecision = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    device: options.Device = "auto",
    token_budget: options.TokenBudget = options.MACHINE.token_budget,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show a trained model to a colleague: a small page to ask it questions, and the same as JSON, on this machine.

    Needs the extra: pip install "adapter-transfer[serve]"
    """
    require_installed()
    with listen(port) as listening:
        tell_wait("loading the model and the page", quiet=quiet)
        # These load torch and gradio, many seconds that `--help` does without.
        from adapter_transfer.prediction.loading import load
        from adapter_transfer.serving.scores import known_scores
        from adapter_transfer.serving.server import serve as serve_until_interrupted
        from adapter_transfer.serving.service import Service

        predictor = load(
            source,
            store=store,
            seed=seed,
            backbone=backbone,
            device=device,
            precision=precision,
            token_budget=token_budget,
        )
        service = Service(predictor, known_scores(predictor, source, Path(store)))
        if not quiet:
            errors().print(printable(predictor.description), markup=False, soft_wrap=True, style="dim")

        def tell(address: str) -> None:
            if json:
                print_json({"address": address, **service.info()})
            else:
                console().print(address, soft_wrap=True)
            sys.stdout.flush()  # who started this program may read its output by way of a pipe
            if not quiet:
                errors().print("Open it in a browser here; Ctrl-C ends it.", style="dim")

        serve_until_interrupted(service, listening, tell)
    if not quiet:
        errors().print("Stopped.", style="dim")
