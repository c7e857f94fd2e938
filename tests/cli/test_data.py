"""`data show`: what it says of sound data, of faulty data, and of data that is not there."""

from __future__ import annotations

import json

import pytest
from published_data import NUM_TRAIN, write_hub_datasets, write_published_files


@pytest.fixture
def data_dir(tmp_path):
    return write_published_files(tmp_path / "data")


def shown(call, *arguments):
    return json.loads(call("data", "show", *arguments, "--json").out)


def test_a_sandbox_task_needs_nothing(call):
    answer = call("data", "show", "micro-copa", "--language", "qa", "--language", "en", "--rows", "1")
    assert answer.code == 0
    assert "the tokenizer of mini" in answer.out
    lines = answer.out.splitlines()
    assert any(line.split()[:5] == ["test", "test", "qa", "500", "250/250"] for line in lines)
    (row,) = [line for line in lines if line.startswith("train (en), item 0, as the model sees it")]
    start = lines.index(row)
    assert [line[:6] for line in lines[start + 1 : start + 3]].count("  * <s>"[:6]) == 1
    assert lines[start + 1].endswith("</s>")


def test_published_files_are_surveyed(call, data_dir):
    survey = shown(call, "xcopa", "--data-dir", str(data_dir), "--language", "en", "--language", "th")
    assert survey["backbone"] == "real-text-random"
    assert "trained on the text" in survey["backbone_because"]
    told = {(each["split"], each["language"]): each for each in survey["splits"]}
    assert list(told) == [("train", "en"), ("val", "en"), ("val", "th"), ("test", "en"), ("test", "th")]
    assert told["val", "th"]["used_as"] == "validation"
    assert told["train", "en"]["examples"] == NUM_TRAIN
    assert told["train", "en"]["published"] == 400
    assert told["test", "th"]["labels"] == {"0": 4, "1": 4}
    assert told["test", "th"]["num_repaired"] > 0 == told["test", "en"]["num_repaired"]
    assert told["test", "th"]["source"] == "xcopa/data/th/test.th.jsonl"
    tokens = told["test", "en"]["tokens"]
    assert 5 < tokens["mean"] < tokens["p95"] <= tokens["max"] < 128
    assert tokens["num_truncated"] == 0
    assert all(each["num_items"] == 0 for each in survey["overlaps"])
    assert {each["split"] for each in survey["rows"]} == {"train", "val", "test"}
    assert all(text.startswith("<s>") for each in survey["rows"] for text in each["rows"])
    as_published = shown(
        call, "xcopa", "--data-dir", str(data_dir), "--split", "test", "--language", "th",
        "--question-field", "as-published", "--rows", "0",
    )  # fmt: skip
    assert [
        (each["num_repaired"], each["digest"] != told["test", "th"]["digest"]) for each in as_published["splits"]
    ] == [(0, True)]
    assert as_published["rows"] == []


def test_what_differs_from_the_published_data_is_told(call, data_dir):
    (data_dir / "socialiqa" / "socialIQa_v1.4_trn.jsonl").unlink()
    answer = call("data", "show", "socialiqa", "--data-dir", str(data_dir), "--backbone", "mini")
    assert answer.code == 0
    said = " ".join(answer.out.split())
    assert "dev (en): 8 examples; published are 1,954." in said
    assert "not there: trn (en): task 'socialiqa'" in said
    assert "1 pair of splits has no item, text or premise in common." in said
    named = call("data", "show", "socialiqa", "--data-dir", str(data_dir), "--split", "trn")
    assert named.code == 4
    assert "socialIQa_v1.4_trn.jsonl" in named.err


def test_windows_of_a_long_text_are_no_choices(call, data_dir, monkeypatch):
    monkeypatch.setattr("adapter_transfer_cli.data.MAX_LENGTH", 24)
    arguments = ("squad1", "--data-dir", str(data_dir), "--split", "train", "--rows", "2", "--backbone", "mini")
    assert max(len(each["rows"]) for each in shown(call, *arguments)["rows"]) > 1
    said = call("data", "show", *arguments).out
    assert "is right" not in said
    assert said.count("as the model sees it (label [") + said.count("as the model sees it (label ((") == 2


def test_rows_without_a_label_are_told(call, data_dir):
    arguments = ("data", "show", "anli", "--data-dir", str(data_dir), "--split", "train", "--backbone", "mini")
    answer = call(*arguments)
    assert answer.code == 0
    assert "train (en): 2 rows have no label of the publisher's and were left out." in " ".join(answer.out.split())
    (split,) = shown(call, *arguments[2:])["splits"]
    assert (split["num_unlabelled"], split["examples"]) == (2, 48)


def test_every_problem_of_faulty_data_is_listed(call, data_dir):
    for name, line in (("dev", b'{"context": "cut'), ("tst", b"{}\n" * 30)):
        with (data_dir / "socialiqa" / f"socialIQa_v1.4_{name}.jsonl").open("ab") as file:
            file.write(line)
    arguments = ("data", "show", "socialiqa", "--data-dir", str(data_dir))
    answer = call(*arguments)
    assert answer.code == 4
    places = [f"socialiqa/socialIQa_v1.4_tst.jsonl:{number}:" for number in range(9, 39)]
    assert all(place in answer.out for place in ["socialiqa/socialIQa_v1.4_dev.jsonl:9:", *places])
    assert "31 rows are faulty" in answer.err
    assert "--on-bad-row skip" in answer.err
    machine = call(*arguments, "--json")
    assert machine.code == 4
    assert len(json.loads(machine.out)["problems"]) == 31
    skipping = call(*arguments, "--on-bad-row", "skip", "--split", "dev", "--rows", "0")
    assert skipping.code == 0
    assert "left out socialiqa/socialIQa_v1.4_dev.jsonl:9: the last line is cut off" in " ".join(skipping.out.split())


def test_unknown_names_are_told(call, data_dir):
    answer = call("data", "show", "xcopa", "--split", "validation", "--language", "qa", "--data-dir", str(data_dir))
    assert answer.code == 2
    assert "unknown published split of xcopa 'validation'" in answer.err
    assert "Known: train, val, test" in answer.err
    assert "nothing in 'qa'" in answer.err
    assert call("data", "show", "xcopa", "--split", "train", "--language", "qu").code == 2
    assert call("data", "show", "xcop").code == 2
    mixture = call("data", "show", "squad1+mnli")
    assert (mixture.code, mixture.err.count("\n")) == (2, 1)
    assert "show its tasks one by one: squad1, mnli" in mixture.err
    assert "anli, mnli, qqp" in call("data", "show", "multi").err
    assert call("data", "show", "micro-copa", "--backbone", "larger").code == 2
    assert call("data", "show", "xcopa", "--data-dir", str(data_dir / "nowhere")).code == 4


def test_the_hub_is_used_where_no_folder_is_given(call, loopback_hub, tmp_path, monkeypatch):
    branches = {"allenai/social_i_qa": "refs/convert/parquet"}
    for repo, folder in write_hub_datasets(tmp_path / "repositories").items():
        loopback_hub.add_dataset(repo, folder, ref=branches.get(repo, "main"))
    loopback_hub.use(monkeypatch, tmp_path / "home")
    survey = shown(call, "socialiqa", "--rows", "1")
    assert [each["split"] for each in survey["splits"]] == ["trn", "dev"]
    assert survey["splits"][0]["source"].startswith("allenai/social_i_qa@")
    ((missing),) = survey["missing"]
    assert missing["splits"] == ["tst (en)"]
    # Here the Hub holds no `base`; that another tokenizer counted is said.
    assert survey["backbone"] == "real-text-random"
    assert "because base cannot be had" in survey["backbone_because"]


def test_without_a_network_and_a_cache_it_says_so_once(call, loopback_hub, tmp_path, monkeypatch):
    loopback_hub.use(monkeypatch, tmp_path / "home", offline=True)
    answer = call("data", "show", "xcopa")
    assert answer.code == 4
    assert "cambridgeltl/xcopa" in answer.err
    assert len(answer.err.splitlines()) <= 4
    assert loopback_hub.requests == []
