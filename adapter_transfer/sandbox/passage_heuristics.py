"""Guesses at spans and tags that do not look at the relation of a question, or a cause, and the events told.

What `heuristics` is to the choices: on the sandbox's data they must stay where chance is. Each takes labelled rows of
training and rows to be answered, and returns answers (texts, empty for none) or tags.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from adapter_transfer.sandbox.passages import EVENTS_IN_A_PASSAGE, OTHER, RESULT, Row

#: Training rows, rows to be answered -> an answer to each.
SpanHeuristic = Callable[[Sequence[Row], Sequence[Row]], list[str]]
#: Training rows, rows to be tagged -> the tags of each one's words.
TagHeuristic = Callable[[Sequence[Row], Sequence[Row]], list[list[str]]]


def answer_of(row: Row) -> str:
    """The right answer; empty where there is none."""
    return str(row.get("answer", ""))


def no_answer(train: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """Never an answer."""
    return [""] * len(rows)


def sentence_at(place: int) -> SpanHeuristic:
    """The likeliest answer, whatever is asked, in the sentence that stands at `place`."""

    def guess(train: Sequence[Row], rows: Sequence[Row]) -> list[str]:
        texts = {answer_of(row) for row in train} - {""}
        return [_answer_in(_sentences(row)[place], texts) for row in rows]

    return guess


def question_blind(train: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """What was an answer most often in training, of all that stands in the passage."""
    counts = Counter(answer_of(row) for row in train)
    texts = set(counts) - {""}
    answers = []
    for row in rows:
        there = [_answer_in(sentence, texts) for sentence in _sentences(row)]
        answers.append(max(there, key=lambda text: counts[text]))
    return answers


def most_overlap(train: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """The answer in the sentence that shares most words with the question, the first of equals."""
    texts = {answer_of(row) for row in train} - {""}
    answers = []
    for row in rows:
        asked = _words(str(row["question"]))
        answers.append(_answer_in(max(_sentences(row), key=lambda told: len(asked & _words(told))), texts))
    return answers


SPAN_HEURISTICS: Mapping[str, SpanHeuristic] = {
    "no answer": no_answer,
    **{f"sentence {place + 1}": sentence_at(place) for place in range(EVENTS_IN_A_PASSAGE)},
    "question-blind": question_blind,
    "most-overlap": most_overlap,
}


def likeliest_tag(train: Sequence[Row], rows: Sequence[Row]) -> list[list[str]]:
    """The tag that each word has most often in training; O for new words."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        for word, tag in zip(str(row["text"]).split(), str(row["tags"]).split(), strict=True):
            counts[word][tag] += 1
    return [[_most_frequent(counts[word], OTHER) for word in str(row["text"]).split()] for row in rows]


def all_results(train: Sequence[Row], rows: Sequence[Row]) -> list[list[str]]:
    """RESULT for whatever was ever marked in training: each effect's verb, with its object."""
    begins: set[str] = set()
    continues: set[tuple[str, str]] = set()
    for row in train:
        words, tags = str(row["text"]).split(), str(row["tags"]).split()
        begins.update(word for word, tag in zip(words, tags, strict=True) if tag.startswith("B-"))
        continues.update(
            (before, word) for before, word, tag in zip(words, words[1:], tags[1:], strict=False) if tag[:2] == "I-"
        )
    answers = []
    for row in rows:
        tags = []
        before = ""
        for word in str(row["text"]).split():
            goes_on = (before, word) in continues and tags[-1] != OTHER
            tags.append(f"I-{RESULT}" if goes_on else f"B-{RESULT}" if word in begins else OTHER)
            before = word
        answers.append(tags)
    return answers


TAG_HEURISTICS: Mapping[str, TagHeuristic] = {"likeliest tag": likeliest_tag, "all results": all_results}


def _sentences(row: Row) -> list[str]:
    return str(row["context"]).split(". ")


def _words(text: str) -> set[str]:
    return {word.rstrip(".?").lower() for word in text.split()}


def _answer_in(sentence: str, texts: set[str]) -> str:
    """The longest of the known answers that stands in a sentence."""
    padded = f" {sentence.rstrip('.')} "
    return max((text for text in texts if f" {text} " in padded), key=len, default="")


def _most_frequent(counts: Counter[str], otherwise: str) -> str:
    return max(sorted(counts), key=lambda tag: counts[tag], default=otherwise)
