"""`adapter-transfer ls backbones|memory|tasks|methods|recipes|configs`: what there is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.experiments.configurations import shipped_configs
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import Split, Task
from adapter_transfer.training.recipes import RECIPES, SCALES, Recipe
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import describe
from adapter_transfer_cli.ls_memory import memory
from adapter_transfer_cli.output import markdown_table, print_json, print_table

app = typer.Typer(
    help="List what there is: backbones (and what memory they take), tasks, methods, recipes, configs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: adapter-transfer ls backbones",
)


@app.command(epilog="Example: adapter-transfer ls backbones --json")
def backbones(json: options.Json = False, debug: options.Debug = False) -> None:
    """The pretrained encoders, smallest first; your own is named in an experiment by its folder or Hub id."""
    rows = []
    for backbone in BACKBONES.values():
        counts, fields = backbone.parameters(), backbone.known_fields()
        rows.append(
            {
                "name": backbone.name,
                "weights": backbone.weights,
                "layers": fields["num_hidden_layers"],
                "hidden": fields["hidden_size"],
                "norm": backbone.norm,
                "parameters": counts.total,
                "encoder": counts.encoder,
                "embeddings": counts.embeddings,
                "distilled_from": backbone.distilled_from,
                "architecture": backbone.architecture,
                "tokenizer_class": backbone.tokenizer_class,
                "pad_token_id": fields["pad_token_id"],
                "max_length": backbone.max_length,
                "source": backbone.source,
                "impossible": backbone.unsupported_reason(),
                "summary": backbone.summary,
                "reference": backbone.reference,
            }
        )
    hidden = ("weights", "architecture", "tokenizer_class", "pad_token_id", "max_length", "impossible", "reference")
    _show(rows, json, hidden=hidden, droppable=("source", "distilled_from"))


app.command(epilog="Example: adapter-transfer ls memory --kept-tokens 30000")(memory)


@app.command(epilog="Example: adapter-transfer ls tasks")
def tasks(
    json: options.Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A Markdown table, as in the README.")] = False,
    debug: options.Debug = False,
) -> None:
    """Intermediate and target tasks; several are trained together as a mixture, `mnli+squad1` or `multi`."""
    if markdown:
        typer.echo("\n".join(task_table()))
        return
    _show(
        [
            {
                "name": task.name,
                "role": ", ".join(task.roles),
                "head": task.format.head_type,
                "answers": task.format.describe(),
                "metric": task.format.metric,
                "examples": _size(task, "train"),
                "splits": dict(task.splits),
                "languages": ", ".join(sorted({code for codes in task.languages.values() for code in codes})),
                "summary": task.summary,
                "source": task.source.describe(),
                "licence": task.licence,
                "reference": task.reference,
            }
            for task in TASKS.values()
        ],
        json,
        hidden=("splits", "languages", "source", "licence", "reference"),
        droppable=("head", "role", "examples"),
        notes=("Several are trained together as mnli+squad1, or multi; controls are made of any (docs/controls.md).",),
    )


def task_table() -> list[str]:
    """The lines of the README's table of tasks: what is published, and how it is answered and scored."""
    headers = ["task", "training", "validation", "answer", "metric", "what it asks", "from", "licence"]
    rows = []
    for task in TASKS.values():
        if task.is_sandbox:
            continue
        sizes = [_size(task, split) for split in ("train", "validation")]
        rows.append(
            [
                f"`{task.name}`",
                *("–" if size is None else f"{size:,}" for size in sizes),
                task.format.describe(),
                task.format.metric,
                task.summary,
                f"{task.reference}; {task.source.describe()}",
                task.licence,
            ]
        )
    return markdown_table(headers, rows)


def _size(task: Task, split: Split) -> int | None:
    """Examples of a split in English, as published."""
    part = task.source.find(task.splits[split], "en") if split in task.splits else None
    return part.size if part is not None else None


@app.command(epilog="Example: adapter-transfer ls methods")
def methods(json: options.Json = False, debug: options.Debug = False) -> None:
    """How a phase may change the backbone, and how two phases compose."""
    _show(
        [
            {
                "name": method.name,
                "kind": method.kind,
                "compositions": ", ".join(method.compositions),
                "settings": method.parse_settings({}).model_dump(mode="json"),
                "not at": ", ".join(method.refused_precisions),
                "summary": method.summary,
                "reference": method.reference,
            }
            for method in METHODS.values()
        ],
        json,
        droppable=("reference", "kind"),
    )


@app.command(epilog="Example: adapter-transfer ls recipes")
def recipes(
    json: options.Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A Markdown table, as in docs/hyperparameters.md.")
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Hyper-parameters that travel with the program, with their sources; a later row wins over an earlier one."""
    if json:
        rows = [
            {
                "methods": recipe.methods,
                "backbones": recipe.backbones,
                "tasks": recipe.tasks,
                "phase": recipe.phase,
                "values": recipe.values,
                "source": recipe.source,
            }
            for recipe in RECIPES
        ]
        print_json(rows)
    elif markdown:
        names = {name for recipe in RECIPES for name in recipe.values}
        settings = [name for name in TrainingSettings.model_fields if name in names]
        headers = ["methods", "backbones", "task", *(f"`{name}`" for name in settings), "source"]
        cells = [[*_where(r), *(_number(r.values.get(name)) for name in settings), r.source] for r in RECIPES]
        typer.echo("\n".join(markdown_table(headers, cells)))
    else:
        _show(
            [
                {
                    **dict(zip(("methods", "backbones", "task"), _where(recipe), strict=True)),
                    "values": ", ".join(f"{name} {_number(value)}" for name, value in recipe.values.items()),
                    "source": recipe.source,
                }
                for recipe in RECIPES
            ],
            json=False,
        )


@app.command(epilog="Example: adapter-transfer ls configs")
def configs(json: options.Json = False, debug: options.Debug = False) -> None:
    """The configurations that travel with the package; `cp` copies one."""
    _show([{"name": name, "summary": describe(path)} for name, path in shipped_configs().items()], json)


def _show(
    rows: list[dict[str, Any]],
    json: bool,
    hidden: tuple[str, ...] = (),
    droppable: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> None:
    if json:
        print_json(rows)
        return
    headers = [key for key in rows[0] if key not in hidden]
    cells = [[_cell(row[header]) for header in headers] for row in rows]
    numeric = [any(isinstance(row[header], int) for row in rows) for header in headers]
    print_table(headers, cells, numeric=numeric, droppable=droppable, notes=notes)


def _cell(value: Any) -> str:
    """What a table shows; settings as they are written in a configuration."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items())
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _where(recipe: Recipe) -> list[str]:
    """Methods, backbones and task of a recipe."""
    backbones = "all" if recipe.backbones == SCALES else ", ".join(recipe.backbones)
    tasks = ", ".join(recipe.tasks) or "all"
    return [", ".join(recipe.methods), backbones, tasks if recipe.phase is None else f"{tasks} ({recipe.phase})"]


def _number(value: Any) -> str:
    """`2e-5` for 0.00002, as papers write learning rates; empty for None."""
    if isinstance(value, float) and 0 < value < 0.01:
        digits, exponent = f"{value:e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    return "" if value is None else f"{value:g}"
