"""A package answers as the run that it was made of; what is unsafe, unfit or answers nothing is refused."""

from __future__ import annotations

import json
import shutil

import pytest
from trained_cells import specs_of

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.durable import seal
from adapter_transfer.errors import ConfigError, DataError, DeviceError
from adapter_transfer.methods.attach import adapter_dir
from adapter_transfer.prediction.from_packages import PackageChoice, load_package
from adapter_transfer.prediction.from_runs import load_run
from adapter_transfer.prediction.questions import Question
from adapter_transfer.sharing.listing import UnsafePackageError
from adapter_transfer.sharing.package import Package, SharedAdapter, SharedBackbone, SharedComposition

ASKED = [
    Question("The rain fell.", "cause", ("Clouds came.", "The sun shone."), id="a"),
    Question("Der Regen fiel.", "effect", ("Es wurde nass.", "Es wurde hell.")),
]
NANO = SharedBackbone(
    name="nano",
    architecture="xlm-roberta",
    hidden_size=64,
    num_hidden_layers=2,
    is_sandbox=True,
    digest=BACKBONES["nano"].digest(),
)


def package_of(store, folder, method="seq_bn", composition="stack", seeds=(1,), **changes):
    """A package like those that are published: of each seed the intermediate's adapter and the target's."""
    spec = specs_of(store)[("target", method, composition)]
    adapters, compositions = [], []
    for seed in seeds:
        lower, upper = f"seed-{seed}/next-event", f"seed-{seed}/micro-copa"
        for path, role in ((lower, "intermediate"), (upper, "target")):
            run = spec.parents["intermediate"] if role == "intermediate" else spec.id
            name = path.split("/")[1]
            shutil.copytree(adapter_dir(store.run_dir(run) / "artifact", name), folder / path)
            adapters.append(SharedAdapter(path=path, name=name, role=role, task=name, seed=seed, has_head=True))
        combines = "sum" if composition == "sum" else "stack"
        compositions.append(SharedComposition(adapters=(lower, upper), combines=combines, head=upper, seed=seed))
    fields = {
        "backbone": NANO,
        "precision": "fp32",
        "method": method,
        "method_settings": spec.method_settings,
        "composition": composition,
        "intermediate": "next-event",
        "target": "micro-copa",
        "max_length": 48,
        "adapters": tuple(adapters),
        "compositions": tuple(compositions),
    }
    package = Package(**{**fields, **changes})
    seal(folder, package=package.model_dump(mode="json"))
    return folder


def load(folder, *, device="cpu", **choice):
    return load_package(folder, "shared", PackageChoice(**choice), device=device)


@pytest.mark.parametrize(("method", "composition"), [("seq_bn", "stack"), ("lora", "sum")])
def test_a_package_answers_as_its_run(trained, tmp_path, method, composition):
    folder = package_of(trained, tmp_path / "shared", method, composition)
    predictor = load(folder)
    run = load_run(trained, specs_of(trained)[("target", method, composition)].id, device="cpu")
    assert predictor.predict(ASKED) == run.predict(ASKED)
    assert (predictor.task, predictor.method, predictor.seed) == ("micro-copa", method, 1)
    assert predictor.is_sandbox and predictor.max_length == run.max_length and predictor.notes == ()


def plain_folder(store, folder):
    """What plain adapters writes: one adapter with its head."""
    spec = specs_of(store)[("target", "seq_bn", "none")]
    shutil.copytree(adapter_dir(store.run_dir(spec.id) / "artifact", "micro-copa"), folder)
    return folder, spec.id


def test_a_folder_of_plain_adapters_answers_on_the_backbone_that_is_named(trained, tmp_path):
    folder, run_id = plain_folder(trained, tmp_path / "plain")
    predictor = load(folder, backbone="nano")
    assert predictor.predict(ASKED) == load_run(trained, run_id, device="cpu").predict(ASKED)
    with pytest.raises(ConfigError, match="--backbone"):
        load(folder)
    with pytest.raises(DataError, match="fit"):
        load(folder, backbone="micro")


def test_an_adapter_of_an_unknown_task_is_asked_in_any_words(trained, tmp_path):
    folder, run_id = plain_folder(trained, tmp_path / "plain")
    for name in ("adapter_config.json", "head_config.json"):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, "name": "mystery"}))
    for name in ("adapter.safetensors", "model_head.safetensors"):
        renamed(folder / name)
    predictor = load(folder, backbone="nano")
    assert predictor.task == "mystery" and predictor.questions == () and "'mystery'" in predictor.description
    assert predictor.predict(ASKED) == load_run(trained, run_id, device="cpu").predict(ASKED)
    free = Question("The rain fell.", "And what then?", ("It got wet.", "It got dry."))
    assert len(predictor.predict([free])) == 1


def renamed(path):
    from safetensors.torch import load_file, save_file

    tensors = {key.replace("micro-copa", "mystery"): value for key, value in load_file(path).items()}
    save_file(tensors, path)


def test_the_lowest_of_several_seeds_answers_and_says_so(trained, tmp_path):
    folder = package_of(trained, tmp_path / "shared", seeds=(3, 2))
    predictor = load(folder)
    assert predictor.seed == 2 and "Of seeds 2, 3, 2 answers." in predictor.description
    assert repr(predictor) == f"<Predictor {predictor.description}>"
    chosen = load(folder, seed=3)
    assert chosen.seed == 3 and chosen.notes == ()
    with pytest.raises(ConfigError, match=r"seed 4 .* has 2, 3"):
        load(folder, seed=4)


def test_adapters_without_a_head_answer_nothing(trained, tmp_path):
    folder = package_of(trained, tmp_path / "shared", compositions=(), target=None)
    with pytest.raises(ConfigError, match="nothing answers"):
        load(folder)


def test_of_adapters_that_answer_each_on_its_own_one_has_to_be_named(trained, tmp_path):
    folder, _ = plain_folder(trained, tmp_path / "several" / "one")
    shutil.copytree(folder, tmp_path / "several" / "two")
    with pytest.raises(ConfigError, match=r"one, two"):
        load(tmp_path / "several", backbone="nano")


def test_a_task_that_is_no_choice_is_refused(trained, tmp_path):
    folder = package_of(trained, tmp_path / "shared", target="event-nli")
    with pytest.raises(ConfigError, match=r"'event-nli' \(3 classes\).*micro-copa"):
        load(folder)


def test_another_backbone_is_an_error(trained, tmp_path):
    folder = package_of(trained, tmp_path / "shared")
    with pytest.raises(DataError, match="micro"):
        load(folder, backbone="micro")


def test_what_is_unsafe_is_refused_before_it_is_read(trained, tmp_path, monkeypatch):
    folder = package_of(trained, tmp_path / "shared")
    (folder / "evil.bin").write_bytes(b"x")
    monkeypatch.setattr("adapter_transfer.sharing.opening.read_package", None)
    with pytest.raises(UnsafePackageError, match=r"evil\.bin"):
        load(folder)


def test_a_changed_file_is_refused(trained, tmp_path):
    folder = package_of(trained, tmp_path / "shared")
    path = folder / "seed-1" / "micro-copa" / "model_head.safetensors"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="changed"):
        load(folder)


def test_another_precision_can_be_asked_for_and_is_told(trained, tmp_path):
    folder = package_of(trained, tmp_path / "shared")
    rough = load(folder, precision="bf16")
    assert rough.precision == "bf16" and "trained in fp32 and answers in bf16" in rough.description
    exact = load(folder)
    # The one that was loaded first computes as before: nothing is shared between them.
    for mine, other in zip(rough.predict(ASKED), exact.predict(ASKED), strict=True):
        assert mine.probabilities == pytest.approx(other.probabilities, abs=0.05)
        assert mine.probabilities != other.probabilities


def test_training_in_a_precision_that_the_device_lacks_falls_back(trained, tmp_path, monkeypatch):
    folder = package_of(trained, tmp_path / "shared", precision="bf16")
    for module in ("from_packages", "predictor"):
        target = f"adapter_transfer.prediction.{module}.device_precisions"
        monkeypatch.setattr(target, lambda device: ("fp32", "fp16"))
    predictor = load(folder)
    assert predictor.precision == "fp32" and "which this device does not have" in predictor.description
    with pytest.raises(DeviceError, match="bf16"):
        load(folder, precision="bf16")


def test_adapters_that_cannot_stand_together_are_refused(trained, tmp_path):
    folder = package_of(trained, tmp_path / "shared")
    package = Package.model_validate_json(json.dumps(json.loads((folder / "manifest.json").read_text())["package"]))
    lower, upper = (each.path for each in package.adapters)
    for number, made in enumerate(
        (
            SharedComposition(adapters=(lower, upper), head=upper, seed=1),
            SharedComposition(adapters=(upper,), combines="stack", head=upper, seed=1),
            SharedComposition(adapters=(lower, upper), combines="sum", head=upper, seed=1),
            SharedComposition(adapters=(upper, upper), combines="stack", head=upper, seed=1),
        )
    ):
        other = package_of(trained, tmp_path / str(number), compositions=(made,))
        with pytest.raises(DataError, match="put together"):
            load(other)


@pytest.mark.parametrize("file", ["adapter.safetensors", "model_head.safetensors"])
def test_weights_that_are_finite_and_overflow_answer_nothing(trained, tmp_path, file):
    """The first choice would win each time, with a probability that is no number."""
    from safetensors.torch import load_file, save_file

    folder, _ = plain_folder(trained, tmp_path / "plain")
    save_file({key: value.fill_(3e38) for key, value in load_file(folder / file).items()}, folder / file)
    with pytest.raises(DataError, match="no finite numbers"):
        load(folder, backbone="nano").predict(ASKED)
