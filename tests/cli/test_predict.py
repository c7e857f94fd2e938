"""`predict`: one question, a file or a pipe; answers on standard output, everything else on standard error."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from trained_cells import ONE_CELL, specs_of, train_cells

from adapter_transfer.experiments.predictions import read_answers

COPA = {"premise": "The rain fell.", "question": "cause", "choice1": "Clouds came.", "choice2": "The sun shone."}
ASKED = ("--premise", "The rain fell.", "--question", "cause", "--choice", "Clouds came.", "--choice", "It was dry.")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return train_cells(tmp_path_factory.mktemp("cli") / "store", ONE_CELL)


@pytest.fixture(scope="module")
def run(store):
    return specs_of(store)[("target", "seq_bn", "none")].id


@pytest.fixture
def predict(call, store, run):
    """Calls the verb on the trained run."""
    return lambda *rest: call("predict", run[:10], "--store", str(store.root), "--device", "cpu", *rest)


@pytest.fixture
def items(tmp_path):
    def write(*rows):
        path = tmp_path / "items.jsonl"
        path.write_bytes(
            b"".join(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in rows)
        )
        return str(path)

    return write


def from_pipe(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_one_question_is_answered_with_the_likelier_text_first(predict):
    answer = predict(*ASKED)
    assert answer.code == 0
    first, second = answer.out.splitlines()
    assert {first[8:], second[8:]} == {"Clouds came.", "It was dry."}
    assert float(first.split("%")[0]) >= 50 >= float(second.split("%")[0])
    assert "micro-copa" in answer.err and "nothing outside of it" in answer.err
    assert predict(*ASKED, "--quiet").err == ""


def test_json_has_everything_and_agrees(predict):
    answer = predict(*ASKED, "--json")
    (line,) = answer.out.splitlines()
    found = json.loads(line)
    assert set(found) == {"id", "choice", "text", "probabilities", "fields"}
    assert found["id"] is None and found["fields"] == {}
    assert found["probabilities"][found["choice"]] == max(found["probabilities"])
    assert found["text"] == ("Clouds came.", "It was dry.")[found["choice"]]


def test_the_test_items_are_answered_as_in_the_evaluation(predict, store, root):
    evaluated = read_answers(store, specs_of(store)[("evaluation", "seq_bn", "none")].id)["qa"]
    path = root / "adapter_transfer" / "sandbox" / "data" / "micro-copa" / "qa" / "test.jsonl"
    answer = predict("--file", str(path), "--json")
    found = [json.loads(line) for line in answer.out.splitlines()]
    assert [each["choice"] for each in found] == evaluated.predictions.tolist()
    assert [each["id"] for each in found] == list(evaluated.items)
    assert [each["fields"]["label"] for each in found] == evaluated.labels.tolist()
    right, number = int(evaluated.correct.sum()), len(evaluated.items)
    assert f"{right} of {number} labelled questions are answered as labelled ({right / number:.1%})" in answer.err


def test_a_file_and_a_pipe_are_answered_alike(predict, items, monkeypatch):
    rows = [{**COPA, "id": "a", "note": {"x": 1}}, {**COPA, "question": "What happened as a result?"}]
    of_file = predict("--file", items(*rows), "--json", "--quiet")
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    from_pipe(monkeypatch, content)
    of_pipe = predict("-", "--json", "--quiet")
    from_pipe(monkeypatch, content)
    assert of_file.out == of_pipe.out == predict("--file", "-", "--json").out
    first, second = map(json.loads, of_file.out.splitlines())
    assert (first["id"], first["fields"], second["id"]) == ("a", {"note": {"x": 1}}, "2")
    assert of_file.err == ""


def test_answers_go_to_a_file_that_is_there_once_all_are(predict, items, tmp_path):
    output = tmp_path / "answers.jsonl"
    answer = predict("--file", items(COPA, COPA), "--output", str(output))
    assert answer.out == "" and f"2 answers in {output}" in answer.err
    assert len(output.read_text().splitlines()) == 2
    before = output.read_bytes()
    wrong = predict("--file", items(COPA, {**COPA, "question": "why"}), "--output", str(output))
    assert wrong.code == 4 and output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "items.jsonl"]


def test_the_questions_are_not_written_over(predict, items):
    path = items(COPA)
    answer = predict("--file", path, "--output", path)
    assert answer.code == 2 and "read from" in answer.err


def test_every_bad_line_is_told_before_anything_is_loaded(call, items, tmp_path):
    answer = call("predict", "abc", "--store", str(tmp_path / "none"), "--file", items(COPA, b"{\n", b"\xff\n", COPA))
    assert answer.code == 4
    assert "items.jsonl:2: not JSON" in answer.err and "items.jsonl:3: not UTF-8" in answer.err and answer.out == ""


def test_a_question_without_a_choice_is_told_before_anything_is_loaded(call, tmp_path):
    answer = call("predict", "abc", "--store", str(tmp_path / "none"), "--premise", "p", "--choice", "only")
    assert answer.code == 2 and "1 choice; there have to be 2" in answer.err and answer.out == ""


def test_questions_that_the_task_does_not_ask_are_told_with_their_lines(predict, items):
    answer = predict("--file", items(COPA, {**COPA, "question": "why"}, COPA, {**COPA, "question": ""}))
    assert answer.code == 4
    assert "items.jsonl:2: question 'why'" in answer.err and "items.jsonl:4: there is no question" in answer.err
    assert "'cause' ('What was the cause?')" in answer.err


def test_what_was_answered_from_a_pipe_stays_answered(predict, monkeypatch):
    good, bad = json.dumps(COPA).encode() + b"\n", b"no question\n"
    from_pipe(monkeypatch, good * 300 + bad)
    answer = predict("-", "--json")
    assert answer.code == 4 and "standard input:301: not JSON" in answer.err
    assert len(answer.out.splitlines()) == 256


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (("--premise", "p", "--question", "cause"), 2, "nothing to choose from"),
        (("--premise", "p", "--choice", "a", "--choice", "b"), 2, "there is no question; it is 'cause'"),
        (("--premise", "p", "--question", "why?", "--choice", "a", "--choice", "b"), 2, "'What was the cause?'"),
        (("--premise", "p", "--question", "cause", "--choice", "a"), 2, "1 choice; there have to be 2"),
        (("--file", "nothing.jsonl"), 4, "nothing.jsonl"),
        (("--file", "x", "-"), 2, "give one of them"),
        (("--file", "x", "--premise", "p"), 2, "--premise too"),
        ((*ASKED, "--seed", "9"), 2, "seed 9"),
        ((*ASKED, "--precision", "bf16"), 2, "precision bf16"),
    ],
)
def test_wrong_use_is_told_with_its_code(predict, given, code, told):
    answer = predict(*given)
    assert answer.code == code and told in answer.err and answer.out == ""


def test_a_source_that_is_nothing_is_told(call, store):
    answer = call("predict", "my adapter", "--store", str(store.root), *ASKED)
    assert answer.code == 2 and "hub:organisation/name@revision" in answer.err
    answer = call("predict", "fedcba9876", "--store", str(store.root), *ASKED)
    assert answer.code == 2 and "no run" in answer.err


def test_an_empty_file_is_told(predict, items):
    answer = predict("--file", items(b"\n"))
    assert answer.code == 4 and "no questions" in answer.err


def test_text_cannot_act_on_the_terminal(predict, items):
    row = {**COPA, "choice1": "a\x1b[31m\x9bred\u202e", "id": "\x1b]0;x", "more": "\x9b\ud800"}
    human = predict("--file", items(row))
    assert "\\x1b[31m\\x9bred\\x202e" in human.out
    machine = predict("--file", items(row), "--json")
    assert json.loads(machine.out)["fields"] == {"more": "\x9b\ud800"}
    for text in (human.out, human.err, machine.out, machine.err):
        assert not set("\x1b\x9b\u202e") & set(text)


@pytest.mark.slow
@pytest.mark.parametrize("form", [("--json",), ()])
def test_a_reader_who_goes_away_is_no_error(store, run, items, form):
    """As in `predict … | head -1`; in a process of its own, whose standard output is a real pipe."""
    command = [sys.executable, "-m", "adapter_transfer_cli.main", "predict", run[:10], "--store", str(store.root)]
    command += ["--device", "cpu", "--quiet", "--file", items(*[COPA] * 600), *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 0 and told == b""


def test_a_text_of_several_lines_stays_in_its_line(predict):
    answer = predict("--premise", "p", "--question", "cause", "--choice", "one\ntwo", "--choice", "three", "--quiet")
    assert len(answer.out.splitlines()) == 2 and "one two" in answer.out
