"""Items over passages of several events: questions that a span answers (event-qa, event-qa2), and words with tags.

Like the items of one or two events (`datasets`), they come in blocks that hold the same texts under every label. All of
an item is about the same person and thing, so that only verbs can tell the label:

- event-qa: a passage of three causes (or of three effects), asked for the cause (or effect) of an event; a block asks
  for each of the three. The answer is the verb, with an object where the rule itself has one ("gained the fruit").
- event-qa2: two such passages, of all six rules of a class, both asked all six questions: three are answered by the
  one, three by the other, so that a passage and a question are without an answer as often as with one.
- event-tags: the same four effects in the same order after each one's cause: the verb of its own effect is tagged
  RESULT, that of the effect that it excludes EXCLUDED (with an object, as above), all other words O.

Where an answer stands and which words there are differs between languages, so items are written a language at a time.
Answers and tags that went over whole sentences about three persons and things were learned in English alone: what
binds a name to its verb is its place, and of places the scales know little (micro, full: F1 88 % in English, 33 to 53 %
elsewhere, guessing a third; docs/sandbox.md).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from adapter_transfer.sandbox import rules
from adapter_transfer.sandbox.languages import Language, sentence, verb_phrase
from adapter_transfer.sandbox.world import Event, Filler, Rule, all_rules

#: Class of nouns -> another filler of it.
DrawFiller = Callable[[str], Filler]

#: One line of a file.
Row = dict[str, "str | list[str] | int"]

#: What an event is after the cause that was told: its effect, what that excludes, or neither.
RESULT, EXCLUDED, OTHER = "RESULT", "EXCLUDED", "O"

EVENTS_IN_A_PASSAGE = 3


@dataclass(frozen=True)
class SpanItem:
    """A passage of sentences and a question about an event that is not in it.

    Attributes:
        told: the passage.
        asked: the event whose cause or effect is asked for.
        question: which of the two, as in `rules.PROMPTS`.
        answer: which sentence tells it; None where none does.
    """

    told: tuple[Event, ...]
    asked: Event
    question: str
    answer: int | None

    def row(self, language: Language) -> Row:
        """Its fields in a language; those of the answer only where there is one."""
        sentences = [sentence(event, language) for event in self.told]
        context = " ".join(sentences)
        row: Row = {
            "context": context,
            "question": f"{sentence(self.asked, language)} {rules.PROMPTS[self.question]}",
        }
        if self.answer is None:
            return row
        answer = verb_phrase(self.told[self.answer], language)
        before = sum(len(text) + 1 for text in sentences[: self.answer])
        return {**row, "answer": answer, "answer_start": before + _place(answer, sentences[self.answer])}


@dataclass(frozen=True)
class TaggedItem:
    """A passage of sentences, each with the kind that its verb is of."""

    told: tuple[tuple[Event, str], ...]

    def row(self, language: Language) -> Row:
        """Words and tags, a blank between two; a full stop belongs to the last word of its sentence."""
        words: list[str] = []
        tags: list[str] = []
        for event, kind in self.told:
            text, marked = sentence(event, language), verb_phrase(event, language)
            first = len(text[: _place(marked, text)].split())
            last = first + len(marked.split()) - 1
            for index, word in enumerate(text.split()):
                is_marked = kind != OTHER and first <= index <= last
                words.append(word)
                tags.append(f"{'B' if index == first else 'I'}-{kind}" if is_marked else OTHER)
        return {"text": " ".join(words), "tags": " ".join(tags)}


def qa_blocks(rng: random.Random, draw: DrawFiller) -> Iterator[list[SpanItem]]:
    """Blocks of six: three rules; a passage of their causes and one of their effects, each asked three times."""
    for group in _shuffled_rules(rng):
        told, filler = group[:EVENTS_IN_A_PASSAGE], draw(group[0].noun_class)
        yield [item for question in rules.PROMPTS for item in _asked(question, told, told, filler)]


def qa2_blocks(rng: random.Random, draw: DrawFiller) -> Iterator[list[SpanItem]]:
    """Blocks of 24: the six rules of a class in two passages of causes and two of effects, each asked six times."""
    for group in _shuffled_rules(rng):
        halves, filler = (group[:EVENTS_IN_A_PASSAGE], group[EVENTS_IN_A_PASSAGE:]), draw(group[0].noun_class)
        yield [item for question in rules.PROMPTS for told in halves for item in _asked(question, told, group, filler)]


def tag_blocks(rng: random.Random, draw: DrawFiller) -> Iterator[list[TaggedItem]]:
    """Blocks of four: two pairs of rules that exclude each other; four effects after each one's cause."""
    for group in _shuffled_rules(rng):
        first = group[0]
        second = next(rule for rule in group if rule.index not in (first.index, first.opposite))
        chosen = {first.index, first.opposite, second.index, second.opposite}
        order, filler = [rule for rule in group if rule.index in chosen], draw(first.noun_class)
        effects = [(rule, rule.effect(filler)) for rule in order]
        for_each = ([(effect, _kind(told, rule)) for rule, effect in effects] for told in order)
        yield [TaggedItem(((told.cause(filler), OTHER), *tagged)) for told, tagged in zip(order, for_each, strict=True)]


def _place(phrase: str, text: str) -> int:
    """Where a phrase begins in a sentence, as words of their own: "bit" is no part of "rabbit"."""
    return f" {text.rstrip('.')} ".index(f" {phrase} ")


def _kind(told: Rule, rule: Rule) -> str:
    """What the effect of `rule` is after the cause of `told`."""
    if rule.index == told.index:
        return RESULT
    return EXCLUDED if rule.opposite == told.index else OTHER


def _asked(question: str, told: Sequence[Rule], asked: Sequence[Rule], filler: Filler) -> Iterator[SpanItem]:
    """One passage with a question for each rule of `asked`."""
    is_cause = question == "cause"
    passage = tuple(rule.cause(filler) if is_cause else rule.effect(filler) for rule in told)
    for rule in asked:
        event = rule.effect(filler) if is_cause else rule.cause(filler)
        yield SpanItem(passage, event, question, told.index(rule) if rule in told else None)


def _shuffled_rules(rng: random.Random) -> Iterator[list[Rule]]:
    """The rules of one class after another's, each time in another order, without end."""
    while True:
        for class_rules in all_rules().values():
            yield rng.sample(class_rules, len(class_rules))
