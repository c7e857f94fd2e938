"""`adapter-transfer adapters …`: trained adapters in the store and on the Hub. One file a verb beside this one."""

from __future__ import annotations

import typer

from adapter_transfer_cli import adapters_ls, adapters_pull, adapters_push, adapters_show, adapters_use, adapters_verify

app = typer.Typer(
    help="Share trained adapters: list, look at, check, push to the Hugging Face Hub, pull from it, use.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: adapter-transfer adapters pull hub:org/name",
)
for _verb in (adapters_ls, adapters_show, adapters_verify, adapters_push, adapters_pull, adapters_use):
    _verb.register(app)
