"""What a predictor answers is what the evaluation of its run answered; what cannot answer is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from trained_cells import specs_of

from adapter_transfer.errors import ConfigError, DataError, DeviceError, StoreError
from adapter_transfer.experiments.predictions import read_answers
from adapter_transfer.experiments.stored_runs import find_run
from adapter_transfer.prediction.from_runs import load_run
from adapter_transfer.prediction.questions import Question, question_from_fields

CELLS = [
    ("seq_bn", "none"),
    ("seq_bn", "stack"),
    ("seq_bn", "sequential"),
    ("lora", "sum"),
    ("full", "none"),
    ("full", "sequential"),
]
ASKED = Question("The rain fell.", "cause", ("Clouds came.", "The sun shone."), id="a")


def items(root, language):
    path = root / "adapter_transfer" / "sandbox" / "data" / "micro-copa" / language / "test.jsonl"
    return [question_from_fields(json.loads(line)) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_test_items_are_answered_as_in_the_evaluation(trained, root, cell):
    run_id = specs_of(trained)[("target", *cell)].id
    evaluation = specs_of(trained)[("evaluation", *cell)].id
    predictor = load_run(trained, run_id, device="cpu", token_budget=700)
    for language, answers in read_answers(trained, evaluation, with_logits=True).items():
        questions = items(root, language)
        assert tuple(question.id for question in questions) == answers.items
        found = predictor.predict(questions)
        exponents = np.exp(answers.logits.astype(np.float64))
        expected = exponents / exponents.sum(axis=1, keepdims=True)
        assert np.abs(np.array([each.probabilities for each in found]) - expected).max() <= 1e-6
        assert [each.choice for each in found] == answers.predictions.tolist()
        assert [each.id for each in found] == list(answers.items)
        assert all(each.text == q.choices[each.choice] for each, q in zip(found, questions, strict=True))


def test_an_evaluation_stands_for_what_it_evaluates(trained):
    target = specs_of(trained)[("target", "seq_bn", "stack")].id
    evaluation = specs_of(trained)[("evaluation", "seq_bn", "stack")].id
    one, other = (load_run(trained, run_id, device="cpu") for run_id in (target, evaluation))
    assert one.predict([ASKED]) == other.predict([ASKED])
    assert one.identity == other.identity
    assert target[:12] in one.description and "stack" in one.description and "next-event" in one.description


def test_an_intermediate_run_answers_with_its_own_head(trained):
    run_id = specs_of(trained)[("intermediate", "seq_bn", "none")].id
    predictor = load_run(trained, run_id, device="cpu")
    assert (predictor.task, predictor.num_choices, predictor.questions) == ("next-event", 4, ())
    endings = ("Clouds came.", "The sun shone.", "The roof broke.", "The wind rose.")
    (answer,) = predictor.predict([Question("The rain fell.", "", endings)])
    assert len(answer.probabilities) == 4 and sum(answer.probabilities) == pytest.approx(1)
    with pytest.raises(ConfigError, match="asks no question"):
        predictor.predict([Question("The rain fell.", "cause", endings)])


@pytest.fixture(scope="module")
def stacked(trained):
    return load_run(trained, specs_of(trained)[("target", "seq_bn", "stack")].id, device="cpu")


def test_any_number_of_choices_and_any_way_to_ask(stacked):
    first, second = ASKED.choices
    three = Question(ASKED.premise, "What was the CAUSE?", (first, second, "The wind rose."))
    two, more = stacked.predict([ASKED, three])
    # A choice's number does not depend on the others beside it.
    ratio = two.probabilities[0] / two.probabilities[1]
    assert more.probabilities[0] / more.probabilities[1] == pytest.approx(ratio, rel=1e-4)
    assert stacked.questions == ("cause", "effect")


def test_text_that_training_never_saw_can_be_asked(stacked):
    (answer,) = stacked.predict([Question("Ӝ ∑ 雨が降った。", "effect", ("地面が濡れた。", "🌂"))])
    assert 0 < answer.probability < 1


def test_what_cannot_be_asked_is_told_at_once(stacked):
    wrong = [Question("", "cause", ("a", "b")), ASKED, Question("p", "why?", ("a",)), Question("p", "", ("a", " "))]
    with pytest.raises(ConfigError) as told:
        stacked.predict(wrong)
    message = str(told.value)
    assert "question 1: there is no premise" in message and "question 2" not in message
    assert "'cause' ('What was the cause?') or 'effect' ('What happened as a result?')" in message
    assert "; 1 choice; there have to be 2" in message and "choice 2 is empty" in message


def test_text_beyond_the_length_is_cut_and_told(stacked, caplog):
    long = Question("rain " * 100, "cause", ("Clouds came.", "The sun shone."))
    stacked.predict([ASKED, long])
    assert "2 of 4 choices" in caplog.text and "48 tokens" in caplog.text


def test_progress_counts_every_row(stacked):
    told = []
    stacked.predict([ASKED] * 5, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert stacked.predict([]) == []


def test_a_stream_is_answered_in_order_and_in_parts(stacked):
    asked = [Question(f"Rain {number}.", "effect", ("a", "b"), id=str(number)) for number in range(5)]
    taken = []

    def stream():
        for question in asked:
            taken.append(question.id)
            yield question

    answers = stacked.predict_all(stream(), batch_size=2)
    question, answer = next(answers)
    assert question is asked[0] and answer.id == "0" and taken == ["0", "1"]
    assert [each.id for _, each in answers] == ["1", "2", "3", "4"]


def test_runs_are_found_by_the_beginning_of_their_ids(trained):
    run_id = trained.run_ids()[0]
    assert find_run(trained, run_id[:12]) == run_id
    with pytest.raises(ConfigError, match=r"no run .* 'zz'"):
        find_run(trained, "zz")
    with pytest.raises(ConfigError, match=r"\d+ runs"):
        find_run(trained, "")


def copy_of(store, tmp_path):
    shutil.copytree(store.root, tmp_path / "copy")
    return type(store).open(tmp_path / "copy")


def test_a_run_that_is_not_done_is_refused(trained, tmp_path):
    copy = copy_of(trained, tmp_path)
    run_id = specs_of(trained)[("target", "seq_bn", "stack")].id
    (copy.run_dir(run_id) / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="not done"):
        load_run(copy, run_id, device="cpu")
    evaluation = specs_of(trained)[("evaluation", "seq_bn", "stack")].id
    with pytest.raises(ConfigError, match="not done"):
        load_run(copy, evaluation, device="cpu")


def test_a_changed_weight_is_refused(trained, tmp_path):
    copy = copy_of(trained, tmp_path)
    spec = specs_of(trained)[("target", "seq_bn", "stack")]
    weights = next((copy.run_dir(spec.parents["intermediate"]) / "artifact").rglob("adapter.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StoreError, match="changed"):
        load_run(copy, spec.id, device="cpu")


def test_another_backbone_under_the_same_name_is_refused(trained, monkeypatch):
    monkeypatch.setattr("adapter_transfer.backbones.backbone.Backbone.digest", lambda *_: "0" * 64)
    with pytest.raises(DataError, match="not the one"):
        load_run(trained, specs_of(trained)[("target", "full", "none")].id, device="cpu")


def test_a_device_that_is_not_there_is_refused(trained, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="cuda"):
        load_run(trained, specs_of(trained)[("target", "seq_bn", "none")].id, device="cuda")


def test_what_is_no_list_of_questions_is_told(trained):
    predictor = load_run(trained, specs_of(trained)[("target", "seq_bn", "none")].id, device="cpu")
    for wrong in (ASKED, "The rain fell.", ["The rain fell."]):
        with pytest.raises(TypeError, match="takes a list of questions"):
            predictor.predict(wrong)
