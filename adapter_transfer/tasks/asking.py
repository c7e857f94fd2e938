"""Asking a trained model a question of one's own: how a text and a question are put into rows, as a task's items are.

Owns the wording alone. What a task's published rows look like is declared with the task; that both give the same rows
is a matter of tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asking:
    """What stands before each choice: a premise, a question, or both.

    Attributes:
        has_premise: whether there is a text that the question is about.
        has_question: whether something is asked of it; without, the choices go on where the premise ends.
        words: question in one word → the words in which it is asked; empty where a question is asked in its own words.
        is_open: other questions than those of `words` are asked in their own words.
        hides_first: a control that is shown the choices alone.
    """

    has_premise: bool = True
    has_question: bool = True
    words: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = False
    hides_first: bool = False

    @property
    def allowed(self) -> tuple[str, ...]:
        """The questions that can be asked, in one word each; empty where every question can, or none."""
        return () if self.is_open else tuple(self.words)

    def rows(self, premise: str, question: str, choices: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
        """The text pairs that are scored, one a choice."""
        if self.hides_first:
            return tuple((choice, None) for choice in choices)
        asked = self.words.get(self._one_word(question), question)
        parts = ([premise] if self.has_premise else []) + ([asked] if self.has_question else [])
        first = " ".join(parts)
        return tuple((first, choice) for choice in choices)

    def problems(self, premise: str, question: str) -> list[str]:
        """What is wrong with a premise and a question, for whoever wrote them."""
        if self.hides_first:
            return []
        found = []
        if self.has_premise and not premise.strip():
            found.append("there is no premise")
        if not self.has_premise and premise.strip():
            found.append("this task has no premise: everything that is asked stands in the question")
        if not self.has_question and question.strip():
            found.append(f"this task asks no question, and this one was given: {_short(question)}. Leave it out")
        if self.has_question and not question.strip():
            found.append(f"there is no question{self._told()}")
        elif self.has_question and self.allowed and self._one_word(question) not in self.words:
            found.append(f"question {_short(question)} is not one of this task{self._told()}")
        return found

    def _told(self) -> str:
        if not self.allowed:
            return ""
        ways = " or ".join(f"{word!r} ({self.words[word]!r})" for word in self.allowed)
        return f"; it is {ways}"

    def _one_word(self, question: str) -> str:
        """The one word for a question that may be given in words; itself where there is none."""
        given = _plain(question)
        return next((word for word, asked in self.words.items() if given in (word, _plain(asked))), question)


def _plain(text: str) -> str:
    return " ".join(text.casefold().rstrip(" ?").split())


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
