"""Windows of long texts, against the tokenizers' own output for the whole text and a search by characters."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers import BertTokenizerFast, RobertaTokenizerFast

from adapter_transfer.backbones.tokenizers import train_tokenizer
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.encoding import concatenate, take
from adapter_transfer.tasks.formats import NO_LABEL, UNKNOWN_TAG, Cutting, EncodedExamples, Example
from adapter_transfer.tasks.span_format import MAX_QUESTION_TOKENS, SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging

CONTEXTS = (
    "The café in Zürich sold 1,200 coffees on 5 May 1999 — the “best” day ever. Its owner, Ms. Núñez, closed it soon.",
    "  東京 is the capital of Japan; about 14 million people live there (ﬁgures of 2023).\n\nIt was once called Edo. ",
    "Rain fell.",
    " ".join(f"In {1900 + year} the river rose by {year * 7} cm and flooded {year} farms." for year in range(12)),
)
QUESTIONS = ("Where was the café?", "What was Tokyo called before?", "What fell?", "By how much did the river rise?")


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory) -> dict[str, Any]:
    """XLM-R's kind (sentencepiece, no segments), BERT's (WordPiece, two segments) and RoBERTa's (bytes)."""
    texts = [*CONTEXTS, *QUESTIONS]
    letters = sorted({letter for text in texts for letter in text.replace(" ", "").replace("\n", "")})
    words = ["The", "the", "river", "rose", "flood", "##ed", "farm", "##s", "capital", "cap", "##ital"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *(f"##{letter}" for letter in letters)]
    folder = tmp_path_factory.mktemp("tokenizers")
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(tokens)), encoding="utf-8")
    byte_level = ByteLevelBPETokenizer()
    byte_level.train_from_iterator(texts, 320, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    (folder / "merges.txt").write_text(
        "\n".join(" ".join(pair) for pair in json.loads(byte_level.to_str())["model"]["merges"]), encoding="utf-8"
    )
    (folder / "vocab.json").write_text(json.dumps(byte_level.get_vocab()), encoding="utf-8")
    return {
        "unigram": train_tokenizer(texts * 3, 300),
        "wordpiece": BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), do_lower_case=False),
        "bytes": RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt")),
    }


each_tokenizer = pytest.mark.parametrize("kind", ["unigram", "wordpiece", "bytes"])


@pytest.fixture
def spans(tokenizers) -> Callable[..., EncodedExamples]:
    """Encodes question-context pairs: `spans("unigram", 40, 8, Example(...), ...)`."""

    def encode(kind: str, max_length: int, stride: int, *examples: Example) -> EncodedExamples:
        return SpanExtraction(has_unanswerable=True).encode(
            examples, "en", tokenizers[kind], Cutting(max_length, stride)
        )

    return encode


def asked(number: int, answer: str | None = None, *, nth: int = 0) -> Example:
    """One of the pairs, with the n-th occurrence of an answer."""
    context, start = CONTEXTS[number], -1
    for _ in range(nth + 1):
        start = -1 if answer is None else context.index(answer, start + 1)
    return Example(str(number), ((QUESTIONS[number], context),), () if answer is None else ((answer, start),))


def context_of(encoded: EncodedExamples, row: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and places of a window's context tokens: those between the last separators."""
    tokens, places = encoded.row(row).tolist(), encoded.places[encoded.offsets[row] : encoded.offsets[row + 1]]
    first = tokens.index(tokens[-1]) + 1
    first += tokens[first] == tokens[-1]  # XLM-R and RoBERTa set two
    assert (places[:first] == -1).all()
    assert (places[-1] == -1).all()
    return tokens[first:-1], [tuple(place) for place in places[first:-1].tolist()]


@each_tokenizer
@pytest.mark.parametrize(("max_length", "stride"), [(64, 0), (64, 5), (80, 128), (40, 3), (512, 128)])
@pytest.mark.parametrize("number", range(len(CONTEXTS)))
def test_windows_cover_the_context_and_overlap_as_asked(tokenizers, spans, kind, max_length, stride, number):
    tokenizer, encoded = tokenizers[kind], spans(kind, max_length, stride, asked(number))
    whole = tokenizer(QUESTIONS[number], CONTEXTS[number], return_offsets_mapping=True)
    sequence = whole.sequence_ids(0)
    question = [token for token, of in zip(whole["input_ids"], sequence, strict=True) if of == 0]
    context = [token for token, of in zip(whole["input_ids"], sequence, strict=True) if of == 1]
    most = min(MAX_QUESTION_TOKENS, (max_length - 4) // 2)
    overlap = min(stride, (max_length - 4 - most) // 2)
    is_cut = len(question) > most
    assert encoded.num_truncated == is_cut
    position = 0
    for row in range(len(encoded.row_lengths)):
        ids, _ = context_of(encoded, row)
        if row:
            position -= overlap
        assert ids == context[position : position + len(ids)]
        assert len(ids) > overlap or len(encoded.row_lengths) == 1
        position += len(ids)
        tokens = encoded.row(row).tolist()
        assert tokens[0] == tokenizer.cls_token_id
        asks = tokens[1 : tokens.index(tokenizer.sep_token_id)]
        assert (asks == question[: len(asks)] and len(asks) <= most) if is_cut else asks == question
        if row < len(encoded.row_lengths) - 1:
            assert len(tokens) == max_length
        if encoded.token_types is not None:
            in_context = encoded.row_types(row)[len(tokens) - len(ids) - 1 :]
            assert in_context.all()
            assert not encoded.row_types(row)[: len(tokens) - len(ids) - 1].any()
    assert position == len(context)
    assert (encoded.token_types is None) == (kind != "wordpiece")


ANSWERS = [
    (0, "The café", 0), (0, "Zürich", 0), (0, "1,200", 0), (0, "“best”", 0), (0, "Ms. Núñez", 0), (0, "soon.", 0),
    (0, "closed it soon", 0), (1, "東京", 0), (1, "14 million", 0), (1, "Edo", 0), (1, "2023).\n\nIt was", 0),
    (2, "Rain fell.", 0), (2, "Rain", 0), (3, "1911", 0), (3, "flooded 7 farms", 0), (3, "cm", 5), (3, "In 1900", 0),
    (3, "11 farms.", 0),
]  # fmt: skip


@each_tokenizer
@pytest.mark.parametrize(("max_length", "stride"), [(48, 0), (60, 10), (512, 128)])
@pytest.mark.parametrize(("number", "answer", "nth"), ANSWERS)
def test_labels_are_the_answers_tokens_in_every_window_that_holds_it(
    spans, kind, max_length, stride, number, answer, nth
):
    example = asked(number, answer, nth=nth)
    encoded, (_, start) = spans(kind, max_length, stride, example), example.label[0]
    wanted = set(range(start, start + len(answer))) - {
        start + index for index, letter in enumerate(answer) if letter.isspace()
    }
    num_found = 0
    for row in range(len(encoded.row_lengths)):
        _, places = context_of(encoded, row)
        first, last = encoded.labels[row]
        covered = {index for begin, end in places for index in range(begin, end)}
        if not wanted <= covered:
            assert (first, last) == (0, 0)
            continue
        num_found += 1
        of_row = encoded.places[encoded.offsets[row] : encoded.offsets[row + 1]]
        assert 0 < first <= last
        said = CONTEXTS[number][of_row[first, 0] : of_row[last, 1]]
        assert said.strip() == answer
        # No token of it stands outside.
        for token in (*range(1, first), *range(last + 1, len(of_row))):
            assert not wanted & set(range(*of_row[token])) or of_row[token, 0] < 0
    assert num_found >= (1 if stride else 0)
    if max_length == 512:
        assert num_found == 1


@each_tokenizer
def test_an_answer_inside_a_word_is_trained_as_the_tokens_that_hold_it(spans, kind):
    example = asked(3, "lood")
    encoded = spans(kind, 512, 0, example)
    first, last = encoded.labels[0]
    said = CONTEXTS[3][encoded.places[first, 0] : encoded.places[last, 1]]
    assert "lood" in said
    assert said.strip() in "flooded"


@each_tokenizer
def test_blanks_at_an_answers_ends_are_none_of_it(spans, kind):
    context = CONTEXTS[1]
    padded = Example("p", ((QUESTIONS[1], context),), ((context, 0),))
    plain = Example("p", ((QUESTIONS[1], context),), ((context.strip(), 2),))
    one, other = spans(kind, 512, 0, padded), spans(kind, 512, 0, plain)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.labels[0, 0] > 0


@each_tokenizer
def test_only_the_first_of_several_answers_is_trained_on(spans, kind):
    one = asked(0, "Zürich")
    both = replace(one, label=(*one.label, ("soon", CONTEXTS[0].index("soon"))))
    np.testing.assert_array_equal(spans(kind, 512, 0, both).labels, spans(kind, 512, 0, one).labels)
    assert spans(kind, 512, 0, both).references[0] == (CONTEXTS[0], both.label)


@each_tokenizer
@pytest.mark.parametrize("max_length", [8, 9, 10, 13, 20])
def test_tiny_rows_and_long_questions_still_show_the_whole_context(spans, kind, max_length):
    question = "Why, oh why — “in 1999” — did the … ﬁrst river rise " * 12
    example = Example("q", ((question, CONTEXTS[0]),), (("Zürich", CONTEXTS[0].index("Zürich")),))
    encoded = spans(kind, max_length, 128, example, asked(2), asked(1))
    assert encoded.num_truncated >= 1
    assert encoded.row_lengths.max() <= max_length
    seen = {
        index
        for row in range(encoded.first_rows[1])
        for begin, end in context_of(encoded, row)[1]
        for index in range(begin, end)
    }
    assert {index for index, letter in enumerate(CONTEXTS[0]) if not letter.isspace()} <= seen


def test_a_context_without_tokens_is_one_window_without_places(spans):
    encoded = spans("wordpiece", 64, 8, Example("e", (("What?", " "),), ()))
    assert len(encoded.row_lengths) == 1
    assert (encoded.places == -1).all()
    assert encoded.labels.tolist() == [[0, 0]]


SENTENCES = (
    ("Rain", "fell", "in", "Zürich", "."),
    ("The", "river", "flooded", "1,200", "farms", ";", "東京", "rose", "by", "14", "cm", "—", "ever", "."),
)
TAGS = ("N", "V", "P")


def tagged(*sentences: tuple[str, ...]) -> list[Example]:
    """Sentences whose n-th word has tag n modulo the tags."""
    return [
        Example(str(number), ((" ".join(words), None),), tuple(TAGS[i % len(TAGS)] for i in range(len(words))))
        for number, words in enumerate(sentences)
    ]


@pytest.fixture
def tagging(tokenizers) -> Callable[..., EncodedExamples]:
    """Encodes tagged sentences: `tagging("bytes", 16, examples)`."""

    def encode(kind: str, max_length: int, examples: list[Example], tags: tuple[str, ...] = TAGS) -> EncodedExamples:
        return Tagging(tags).encode(examples, "en", tokenizers[kind], Cutting(max_length))

    return encode


@each_tokenizer
@pytest.mark.parametrize("max_length", [12, 16, 64])
def test_each_word_is_labelled_once_at_its_first_token(tokenizers, tagging, kind, max_length):
    examples, tokenizer = tagged(*SENTENCES), tokenizers[kind]
    encoded = tagging(kind, max_length, examples)
    assert encoded.row_lengths.max() <= max_length
    assert (encoded.num_rows > 1).any() == (max_length < 64)
    for index, words in enumerate(SENTENCES):
        rows = range(encoded.first_rows[index], encoded.first_rows[index + 1])
        tokens = slice(encoded.offsets[rows[0]], encoded.offsets[rows[-1] + 1])
        of_word, labels = encoded.places[tokens, 0], encoded.labels[tokens]
        assert of_word[of_word >= 0].tolist() == list(range(len(words)))
        assert ((labels == NO_LABEL) == (of_word < 0)).all()
        assert [TAGS[label] for label in labels[of_word >= 0]] == list(examples[index].label)
        inner = [token for row in rows for token in encoded.row(row)[1:-1].tolist()]
        assert all(encoded.row(row)[0] == tokenizer.cls_token_id for row in rows)
        assert all(encoded.row(row)[-1] == tokenizer.sep_token_id for row in rows)
        # The very tokens of the whole text, and each first one begins its word.
        if encoded.num_truncated == 0:
            assert inner == tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
        starts = np.cumsum([0, *(len(word) + 1 for word in words)])
        if len(rows) == 1:
            places = tokenizer(" ".join(words), return_offsets_mapping=True)["offset_mapping"]
            for token in np.flatnonzero(of_word >= 0):
                assert starts[of_word[token]] - 1 <= places[token][0] <= starts[of_word[token]]


@each_tokenizer
def test_long_texts_are_no_reason_for_warnings_of_the_library(tokenizers, spans, tagging, kind, monkeypatch, caplog):
    tokenizer = tokenizers[kind]
    monkeypatch.setattr(tokenizer, "model_max_length", 16)
    monkeypatch.setattr(tokenizer, "deprecation_warnings", {})
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    long = "flooded " * 40
    tagging(kind, 16, tagged(tuple(long.split())))
    spans(kind, 16, 4, Example("0", ((long, long),), ()))
    MultipleChoice(2).encode([Example("0", ((long, long), (long, "in")), 0)], "en", tokenizer, Cutting(16))
    assert not caplog.text


@each_tokenizer
def test_a_word_that_is_longer_than_a_row_is_cut(tagging, kind):
    encoded = tagging(kind, 8, tagged(("flooded" * 9, "in", "Zürich")))
    assert encoded.row_lengths.max() == 8
    assert encoded.num_truncated >= 1
    assert encoded.places[encoded.places >= 0].tolist() == [0, 1, 2]


@each_tokenizer
def test_tags_that_do_not_occur_in_training_are_unknown(tagging, kind):
    encoded = tagging(kind, 64, tagged(*SENTENCES), ("N", "P"))
    labels = encoded.labels[encoded.labels != NO_LABEL]
    expected = [{"N": 0, "V": UNKNOWN_TAG, "P": 1}[tag] for reference in encoded.references for tag in reference]
    assert labels.tolist() == expected


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_a_word_without_tokens_has_no_label(tagging, kind):
    encoded = tagging(kind, 64, tagged(("Rain", "\u200e", "fell")))
    assert encoded.places[encoded.places >= 0].tolist() == [0, 2]
    assert [TAGS[label] for label in encoded.labels if label != NO_LABEL] == ["N", "P"]


def same(one: EncodedExamples, other: EncodedExamples) -> bool:
    names = ("tokens", "offsets", "first_rows", "labels", "token_types", "places")
    return (one.ids, one.languages, tuple(one.references)) == (
        other.ids,
        other.languages,
        tuple(other.references),
    ) and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@each_tokenizer
def test_sets_are_joined_and_cut_between_examples(spans, tagging, kind):
    pairs = [asked(0, "Zürich"), asked(3, "cm"), asked(2), asked(1, "Edo")]
    sentences = tagged(*SENTENCES, *SENTENCES)
    for encode, examples in (
        (lambda few: spans(kind, 48, 8, *few), pairs),
        (lambda few: tagging(kind, 12, few), sentences),
    ):
        whole = encode(examples)
        for count in (1, 2, 3):
            assert same(take(whole, count), encode(examples[:count]))
            assert same(concatenate([encode(examples[:count]), encode(examples[count:])]), whole)
        assert take(whole, 4) is whole
        assert len(take(whole, 2)) == 2
