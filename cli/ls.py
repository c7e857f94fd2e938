"""`adapter-transfer ls backbones|tasks|methods|configs`: what there is."""

from __future__ import annotations

import typer

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import describe, shipped_configs
from adapter_transfer_cli.output import print_json, print_table

app = typer.Typer(
    help="List what there is: backbones, tasks, methods, configs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: adapter-transfer ls backbones",
)


@app.command(epilog="Example: adapter-transfer ls backbones --json")
def backbones(json: options.Json = False, debug: options.Debug = False) -> None:
    """The pretrained encoders, smallest first."""
    rows = []
    for backbone in BACKBONES.values():
        counts, fields = backbone.parameters(), backbone.config_fields()
        rows.append(
            {
                "name": backbone.name,
                "weights": backbone.weights,
                "layers": fields["num_hidden_layers"],
                "hidden": fields["hidden_size"],
                "parameters": counts.total,
                "encoder": counts.encoder,
                "embeddings": counts.embeddings,
                "summary": backbone.summary,
                "reference": backbone.reference,
            }
        )
    _show(rows, json, hidden=("weights", "embeddings", "reference"))


@app.command(epilog="Example: adapter-transfer ls tasks")
def tasks(json: options.Json = False, debug: options.Debug = False) -> None:
    """Intermediate and target tasks."""
    _show(
        [
            {
                "name": task.name,
                "role": ", ".join(task.roles),
                "format": task.format.name,
                "answers": task.format.num_answers,
                "languages": ", ".join(sorted({code for codes in task.languages.values() for code in codes})),
                "summary": task.summary,
                "source": task.source.describe(),
                "licence": task.licence,
                "reference": task.reference,
            }
            for task in TASKS.values()
        ],
        json,
        hidden=("source", "licence", "reference"),
    )


@app.command(epilog="Example: adapter-transfer ls methods")
def methods(json: options.Json = False, debug: options.Debug = False) -> None:
    """How a phase may change the backbone, and how two phases compose."""
    _show(
        [
            {
                "name": method.name,
                "kind": method.kind,
                "compositions": ", ".join(method.compositions),
                "settings": ", ".join(f"{k}={v}" for k, v in method.parse_settings({}).model_dump().items()),
                "summary": method.summary,
                "reference": method.reference,
            }
            for method in METHODS.values()
        ],
        json,
    )


@app.command(epilog="Example: adapter-transfer ls configs")
def configs(json: options.Json = False, debug: options.Debug = False) -> None:
    """The configurations that travel with the package; `cp` copies one."""
    _show([{"name": name, "summary": describe(path)} for name, path in shipped_configs().items()], json)


def _show(rows: list[dict[str, object]], json: bool, hidden: tuple[str, ...] = ()) -> None:
    if json:
        print_json(rows)
        return
    headers = [key for key in rows[0] if key not in hidden]
    cells = [[f"{row[h]:,}" if isinstance(row[h], int) else str(row[h]) for h in headers] for row in rows]
    print_table(headers, cells, numeric=[isinstance(rows[0][h], int) for h in headers])
