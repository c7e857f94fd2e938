"""Published files through the command line: trained, evaluated and reported, with what was mapped and mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from published_data import write_published_files

CONFIG = """
name: files
backbones: [real-text-random]
precisions: [fp32, nf4]
methods: [full, {name: seq_bn, settings: {reduction_factor: 4}}, lora]
intermediates: [none, socialiqa]
target: xcopa
languages: [en, th, ta]
seeds: [1]
splits:
  socialiqa: {train: dev, validation: tst}
training:
  - {learning_rate: 1e-3, batch_size: 8, epochs: 1, max_length: 64}
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return write_published_files(tmp_path / "data")


@pytest.fixture
def files_config(tmp_path: Path) -> str:
    path = tmp_path / "files.yaml"
    path.write_text(CONFIG, "utf-8")
    return str(path)


def test_an_experiment_over_published_files_to_its_report(call, files_config, data_dir, tmp_path):
    options = ("--data-dir", str(data_dir), "--store", str(tmp_path / "store"))
    answer = call("compare", files_config, *options, "--threads", "1", "--device", "cpu")
    assert answer.code == 0, answer.err
    assert "takes the published split 'dev' as train" in answer.err
    assert "5 rows had a wrong `question` upstream and were repaired (th test 5)" in answer.err
    assert answer.err.count("skipped: real-text-random nf4 full") == 2
    report = (tmp_path / "store" / "files" / "report.html").read_text("utf-8")
    assert "published split &#39;dev&#39;" in report and "were repaired" in report
    results = json.loads(call("results", files_config, *options, "--json").out)
    # 5 possible (precision, method) cells x {none, socialiqa} x 3 languages
    assert len(results) == 30
    assert {result["num_items"] for result in results} == {8}
    assert call("compare", files_config, *options, "--device", "cpu").err.count("0 to do") == 1
    (run, *_) = [result["target_run"] for result in results if result["precision"] == "nf4"]
    evaluated = call("evaluate", run, "--language", "th", *options, "--device", "cpu", "--json")
    assert evaluated.code == 0, evaluated.err
    assert [result["language"] for result in json.loads(evaluated.out)] == ["th"]


def test_a_run_records_where_its_data_is_from(call, files_config, data_dir, tmp_path):
    options = ("--data-dir", str(data_dir), "--store", str(tmp_path / "store"), "--json")
    runs = json.loads(call("plan", files_config, *options).out)
    read = next(run for run in runs["runs"] if run["phase"] == "evaluation")["data"]["xcopa/test/th"]
    assert read["source"] == "xcopa/data/th/test.th.jsonl"
    assert (read["num_examples"], read["num_repaired"], read["num_skipped"]) == (8, 5, 0)
    assert read["reading"]["question_field"] == "repaired"


def test_as_published_is_another_experiment_and_says_so(call, files_config, data_dir, tmp_path):
    def evaluations(*changes):
        options = ("--data-dir", str(data_dir), "--store", str(tmp_path / "store"), "--set", "languages=[th]", *changes)
        plan = json.loads(call("plan", files_config, *options, "--json").out)
        return {run["id"] for run in plan["runs"] if run["phase"] == "evaluation"}, plan["notes"]

    repaired, notes = evaluations()
    published, other_notes = evaluations("--set", "question_field=as-published")
    assert not repaired & published
    assert any("were repaired" in note for note in notes)
    assert any("as published, wrong values included" in note for note in other_notes)


def test_every_faulty_row_of_every_split_is_told_before_anything_starts(call, files_config, data_dir, tmp_path):
    thai = data_dir / "xcopa" / "data" / "th" / "test.th.jsonl"
    lines = thai.read_bytes().splitlines(keepends=True)
    row = json.loads(lines[2])
    lines[2] = json.dumps({**row, "label": 7}).encode() + b"\r\n"
    lines[5] = json.dumps({**json.loads(lines[5]), "premise": " "}).encode() + b"\r\n"
    thai.write_bytes(b"".join(lines))
    siqa = data_dir / "socialiqa" / "socialIQa_v1.4_dev.jsonl"
    siqa.write_bytes(siqa.read_bytes().replace(b'"answerB"', b'"answer_b"', 1))
    options = ("--data-dir", str(data_dir), "--store", str(tmp_path / "store"))
    answer = call("compare", files_config, *options)
    assert answer.code == 4
    for told in ("test.th.jsonl:3", "test.th.jsonl:6", "socialIQa_v1.4_dev.jsonl:1"):
        assert told in answer.err
    assert not (tmp_path / "store").exists()
    skipping = call("plan", files_config, *options, "--on-bad-row", "skip", "--json")
    assert skipping.code == 0, skipping.err
    notes = json.loads(skipping.out)["notes"]
    assert "xcopa: 2 rows could not be read and were left out (th test 2)." in notes
    assert "socialiqa: 1 rows could not be read and were left out (en train 1)." in notes


@pytest.mark.parametrize("mapping", ["{train: val}", "{train: test}", "{validation: test}"])
def test_a_leak_is_refused(call, files_config, data_dir, tmp_path, mapping):
    options = ("--data-dir", str(data_dir), "--store", str(tmp_path / "store"))
    answer = call("compare", files_config, *options, "--set", f"splits.xcopa={mapping}")
    assert answer.code == 2
    assert "leak: xcopa/" in answer.err


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (("--data-dir", "nowhere"), 2, "--data-dir nowhere: no such folder"),
        (("--set", "splits.socialiqa={train: trin}"), 2, "no published split 'trin'"),
        (("--set", "splits.socialiq={train: dev}"), 2, "unknown task 'socialiq'"),
        (("--set", "question_field=repair"), 2, "question_field"),
    ],
)
def test_bad_input(call, files_config, data_dir, tmp_path, changes, code, message):
    options = ("--data-dir", str(data_dir), "--store", str(tmp_path / "store"))
    answer = call("plan", files_config, *options, *changes)
    assert answer.code == code
    assert message in answer.err


@pytest.mark.slow
def test_xcopa_files_runs_to_its_end_near_chance(call, shared_data, tmp_path):
    """The shipped configuration on every published file: 50 runs, 5,500 items in eleven languages, 500 in English."""
    options = ("--data-dir", str(shared_data), "--store", str(tmp_path / "store"))
    answer = call("compare", "xcopa-files", *options, "--device", "cpu", "--threads", "1", "--json")
    assert answer.code == 0, answer.err
    results = json.loads(answer.out)["results"]
    cells = {(result["precision"], result["method"], result["intermediate"]) for result in results}
    possible = (("fp32", "full"), ("fp32", "seq_bn"), ("fp32", "lora"), ("nf4", "seq_bn"), ("nf4", "lora"))
    assert cells == {(*cell, intermediate) for cell in possible for intermediate in ("none", "socialiqa")}
    assert len(results) == len(cells) * 2 * 12
    assert {result["num_items"] for result in results} == {500}
    for cell in cells:
        correct = [r["num_correct"] for r in results if (r["precision"], r["method"], r["intermediate"]) == cell]
        # 12,000 answers that are parallel items in 12 languages: as little independent as 500, so 4 standard errors.
        assert abs(sum(correct) / (500 * len(correct)) - 0.5) < 4 * (0.25 / 500) ** 0.5
    notes = json.loads(call("plan", "xcopa-files", *options, "--json").out)["notes"]
    assert any(note.startswith("xcopa: 346 rows had a wrong `question`") for note in notes)
