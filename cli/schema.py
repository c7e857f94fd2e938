"""`adapter-transfer schema`: the JSON Schema of a configuration, for editors."""

from __future__ import annotations

import typer

from adapter_transfer.config import json_schema
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer_cli import options
from adapter_transfer_cli.output import print_json


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer schema > experiment.schema.json")(schema)


def schema(debug: options.Debug = False) -> None:
    """Print the JSON Schema of a configuration; editors complete and check YAML with it."""
    print_json(json_schema(Experiment))
