"""Every adapter method in every composition it allows, on tiny encoders of the real classes: trains, saves, loads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_encoders import CLASSES, IDS, MASK, WIDE_SHAPE
from transformers import (
    AutoModel,
)

from adapter_transfer.errors import DataError
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_dir,
    adapter_state,
    adapter_weights,
    assemble,
    disassemble,
    head_dir,
    save_artifact,
    trained_parameters,
    undecayed_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import COMPOSITIONS
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.tasks.catalog import TASKS

SMALL_SETTINGS: dict[str, dict[str, Any]] = {
    # Of the default's two units both may be dead from the start, where the residual stream is not normalised.
    "seq_bn": {"reduction_factor": 4},
    "compacter": {"reduction_factor": 2},
    "prefix": {"prefix_length": 3, "bottleneck_size": 8},
    "lora": {"r": 4, "alpha": 8, "attn_matrices": ("q", "k", "v"), "intermediate_lora": True, "output_lora": True},
    "dora": {"r": 4, "intermediate_lora": True},
    "reft": {"r": 2},
}
ADAPTER_METHODS = [method.name for method in METHODS.values() if method.kind == "adapter"]


def logits_of(model: Any, head: str = "target", ids: torch.Tensor = IDS, mask: torch.Tensor = MASK) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return row_logits(model, head, ids, mask)


def train(model: Any, assembly: Assembly, *, autocast: torch.dtype | None = None) -> None:
    """A few steps of a real optimizer, without decay."""
    parameters = list(trained_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=0.02, weight_decay=0.0)
    labels = torch.eye(2)
    model.train()
    for _ in range(3):
        # Not the softmax of a choice, which a head's last bias cannot change.
        with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            scores = row_logits(model, assembly.head, IDS, MASK).view(2, 2)
        torch.nn.functional.binary_cross_entropy_with_logits(scores.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Case:
    """One way to come to a trained target."""

    method: str
    composition: str
    encoder: str = "xlm-roberta"

    @property
    def id(self) -> str:
        return f"{self.encoder}-{self.method}-{self.composition}"

    @property
    def keeps_lower(self) -> bool:
        return COMPOSITIONS[self.composition].keeps_lower

    @property
    def trains_lower(self) -> bool:
        return COMPOSITIONS[self.composition].trains_lower

    def settings(self) -> dict[str, Any]:
        return METHODS[self.method].parse_settings(SMALL_SETTINGS.get(self.method, {})).model_dump(mode="json")

    def assembly(self, *parts: AdapterPart, head: str = "target", **changes: Any) -> Assembly:
        fields = {
            "method": METHODS[self.method],
            "settings": self.settings(),
            "head": head,
            "format": TASKS["micro-copa"].format,
            "init_seed": 3,
            "adapters": parts,
            "composition": self.composition,
        }
        return Assembly(**(fields | changes))


CASES = [Case(name, done) for name in ADAPTER_METHODS for done in ("none", *METHODS[name].compositions)]
CASES += [
    Case(name, METHODS[name].compositions[0], encoder) for encoder in ("roberta", "bert") for name in ADAPTER_METHODS
]
XL = "xlm-roberta-xl"
CASES += [
    Case(name, done, XL)
    for name in ADAPTER_METHODS
    if XL not in METHODS[name].refused_architectures
    for done in ("none", *METHODS[name].compositions)
]


@dataclass
class Trained:
    """A target that was trained and saved, and what was noted on the way."""

    case: Case
    model: Any
    assembly: Assembly
    before: dict[str, torch.Tensor]
    start: torch.Tensor
    logits: torch.Tensor
    folder: Path
    lower_logits: torch.Tensor | None = None
    lower_dir: Path | None = None
    loaded: tuple[AdapterPart, ...] = field(default=())

    @property
    def after(self) -> dict[str, torch.Tensor]:
        return dict(self.model.named_parameters())


@pytest.fixture(scope="module")
def encoder_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint with random weights, by architecture."""

    @cache
    def make(encoder: str) -> Path:
        config_class, model_class = CLASSES[encoder]
        folder = tmp_path_factory.mktemp("encoders") / encoder
        torch.manual_seed(7)
        model_class(config_class(**WIDE_SHAPE), add_pooling_layer=False).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def new_model(encoder_dir: Callable[[str], Path]) -> Callable[..., Any]:
    """A model with nothing attached: `new_model("bert", dtype=torch.bfloat16)`."""

    def make(encoder: str = "xlm-roberta", dtype: torch.dtype = torch.float32) -> Any:
        body = AutoModel.from_pretrained(encoder_dir(encoder), add_pooling_layer=False, dtype=dtype)
        # As our own loading does: a folder of this machine is not to be saved.
        body.name_or_path = body.config.name_or_path = encoder
        return with_flexible_heads(body.eval())

    return make


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, new_model: Callable[..., Any]) -> Callable[[Case], Trained]:
    """A case, trained once: an intermediate adapter where it needs one, then the target on it."""

    @cache
    def intermediate(method: str, encoder: str) -> tuple[Path, torch.Tensor]:
        folder = tmp_path_factory.mktemp("intermediates")
        case = Case(method, "none", encoder)
        model, assembly = new_model(encoder), case.assembly(AdapterPart("lower", trains=True), head="lower")
        assemble(model, assembly)
        train(model, assembly)
        save_artifact(model, assembly, folder)
        return folder, logits_of(model, "lower")

    @cache
    def make(case: Case) -> Trained:
        lower, lower_logits = None, None
        parts = (AdapterPart("target", trains=True),)
        if case.composition != "none":
            lower, lower_logits = intermediate(case.method, case.encoder)
            source = adapter_dir(lower, "lower")
            below = AdapterPart("lower", case.trains_lower, source)
            parts = (below, *parts) if case.keeps_lower else (replace(parts[0], source=source),)
        model = new_model(case.encoder)
        assembly = case.assembly(*parts, head_source=None if lower is None else head_dir(lower, "lower"))
        assemble(model, assembly)
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        start = logits_of(model)
        train(model, assembly)
        folder = tmp_path_factory.mktemp("targets")
        save_artifact(model, assembly, folder)
        made = Trained(case, model, assembly, before, start, logits_of(model), folder, lower_logits)
        if case.keeps_lower:
            assert lower is not None
            made.lower_dir = adapter_dir(folder if case.trains_lower else lower, "lower")
        names = [("lower", made.lower_dir)] if made.lower_dir is not None else []
        names.append(("target", adapter_dir(folder, "target")))
        made.loaded = tuple(AdapterPart(name, trains=False, source=path) for name, path in names)
        return made

    return make


each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
each_method = pytest.mark.parametrize("method", ADAPTER_METHODS)


def distance(one, other):
    return float((one - other).abs().max())


@each_case
def test_only_what_should_train_moves_and_all_of_it_does(trained, case):
    made = trained(case)
    moving = {name for name, value in made.after.items() if not torch.equal(value, made.before[name])}
    wanted = {f"heads.target.{name}" for name, _ in made.model.heads["target"].named_parameters()}
    for part in made.assembly.adapters:
        if part.trains:
            wanted |= adapter_weights(made.model, part.name).keys()
    assert moving == wanted
    # At least a body and, where one stays, a lower adapter are left alone.
    assert sum(".lower." in name for name in made.before.keys() - moving) == (
        len(adapter_weights(made.model, "lower")) if case.keeps_lower and not case.trains_lower else 0
    )


@each_case
def test_what_is_saved_loads_to_the_same_numbers(trained, new_model, case):
    made, again = trained(case), new_model(case.encoder)
    source = adapter_dir(made.folder, "target")
    assemble(again, case.assembly(*made.loaded, head_source=source, init_seed=99))
    assert torch.equal(logits_of(again), made.logits)
    assert distance(made.logits, made.start) > 1e-3


# The library has no class for XLM-R XL; `test_architectures` loads what is saved there by way of ours.
PLAIN_CASES = [case for case in CASES if case.encoder != XL]
PLAIN = """
import json, sys, torch
from adapters import AutoAdapterModel
from adapters.composition import Average, Stack
ids, mask, cases = (json.loads(text) for text in sys.argv[1:])
ids, mask = torch.tensor(ids), torch.tensor(mask)
for base, folders, combines in cases:
    model = AutoAdapterModel.from_pretrained(base)
    names = [model.load_adapter(folder, use_safetensors=True) for folder in folders]
    if combines == "sum":
        model.active_adapters = Average(*names, weights=[2.0, 2.0], normalize_weights=False)
    else:
        model.active_adapters = Stack(*names)
    model.active_head = "target"
    model.eval()
    with torch.no_grad():
        print(json.dumps(model(input_ids=ids, attention_mask=mask).logits.flatten().tolist()))
"""


@pytest.fixture(scope="module")
def plain_logits(trained, encoder_dir):
    """What a process that does not know this package computes from the saved files, by case."""
    cases = []
    for case in PLAIN_CASES:
        folders = [str(part.source) for part in trained(case).loaded]
        cases.append((str(encoder_dir(case.encoder)), folders, COMPOSITIONS[case.composition].combines))
    arguments = [json.dumps(value) for value in (IDS.tolist(), MASK.tolist(), cases)]
    done = subprocess.run([sys.executable, "-c", PLAIN, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return {case: torch.tensor(row) for case, row in zip(PLAIN_CASES, rows, strict=True)}


@pytest.mark.parametrize("case", PLAIN_CASES, ids=lambda case: case.id)
def test_plain_adapters_loads_what_is_saved_to_equal_logits(trained, plain_logits, case):
    assert distance(plain_logits[case], trained(case).logits.flatten()) <= 1e-6


@each_case
def test_every_file_is_safe_and_tells_nothing_of_this_machine(trained, case):
    folder = trained(case).folder
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"adapter_config.json", "adapter.safetensors", "head_config.json", "model_head.safetensors"}
    for path in folder.rglob("*.json"):
        assert json.loads(path.read_text("utf-8"))["model_name"] == case.encoder
    keys = load_file(adapter_dir(folder, "target") / "adapter.safetensors").keys()
    assert keys == adapter_state(trained(case).model, "target").keys()


@pytest.mark.parametrize("method", [name for name in ADAPTER_METHODS if name != "prefix"])
def test_the_files_are_those_that_the_library_saves(trained, tmp_path, method):
    made = trained(Case(method, "none"))
    made.model.save_adapter(str(tmp_path), "target", use_safetensors=True)
    for path in adapter_dir(made.folder, "target").iterdir():
        if path.suffix == ".json":
            assert json.loads(path.read_text("utf-8")) == json.loads((tmp_path / path.name).read_text("utf-8"))
        else:
            ours, theirs = load_file(path), load_file(tmp_path / path.name)
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("case", [case for case in CASES if case.keeps_lower], ids=lambda case: case.id)
def test_both_adapters_of_a_composition_act(trained, new_model, case):
    made, model = trained(case), new_model(case.encoder)
    assemble(model, case.assembly(*made.loaded, head_source=adapter_dir(made.folder, "target")))
    for name in ("lower", "target"):
        weights = {key: value.clone() for key, value in adapter_weights(model, name).items()}
        with torch.no_grad():
            for parameter in adapter_weights(model, name).values():
                parameter.mul_(0.5)
        assert distance(logits_of(model), made.logits) > 1e-4, name
        with torch.no_grad():
            for key, parameter in adapter_weights(model, name).items():
                parameter.copy_(weights[key])
    assert torch.equal(logits_of(model), made.logits)


@pytest.mark.parametrize(
    "case", [Case("lora", "sum"), Case("par_bn", "sum"), Case("ia3", "stack")], ids=lambda case: case.id
)
def test_a_target_that_starts_as_nothing_starts_as_the_intermediate_alone(trained, case):
    made = trained(case)
    assert distance(made.start, made.lower_logits) == 0.0
    assert distance(made.logits, made.lower_logits) > 1e-3


def test_the_sum_of_lora_is_the_sum_of_its_updates(trained, new_model):
    made, model = trained(Case("lora", "sum")), new_model()
    with torch.no_grad():  # B1·A1 + B2·A2 added to the weights themselves
        for name, module in model.named_modules():
            if hasattr(module, "loras"):
                for lora in dict(made.model.named_modules())[name].loras.values():
                    module.weight += lora.lora_B @ lora.lora_A * lora.scaling
    head = made.case.assembly(head_source=adapter_dir(made.folder, "target"))
    assemble(model, head)
    assert distance(logits_of(model), made.logits) <= 1e-5


@pytest.mark.parametrize("case", [case for case in CASES if case.encoder == "xlm-roberta"], ids=lambda case: case.id)
def test_new_adapters_depend_on_the_seed_and_their_name_alone(new_model, case):
    def state(seed, *names):
        torch.manual_seed(len(names))  # whatever was drawn before
        model = new_model()
        assemble(model, case.assembly(*(AdapterPart(name, trains=True) for name in names), init_seed=seed))
        return {key: value.clone() for key, value in adapter_state(model, names[-1]).items()}

    names = ("lower", "target") if case.keeps_lower else ("target",)
    alone, here, other = state(3, "target"), state(3, *names), state(4, *names)
    assert alone.keys() == here.keys() == other.keys()
    assert all(torch.equal(alone[key], here[key]) for key in alone)
    if case.method != "ia3":  # its vectors all start at 1
        assert any(not torch.equal(here[key], other[key]) for key in here)


@each_method
def test_a_composition_that_is_refused_is_never_run(new_model, method):
    parts = (AdapterPart("lower", trains=False), AdapterPart("target", trains=True))
    for refused in ("none", "sequential", *METHODS[method].refusals):
        with pytest.raises(AssertionError, match=refused):
            assemble(new_model(), Case(method, refused).assembly(*parts))


@each_method
def test_taking_it_off_leaves_the_body_as_it_was(new_model, method):
    model = new_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assembly = Case(method, "none").assembly(AdapterPart("target", trains=True))
    for _ in range(2):
        assemble(model, assembly)
        disassemble(model, assembly)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("case", [case for case in CASES if case.encoder == "xlm-roberta"], ids=lambda case: case.id)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_frozen_weights_of_half_precision_leave_the_adapters_in_fp32(trained, new_model, case, dtype):
    model = new_model(case.encoder, dtype=dtype)
    parts = trained(case).assembly.adapters
    assembly = case.assembly(*parts)
    assemble(model, assembly)
    names = [part.name for part in parts]
    before = {key: value.detach().clone() for name in names for key, value in adapter_weights(model, name).items()}
    train(model, assembly, autocast=dtype)
    after = {key: value for name in names for key, value in adapter_weights(model, name).items()}
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert moved == {key for part in parts if part.trains for key in adapter_weights(model, part.name)}
    assert {value.dtype for name in names for value in adapter_state(model, name).values()} == {torch.float32}


@each_method
def test_padding_changes_nothing(trained, method):
    model = trained(Case(method, "none")).model
    whole = logits_of(model)
    for row, length in enumerate(MASK.sum(1).tolist()):
        alone = logits_of(model, ids=IDS[row : row + 1, :length], mask=MASK[row : row + 1, :length])
        assert distance(alone[0], whole[row]) <= 2e-6


@each_method
def test_an_adapter_of_other_settings_is_refused(trained, new_model, method):
    case = Case(method, "none")
    other = {"ia3": {"output_lora": True}, "prefix": {"flat": True}, "reft": {"dropout": 0.5}}.get(method)
    if other is None:
        other = {"dropout": 0.5} if method in ("lora", "dora") else {"non_linearity": "tanh"}
    part = AdapterPart("target", trains=False, source=adapter_dir(trained(case).folder, "target"))
    with pytest.raises(DataError, match=f"other settings: .*{next(iter(other))}"):
        assemble(new_model(), case.assembly(part, settings=case.settings() | other))


def test_parameters_whose_neutral_value_is_not_zero_are_not_decayed(trained):
    # Vectors of ones, magnitudes, and reflections: what pulls them to 0 undoes the pretrained weights or the method.
    counts = {}
    for method in ADAPTER_METHODS:
        made = trained(Case(method, "none"))
        counts[method] = len(undecayed_parameters(made.model, made.assembly))
        assert undecayed_parameters(made.model, made.assembly) <= trained_parameters(made.model).keys()
    # 2 layers of 3 places each (two in attention, one in the feed-forward block), and one reflection a layer.
    assert counts == dict.fromkeys(ADAPTER_METHODS, 0) | {"dora": 6, "ia3": 6, "reft": 2}
