"""The text on which the sandbox's backbones are pretrained, and the tokenizer for it.

Three kinds of lines, of which the last two make the languages meet: causal lines of one language, the same lines
code-switched word by word, and dictionary lines that give one word in every language. (Shared names and parallel lines
alone did not align the languages within this budget.)

No validation or test item is told here: see `datasets.pretraining_fillers`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from transformers import XLMRobertaTokenizerFast

from adapter_transfer.backbones.tokenizers import train_tokenizer
from adapter_transfer.sandbox import rules
from adapter_transfer.sandbox.datasets import pretraining_fillers
from adapter_transfer.sandbox.languages import LANGUAGES, Language, clause
from adapter_transfer.sandbox.world import WORLD_SEED, Event, all_rules

#: A line: a text, or a pair of texts as they will stand in a task's input.
Line = tuple[str, str | None]

NUM_LINES = 60_000

#: Shares of the kinds of lines; the rest are dictionary lines.
MONOLINGUAL_SHARE = 0.08
CODE_SWITCHED_SHARE = 0.67

#: How often each form of causal line is told. The questions are long and teach little, so they are rare.
FORM_WEIGHTS = {
    "effect question": 1,
    "cause question": 1,
    "pair": 2,
    "cause connective": 2,
    "effect connective": 2,
    "sentences": 2,
}

TOKENIZER_VOCAB_SIZE = 1_500

#: The longest input of a sandbox backbone; the data sets' inputs have fewer than 40 tokens.
MAX_TOKENS = 128

#: Lines that the tokenizer is trained on; more do not change which pieces it finds.
_TOKENIZER_LINES = 8_000


def pretraining_lines(num_lines: int = NUM_LINES, seed: int = WORLD_SEED) -> Iterator[Line]:
    """Lines of pretraining text, of about 12 tokens."""
    rng = random.Random(f"{seed}/pretraining")
    fillers = pretraining_fillers()
    all_causal_rules = [rule for class_rules in all_rules().values() for rule in class_rules]
    for _ in range(num_lines):
        kind, language = rng.random(), rng.choice(LANGUAGES)
        if kind < MONOLINGUAL_SHARE + CODE_SWITCHED_SHARE:
            rule = rng.choice(all_causal_rules)
            filler = rng.choice(fillers[rule.noun_class])
            is_switched = kind >= MONOLINGUAL_SHARE
            yield _causal_line(rng, rule.cause(filler), rule.effect(filler), language, is_switched=is_switched)
        else:
            yield dictionary_line(rng)


def dictionary_line(rng: random.Random) -> Line:
    """A lemma in every language, shuffled: each word has its translations near it, at no fixed place."""
    lemma = rng.choice(rules.lemmas())
    words = [language.lexicon[lemma] for language in LANGUAGES]
    rng.shuffle(words)
    return " ".join(words), None


def word_ids(tokenizer: XLMRobertaTokenizerFast) -> list[int]:
    """Ids of the pieces that are names or stems, which is where all knowledge of this world lies."""
    words = list(rules.NAMES)
    for language in LANGUAGES:
        words += language.lexicon.values()
        words += [language.noun_phrase(noun, is_object=False) for nouns in rules.NOUNS.values() for noun in nouns]
    return sorted({ids[-1] for ids in tokenizer(words, add_special_tokens=False)["input_ids"]})


def train_sandbox_tokenizer() -> XLMRobertaTokenizerFast:
    """The tokenizer that all sandbox backbones share: every stem and every affix is one piece."""
    whole_words = [
        *rules.NAMES,
        *dict.fromkeys(word for prompt in rules.PROMPTS.values() for word in prompt[:-1].split()),
    ]
    for language in LANGUAGES:
        whole_words += language.lexicon.values()
        whole_words += [f"+{language.accusative}"] if language.accusative else []
        if language.article and not language.article.endswith(" "):
            # After a prefixed article the noun does not begin the word.
            nouns = [noun for class_nouns in rules.NOUNS.values() for noun in class_nouns]
            whole_words += [language.article, *(f"+{language.lexicon[noun]}" for noun in nouns)]
    texts = [" ".join(filter(None, line)) for line in pretraining_lines(_TOKENIZER_LINES)]
    return train_tokenizer(texts, TOKENIZER_VOCAB_SIZE, whole_words=whole_words, model_max_length=MAX_TOKENS)


def _causal_line(
    rng: random.Random, cause_event: Event, effect_event: Event, language: Language, *, is_switched: bool
) -> Line:
    """A cause and its effect, as one text or as the pair of texts that a task would show.

    A switched line keeps the word order of `language`, and takes each word from any language with equal chance. (Where
    half of the words kept the line's own language, the scales learned the rules language by language: accuracy was
    99 % in English and 67 % elsewhere.)
    """

    def pick() -> Language:
        return rng.choice(LANGUAGES) if is_switched else language

    cause, effect = clause(cause_event, language, pick), clause(effect_event, language, pick)
    form = rng.choices(tuple(FORM_WEIGHTS), weights=tuple(FORM_WEIGHTS.values()))[0]
    if form == "effect question":
        return f"{cause}. {rules.PROMPTS['effect']}", f"{effect}."
    if form == "cause question":
        return f"{effect}. {rules.PROMPTS['cause']}", f"{cause}."
    if form == "pair":
        return f"{cause}.", f"{effect}."
    if form == "cause connective":
        return f"{effect} {pick().lexicon[rng.choice(rules.CAUSE_CONNECTIVES)]} {cause}.", None
    if form == "effect connective":
        return f"{cause} {pick().lexicon[rng.choice(rules.EFFECT_CONNECTIVES)]} {effect}.", None
    return f"{cause}. {effect}.", None
