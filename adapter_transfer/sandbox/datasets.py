"""The sandbox's data sets, written as JSON lines: micro-copa (target) and the intermediates, a world for each head.

Items of one or two events are made here, those of longer passages (event-qa, event-qa2, event-tags) in `passages`. All
are made in *blocks* that hold the same texts under every label, so that nothing but the relation of premise and
choice can tell the label:

- micro-copa: the same two choices in the same order, after a premise of the one and of the other; the distractor is an
  event of the same side (a cause for "cause", an effect for "effect") about the same person and the same thing.
- next-event: the same four endings in the same order, after each one's context.
- event-nli: the same hypothesis after its own cause (entailment), after the opposite rule's cause (contradiction) and
  after another cause (neutral).

What is split are the fillers, not the rules: see `world.py`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, islice, permutations
from pathlib import Path

from adapter_transfer.sandbox.languages import ENGLISH, LANGUAGES, Language, sentence
from adapter_transfer.sandbox.passages import Row, SpanItem, TaggedItem, qa2_blocks, qa_blocks, tag_blocks
from adapter_transfer.sandbox.world import WORLD_SEED, Event, Filler, FillerPools, Rule, all_rules

#: An item before it is put into a language: its fields, events where texts will stand.
Item = dict[str, "Event | list[Event] | str | int"]

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2


@dataclass(frozen=True)
class Split:
    """One split of a task.

    Args:
        task: name of the task, also the name of its folder.
        name: train, validation or test.
        num_items: items in each language's file.
        num_fillers: fillers of each class of nouns that belong to this split alone; 0 for a training split, which draws
            from what the others leave.
        languages: the languages it is written in, parallel by `idx`.
        borrows: pools whose fillers it draws from, again and again, in place of its own. (A pool more would be taken
            from the training fillers, and change every training file and the text that the scales were pretrained on.)
    """

    task: str
    name: str
    num_items: int
    num_fillers: int = 0
    languages: tuple[Language, ...] = (ENGLISH,)
    borrows: tuple[str, ...] = ()

    @property
    def pool(self) -> str:
        """The pool of its own, or that of training."""
        return f"{self.task}/{self.name}" if self.num_fillers else FillerPools.TRAINING


_TRAINING = (FillerPools.TRAINING,)
#: Fillers that are in no training file, no pretraining text, and no item of the target.
_INTERMEDIATES = ("next-event/validation", "event-nli/validation")

SPLITS = (
    Split("micro-copa", "train", 400),
    Split("micro-copa", "validation", 200, 14, LANGUAGES),
    Split("micro-copa", "test", 500, 32, LANGUAGES),
    Split("next-event", "train", 1500),
    Split("next-event", "validation", 200, 7, LANGUAGES),
    Split("event-nli", "train", 1500),
    Split("event-nli", "validation", 200, 9, LANGUAGES),
    Split("event-qa", "train", 1536, borrows=_TRAINING),
    Split("event-qa", "validation", 192, languages=LANGUAGES, borrows=_INTERMEDIATES),
    Split("event-qa2", "train", 1536, borrows=_TRAINING),
    Split("event-qa2", "validation", 192, languages=LANGUAGES, borrows=_INTERMEDIATES),
    Split("event-tags", "train", 1536, borrows=_TRAINING),
    Split("event-tags", "validation", 192, languages=LANGUAGES, borrows=_INTERMEDIATES),
)


def write_datasets(data_dir: Path) -> list[Path]:
    """Writes every data file below `data_dir` as UTF-8 JSON lines with LF, and returns their paths in order.

    A file is `<task>/<language>/<split>.jsonl`.
    """
    paths = []
    for split, language, rows in datasets():
        path = data_dir / split.task / language.code / f"{split.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8"))
        paths.append(path)
    return paths


def datasets() -> Iterator[tuple[Split, Language, list[Row]]]:
    """Split, language and rows of every file of the sandbox."""
    pools = _filler_pools()
    for split in SPLITS:
        rng = random.Random(f"{WORLD_SEED}/{split.task}/{split.name}")
        blocks = _BLOCKS[split.task](rng, _Draw(rng, pools, split))
        items = list(islice(chain.from_iterable(blocks), split.num_items))
        rng.shuffle(items)
        for language in split.languages:
            yield split, language, [_row(item, idx, language) for idx, item in enumerate(items)]


def pretraining_fillers() -> dict[str, tuple[Filler, ...]]:
    """Class of nouns -> the fillers that pretraining text may use: all but those of validation and test splits."""
    pools = _filler_pools()
    return {noun_class: pools.fillers(FillerPools.TRAINING, noun_class) for noun_class in all_rules()}


def _filler_pools() -> FillerPools:
    return FillerPools({split.pool: split.num_fillers for split in SPLITS if split.num_fillers})


class _Draw:
    """Draws fillers of a split's pools, class by class.

    Fillers of its own are drawn without return (a StopIteration would mean a pool made too small); borrowed ones anew
    whenever all have been drawn.
    """

    def __init__(self, rng: random.Random, pools: FillerPools, split: Split) -> None:
        self._left: dict[str, Iterator[Filler]] = {}
        for noun_class in all_rules():
            if split.borrows:
                borrowed = [filler for pool in split.borrows for filler in pools.fillers(pool, noun_class)]
                self._left[noun_class] = _again_and_again(rng, borrowed)
            else:
                fillers = pools.fillers(split.pool, noun_class)
                self._left[noun_class] = iter(rng.sample(fillers, len(fillers)))

    def __call__(self, noun_class: str) -> Filler:
        return next(self._left[noun_class])


def _again_and_again(rng: random.Random, fillers: Sequence[Filler]) -> Iterator[Filler]:
    while True:
        yield from rng.sample(fillers, len(fillers))


def _row(item: Item | SpanItem | TaggedItem, idx: int, language: Language) -> Row:
    """The item's fields with their events put into words, and its number."""
    if not isinstance(item, dict):
        return {**item.row(language), "idx": idx}
    row: Row = {}
    for field, value in item.items():
        if isinstance(value, Event):
            row[field] = sentence(value, language)
        elif isinstance(value, list):
            row[field] = [sentence(event, language) for event in value]
        else:
            row[field] = value
    return {**row, "idx": idx}


def _copa_blocks(rng: random.Random, draw: _Draw) -> Iterator[list[Item]]:
    """Blocks of four: two rules, both questions, each rule right once."""
    for pair in _rule_groups(rng, lambda rules: combinations(rules, 2)):
        block: list[Item] = []
        for question in ("cause", "effect"):
            order, filler = rng.sample(pair, 2), draw(pair[0].noun_class)
            causes, effects = [rule.cause(filler) for rule in order], [rule.effect(filler) for rule in order]
            premises, choices = (effects, causes) if question == "cause" else (causes, effects)
            for label, premise in enumerate(premises):
                texts: Item = {"premise": premise, "choice1": choices[0], "choice2": choices[1]}
                block.append({**texts, "question": question, "label": label})
        yield block


def _next_event_blocks(rng: random.Random, draw: _Draw) -> Iterator[list[Item]]:
    """Blocks of four: four rules, each right once."""
    for group in _rule_groups(rng, lambda rules: combinations(rules, 4)):
        order, filler = rng.sample(group, 4), draw(group[0].noun_class)
        endings = [rule.effect(filler) for rule in order]
        yield [{"context": rule.cause(filler), "endings": endings, "label": label} for label, rule in enumerate(order)]


def _event_nli_blocks(rng: random.Random, draw: _Draw) -> Iterator[list[Item]]:
    """Blocks of three: one hypothesis after each kind of premise."""
    for told, other in _rule_groups(rng, lambda rules: (p for p in permutations(rules, 2) if not _excludes(*p))):
        filler = draw(told.noun_class)
        opposite = all_rules()[told.noun_class][told.opposite]
        premises = ((told, ENTAILMENT), (other, NEUTRAL), (opposite, CONTRADICTION))
        hypothesis = told.effect(filler)
        yield [{"premise": rule.cause(filler), "hypothesis": hypothesis, "label": label} for rule, label in premises]


def _excludes(one: Rule, other: Rule) -> bool:
    return one.opposite == other.index


def _rule_groups(
    rng: random.Random, groups_of: Callable[[tuple[Rule, ...]], Iterable[tuple[Rule, ...]]]
) -> Iterator[tuple[Rule, ...]]:
    """Groups of rules of one class, without end: the classes take turns, and each goes through all of its groups."""
    by_class = [list(groups_of(rules)) for rules in all_rules().values()]
    while True:
        for groups in by_class:
            rng.shuffle(groups)
        yield from chain.from_iterable(zip(*by_class, strict=True))


_BLOCKS: dict[str, Callable[[random.Random, _Draw], Iterator[Sequence[Item | SpanItem | TaggedItem]]]] = {
    "micro-copa": _copa_blocks,
    "next-event": _next_event_blocks,
    "event-nli": _event_nli_blocks,
    "event-qa": qa_blocks,
    "event-qa2": qa2_blocks,
    "event-tags": tag_blocks,
}
