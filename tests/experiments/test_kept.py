"""Kept tokens of an experiment: all that its texts have, worked out once; what a changed experiment does to a run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from adapter_transfer.backbones.checkpoints import LocalFolder
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.vocabulary import keep_tokens
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.experiments import kept as kept_module
from adapter_transfer.experiments.data import Sources, examples_of
from adapter_transfer.experiments.kept import kept_for_experiment, kept_for_run, of_attempt
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import encode

NANO = BACKBONES["nano"]


def specs_of(experiment):
    return [run.spec for run in make_plan(experiment).runs]


def kept_of(spec, cache_dir, tokenizer=None):
    return kept_for_run(spec, tokenizer or load_tokenizer(spec.declaration), cache_dir=cache_dir, data_dir=None)


def test_they_are_the_tokens_of_everything_that_the_experiment_reads(small, tmp_path):
    specs = specs_of(small("trim_vocabulary=true"))
    tokenizer = load_tokenizer(NANO)
    found = [kept_of(spec, tmp_path, tokenizer) for spec in specs]
    assert len({kept.digest for kept in found}) == 1, "all runs share a trimmed backbone"
    tokens = [
        encode(examples_of(ref, None), TASKS[ref.task].format, tokenizer, 512).tokens for ref in specs[0].vocabulary
    ]
    expected = np.unique(np.concatenate([*tokens, [0, 1, 2, 3, tokenizer.mask_token_id]]))
    assert found[0].ids.tolist() == expected.tolist()
    assert found[0].num_rows == NANO.known_fields()["vocab_size"] > len(found[0])
    assert kept_for_experiment(small(), NANO, Sources(), cache_dir=tmp_path).digest == found[0].digest


@pytest.mark.parametrize("kind", ["xlm-roberta", "roberta", "bert", "mminilm", "xlm-roberta-xl"])
def test_a_segment_alone_has_the_tokens_that_it_has_in_a_row(small, encoder, tmp_path, kind):
    """Else every run would find that the kept tokens do not cover its data, and would not be trimmed."""
    fields = {"tokenizer_class": "xlm-roberta", "pad_token_id": 1} if kind == "mminilm" else {}
    folder = LocalFolder(str(encoder(kind)))
    declaration = replace(NANO, name="own", model=folder, tokenizer=folder, **fields)
    spec = specs_of(small("trim_vocabulary=true"))[0]
    shortest = min(spec.vocabulary, key=lambda ref: ref.num_examples)
    spec = replace(spec, declaration=declaration, backbone_digest=kind, vocabulary=(shortest,))
    tokenizer = load_tokenizer(declaration)
    (ref,) = spec.vocabulary
    kept = kept_of(spec, tmp_path, tokenizer)
    examples = examples_of(ref, None)
    for max_length in (12, 40):
        assert kept.covers(encode(examples, TASKS[ref.task].format, tokenizer, max_length).tokens)


def test_where_nothing_is_to_be_trimmed_there_are_none(small, tmp_path):
    assert kept_of(specs_of(small("trim_vocabulary=false"))[0], tmp_path) is None


def test_they_are_worked_out_once_and_checked_when_read(small, tmp_path, monkeypatch, caplog):
    spec = specs_of(small("trim_vocabulary=true"))[0]
    tokenizer = load_tokenizer(NANO)
    first = kept_of(spec, tmp_path, tokenizer)
    (path,) = (tmp_path / "vocabulary").iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(kept_module, "examples_of", None)
        assert kept_of(spec, tmp_path, tokenizer).digest == first.digest
    content = json.loads(path.read_text())
    for damaged in (json.dumps(content | {"ids": content["ids"][:-1]}), "{", "[]"):
        path.write_text(damaged)
        assert kept_of(spec, tmp_path, tokenizer).digest == first.digest
        assert "left aside" in caplog.text
        assert json.loads(path.read_text()) == content
        caplog.clear()


def test_another_language_gives_others(small, tmp_path):
    one, other = (
        kept_of(specs_of(small("trim_vocabulary=true", f"languages={languages}"))[0], tmp_path)
        for languages in ("[en]", "[en, qb]")
    )
    assert len(one) < len(other) and other.covers(one.ids)


def test_the_table_stays_whole_where_other_data_cannot_be_read_any_more(small, tmp_path, caplog):
    spec = specs_of(small("trim_vocabulary=true"))[0]
    changed = replace(spec.vocabulary[-1], digest="0" * 64)
    assert kept_of(replace(spec, vocabulary=(*spec.vocabulary[:-1], changed)), tmp_path) is None
    assert "stays whole" in caplog.text and "has changed" in caplog.text


TOKENS = [np.array([5, 9], dtype=np.int32)]
FIRST = keep_tokens(np.array([5, 9, 20]), num_rows=30, padding_id=1)
SECOND = keep_tokens(np.array([5, 9, 20, 21]), num_rows=30, padding_id=1)


def test_a_run_goes_on_with_the_tokens_that_it_began_with(tmp_path):
    kept, folder = of_attempt(tmp_path / "progress", FIRST, TOKENS)
    assert kept is FIRST and folder.parent == tmp_path / "progress"
    again, same = of_attempt(tmp_path / "progress", SECOND, TOKENS)
    assert (again.digest, same) == (FIRST.digest, folder)


@pytest.mark.parametrize("harm", ["damaged", "renamed", "not enough"])
def test_it_starts_over_where_these_are_of_no_use(tmp_path, harm):
    _, folder = of_attempt(tmp_path / "progress", FIRST, TOKENS)
    tokens = TOKENS
    if harm == "damaged":
        path = folder / "kept.json"
        path.write_text(path.read_text().replace("20", "22"))
    elif harm == "renamed":
        folder.rename(folder.with_name("trimmed-0123456789abcdef"))
    else:
        tokens = [np.array([21], dtype=np.int32)]
    kept, other = of_attempt(tmp_path / "progress", SECOND, tokens)
    assert kept is SECOND and other != folder
