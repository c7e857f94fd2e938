"""Extractive answers: from a head's numbers over windows to spans, "no answer", scores and shuffled labels."""

from __future__ import annotations

import numpy as np
import pytest

from adapter_transfer.backbones.tokenizers import train_tokenizer
from adapter_transfer.tasks.encoding import concatenate
from adapter_transfer.tasks.formats import Cutting, EncodedExamples, Example
from adapter_transfer.tasks.span_format import SpanExtraction

CONTEXT = "The cat sat on the red mat while a dog slept under the old blue table and the bird sang of summer rain."
PLAIN, WITH_NONE = SpanExtraction(), SpanExtraction(has_unanswerable=True)
CUTTING = Cutting(30, 6)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([CONTEXT, "Who slept? What?"] * 4, 200)


@pytest.fixture
def encode(tokenizer):
    """Encodes questions on the one context, with their answers: `encode(WITH_NONE, "a dog", None)`."""

    def make(format: SpanExtraction, *answers: str | None) -> EncodedExamples:
        examples = [
            Example(
                str(number),
                (("Who slept?", CONTEXT),),
                () if answer is None else ((answer, CONTEXT.index(answer)),),
            )
            for number, answer in enumerate(answers)
        ]
        return format.encode(examples, "en", tokenizer, CUTTING)

    return make


def silence(encoded: EncodedExamples) -> np.ndarray:
    """Numbers that say nothing."""
    return np.zeros((len(encoded.tokens), 2), dtype=np.float32)


def token_of(encoded: EncodedExamples, row: int, text: str, side: int) -> int:
    """The token of a row that holds the first (0) or last (1) letter of `text`."""
    place = CONTEXT.index(text) + (len(text) - 1 if side else 0)
    offset = encoded.offsets[row]
    for token in range(offset, encoded.offsets[row + 1]):
        first, behind = encoded.places[token]
        if first <= place < behind:
            return int(token)
    raise LookupError(f"{text!r} is not in window {row}")


def say(encoded: EncodedExamples, logits: np.ndarray, row: int, text: str, score: float) -> None:
    """Has a window say `text` with a score for its first token and one for its last."""
    logits[token_of(encoded, row, text, 0), 0] = score
    logits[token_of(encoded, row, text, 1), 1] = score


def nothing(encoded: EncodedExamples, logits: np.ndarray, row: int, score: float) -> None:
    logits[encoded.offsets[row]] = score


def rows_with(encoded: EncodedExamples, text: str, example: int = 0) -> list[int]:
    """The windows of an example that hold all of `text`."""
    found = []
    for row in range(encoded.first_rows[example], encoded.first_rows[example + 1]):
        try:
            token_of(encoded, row, text, 0), token_of(encoded, row, text, 1)
        except LookupError:
            continue
        found.append(row)
    return found


def predictions(encoded: EncodedExamples, logits: np.ndarray) -> list[str]:
    return encoded.format.answers(encoded, logits)["prediction"].to_pylist()


def test_the_best_window_answers(encode):
    encoded = encode(PLAIN, "summer rain")
    assert encoded.num_rows[0] >= 4
    logits = silence(encoded)
    say(encoded, logits, rows_with(encoded, "red mat")[0], "red mat", 3)
    say(encoded, logits, rows_with(encoded, "summer rain")[-1], "summer rain", 4)
    assert predictions(encoded, logits) == ["summer rain"]
    score = encoded.format.score(encoded, logits)
    assert (score.value, score.values["exact_match"], score.num_correct, score.num_items) == (1, 1, 1, 1)
    say(encoded, logits, rows_with(encoded, "red mat")[0], "red mat", 5)
    assert predictions(encoded, logits) == ["red mat"]
    assert encoded.format.score(encoded, logits).value == 0


def test_each_question_is_answered_from_its_own_windows(encode):
    encoded = encode(PLAIN, "a dog", "summer rain")
    logits = silence(encoded)
    say(encoded, logits, rows_with(encoded, "a dog", 0)[0], "a dog", 1)
    say(encoded, logits, rows_with(encoded, "summer rain", 1)[0], "summer rain", 9)
    assert predictions(encoded, logits) == ["a dog", "summer rain"]


def test_neither_questions_nor_special_tokens_nor_backward_spans_are_answers(encode):
    encoded = encode(PLAIN, "a dog")
    logits = silence(encoded)
    for row in range(len(encoded.row_lengths)):
        places = encoded.places[encoded.offsets[row] : encoded.offsets[row + 1], 0]
        logits[encoded.offsets[row] : encoded.offsets[row + 1]][places < 0] = 50
    (row,) = rows_with(encoded, "dog slept")[:1]
    logits[token_of(encoded, row, "slept", 0), 0] = 9
    logits[token_of(encoded, row, "dog", 1), 1] = 8  # stands before it
    logits[token_of(encoded, row, "slept", 1), 1] = 2
    assert predictions(encoded, logits) == ["slept"]


def test_spans_may_not_be_too_long(encode, tokenizer):
    encoded = encode(SpanExtraction(max_answer_tokens=3), "a dog")
    (row,) = rows_with(encoded, "a dog slept")[:1]
    logits = silence(encoded)
    logits[token_of(encoded, row, "a dog slept", 0), 0] = 9
    logits[token_of(encoded, row, "a dog slept", 1), 1] = 9
    (answer,) = predictions(encoded, logits)
    assert answer != "a dog slept"
    assert len(tokenizer(answer, add_special_tokens=False)["input_ids"]) <= 3


@pytest.mark.parametrize("num_best", [1, 2, 20])
def test_the_search_equals_trying_every_pair_of_the_best(encode, num_best):
    encoded = encode(SpanExtraction(num_best=num_best, max_answer_tokens=8), *["a dog"] * 6)
    logits = np.random.default_rng(num_best).normal(size=(len(encoded.tokens), 2)).astype(np.float32)
    found = predictions(encoded, logits)
    for example in range(6):
        tried = []
        for row in range(encoded.first_rows[example], encoded.first_rows[example + 1]):
            start = encoded.offsets[row]
            inside = [t for t in range(start, encoded.offsets[row + 1]) if encoded.places[t, 0] >= 0]
            firsts = sorted(inside, key=lambda t: -logits[t, 0])[:num_best]
            lasts = sorted(inside, key=lambda t: -logits[t, 1])[:num_best]
            pairs = [(f, e) for f in firsts for e in lasts if 0 <= e - f < 8] or [(firsts[0], firsts[0])]
            tried += [(float(logits[f, 0]) + float(logits[e, 1]), f, e) for f, e in pairs]
        _, first, last = max(tried)
        assert found[example] == CONTEXT[encoded.places[first, 0] : encoded.places[last, 1]].strip()


def test_no_answer_scores_as_in_the_window_that_is_least_sure_of_it(encode):
    encoded = encode(WITH_NONE, None, "a dog")
    logits = silence(encoded)
    for row in range(len(encoded.row_lengths)):
        nothing(encoded, logits, row, 5)
    for example in (0, 1):
        say(encoded, logits, rows_with(encoded, "a dog", example)[0], "a dog", 3)
    columns = encoded.format.answers(encoded, logits)
    assert columns["no_answer_score"].to_pylist() == [4, 4]  # 5 + 5 - 3 - 3
    assert columns["prediction"].to_pylist() == ["", ""]
    assert columns["best_span"].to_pylist() == ["a dog", "a dog"]
    assert columns["label"].to_pylist() == [[], ["a dog"]]
    nothing(encoded, logits, rows_with(encoded, "a dog", 1)[0], 2)  # one window doubts it
    columns = encoded.format.answers(encoded, logits)
    assert columns["no_answer_score"].to_pylist() == [4, -2]
    assert columns["prediction"].to_pylist() == ["", "a dog"]
    assert encoded.format.score(encoded, logits).values == {
        "exact_match": 1, "f1": 1, "best_f1": 1, "best_f1_threshold": pytest.approx(-2, abs=6),
    }  # fmt: skip


def test_the_threshold_decides_and_the_best_one_is_told(encode):
    encoded = encode(WITH_NONE, None, "a dog", None, "a dog")
    logits = silence(encoded)
    for example, doubt in enumerate((3.0, 2.0, 2.5, -1.0)):  # "no answer" over the span
        say(encoded, logits, rows_with(encoded, "a dog", example)[0], "a dog", 1)
        for row in range(encoded.first_rows[example], encoded.first_rows[example + 1]):
            nothing(encoded, logits, row, (2 + doubt) / 2)
    score = encoded.format.score(encoded, logits)
    assert predictions(encoded, logits) == ["", "", "", "a dog"]
    assert score.value == pytest.approx(0.75)
    assert score.values["best_f1"] == pytest.approx(1)
    assert 2.0 <= score.values["best_f1_threshold"] < 2.5
    lenient = SpanExtraction(has_unanswerable=True, no_answer_threshold=score.values["best_f1_threshold"])
    assert lenient.score(encoded, logits).value == pytest.approx(1)


def test_without_unanswerable_questions_nothing_is_never_said(encode):
    encoded = encode(PLAIN, "a dog")
    logits = silence(encoded)
    for row in range(len(encoded.row_lengths)):
        nothing(encoded, logits, row, 100)
    say(encoded, logits, rows_with(encoded, "a dog")[0], "a dog", 1)
    assert predictions(encoded, logits) == ["a dog"]
    assert "best_f1" not in encoded.format.score(encoded, logits).values


def test_the_loss_by_hand(encode):
    encoded = encode(WITH_NONE, "a dog", None)
    logits = silence(encoded)
    lengths = np.log(encoded.row_lengths.astype(float))
    first = int(encoded.num_rows[0])
    # Every token alike: each cross-entropy is the logarithm of a window's tokens, whatever is right.
    expected = (lengths[:first].mean() + lengths[first:].mean()) / 2
    assert WITH_NONE.score(encoded, logits).loss == pytest.approx(expected)
    (row,) = rows_with(encoded, "a dog")[:1]
    logits[encoded.offsets[row] + encoded.labels[row, 0], 0] = 2
    length = encoded.row_lengths[row]
    gain = np.log(length) - (np.log(length - 1 + np.exp(2)) - 2)
    assert WITH_NONE.score(encoded, logits).loss == pytest.approx(expected - gain / 2 / first / 2)


def test_languages_together_score_as_each_alone(encode):
    parts = [encode(WITH_NONE, "a dog", None), encode(WITH_NONE, "summer rain"), encode(WITH_NONE, None, "red mat")]
    generator = np.random.default_rng(5)
    logits = [generator.normal(size=(len(part.tokens), 2)).astype(np.float32) for part in parts]
    pooled, together = concatenate(parts), np.concatenate(logits)
    answers = pooled.format.answers(pooled, together)
    for name in answers:
        alone = [
            value
            for part, own in zip(parts, logits, strict=True)
            for value in part.format.answers(part, own)[name].to_pylist()
        ]
        assert answers[name].to_pylist() == alone
    scores = [part.format.score(part, own) for part, own in zip(parts, logits, strict=True)]
    whole = pooled.format.score(pooled, together)
    assert whole.num_items == 5
    for name in ("f1", "exact_match"):
        assert whole.values[name] == pytest.approx(sum(s.values[name] * s.num_items for s in scores) / 5)
    assert whole.loss == pytest.approx(sum(s.loss * s.num_items for s in scores) / 5)


def test_faults_of_an_example_are_told():
    def problems(label, format=PLAIN):
        return format.problems(Example("1", (("Who?", CONTEXT),), label))

    assert problems((("The cat", 0),)) == []
    assert problems((("rain.", len(CONTEXT) - 5),)) == []
    assert problems((), WITH_NONE) == []
    assert problems(()) == ["there is no answer; every question has one here"]
    assert problems((("The cat", 1),)) == ["the answer 'The cat' does not stand at 1 of its context ('he cat ' does)"]
    assert problems((("rain.", -5),)) != []
    assert problems((("rain.", len(CONTEXT)),)) != []
    assert problems(((" ", 3),)) == ["an answer is blank"]
    assert len(problems((("The cat", 0), ("dog", 0), ("", 3)))) == 2


def test_shuffled_answers_are_spans_as_long_as_the_others_answers():
    words = ("The", "red mat", "slept under the", "summer rain")
    answers = [(), *(((text, CONTEXT.index(text)),) for text in words)]
    examples = [Example(str(n), (("Who?", CONTEXT),), label) for n, label in enumerate(answers)]
    shuffled = list(WITH_NONE.shuffle_labels(examples, np.random.default_rng(3)))
    assert [each.rows for each in shuffled] == [each.rows for each in examples]
    assert not [problem for each in shuffled for problem in WITH_NONE.problems(each)]

    def lengths(found):
        return sorted(sum(len(text.split()) for text, _ in each.label) for each in found)

    assert lengths(shuffled) == lengths(examples) == [0, 1, 2, 2, 3]
    assert [each.label for each in shuffled] != [each.label for each in examples]
    # Everywhere, its ends included.
    many = [examples[2]] * 400
    starts = {each.label[0][1] for each in PLAIN.shuffle_labels(many, np.random.default_rng(1))}
    assert (min(starts), max(starts)) == (0, CONTEXT.index("summer rain"))


def test_labels_are_counted():
    examples = [Example(str(n), (("Who?", CONTEXT),), label) for n, label in enumerate([(), (("The", 0),), ()])]
    assert WITH_NONE.count_labels(examples) == {"answerable": 1, "unanswerable": 2}
