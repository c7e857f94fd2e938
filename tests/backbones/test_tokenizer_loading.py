"""Tokenizers are found, converted where slow, trained and kept where there are none, and refused with a reason."""

from __future__ import annotations

import json
import shutil

import pytest
from transformers import (
    AutoTokenizer,
    BertTokenizerFast,
    RobertaTokenizerFast,
    XLMRobertaTokenizer,
    XLMRobertaTokenizerFast,
)

from adapter_transfer.backbones.tokenizer_loading import TokenizerText, load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES, own_backbone
from adapter_transfer.errors import DataError

TEXT = TokenizerText(
    "0" * 64, lambda: [f"A line of text, number {number}, about rain and roofs." for number in range(50)]
)
SENTENCES = ["It rained  on roofs.", "Ünïcode, ﬁne “quotes” and ½", "", "雨 <mask> rain"]


def test_a_trained_tokenizer_is_kept(tmp_path):
    read = []
    text = TokenizerText(TEXT.digest, lambda: read.append(1) or TEXT.read())
    first = load_tokenizer(BACKBONES["real-text-random"], text=text, cache_dir=tmp_path)
    second = load_tokenizer(BACKBONES["real-text-random"], text=text, cache_dir=tmp_path)
    assert read == [1]
    assert first.get_vocab() == second.get_vocab()
    with pytest.raises(DataError, match="none was given"):
        load_tokenizer(BACKBONES["real-text-random"])


@pytest.fixture
def folder(encoder, tmp_path):
    """A copy of an encoder of the kind, to be changed."""
    return lambda kind: shutil.copytree(encoder(kind), tmp_path / kind)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("xlm-roberta", XLMRobertaTokenizerFast),
        ("roberta", RobertaTokenizerFast),
        ("bert", BertTokenizerFast),
        ("mminilm", XLMRobertaTokenizerFast),
    ],
)
def test_each_kind_has_its_tokenizer(kind, expected, folder):
    tokenizer = load_tokenizer(own_backbone(str(folder(kind))))
    assert type(tokenizer) is expected
    assert ("token_type_ids" in tokenizer.model_input_names) == (kind == "bert")


@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_one_without_tokenizer_json_is_converted(kind, folder):
    path = folder(kind)
    before = load_tokenizer(own_backbone(str(path)))(SENTENCES, SENTENCES[::-1])
    (path / "tokenizer.json").unlink()
    assert load_tokenizer(own_backbone(str(path)))(SENTENCES, SENTENCES[::-1]).data == before.data


def test_mminilm_has_the_tokenizer_of_xlm_r(folder):
    path = folder("mminilm")
    # As on the Hub: the library alone does not find it.
    with pytest.raises((OSError, ValueError, TypeError)):
        AutoTokenizer.from_pretrained(path)
    tokenizer = load_tokenizer(own_backbone(str(path)))
    slow = XLMRobertaTokenizer(str(path / "sentencepiece.bpe.model"))
    for sentence in SENTENCES[:3]:
        assert tokenizer(sentence, "rain")["input_ids"] == slow(sentence, "rain")["input_ids"]
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)


def test_a_slow_tokenizer_is_refused(folder):
    path = folder("bert")
    (path / "tokenizer.json").unlink()
    (path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "basic"})
    )
    with pytest.raises(DataError, match=r"is a BertJapaneseTokenizer, which has no fast version"):
        load_tokenizer(own_backbone(str(path)))


@pytest.mark.parametrize("content", ["{", "{}", '{"model": {"type": "Unigram"}}'])
def test_a_damaged_tokenizer_is_refused(folder, content):
    path = folder("xlm-roberta")
    (path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=r"tokenizer in .* cannot be loaded"):
        load_tokenizer(own_backbone(str(path)))


def test_a_missing_tokenizer_is_named(folder):
    path = folder("xlm-roberta")
    backbone = own_backbone(str(path))
    shutil.rmtree(path)
    with pytest.raises(DataError, match=r"the tokenizer in .*xlm-roberta cannot be loaded"):
        load_tokenizer(backbone)


@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_another_padding_id_than_the_models_is_refused(kind, folder):
    path = folder(kind)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"pad_token_id": 3}))
    with pytest.raises(DataError, match=r"pads with id [01], and the model's config\.json says pad_token_id 3"):
        load_tokenizer(own_backbone(str(path)))
    right = {"roberta": 1, "bert": 0}[kind]
    assert load_tokenizer(own_backbone(str(path), pad_token_id=right)).pad_token_id == right


def test_a_tokenizer_that_cannot_pad_is_refused(folder):
    path = folder("bert")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        fields = json.loads((path / name).read_text())
        (path / name).write_text(json.dumps(fields | {"pad_token": None}))
    with pytest.raises(DataError, match="has no padding token"):
        load_tokenizer(own_backbone(str(path)))
