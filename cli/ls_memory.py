"""`adapter-transfer ls memory`: which scale fits which card, as tables for people, Markdown and machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from adapter_transfer.experiments.cards import CARD_GIB, DEFAULT_KEPT_TOKENS, GIB
from adapter_transfer.training.settings import DEFAULT_TOKEN_BUDGET
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, markdown_table, print_json, print_table

if TYPE_CHECKING:
    from adapter_transfer.experiments.memory_table import MemoryRow


def memory(
    tokens: Annotated[int, typer.Option(min=64, help="Padded tokens in a micro-batch.")] = DEFAULT_TOKEN_BUDGET,
    kept_tokens: Annotated[int, typer.Option(min=8, help="Rows of a trimmed table.")] = DEFAULT_KEPT_TOKENS,
    json: options.Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown tables, as in docs/memory.md.")] = False,
    debug: options.Debug = False,
) -> None:
    """Which scale fits which card, by method and precision, with the whole embedding table and with a trimmed one."""
    # Loads NumPy, a tenth of a second that --help need not take.
    from adapter_transfer.experiments.memory_table import AS_SHIPPED, BATCH_SIZE, LENGTH, ROWS_EACH, memory_rows

    rows = list(memory_rows(tokens, kept_tokens))
    if json:
        print_json([row.as_json() for row in rows])
        return
    shipped = [row for row in rows if row.how == AS_SHIPPED]
    smaller = [row for row in rows if row.how != AS_SHIPPED]
    names = ["scale", "method", "precision"]
    tables = [
        (names, [_cells(row) for row in shipped]),
        ([*names, "how"], [_cells(row, row.how) for row in smaller]),
    ]
    legend = (
        "Estimated peak memory in GiB, headroom included, with the whole embedding table and with "
        f"{kept_tokens:,} rows of it (trimmed), for {tokens:,} padded tokens in a micro-batch, rows of {LENGTH} tokens "
        f"and {BATCH_SIZE * ROWS_EACH} rows in a step. A card holds it as it is (yes), with a trimmed table only "
        "(trimmed), or not (no); –: quantized weights cannot be fully fine-tuned.",
        "recomputed: gradient_checkpointing: true. 8-bit: optimizer: adamw-8bit. in backward: update: backward, "
        "master_weights: bf16, max_grad_norm: null; a step is one micro-batch then.",
    )
    if markdown:
        for headers, cells in tables:
            cards = [f"{size} GiB" for size in CARD_GIB]
            typer.echo("\n".join(markdown_table([*headers, "whole", "trimmed", *cards], cells)) + "\n")
        typer.echo("\n\n".join(legend))
        return
    for headers, cells in tables:
        columns = [*headers, "whole", "trimmed", *map(str, CARD_GIB)]
        cards = columns[-len(CARD_GIB) :]  # follow from the peaks before them
        print_table(columns, cells, numeric=[column in ("whole", "trimmed") for column in columns], droppable=cards)
    for line in legend:
        console().print(line, style="dim", markup=False, soft_wrap=True)


def _cells(row: MemoryRow, *more: str) -> Sequence[str]:
    peaks = ("–" if size is None else f"{size / GIB:.1f}" for size in (row.whole, row.trimmed))
    return [row.backbone, row.method, row.precision, *more, *peaks, *(row.fits(size) for size in CARD_GIB)]
