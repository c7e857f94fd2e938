"""The parts of the page that are HTML of ours: what is served, and an answer as bars. Every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from adapter_transfer.prediction.predictor import Predictor
from adapter_transfer.prediction.questions import Prediction, Question

SANDBOX_NOTE = (
    "A sandbox adapter: it knows the embedded micro-world and its made-up languages alone. Its answers show that the "
    "tool works, and mean nothing outside of it."
)

STYLE = """
.gradio-container { max-width: 46rem !important; width: 100%; margin: 0 auto !important; }
.gradio-container .html-container { padding: 0 !important; }
.gradio-container .fillable { padding: 1rem clamp(.75rem, 4vw, 2rem) !important; }
.gradio-container td, .gradio-container th { padding: .4rem clamp(.25rem, 1.5vw, .75rem) !important; }
.at-head h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 .35rem; font-weight: 650;
  overflow-wrap: anywhere; }
.at-head .at-note { margin: .6rem 0 0; padding: .55rem .8rem; border-left: 3px solid #c77700; border-radius: 4px;
  background: color-mix(in srgb, #c77700 11%, transparent); }
.at-head dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; margin: .3rem 0 0;
  font-size: .9rem; }
.at-head dt, .at-answer .at-empty { color: color-mix(in srgb, var(--body-text-color) 70%, transparent); }
.at-head dd { margin: 0; overflow-wrap: anywhere; }
.at-answer ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .7rem; }
.at-answer li { margin: 0; }
.at-answer .at-line { display: flex; justify-content: space-between; gap: 1rem; align-items: baseline; }
.at-answer .at-text { overflow-wrap: anywhere; }
.at-answer .at-share { font-variant-numeric: tabular-nums; white-space: nowrap; }
.at-answer .at-track { height: .6rem; margin-top: .25rem; border-radius: .3rem; overflow: hidden;
  background: var(--border-color-primary); }
.at-answer .at-bar { display: block; height: 100%; border-radius: .3rem;
  background: color-mix(in srgb, var(--body-text-color-subdued) 55%, transparent); }
.at-answer .at-chosen .at-text, .at-answer .at-chosen .at-share { font-weight: 650; }
.at-answer .at-chosen .at-bar { background: #2f6fde; }
.at-answer .at-tag { font-size: .75rem; font-weight: 600; padding: .05rem .45rem; margin-left: .5rem;
  border-radius: .6rem; background: #2f6fde; color: #fff; vertical-align: .1em; white-space: nowrap; }
.at-answer .at-empty { margin: 0; }
.at-answer .at-error { margin: 0; padding: .55rem .8rem; border-left: 3px solid #d03b3b; border-radius: 4px;
  background: color-mix(in srgb, #d03b3b 11%, transparent); overflow-wrap: anywhere; white-space: pre-line; }
"""

EMPTY = '<div class="at-answer"><p class="at-empty">The answer appears here.</p></div>'


def heading(predictor: Predictor, scores: Sequence[dict[str, Any]]) -> str:
    """What is served: adapters, backbone, task, seed, and scores as far as they are known."""
    identity = predictor.identity
    trained = identity.task
    if identity.intermediate not in ("none", identity.task):
        trained += f" after {identity.intermediate} ({identity.composition})"
    rows = [
        ("Trained on", trained),
        ("Backbone", f"{identity.backbone} ({predictor.precision})"),
        ("Method", identity.method),
        *([] if identity.seed is None else [("Seed", str(identity.seed))]),
        *([(_whose(scores), score_text(scores))] if scores else []),
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    notes = [*([SANDBOX_NOTE] if identity.is_sandbox else []), *identity.notes]
    told = "".join(f'<p class="at-note">{escape(note)}</p>' for note in notes)
    return f'<div class="at-head"><h1>{escape(identity.name)}</h1><dl>{listed}</dl>{told}</div>'


def _whose(scores: Sequence[dict[str, Any]]) -> str:
    return "Accuracy, says its author" if any(score.get("is_declared") for score in scores) else "Accuracy"


def score_text(scores: Sequence[dict[str, Any]]) -> str:
    """Scores in a line with what they rest on: `en 81.2 %, qa 75.0 % (500 items each, 3 seeds)`, each unbroken."""
    told = ", ".join(f"{score['language']}\u00a0{100 * score['accuracy']:.1f}\u00a0%" for score in scores)
    items = sorted({score["num_items"] for score in scores})
    seeds = max(score["num_seeds"] for score in scores)
    counts = f"{items[0]} items each" if len(items) == 1 else f"{items[0]} to {items[-1]} items each"
    return f"{told} ({counts}, {seeds} seed{'s' if seeds > 1 else ''})"


def answer(question: Question, prediction: Prediction) -> str:
    """Every choice with its probability, the chosen one marked."""
    lines = []
    for number, (text, share) in enumerate(zip(question.choices, prediction.probabilities, strict=True)):
        is_chosen = number == prediction.choice
        tag = '<span class="at-tag">chosen</span>' if is_chosen else ""
        lines.append(
            f'<li{" class=at-chosen" if is_chosen else ""}><div class="at-line"><span class="at-text" dir="auto">'
            f'{escape(text)}{tag}</span><span class="at-share">{100 * share:.1f}\u00a0%</span></div>'
            f'<div class="at-track"><span class="at-bar" style="width:{100 * share:.2f}%"></span></div></li>'
        )
    return f'<div class="at-answer" role="status"><ol>{"".join(lines)}</ol></div>'


def problem(message: str) -> str:
    """What was wrong, in place of an answer."""
    return f'<div class="at-answer"><p class="at-error" role="alert">{escape(message)}</p></div>'
