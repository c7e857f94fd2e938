"""SQuAD's scores against values worked by hand, the port of the official script in transformers, and brute force."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest
from tasks.squad_cases import CASES, Case

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.squad_metric import Threshold, best_threshold, exact_match, f1, normalize

WORDS = ("the", "a", "an", "The", "cat", "Cat's", "10", "$10", "über", "北京", "a\u0301", "no", "no-no", ".", "’", "")


@pytest.fixture(scope="module")
def official() -> ModuleType:
    """The functions of the script of SQuAD v2.0 as transformers ships them: an oracle of other hands."""
    from transformers.data.metrics import squad_metrics

    return squad_metrics


def _texts(num_texts: int, seed: int) -> list[str]:
    draws = random.Random(seed)
    spaces = (" ", "  ", "\u00a0", "\t")
    return [
        "".join(draws.choice(WORDS) + draws.choice(spaces) for _ in range(draws.randrange(5))) for _ in range(num_texts)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.prediction}: {case.why}")
def test_by_hand(case: Case) -> None:
    assert exact_match(case.prediction, case.golds, has_unanswerable=case.has_unanswerable) == case.exact_match
    assert f1(case.prediction, case.golds, has_unanswerable=case.has_unanswerable) == float(case.f1)


def test_the_cases_are_what_was_asked_for() -> None:
    assert len(CASES) == len({(case.prediction, case.golds, case.has_unanswerable) for case in CASES}) >= 60
    assert {case.has_unanswerable for case in CASES} == {False, True}


def test_both_versions_agree_where_something_is_left_of_every_text() -> None:
    cases = [case for case in CASES if case.golds and all(map(normalize, (case.prediction, *case.golds)))]
    assert len(cases) >= 60
    for case in cases:
        for has_unanswerable in (False, True):
            assert exact_match(case.prediction, case.golds, has_unanswerable=has_unanswerable) == case.exact_match
            assert f1(case.prediction, case.golds, has_unanswerable=has_unanswerable) == float(case.f1)


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The  U.S. is a country.", "us is country"),
        ("a an the A AN THE", ""),
        ("the-end the_end the/end", "theend theend theend"),
        ("An\u00a0Apple\n(a day)", "apple day"),
        ("", ""),
    ],
)
def test_normalize(text: str, normalized: str) -> None:
    assert normalize(text) == normalized


def test_normalizing_what_is_normalized_changes_nothing() -> None:
    texts = _texts(500, seed=0)
    assert len(set(map(normalize, texts))) > 100
    for text in texts:
        assert normalize(normalize(text)) == normalize(text)


def test_a_question_without_golds_is_none_of_v1() -> None:
    for metric in (exact_match, f1):
        with pytest.raises(DataError, match="no gold answer"):
            metric("Denver", [])


def test_as_the_official_script_of_v2(official: ModuleType) -> None:
    texts = [*_texts(400, seed=1), *(text for case in CASES for text in (case.prediction, *case.golds))]
    draws, num_between = random.Random(2), 0
    for prediction in texts:
        assert normalize(prediction) == official.normalize_answer(prediction)
        golds = draws.choices(texts, k=draws.randrange(4))
        left = [gold for gold in golds if official.normalize_answer(gold)] or [""]
        expected = max(official.compute_f1(gold, prediction) for gold in left)
        assert f1(prediction, golds, has_unanswerable=True) == pytest.approx(expected, rel=1e-15, abs=0)
        expected_match = max(official.compute_exact(gold, prediction) for gold in left)
        assert exact_match(prediction, golds, has_unanswerable=True) == expected_match
        num_between += 0 < expected < 1
    assert num_between > 50


def test_every_published_gold_answers_its_question(shared_data: Path) -> None:
    """Each gold of SQuAD v2.0 and XQuAD scores 1 for its question; the empty text has F1 0 where there is a gold."""
    num_scored = 0
    for name, has_unanswerable in (
        ("squad/dev-v2.0.json", True),
        *((f"xquad/xquad.{language}.json", False) for language in ("en", "zh", "th", "de")),
    ):
        published = json.loads(shared_data.joinpath(name).read_text(encoding="utf-8"))
        for paragraph in (paragraph for article in published["data"] for paragraph in article["paragraphs"]):
            for question in paragraph["qas"]:
                golds = [answer["text"] for answer in question["answers"]]
                for given in golds or [""]:
                    if golds and not normalize(given):
                        continue
                    assert exact_match(given, golds, has_unanswerable=has_unanswerable) == 1, question["id"]
                    assert f1(given, golds, has_unanswerable=has_unanswerable) == 1, question["id"]
                    num_scored += 1
                if golds and any(map(normalize, golds)):
                    assert f1("", golds, has_unanswerable=has_unanswerable) == 0, question["id"]
    assert num_scored > 6_000


# Scores and no-answer scores are eighths below, so that sums are exact and ties are ties.


def _by_brute_force(scores: list[float], no_answer: list[float], has_answer: list[bool]) -> Threshold:
    """Every number of answered items, each scored afresh, in fractions; the fewest answers among equals."""
    order = sorted(range(len(scores)), key=lambda item: no_answer[item])
    means = []
    for num_answered in range(len(scores) + 1):
        answered = set(order[:num_answered])
        given = [
            Fraction(scores[item]) if item in answered else Fraction(not has_answer[item])
            for item in range(len(scores))
        ]
        means.append(sum(given) / len(given))
    num_answered = means.index(max(means))
    return Threshold(no_answer[order[num_answered - 1]] if num_answered else 0.0, float(max(means)))


def _items(draws: random.Random, most: int) -> tuple[list[float], list[float], list[bool]]:
    num_items = draws.randrange(1, most + 1)
    has_answer = [draws.random() < 0.6 for _ in range(num_items)]
    scores = [draws.randrange(9) / 8 if answerable else float(draws.random() < 0.3) for answerable in has_answer]
    return scores, [draws.randrange(-12, 13) / 8 for _ in range(num_items)], has_answer


def test_best_threshold_by_brute_force() -> None:
    draws = random.Random(3)
    found = set()
    for _ in range(2_000):
        items = _items(draws, most=12)
        assert best_threshold(*items) == _by_brute_force(*items)
        found.add(best_threshold(*items).value)
    assert len(found) > 20


def test_best_threshold_as_the_official_script_of_v2(official: ModuleType) -> None:
    draws = random.Random(4)
    for _ in range(2_000):
        scores, no_answer, has_answer = _items(draws, most=100)
        ids = range(len(scores))
        # The script asks the text itself whether an item without an answer was answered.
        texts = {item: "" if not has_answer[item] and scores[item] else "text" for item in ids}
        score, value = official.find_best_thresh(
            texts, dict(enumerate(scores)), dict(enumerate(no_answer)), dict(enumerate(has_answer))
        )
        found = best_threshold(scores, no_answer, has_answer)
        assert found.value == value
        assert found.score == pytest.approx(score / 100, rel=1e-15, abs=0)


def test_no_threshold_is_better_than_the_best() -> None:
    """Where no-answer scores differ and are above 0, `score` is what `value` gives, and no other value gives more."""

    def mean_at(threshold: float) -> float:
        given = [
            score if without <= threshold else float(not answerable)
            for score, without, answerable in zip(scores, no_answer, has_answer, strict=True)
        ]
        return sum(given) / len(given)

    draws = random.Random(5)
    for _ in range(500):
        scores, _, has_answer = _items(draws, most=20)
        no_answer = [value / 16 for value in draws.sample(range(1, 100), len(scores))]
        best = best_threshold(scores, no_answer, has_answer)
        assert mean_at(best.value) == best.score
        assert max(map(mean_at, [0.0, *no_answer])) == best.score


@pytest.mark.parametrize(
    ("scores", "no_answer", "has_answer", "expected"),
    [
        ([1, 0, 1], [-2, 3, 1], [True, False, True], Threshold(1, 1)),
        ([1, 0, 0.5], [-2, -1, 1], [True, False, True], Threshold(-2, 2 / 3)),
        ([0, 0], [-5, 5], [False, False], Threshold(0, 1)),
        ([0, 0], [-5, 5], [True, True], Threshold(0, 0)),
        ([1, 1], [-5, 5], [True, False], Threshold(-5, 1)),
        ([1, 0], [1, 1], [True, False], Threshold(1, 1)),
        ([0, 1], [1, 1], [False, True], Threshold(0, 0.5)),
        ([1], [float("inf")], [True], Threshold(float("inf"), 1)),
    ],
    ids=(
        "both answers lie below",
        "the first alone: the last wins half of what the second loses",
        "nothing has an answer: 0, whatever lies below it",
        "every answer is wrong: 0",
        "the second gives the empty text, which changes nothing",
        "a tie, the right one first: counted although both are answered",
        "a tie, the wrong one first: it never gets better than answering nothing",
        "at infinity everything is answered",
    ),
)
def test_best_threshold_by_hand(
    scores: list[float], no_answer: list[float], has_answer: list[bool], expected: Threshold
) -> None:
    assert best_threshold(scores, no_answer, has_answer) == expected


def test_best_threshold_refuses_what_it_cannot_sort() -> None:
    with pytest.raises(ValueError, match="not 0, 0 and 0"):
        best_threshold([], [], [])
    with pytest.raises(ValueError, match="not 2, 1 and 2"):
        best_threshold([1, 1], [0], [True, True])
    with pytest.raises(ValueError, match="NaN"):
        best_threshold([1, 1], [0, float("nan")], [True, True])
    with pytest.raises(ValueError, match="NaN"):
        best_threshold([1, float("nan")], [0, 1], [True, True])
