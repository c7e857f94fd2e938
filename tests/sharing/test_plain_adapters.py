"""What is saved here answers the same with plain adapters alone, and what plain adapters saves answers so here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from small_encoders import CLASSES, IDS, MASK, WIDE_SHAPE
from transformers import AutoModel

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_dir,
    assemble,
    disassemble,
    save_artifact,
    trained_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import COMPOSITIONS
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.sharing.package import Package
from adapter_transfer.sharing.reading import read_package
from adapter_transfer.tasks.catalog import TASKS

TOLERANCE = 1e-6
XL = "xlm-roberta-xl"
SETTINGS: dict[str, dict[str, Any]] = {
    "seq_bn": {"reduction_factor": 4},
    "compacter": {"reduction_factor": 2},
    "prefix": {"prefix_length": 3, "bottleneck_size": 8},
    "lora": {"r": 4, "alpha": 16},
    "reft": {"r": 2},
}
ADAPTER_METHODS = [method.name for method in METHODS.values() if method.kind == "adapter"]


@pytest.fixture(scope="module")
def base_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of small encoders, the sandbox's among them, as plain adapters reads them too."""
    folder = tmp_path_factory.mktemp("encoders")
    size = len(load_tokenizer(BACKBONES["nano"]))
    load_body(BACKBONES["nano"], device=torch.device("cpu"), vocab_size=size, dropout=0.0).save_pretrained(
        folder / "nano"
    )
    for encoder in ("bert", XL):
        config_class, model_class = CLASSES[encoder]
        torch.manual_seed(7)
        model_class(config_class(**WIDE_SHAPE), add_pooling_layer=False).save_pretrained(folder / encoder)
    return {name: folder / name for name in ("nano", "bert", XL)}


def new_model(folder: Path) -> Any:
    return with_flexible_heads(AutoModel.from_pretrained(folder, add_pooling_layer=False).eval())


def logits_of(model: Any, head: str) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return row_logits(model, head, IDS, MASK).flatten()


def run_plain(script: str, *arguments: Any) -> dict[str, Any]:
    """What a fresh process prints that knows nothing of this package."""
    passed = [json.dumps(argument) for argument in arguments]
    code = PREAMBLE + script + EPILOGUE
    done = subprocess.run([sys.executable, "-c", code, *passed], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


PREAMBLE = """
import json, sys
import adapters, torch
from adapters import AutoAdapterModel
from adapters.composition import Average, Fuse, Stack
from safetensors.torch import load_file
from transformers import AutoModel
given = [json.loads(text) for text in sys.argv[1:]]
ids, mask = torch.tensor(given[0]), torch.tensor(given[1])
answers = {}
# Where the adapters of XLM-R XL go, for which the library has no class.
XL = adapters.AdapterModelInterface(
    adapter_methods=["bottleneck", "lora", "reft", "invertible"], model_embeddings="embeddings",
    model_layers="encoder.layer", layer_self_attn="attention", layer_cross_attn=None, attn_q_proj="self.query",
    attn_k_proj="self.key", attn_v_proj="self.value", attn_o_proj="output.dense",
    layer_intermediate_proj="intermediate.dense", layer_output_proj="output.dense",
    layer_pre_self_attn="attention.self_attn_layer_norm", layer_pre_ffn="LayerNorm", layer_ln_1=None, layer_ln_2=None,
)
def new_xl(base):
    body = AutoModel.from_pretrained(base, add_pooling_layer=False).eval()
    adapters.init(body, interface=XL)
    return body
"""
EPILOGUE = """
assert not [name for name in sys.modules if name.split(".")[0].startswith("adapter_transfer")]
print(json.dumps(answers))
"""


# What is saved here, in plain adapters.


@dataclass(frozen=True)
class Case:
    encoder: str
    method: str
    composition: str

    @property
    def id(self) -> str:
        return f"{self.encoder}-{self.method}-{self.composition}"

    def assembly(self, *parts: AdapterPart, head: str) -> Assembly:
        settings = METHODS[self.method].parse_settings(SETTINGS.get(self.method, {})).model_dump(mode="json")
        format = TASKS["micro-copa"].format
        composition: Any = self.composition
        return Assembly(METHODS[self.method], settings, head, format, 3, adapters=parts, composition=composition)


LAYERED = [
    Case("nano", name, done)
    for name in ADAPTER_METHODS
    for done in ("stack", "sum")
    if done in METHODS[name].compositions
]
OURS = [Case("nano", name, "none") for name in ADAPTER_METHODS] + LAYERED
OURS += [Case("bert", "seq_bn", "stack"), Case("bert", "lora", "sum"), Case("bert", "prefix", "none")]
OURS += [Case(XL, "seq_bn", "stack"), Case(XL, "lora", "sum"), Case(XL, "compacter", "none")]


def train(model: Any, head: str) -> None:
    parameters = list(trained_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=0.02, weight_decay=0.0)
    model.train()
    for _ in range(3):
        scores = row_logits(model, head, IDS, MASK).view(2, 2)
        torch.nn.functional.binary_cross_entropy_with_logits(scores, torch.eye(2)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@pytest.fixture(scope="module")
def ours(base_dirs, tmp_path_factory):
    """Case → folders of its adapters, lowest first, and the logits here."""

    @cache
    def lower(encoder: str, method: str) -> Path:
        folder = tmp_path_factory.mktemp("intermediate")
        model, case = new_model(base_dirs[encoder]), Case(encoder, method, "none")
        assembly = case.assembly(AdapterPart("lower", trains=True), head="lower")
        assemble(model, assembly)
        train(model, "lower")
        save_artifact(model, assembly, folder)
        return adapter_dir(folder, "lower")

    made = {}
    for case in OURS:
        parts = (AdapterPart("target", trains=True),)
        below = [] if case.composition == "none" else [lower(case.encoder, case.method)]
        if below:
            parts = (AdapterPart("lower", trains=False, source=below[0]), *parts)
        model, assembly = new_model(base_dirs[case.encoder]), case.assembly(*parts, head="target")
        assemble(model, assembly)
        start = logits_of(model, "target")
        train(model, "target")
        folder = tmp_path_factory.mktemp("target")
        save_artifact(model, assembly, folder)
        logits = logits_of(model, "target")
        assert (logits - start).abs().max() > 1e-3
        made[case] = ([*below, adapter_dir(folder, "target")], logits)
    return made


LOAD = """
for key, base, folders, combines in given[2]:
    is_xl = "xlm-roberta-xl" in base
    model = new_xl(base) if is_xl else AutoAdapterModel.from_pretrained(base)
    names = [model.load_adapter(folder, use_safetensors=True) for folder in folders]
    if combines == "sum":
        model.active_adapters = Average(*names, weights=[2.0, 2.0], normalize_weights=False)
    else:
        model.active_adapters = Stack(*names) if len(names) > 1 else names[0]
    model.eval()
    with torch.no_grad():
        if is_xl:  # such a model takes no head of the library: dense, tanh and projection of the first token
            head = load_file(folders[-1] + "/model_head.safetensors")
            states = model(input_ids=ids, attention_mask=mask)[0][:, 0]
            inner = torch.tanh(states @ head["heads.target.1.weight"].T + head["heads.target.1.bias"])
            logits = inner @ head["heads.target.4.weight"].T + head["heads.target.4.bias"]
        else:
            model.active_head = "target"
            logits = model(input_ids=ids, attention_mask=mask).logits
    answers[key] = logits.flatten().tolist()
"""


@pytest.fixture(scope="module")
def plain_answers(ours, base_dirs):
    cases = [
        (
            case.id,
            str(base_dirs[case.encoder]),
            [str(folder) for folder in folders],
            COMPOSITIONS[case.composition].combines,
        )
        for case, (folders, _) in ours.items()
    ]
    return run_plain(LOAD, IDS.tolist(), MASK.tolist(), cases)


@pytest.mark.parametrize("case", OURS, ids=lambda case: case.id)
def test_what_is_saved_here_answers_the_same_in_plain_adapters(ours, plain_answers, case):
    assert (torch.tensor(plain_answers[case.id]) - ours[case][1]).abs().max() <= TOLERANCE


@pytest.mark.parametrize("case", OURS, ids=lambda case: case.id)
def test_what_is_saved_here_is_told_by_its_files_alone(ours, case):
    package = read_package(ours[case][0][-1])
    wanted = case.assembly(head="target")
    assert (package.method, package.method_settings) == (case.method, wanted.settings)
    assert package.compositions[0].head == package.adapters[0].path == "."
    assert package.backbone.num_hidden_layers == (None if case.method == "prefix" else 2)


# What plain adapters trains and saves, here.

TRAIN = """
base_dirs, out, singles = given[2:]
target = torch.eye(2)

def fit(model, setup, head, trained):
    model.active_adapters = setup
    model.active_head = head
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in (*trained, f"heads.{head}.")))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    model.train()
    for _ in range(3):
        logits = model(input_ids=ids, attention_mask=mask).logits
        torch.nn.functional.binary_cross_entropy_with_logits(logits.view(2, 2), target).backward()
        optimizer.step()
        optimizer.zero_grad()

def answer(key, model):
    model.eval()
    with torch.no_grad():
        answers[key] = model(input_ids=ids, attention_mask=mask).logits.flatten().tolist()

def new(base, *names, config=None):
    model = AutoAdapterModel.from_pretrained(base_dirs[base])
    for name in names:
        model.add_adapter(name, config=config)
        model.add_multiple_choice_head(name, num_choices=2)
        model.train_adapter(name)
        fit(model, name, name, [f".{name}."])
    return model

def configured(name, settings):
    return getattr(adapters, name)(**settings)

for key, base, name, settings in singles:
    model = new(base, "t", config=configured(name, settings))
    model.save_adapter(f"{out}/{key}", "t", use_safetensors=True)
    answer(key, model)

model = new("nano", "i", "t", config="seq_bn")
fit(model, Stack("i", "t"), "t", [".t."])
model.save_adapter_setup(f"{out}/stack", Stack("i", "t"), use_safetensors=True)
answer("stack", model)

model = new("nano", "i", "t", config=adapters.LoRAConfig(alpha=16))
both = Average("i", "t", weights=[2.0, 2.0], normalize_weights=False)
fit(model, both, "t", [".t."])
model.save_adapter_setup(f"{out}/sum", both, head_setup="t", use_safetensors=True)
answer("sum", model)
answers["weights after loading"] = model.load_adapter_setup(f"{out}/sum", use_safetensors=True)[0].weights

for key, base, config in (("seq_bn", "nano", "seq_bn"), ("double_seq_bn", "bert", "double_seq_bn"),
                          ("compacter", "nano", configured("CompacterConfig", {"reduction_factor": 2}))):
    model = new(base, "a", "b", config=config)
    fused = Fuse("a", "b")
    model.add_adapter_fusion(fused)
    model.add_multiple_choice_head("h", num_choices=2)
    fit(model, fused, "h", [".adapter_fusion_layer.a,b."])
    model.save_adapter_setup(f"{out}/fuse-{key}", fused, head_setup="h", use_safetensors=True)
    answer(f"fuse-{key}", model)
    model.add_adapter("t", config=config)
    model.add_multiple_choice_head("t", num_choices=2)
    fit(model, Stack(fused, "t"), "t", [".t."])
    model.save_adapter_setup(f"{out}/on-fuse-{key}", Stack(fused, "t"), head_setup="t", use_safetensors=True)
    answer(f"on-fuse-{key}", model)

body = new_xl(base_dirs["xlm-roberta-xl"])
body.add_adapter("x", config="seq_bn")
body.active_adapters = "x"
with torch.no_grad():
    for name, parameter in body.named_parameters():
        if ".x." in name:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    body.save_adapter(f"{out}/xl", "x", use_safetensors=True)
    answers["xl"] = body(input_ids=ids, attention_mask=mask)[0][:, 0].flatten().tolist()
"""
SINGLES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("seq_bn", "nano", "SeqBnConfig", {"reduction_factor": 4}),
    ("double_seq_bn", "nano", "DoubleSeqBnConfig", {}),
    ("par_bn", "nano", "ParBnConfig", {"scaling": 2.0}),
    ("lora", "nano", "LoRAConfig", {"r": 4, "alpha": 16, "attn_matrices": ["q", "k"], "output_lora": True}),
    ("dora", "nano", "DoRAConfig", {}),
    ("ia3", "nano", "IA3Config", {}),
    ("compacter", "nano", "CompacterConfig", {"reduction_factor": 2}),
    ("reft", "nano", "LoReftConfig", {"tied_weights": True}),
    ("bert-seq_bn", "bert", "SeqBnConfig", {"reduction_factor": 4, "init_weights": "mam_adapter"}),
    ("bert-lora", "bert", "LoRAConfig", {"init_weights": "bert"}),
]
FUSED = ("seq_bn", "double_seq_bn", "compacter")
SETUPS = ["stack", "sum", *(f"{kind}-{name}" for kind in ("fuse", "on-fuse") for name in FUSED)]


@pytest.fixture(scope="module")
def theirs(base_dirs, tmp_path_factory):
    """A folder with an adapter or setup in each of its folders, and what plain adapters answered with each."""
    folder = tmp_path_factory.mktemp("plain")
    bases = {name: str(path) for name, path in base_dirs.items()}
    return folder, run_plain(TRAIN, IDS.tolist(), MASK.tolist(), bases, str(folder), SINGLES)


def put_together(folder: Path, package: Package) -> Assembly:
    """The assembly that a package's only composition comes to."""
    (composition,) = package.compositions
    return Assembly(
        METHODS[package.method],
        dict(package.method_settings),
        head="answers",
        format=TASKS["micro-copa"].format,
        init_seed=0,
        adapters=tuple(
            AdapterPart(f"own-{package.adapter(path).name}", trains=False, source=folder / path)
            for path in composition.adapters
        ),
        composition=composition.combines or "none",
        head_source=folder / composition.head,
        fusion_source=None if composition.fusion is None else folder / composition.fusion,
    )


@pytest.mark.parametrize("key", [*(single[0] for single in SINGLES), *SETUPS])
def test_what_plain_adapters_saved_answers_the_same_here(theirs, base_dirs, key):
    folder, answers = theirs
    package = read_package(folder / key)
    model = new_model(base_dirs["bert" if package.backbone.architecture == "bert" else "nano"])
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    assembly = put_together(folder / key, package)
    assemble(model, assembly)
    assert (logits_of(model, "answers") - torch.tensor(answers[key])).abs().max() <= TOLERANCE
    disassemble(model, assembly)
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assemble(model, assembly)  # and on again
    assert (logits_of(model, "answers") - torch.tensor(answers[key])).abs().max() <= TOLERANCE


def test_a_sum_is_no_sum_any_more_where_the_library_loads_its_setup(theirs):
    # It normalises the weights on the way in, so what is saved as a sum is told by the file and not by the library.
    assert theirs[1]["weights after loading"] == [0.5, 0.5]


def test_an_adapter_that_plain_adapters_made_for_xl_acts_the_same_here(theirs, base_dirs):
    folder, answers = theirs
    package = read_package(folder / "xl")
    assert (package.backbone.architecture, package.backbone.num_hidden_layers) == (XL, 2)
    assert (package.compositions, package.adapters[0].role) == ((), "intermediate")
    model, part = new_model(base_dirs[XL]), AdapterPart("x", trains=False, source=folder / "xl")
    method, settings = METHODS[package.method], dict(package.method_settings)
    assemble(model, Assembly(method, settings, "x", TASKS["micro-copa"].format, 0, adapters=(part,)))
    model.eval()
    with torch.no_grad():
        states = model.base_model(input_ids=IDS, attention_mask=MASK)[0][:, 0].flatten()
    assert (states - torch.tensor(answers["xl"])).abs().max() <= TOLERANCE
