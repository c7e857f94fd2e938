"""What is told of splits: labels, token lengths, overlaps, and rows as the model sees them."""

from __future__ import annotations

import pytest

from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.survey import as_the_model_sees, overlaps, read_splits, token_lengths
from adapter_transfer.tasks.task import load_examples

MICRO = TASKS["micro-copa"]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(BACKBONES["mini"])


def test_labels_are_counted_in_their_order(data_dir):
    loaded = load_examples(TASKS["socialiqa"], "train", "en", data_dir=data_dir)
    assert TASKS["socialiqa"].format.count_labels(loaded.examples) == {"0": 8, "1": 8, "2": 8}
    nli = load_examples(TASKS["event-nli"], "validation", "en")
    counts = TASKS["event-nli"].format.count_labels(nli.examples)
    assert tuple(counts) == TASKS["event-nli"].format.labels
    assert sum(counts.values()) == len(nli.examples)


def test_token_lengths_are_those_of_the_tokenizer(tokenizer):
    loaded = load_examples(MICRO, "test", "qa")
    rows = [row for example in loaded.examples for row in example.rows]
    lengths = sorted(len(tokenizer(first, second)["input_ids"]) for first, second in rows)
    found = token_lengths(loaded, MICRO.format, tokenizer, 17)
    assert found.mean == pytest.approx(sum(lengths) / len(lengths))
    assert found.max == lengths[-1]
    assert sum(length <= found.p95 for length in lengths) >= 0.95 * len(lengths) > sum(n < found.p95 for n in lengths)
    assert found.num_truncated == sum(length > 17 for length in lengths) > 0


def test_rows_are_shown_with_special_tokens_and_cut(tokenizer):
    loaded = load_examples(MICRO, "test", "en")
    (shown,) = as_the_model_sees(loaded, MICRO.format, tokenizer, 128, 1)
    for text, (first, second) in zip(shown, loaded.examples[0].rows, strict=True):
        assert text.replace("</s></s> ", "</s></s>") == f"<s> {first}</s></s>{second}</s>"
    (cut,) = as_the_model_sees(loaded, MICRO.format, tokenizer, 8, 1)
    assert all(len(short) < len(text) and short.endswith("</s>") for short, text in zip(cut, shown, strict=True))
    assert len(as_the_model_sees(loaded, MICRO.format, tokenizer, 128, 3)) == 3


def test_each_split_is_compared_with_those_before_it(data_dir):
    xcopa = TASKS["xcopa"]
    wanted = [("train", "en"), ("val", "en"), ("val", "th"), ("test", "en"), ("test", "th")]
    sets = [load_examples(xcopa, "test", code, Reading(name), data_dir) for name, code in wanted]
    found = list(overlaps(sets, "en"))
    assert [(each.trained, each.evaluated, each.language) for each in found] == [
        ("train", "val", "en"), ("train", "val", "th"), ("train", "test", "en"), ("train", "test", "th"),
        ("val", "test", "en"), ("val", "test", "th"),
    ]  # fmt: skip
    assert {(each.num_items, each.num_texts, each.num_premises) for each in found} == {(0, 0, 0)}
    leaking = load_examples(xcopa, "train", "en", Reading("val"), data_dir)
    again = [(each.num_items, each.num_texts, each.num_premises) for each in overlaps([leaking, *sets[3:]], "en")]
    assert again == [(0, 0, 0), (0, 0, 0)]


def test_an_overlap_counts_items_texts_and_premises(data_dir, micro_copa):
    row = {
        "premise": "It rained.",
        "choice1": "It got wet.",
        "choice2": "It got dry.",
        "question": "effect",
        "label": 0,
    }

    def loaded(published, *rows):
        return load_examples(
            micro_copa(*({**each, "idx": n} for n, each in enumerate(rows))), "test", "en", Reading(published)
        )

    (found,) = overlaps([loaded("train", row), loaded("test", row, {**row, "question": "cause"})], "en")
    assert (found.num_items, found.num_texts, found.num_premises) == (0, 1, 2)  # its ids mean nothing


def test_faulty_and_missing_splits_do_not_hide_the_others(data_dir):
    (data_dir / "socialiqa" / "socialIQa_v1.4_trn.jsonl").unlink()
    with (data_dir / "socialiqa" / "socialIQa_v1.4_tst.jsonl").open("ab") as file:
        file.write(b"{}\n")

    def read(published, language):
        return load_examples(TASKS["socialiqa"], "train", language, Reading(published), data_dir)

    found = read_splits([("trn", "en"), ("dev", "en"), ("tst", "en")], read)
    assert [loaded.published for loaded in found.sets] == ["dev"]
    assert [len(error.problems) for error in found.faulty] == [1]
    ((reason, names),) = found.missing.items()
    assert names == ["trn (en)"]
    with pytest.raises(DataError) as caught:
        read("trn", "en")
    assert reason == str(caught.value)
