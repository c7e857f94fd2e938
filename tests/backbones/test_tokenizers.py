"""Trained tokenizers: XLM-R's layout, deterministic, saved and loaded alike, and good enough for XCOPA's languages."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from transformers import AutoTokenizer, XLMRobertaTokenizerFast

from adapter_transfer.backbones.tokenizers import train_tokenizer, unknown_share
from adapter_transfer.errors import DataError

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
XCOPA_LANGUAGES = ("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh")
TEXTS = [
    "the cup broke because Anna dropped it",
    "a  double   blank and a\u00a0hard one",
    "\u200fשלום עולם\u200f",
    "word " * 2_000,
    "",
] + [f"Boris saw the {noun} and the {noun} saw Boris" for noun in ("dog", "cat", "horse", "tractor")]


@pytest.fixture(scope="module")
def small() -> XLMRobertaTokenizerFast:
    return train_tokenizer(TEXTS, 200, whole_words=["tractor", "+bus"])


def test_ids_and_pairs_are_laid_out_as_in_xlm_r(small: XLMRobertaTokenizerFast) -> None:
    assert small.convert_ids_to_tokens([0, 1, 2, 3, len(small) - 1]) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert (small.bos_token_id, small.pad_token_id, small.eos_token_id, small.unk_token_id) == (0, 1, 2, 3)
    assert small.mask_token_id == len(small) - 1
    tokens = small.convert_ids_to_tokens(small("tractor", "tractor")["input_ids"])
    assert tokens == ["<s>", "▁tractor", "</s>", "</s>", "▁tractor", "</s>"]


def test_whole_words_are_one_piece_at_the_start_or_inside_of_a_word(small: XLMRobertaTokenizerFast) -> None:
    assert small.tokenize("the tractor")[-1] == "▁tractor"
    assert small.tokenize("catbus")[-1] == "bus"


def test_blanks_collapse_and_known_text_has_no_unknown_tokens(small: XLMRobertaTokenizerFast) -> None:
    assert small("a  double   blank")["input_ids"] == small("a double blank")["input_ids"]
    assert unknown_share(small, TEXTS) == 0.0
    assert unknown_share(small, ["漢"]) == 0.5  # the blank that begins every word, and the unknown character
    assert unknown_share(small, []) == 0.0


def test_the_same_text_gives_the_same_tokenizer(small: XLMRobertaTokenizerFast) -> None:
    again = train_tokenizer(TEXTS, 200, whole_words=["tractor", "+bus"])
    assert again.backend_tokenizer.to_str() == small.backend_tokenizer.to_str()


def test_saved_tokenizer_loads_as_auto_tokenizer(small: XLMRobertaTokenizerFast, tmp_path: Path) -> None:
    small.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(loaded, XLMRobertaTokenizerFast)
    assert loaded(TEXTS)["input_ids"] == small(TEXTS)["input_ids"]
    assert loaded.decode(loaded("the cup broke")["input_ids"], skip_special_tokens=True) == "the cup broke"


def test_a_small_corpus_gives_the_largest_vocabulary_it_supports() -> None:
    tokenizer = train_tokenizer(["two words", "three more words"], 16_000)
    assert 10 < len(tokenizer) < 100


def test_no_text_or_no_room_for_the_characters_is_an_error() -> None:
    with pytest.raises(DataError, match="no text"):
        train_tokenizer(["", "  "], 100)
    with pytest.raises(DataError, match="no vocabulary of 5 pieces"):
        train_tokenizer(TEXTS, 10)


@pytest.fixture(scope="module")
def real_texts() -> dict[str, list[tuple[str, str, str]]]:
    """Language -> (premise, choice1, choice2) of every item of XCOPA and, for English, COPA."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data files (../shared/data) are not here")
    texts: dict[str, list[tuple[str, str, str]]] = {language: [] for language in (*XCOPA_LANGUAGES, "en")}
    for language in XCOPA_LANGUAGES:
        for path in sorted((SHARED_DATA / "xcopa" / "data" / language).glob("*.jsonl")):
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            texts[language] += [(row["premise"], row["choice1"], row["choice2"]) for row in rows]
    for path in sorted((SHARED_DATA / "copa").glob("copa-*.xml")):
        for item in ElementTree.parse(path).getroot():
            premise, first, second = (child.text or "" for child in item)
            texts["en"].append((premise, first, second))
    return texts


def test_a_tokenizer_of_real_text_serves_every_xcopa_language(
    real_texts: dict[str, list[tuple[str, str, str]]],
) -> None:
    tokenizer = train_tokenizer(text for items in real_texts.values() for item in items for text in item)
    assert len(tokenizer) == 16_000
    for language, items in real_texts.items():
        assert unknown_share(tokenizer, [text for item in items for text in item]) < 0.01, language
        first, second = (tokenizer([item[i] for item in items])["input_ids"] for i in (1, 2))
        alike = sum(a == b for a, b in zip(first, second, strict=True))
        assert alike / len(items) < 0.01, language
