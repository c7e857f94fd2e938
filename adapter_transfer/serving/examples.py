"""Questions to try a trained model with: of the sandbox's languages for its models, else of our writing."""

from __future__ import annotations

import json

from adapter_transfer.prediction.predictor import Predictor
from adapter_transfer.prediction.questions import Question
from adapter_transfer.sandbox.files import DATA_FOLDER, sandbox_dir

_COPA = (
    Question("The street was wet this morning.", "cause", ("It rained in the night.", "The sun rose early.")),
    Question(
        "Il bambino ha lasciato cadere il bicchiere.",
        "effect",
        ("Il bicchiere si è rotto.", "Il bicchiere si è riempito."),
    ),
)
_OPEN = (
    Question(
        "Maria forgot her umbrella at home, and it began to rain.",
        "How will Maria feel when she arrives?",
        ("wet and cold", "warm and dry", "hungry"),
    ),
    Question(
        "Luca ha studiato ogni sera per l'esame di domani.",
        "Perché Luca ha studiato?",
        ("per superare l'esame", "per dimenticare tutto", "per fare tardi"),
    ),
)
_WITHOUT_PREMISE = (
    Question("", "Where would you put milk to keep it fresh?", ("refrigerator", "oven", "bookshelf")),
    Question("", "Con che cosa si taglia il pane?", ("coltello", "cuscino", "ombrello")),
)
_CONTINUED = (
    Question("She filled the kettle and switched it on.", "", ("The water began to boil.", "The kettle flew away.")),
    Question("Ha aperto la porta del forno.", "", ("Ne è uscito un buon profumo.", "Il forno ha aperto un libro.")),
)
_OF_SANDBOX = (("en", 0), ("qa", 1), ("qb", 2), ("qc", 3))
"""Language and number of validation items: nothing that is ever reported as a score."""


def example_questions(predictor: Predictor) -> tuple[Question, ...]:
    """Some questions that a model can be asked, each in another language."""
    asking = predictor.asking
    candidates: tuple[Question, ...]
    if predictor.is_sandbox:
        candidates = _sandbox_questions("micro-copa") if asking.has_question else _sandbox_questions("next-event")
    elif asking.words and not asking.is_open:
        candidates = _COPA
    elif not asking.has_question:
        candidates = _CONTINUED
    else:
        candidates = _OPEN if asking.has_premise else _WITHOUT_PREMISE
    return tuple(question for question in candidates if not predictor.problems(question))


def _sandbox_questions(task: str) -> tuple[Question, ...]:
    found = []
    for language, number in _OF_SANDBOX:
        path = sandbox_dir() / DATA_FOLDER / task / language / "validation.jsonl"
        if not path.is_file():
            continue
        with path.open(encoding="utf-8") as lines:
            row = json.loads(next(line for place, line in enumerate(lines) if place == number))
        choices = row.get("endings") or (row["choice1"], row["choice2"])
        premise = row["premise"] if "premise" in row else row["context"]
        found.append(Question(premise, row.get("question", ""), tuple(choices)))
    return tuple(found)
