"""English and three languages that are ciphers of it: another word for every lemma, another grammar, another script.

After "Fake English" (K et al. 2020, "Cross-Lingual Ability of Multilingual BERT", section 3): what transfers cannot
come from shared words. Shared are only names, digits and punctuation.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from adapter_transfer.sandbox import rules
from adapter_transfer.sandbox.world import WORLD_SEED, Event


@dataclass(frozen=True)
class Language:
    """A grammar of three switches and the sounds from which the words are made.

    Args:
        code: as in file names.
        order: place of the verb.
        article: written before a noun; with a trailing blank where it is a word of its own.
        accusative: suffix of a noun in object position.
        onsets: syllable beginnings, separated by blanks. Empty for English, whose words are the lemmas.
        nuclei: vowels.
    """

    code: str
    order: Literal["SVO", "SOV"]
    article: str = ""
    accusative: str = ""
    onsets: str = ""
    nuclei: str = ""

    @property
    def lexicon(self) -> dict[str, str]:
        """Lemma -> word."""
        return _lexicon(self)

    def noun_phrase(self, noun: str, *, is_object: bool) -> str:
        """The noun with its article and case; a name stands as it is."""
        if noun in rules.NAMES:
            return noun
        return f"{self.article}{self.lexicon[noun]}{self.accusative if is_object else ''}"


ENGLISH = Language("en", "SVO", article="the ")
TARGETS = (
    Language("qa", "SVO", accusative="um", onsets="b d f g k l m n p r s t v z br kl tr", nuclei="a e i o u"),
    Language("qb", "SVO", article="то", onsets="б в г д ж з к л м н п р с т ф х ш", nuclei="а е и о у ы"),
    Language("qc", "SOV", accusative="ον", onsets="β γ δ ζ θ κ λ μ ν ξ π ρ σ τ φ χ ψ", nuclei="α ε η ι ο υ ω"),
)
LANGUAGES = (ENGLISH, *TARGETS)

_FILLING = frozenset(rules.NAMES).union(*rules.NOUNS.values())
"""What slots are filled with."""


@cache
def _lexicon(language: Language) -> dict[str, str]:
    """Lemma -> word, the same in every process; no word of a language begins another one, nor stands in English."""
    lemmas = rules.lemmas()
    if not language.onsets:
        return {lemma: lemma for lemma in lemmas}
    rng = random.Random(f"{WORLD_SEED}/{language.code}")
    onsets, nuclei = language.onsets.split(), language.nuclei.split()
    taken: list[str] = list(lemmas)
    lexicon: dict[str, str] = {}
    for lemma in lemmas:
        while True:
            num_syllables = rng.choice((2, 2, 3))
            syllables = (rng.choice(onsets) + rng.choice(nuclei) for _ in range(num_syllables))
            word = "".join(syllables) + rng.choice(onsets)
            if not any(word.startswith(other) or other.startswith(word) for other in taken):
                break
        taken.append(word)
        lexicon[lemma] = word
    return lexicon


def clause(event: Event, language: Language, pick: Callable[[], Language] | None = None) -> str:
    """The event in `language`, without a full stop.

    Args:
        event: what is said.
        language: gives the word order.
        pick: gives the language of each next word, for code-switched text; by default all are in `language`.
    """
    pick = pick or (lambda: language)
    subject = pick().noun_phrase(event.subject, is_object=False)
    verb = pick().lexicon[event.verb]
    if event.object is None:
        return f"{subject} {verb}"
    target = pick().noun_phrase(event.object, is_object=True)
    return f"{subject} {verb} {target}" if language.order == "SVO" else f"{subject} {target} {verb}"


def verb_phrase(event: Event, language: Language) -> str:
    """The event without the person and the thing that it is about: its verb, and an object that the rule itself has."""
    verb = language.lexicon[event.verb]
    if event.object is None or event.object in _FILLING:
        return verb
    target = language.noun_phrase(event.object, is_object=True)
    return f"{verb} {target}" if language.order == "SVO" else f"{target} {verb}"


def sentence(event: Event, language: Language) -> str:
    """The event as a sentence of `language`. There are no capitals but in names: a word has one form."""
    return f"{clause(event, language)}."
