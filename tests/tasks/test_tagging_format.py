"""Tagging: from a head's numbers to a tag a word, scores by hand, tags of the training data."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from adapter_transfer.backbones.tokenizers import train_tokenizer
from adapter_transfer.tasks.encoding import concatenate
from adapter_transfer.tasks.formats import Cutting, Example
from adapter_transfer.tasks.metrics import log_softmax
from adapter_transfer.tasks.tagging_format import Tagging

WORDS = Tagging(("D", "N", "V"))
SPANS = Tagging(("B-LOC", "B-PER", "I-LOC", "I-PER", "O"), scheme="bio")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["the cat sees a yellowish dog", "Ada Lovelace lives in New York City"] * 4, 120)


def sentence(number: int, text: str, tags: str) -> Example:
    return Example(str(number), ((text, None),), tuple(tags.split()))


GRAMMAR = [
    sentence(0, "the cat sees a yellowish dog", "D N V D D N"),
    sentence(1, "the dog sees", "D N V"),
]
NAMES = [sentence(0, "Ada Lovelace lives in New York City", "B-PER I-PER O O B-LOC I-LOC I-LOC")]


def saying(encoded, *tags: str):
    """Numbers that say these tags for the words of each sentence, and shout something else on every other token."""
    said = [tag for sentence in tags for tag in sentence.split()]
    logits = np.zeros((len(encoded.tokens), encoded.format.logits_per_row), dtype=np.float32)
    logits[:, 0] = 99
    places = np.flatnonzero(encoded.places[:, 0] >= 0)
    assert len(places) == len(said)
    for place, tag in zip(places, said, strict=True):
        logits[place] = 0
        logits[place, encoded.format.tags.index(tag)] = 3
    return logits


@pytest.mark.parametrize("max_length", [10, 64])
def test_a_words_tag_is_read_at_its_first_token(tokenizer, max_length):
    encoded = WORDS.encode(GRAMMAR, "en", tokenizer, Cutting(max_length))
    assert (encoded.num_rows.max() > 1) == (max_length == 10)
    logits = saying(encoded, "D N V N N N", "N N V")
    answers = WORDS.answers(encoded, logits)
    assert answers["prediction"].to_pylist() == [["D", "N", "V", "N", "N", "N"], ["N", "N", "V"]]
    assert answers["label"].to_pylist() == [list(example.label) for example in GRAMMAR]
    score = WORDS.score(encoded, logits)
    assert (score.metric, score.num_items) == ("accuracy", 2)
    assert score.value == pytest.approx(6 / 9)
    right, wrong = np.log(np.exp(3) + 2) - 3, np.log(np.exp(3) + 2)
    assert score.loss == pytest.approx(((4 * right + 2 * wrong) / 6 + (2 * right + wrong) / 3) / 2)
    assert not score.constant_predictions
    assert WORDS.score(encoded, saying(encoded, "N N N N N N", "N N N")).constant_predictions


def test_spans_count_whole(tokenizer):
    encoded = SPANS.encode(NAMES, "en", tokenizer, Cutting(64))
    score = SPANS.score(encoded, saying(encoded, "B-PER I-PER O O B-LOC I-LOC O"))
    assert score.metric == "span_f1"
    # One of two spans is right, and one of two that were said.
    assert score.values == {"accuracy": pytest.approx(6 / 7), "span_f1": pytest.approx(0.5)}
    assert SPANS.score(encoded, saying(encoded, "B-PER I-PER O O B-LOC I-LOC I-LOC")).value == 1
    assert SPANS.score(encoded, saying(encoded, "O O O O O O O")).value == 0


def test_tags_that_do_not_occur_in_training_are_wrong_and_cost_nothing(tokenizer):
    few = Tagging(("D", "N"))
    encoded = few.encode(GRAMMAR, "en", tokenizer, Cutting(64))
    logits = saying(encoded, "D N N D D N", "D N N")
    score = few.score(encoded, logits)
    assert score.value == pytest.approx(7 / 9)
    assert score.loss == pytest.approx(np.log(np.exp(3) + 1) - 3)


def test_a_thousand_tags_are_scored_in_bounded_memory(tokenizer):
    # CCG has more than a thousand; in double precision, all tokens at once would be some gigabytes.
    many = Tagging(tuple(f"T{number:04}" for number in range(1000)))
    examples = [sentence(n, "the cat sees a dog", " ".join(many.tags[n : n + 5])) for n in range(600)]
    encoded = many.encode(examples, "en", tokenizer, Cutting(64))
    logits = np.random.default_rng(1).standard_normal((len(encoded.tokens), 1000), dtype=np.float32)
    tracemalloc.start()
    score = many.score(encoded, logits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < logits.nbytes
    known = encoded.labels >= 0
    assert known.sum() == 3000
    expected = -log_softmax(logits[known])[np.arange(3000), encoded.labels[known]].mean()
    assert score.loss == pytest.approx(expected, rel=1e-12)


def test_a_word_without_tokens_is_wrong(tokenizer):
    encoded = WORDS.encode([sentence(0, "the \u200e dog", "D N N")], "en", tokenizer, Cutting(64))
    logits = saying(encoded, "D N")
    assert WORDS.answers(encoded, logits)["prediction"].to_pylist() == [["D", "", "N"]]
    assert WORDS.score(encoded, logits).value == pytest.approx(2 / 3)


def test_languages_together_score_as_each_alone(tokenizer):
    parts = [WORDS.encode([example], "en", tokenizer, Cutting(12)) for example in GRAMMAR]
    generator = np.random.default_rng(2)
    logits = [generator.normal(size=(len(part.tokens), 3)).astype(np.float32) for part in parts]
    pooled = concatenate(parts)
    whole = WORDS.score(pooled, np.concatenate(logits))
    scores = [WORDS.score(part, own) for part, own in zip(parts, logits, strict=True)]
    assert whole.loss == pytest.approx(np.mean([score.loss for score in scores]))
    assert whole.value == pytest.approx((6 * scores[0].value + 3 * scores[1].value) / 9)
    answers = WORDS.answers(pooled, np.concatenate(logits))["prediction"].to_pylist()
    assert answers == [
        WORDS.answers(part, own)["prediction"].to_pylist()[0] for part, own in zip(parts, logits, strict=True)
    ]


def test_tags_are_those_of_the_training_data():
    unknown = Tagging()
    assert unknown.labels_in(GRAMMAR) == ("D", "N", "V")
    assert unknown.with_labels(("D", "N", "V")) == WORDS
    assert WORDS.labels_in(GRAMMAR) == ()
    assert WORDS.with_labels(("X",)) == WORDS
    assert (unknown.chance, WORDS.chance, SPANS.chance) == (None, pytest.approx(1 / 3), None)
    assert unknown.count_labels(GRAMMAR) == {"D": 4, "N": 3, "V": 2}


def test_faults_of_an_example_are_told():
    assert WORDS.problems(GRAMMAR[0]) == []
    assert WORDS.problems(sentence(0, "the cat", "D N N")) == ["2 words, but 3 tags"]
    assert WORDS.problems(sentence(0, "the cat", "D X")) == ["tag 'X' is unknown; there are D, N, V"]
    assert WORDS.problems(sentence(0, "the  cat", "D N N")) == ["a word is empty or holds a blank"]
    assert Tagging().problems(Example("0", (("the cat", None),), ("D", ""))) == ["a tag is empty"]


def test_shuffled_tags_are_the_same_tags_elsewhere():
    examples = GRAMMAR * 5
    shuffled = list(WORDS.shuffle_labels(examples, np.random.default_rng(1)))
    assert [each.rows for each in shuffled] == [each.rows for each in examples]
    assert [len(each.label) for each in shuffled] == [len(each.label) for each in examples]
    assert WORDS.count_labels(shuffled) == WORDS.count_labels(examples)
    assert [each.label for each in shuffled] != [each.label for each in examples]
