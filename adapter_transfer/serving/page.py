"""The page, made with gradio: a premise, a question, choices, and what the model answers. Nothing is fetched for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.prediction.questions import Question
from adapter_transfer.serving import drawing
from adapter_transfer.serving.examples import example_questions
from adapter_transfer.serving.service import MAX_CHARACTERS, MAX_WAITING, Service

if TYPE_CHECKING:
    import gradio

MAX_FIELDS = 6
"""Choices that the page has room for; the JSON endpoint takes more."""

_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONOSPACE = ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")

logger = logging.getLogger(__name__)


def make_page(service: Service) -> gradio.Blocks:
    """The page of a service, not yet served by anything."""
    import gradio

    predictor = service.predictor
    asking, allowed = predictor.asking, list(predictor.questions)
    examples = example_questions(predictor)
    num_fields = min(MAX_FIELDS, max([2, predictor.num_choices, *(len(each.choices) for each in examples)]))
    page = gradio.Blocks(title=f"{predictor.name} · adapter-transfer", analytics_enabled=False)
    with page:
        gradio.HTML(drawing.heading(predictor, service.scores), padding=False)
        with gradio.Group():
            premise = gradio.Textbox(
                label="Premise", lines=2, max_length=MAX_CHARACTERS, visible=asking.has_premise, elem_id="premise"
            )
            question: gradio.Radio | gradio.Textbox
            if allowed:
                question = gradio.Radio(
                    [(asking.words[word], word) for word in allowed],
                    value=allowed[0],
                    label="Question",
                    visible=asking.has_question,
                    elem_id="question",
                )
            else:
                question = gradio.Textbox(
                    label="Question", max_length=MAX_CHARACTERS, visible=asking.has_question, elem_id="question"
                )
            choices = [
                gradio.Textbox(
                    label=f"Choice {number}" + (" (may stay empty)" if number > 2 else ""),
                    max_length=MAX_CHARACTERS,
                    elem_id=f"choice{number}",
                )
                for number in range(1, num_fields + 1)
            ]
        button = gradio.Button("Answer", variant="primary", elem_id="answer-button")
        shown = gradio.HTML(drawing.EMPTY, elem_id="answer", padding=False)
        if examples:
            rows = [[each.premise, each.question or None, *_padded(each.choices, num_fields)] for each in examples]
            gradio.Examples(rows, [premise, question, *choices], label="Examples", cache_examples=False)

        def answered(premise: str | None, question: str | None, *choices: str | None) -> str:
            return _answered(service, premise or "", question or "", [choice or "" for choice in choices])

        inputs: Sequence[Any] = [premise, question, *choices]
        options: dict[str, Any] = {
            "fn": answered,
            "inputs": inputs,
            "outputs": shown,
            "api_visibility": "private",
            "concurrency_limit": 1,
            "show_progress": "minimal",
        }
        button.click(**options)
        choices[-1].submit(**options)
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=1)
    return page


def theme() -> gradio.themes.Base:
    """The plain theme of gradio, in the fonts that the system has: others would be fetched."""
    import gradio

    return gradio.themes.Base(primary_hue="blue", neutral_hue="slate", font=_FONT, font_mono=_MONOSPACE)


def _answered(service: Service, premise: str, question: str, choices: Sequence[str]) -> str:
    asking = service.predictor.asking
    given = list(choices)
    while len(given) > 2 and not given[-1].strip():
        given.pop()
    asked = Question(premise if asking.has_premise else "", question if asking.has_question else "", tuple(given))
    try:
        (prediction,) = service.answer([asked])
    except AdapterTransferError as error:
        return drawing.problem(str(error))
    except Exception:
        logger.exception("an answer failed")
        return drawing.problem("Unexpected error; the server's terminal tells more.")
    return drawing.answer(asked, prediction)


def _padded(choices: Sequence[str], length: int) -> list[str]:
    return [*choices[:length], *[""] * (length - len(choices))]
