"""Questions and tags over passages: spans that stand where they are said to, blocks that no blind guess gains from."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.sandbox import rules
from adapter_transfer.sandbox.datasets import SPLITS
from adapter_transfer.sandbox.files import sandbox_dir
from adapter_transfer.sandbox.languages import ENGLISH, LANGUAGES, TARGETS
from adapter_transfer.sandbox.passage_heuristics import SPAN_HEURISTICS, TAG_HEURISTICS, answer_of
from adapter_transfer.sandbox.passages import SpanItem, TaggedItem
from adapter_transfer.sandbox.world import Event
from adapter_transfer.tasks.formats import NO_LABEL, Cutting
from adapter_transfer.tasks.sandbox_tasks import EVENT_QA, EVENT_QA2, EVENT_TAGS
from adapter_transfer.tasks.squad_metric import exact_match, f1
from adapter_transfer.tasks.tagging_metric import span_f1
from adapter_transfer.tasks.task import load_examples

CODES = tuple(language.code for language in LANGUAGES)
SPANS = ("event-qa", "event-qa2")
each_language = pytest.mark.parametrize("code", CODES)


def rows_of(task, code, split):
    text = (sandbox_dir() / "data" / task / code / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


FED = Event("Anna", "fed", "goat")
LOST, GREW = Event("Anna", "lost", "fruit"), Event("goat", "grew")


def test_an_answer_is_the_verb_with_what_object_the_rule_has():
    item = SpanItem((GREW, LOST), FED, "effect", 1)
    assert item.row(ENGLISH) == {
        "context": "the goat grew. Anna lost the fruit.",
        "question": "Anna fed the goat. What happened as a result?",
        "answer": "lost the fruit",
        "answer_start": 20,
    }
    row = SpanItem((GREW, FED), LOST, "cause", 1).row(ENGLISH)
    assert (row["answer"], row["answer_start"]) == ("fed", 20)
    assert set(SpanItem((GREW,), FED, "effect", None).row(ENGLISH)) == {"context", "question"}


def test_the_words_of_an_answer_are_marked_whatever_their_order():
    item = TaggedItem(((FED, "O"), (LOST, "RESULT"), (GREW, "EXCLUDED")))
    assert item.row(ENGLISH) == {
        "text": "Anna fed the goat. Anna lost the fruit. the goat grew.",
        "tags": "O O O O O B-RESULT I-RESULT I-RESULT O O B-EXCLUDED",
    }
    for language in TARGETS:  # no article that is a word of its own
        row = item.row(language)
        assert row["tags"] == "O O O O B-RESULT I-RESULT O B-EXCLUDED"
        verb, thing = language.lexicon["lost"], language.noun_phrase("fruit", is_object=True)
        expected = f"{verb} {thing}." if language.order == "SVO" else f"{thing} {verb}."
        assert row["text"].split()[4:6] == expected.split()


@each_language
@pytest.mark.parametrize("task", [EVENT_QA, EVENT_QA2], ids=lambda task: task.name)
def test_whole_word_tokens_begin_and_end_where_answers_do(task, code):
    """Nothing is lost by going from characters to tokens and back."""
    examples = load_examples(task, "validation", code).examples
    encoded = task.format.encode(examples, code, load_tokenizer(BACKBONES["mini"]), Cutting(96))
    assert len(encoded.row_lengths) == len(encoded), "one window is enough for each"
    for index, example in enumerate(examples):
        first, last = encoded.labels[index]
        if not example.label:
            assert (first, last) == (0, 0)
            continue
        ((text, start),) = example.label
        places = encoded.places[encoded.offsets[index] :]
        begin, end = int(places[first][0]), int(places[last][1])
        assert example.rows[0][1][begin:end].strip() == text
        assert end == start + len(text)


@each_language
def test_every_word_has_a_first_token_that_carries_its_tag(code):
    examples = load_examples(EVENT_TAGS, "validation", code).examples
    encoded = EVENT_TAGS.format.encode(examples, code, load_tokenizer(BACKBONES["mini"]), Cutting(96))
    carried = [EVENT_TAGS.format.tags[label] for label in encoded.labels if label != NO_LABEL]
    assert carried == [tag for example in examples for tag in example.label]


@each_language
def test_every_item_of_a_tagging_block_has_a_result_and_something_excluded(code):
    for row in rows_of("event-tags", code, "validation"):
        begun = Counter(tag for tag in row["tags"].split() if tag.startswith("B-"))
        assert begun == {"B-RESULT": 1, "B-EXCLUDED": 1}


@pytest.mark.parametrize("task", [*SPANS, "event-tags"])
def test_languages_are_parallel_and_share_no_word_but_names_and_prompts(task):
    english, *others = (rows_of(task, code, "validation") for code in CODES)
    for rows in others:
        assert len(rows) == len(english)
        for row, same in zip(rows, english, strict=True):
            assert ("answer" in row) == ("answer" in same)
            if task == "event-tags":
                begun, begun_too = ([t for t in r["tags"].split() if t.startswith("B")] for r in (row, same))
                assert begun == begun_too
            elif "answer" in row:
                assert row["context"][: row["answer_start"]].count(".") == same["context"][
                    : same["answer_start"]
                ].count(".")
                assert row["answer"] != same["answer"]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_passage_and_a_question_stand_as_often_with_an_answer_as_without(split):
    rows = rows_of("event-qa2", "en", split)
    for field in ("context", "question"):
        told = Counter((row[field], "answer" in row) for row in rows)
        assert {text: told[text, True] for text, _ in told} == {text: told[text, False] for text, _ in told}


def fillers_told(task, split, field):
    """Pairs of a person and a thing that one sentence of English names together."""
    things = {noun for nouns in rules.NOUNS.values() for noun in nouns}
    texts = (sentence.rstrip(".").split() for row in rows_of(task, "en", split) for sentence in row[field].split(". "))
    pairs = ((set(words) & set(rules.NAMES), set(words) & things) for words in texts)
    return {(name, thing) for names, told in pairs for name in names for thing in told}


def test_no_filler_of_a_validation_item_stands_in_a_training_item_or_in_the_targets():
    passages = (("event-qa", "context"), ("event-qa2", "context"), ("event-tags", "text"))
    trained = {pair for task, field in passages for pair in fillers_told(task, "train", field)}
    targets = {pair for split in ("validation", "test") for pair in fillers_told("micro-copa", split, "premise")}
    for task, field in passages:
        own = fillers_told(task, "validation", field)
        assert len(own) >= 8, "a filler for each class of nouns, at least"
        assert not own & trained
        assert not own & targets


@pytest.mark.parametrize("name", SPAN_HEURISTICS)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("task", "chance"), [("event-qa", 1 / 3), ("event-qa2", 1 / 2)])
def test_a_guess_at_spans_gains_nothing(task, chance, code, name):
    rows = rows_of(task, code, "validation")
    # Where there is no training file, the very items that are guessed at: more than a guess could know.
    train = rows_of(task, code, "train") if code == "en" else rows
    answers = SPAN_HEURISTICS[name](train, rows)
    has_unanswerable = task == "event-qa2"
    golds = [[answer_of(row)] if answer_of(row) else [] for row in rows]
    pairs = list(zip(answers, golds, strict=True))
    for measure in (exact_match, f1):
        found = sum(measure(text, gold, has_unanswerable=has_unanswerable) for text, gold in pairs) / len(pairs)
        assert found <= chance + 0.01


@pytest.mark.parametrize("name", TAG_HEURISTICS)
@each_language
def test_a_guess_at_tags_gains_nothing(name, code):
    rows = rows_of("event-tags", code, "validation")
    train = rows_of("event-tags", "en", "train") if code == "en" else rows
    predicted = TAG_HEURISTICS[name](train, rows)
    assert span_f1([row["tags"].split() for row in rows], predicted) <= 0.34


def test_guesses_find_a_leak_where_there_is_one():
    """The baselines are able to win: a passage that repeats its question, a word that is always tagged alike."""
    row = {"context": "Anna fed the goat. Leo drove the car.", "question": "Leo drove the car. So?", "answer": "drove"}
    other = {"context": "Leo fed the cat. Leo drove a car.", "question": "fed", "answer": "fed"}
    assert SPAN_HEURISTICS["most-overlap"]([row, other], [row]) == ["drove"]
    assert SPAN_HEURISTICS["question-blind"]([row, row, other], [other]) == ["drove"]
    tagged = {"text": "the cup fell", "tags": "O O B-RESULT"}
    assert TAG_HEURISTICS["likeliest tag"]([tagged], [tagged]) == [["O", "O", "B-RESULT"]]
    assert TAG_HEURISTICS["all results"]([tagged], [tagged]) == [["O", "O", "B-RESULT"]]


def test_borrowed_fillers_are_those_that_no_training_draws_from():
    for split in SPLITS:
        if split.name != "train" and split.borrows:
            assert set(split.borrows) == {"next-event/validation", "event-nli/validation"}
