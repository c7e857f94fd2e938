"""A package fits the encoder it was made for and no other, tensor by tensor, before any weight is loaded."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from adapters.composition import Fuse, Stack
from safetensors.torch import load_file, save_file
from small_encoders import CLASSES, WIDE_SHAPE
from small_packages import write_json

from adapter_transfer.backbones.checkpoints import HubModel, LocalFolder
from adapter_transfer.backbones.zoo import BACKBONES, Backbone
from adapter_transfer.methods.attach import AdapterPart, Assembly, assemble, save_artifact, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.sharing.fit import MisfitError, require_fit
from adapter_transfer.sharing.inspection import inspect_package
from adapter_transfer.sharing.package import Package, SharedAdapter, SharedBackbone, SharedComposition
from adapter_transfer.tasks.catalog import TASKS

SETTINGS = {
    "seq_bn": {"reduction_factor": 4, "ln_before": True},
    "compacter": {"reduction_factor": 2},
    "prefix": {"prefix_length": 3, "bottleneck_size": 8},
    "lora": {"r": 4, "intermediate_lora": True, "output_lora": True},
    "reft": {"r": 2},
}
PAIRS = [
    (architecture, method.name)
    for architecture in CLASSES
    for method in METHODS.values()
    if method.kind == "adapter" and architecture not in method.refused_architectures
]
COMMIT, OTHER = "1" * 40, "2" * 40
DIGEST = "d" * 64


def small_backbone(architecture="xlm-roberta", **changes):
    """An encoder that consists of its configuration alone: nothing can be read, so nothing is."""
    config = {"model_type": architecture, **WIDE_SHAPE, **changes}
    return Backbone(
        name="small", summary="", reference="", config=config, vocab_size=60, weights="random", random_seed=1
    )


def settings_of(method):
    return METHODS[method].parse_settings(SETTINGS.get(method, {})).model_dump(mode="json")


def new_model(architecture, **changes):
    config_class, model_class = CLASSES[architecture]
    torch.manual_seed(1)
    body = model_class(config_class(**WIDE_SHAPE | changes), add_pooling_layer=False)
    body.name_or_path = body.config.name_or_path = "small"
    return with_flexible_heads(body)


def save(folder, method="seq_bn", architecture="xlm-roberta", name="copa", task="micro-copa", **changes):
    """One adapter with its head, saved as a run saves it."""
    model = new_model(architecture, **changes)
    part = AdapterPart(name, trains=True)
    assembly = Assembly(METHODS[method], settings_of(method), name, TASKS[task].format, 3, (part,))
    assemble(model, assembly)
    save_artifact(model, assembly, folder / "artifact")
    shutil.move(folder / "artifact" / "adapters" / name, folder / "package")
    return folder / "package"


def package_of(method="seq_bn", architecture="xlm-roberta", **changes):
    backbone = {"name": "small", "architecture": architecture, "hidden_size": 32, "num_hidden_layers": 2}
    fields = {
        "backbone": SharedBackbone(**backbone | changes.pop("backbone", {})),
        "method": method,
        "method_settings": changes.get("method_settings") or settings_of(method),
        "adapters": (SharedAdapter(path=".", name="copa", role="target", task="copa", has_head=True),),
    }
    return Package(**fields | changes)


def misfit(folder, package, backbone):
    with pytest.raises(MisfitError) as caught:
        require_fit(folder, package, backbone)
    return str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    made = {}

    def make(method="seq_bn", architecture="xlm-roberta"):
        if (method, architecture) not in made:
            made[method, architecture] = save(tmp_path_factory.mktemp("saved"), method, architecture)
        return made[method, architecture]

    return make


@pytest.fixture
def own(saved, tmp_path):
    """A copy of one, to be changed."""
    return shutil.copytree(saved(), tmp_path / "own")


@pytest.mark.parametrize(("architecture", "method"), PAIRS)
def test_every_method_fits_the_encoder_it_was_made_on(saved, architecture, method):
    folder = saved(method, architecture)
    inspect_package(folder)
    before = torch.get_rng_state()
    require_fit(folder, package_of(method, architecture), small_backbone(architecture))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("method", [name for architecture, name in PAIRS if architecture == "xlm-roberta"])
def test_of_every_method_each_missing_and_extra_tensor_is_told(saved, tmp_path, method):
    folder = shutil.copytree(saved(method), tmp_path / "own")
    tensors = load_file(folder / "adapter.safetensors")
    first = sorted(tensors)[0]
    save_file({key: value for key, value in tensors.items() if key != first}, folder / "adapter.safetensors")
    assert "1 tensors are missing" in misfit(folder, package_of(method), small_backbone())
    save_file(tensors | {f"{first}_more": tensors[first].clone()}, folder / "adapter.safetensors")
    assert "1 tensors are unknown" in misfit(folder, package_of(method), small_backbone())
    save_file(tensors | {first: tensors[first][..., None]}, folder / "adapter.safetensors")
    assert "1 tensors have another shape" in misfit(folder, package_of(method), small_backbone())
    save_file(tensors | {first: tensors[first].double()}, folder / "adapter.safetensors")
    assert "not of type F32" in misfit(folder, package_of(method), small_backbone())


def test_an_adapter_of_another_depth_or_width_is_refused(saved):
    folder = saved()
    assert "number of layers 2, and this one's is 3" in misfit(
        folder, package_of(), small_backbone(num_hidden_layers=3)
    )
    # A package may lie about it; the files do not.
    lies = package_of(backbone={"num_hidden_layers": None})
    assert "layers up to number 1, and on this encoder they go up to 2" in misfit(
        folder, lies, small_backbone(num_hidden_layers=3)
    )
    wide = small_backbone(hidden_size=64)
    assert "hidden size 32, and this one's is 64" in misfit(folder, package_of(), wide)
    lies = package_of(backbone={"hidden_size": 64})
    assert "is for hidden_size 32, and this encoder's is 64" in misfit(folder, lies, wide)


def test_an_adapter_of_another_architecture_is_refused(saved):
    told = misfit(saved(), package_of(), small_backbone("bert"))
    assert "architecture 'xlm-roberta', and this one's is 'bert'" in told and "model_type 'xlm-roberta'" in told


def test_two_names_for_one_tensor_are_refused(own):
    tensors = load_file(own / "adapter.safetensors")
    key = next(iter(tensors))
    save_file(tensors | {key.replace(".copa.", ".*."): tensors[key] + 1}, own / "adapter.safetensors")
    assert "there twice under different names" in misfit(own, package_of(), small_backbone())


@pytest.mark.parametrize(
    ("file", "fields", "told"),
    [
        ("adapter_config.json", {"name": "other"}, "saved as 'other'"),
        ("adapter_config.json", {"hidden_size": 768}, "hidden_size 768"),
        ("head_config.json", {"config": {"head_type": "causal_lm"}}, "'causal_lm'"),
        ("head_config.json", {"config": {"head_type": "multiple_choice", "use_pooler": True}}, "pooler"),
        ("head_config.json", {"config": {"head_type": "multiple_choice", "layers": 10**9}}, "layers 1000000000"),
        ("head_config.json", {"config": {"head_type": "classification", "num_labels": 10**9}}, "num_labels"),
        ("head_config.json", {"config": {"head_type": "classification", "num_labels": 7}}, "another shape"),
        ("head_config.json", {"config": {"head_type": "multiple_choice", "layers": 1}}, "head: "),
        (
            "head_config.json",
            {"config": {"head_type": "multiple_choice", "activation_function": "nonsense"}},
            "its head cannot be made",
        ),
        ("head_config.json", {"name": "other"}, "head: "),
    ],
)
def test_configurations_agree_with_files_and_package(own, file, fields, told):
    config = json.loads((own / file).read_text())
    write_json(own / file, config | fields)
    message = misfit(own, package_of(), small_backbone())
    assert told in message
    assert all(character.isprintable() or character == "\n" for character in message)


def test_settings_agree_with_the_package(own):
    config = json.loads((own / "adapter_config.json").read_text())
    config["config"]["non_linearity"] = "tanh"
    write_json(own / "adapter_config.json", config)
    assert "non_linearity 'tanh' instead of 'relu'" in misfit(own, package_of(), small_backbone())
    write_json(own / "adapter_config.json", config | {"config": {}})
    assert "its config lacks" in misfit(own, package_of(), small_backbone())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": "full"}, "none of the adapter methods"),
        ({"method": "\x1b[2J", "method_settings": {"x": 1}}, r"'\x1b[2J'"),
        ({"method_settings": {"reduction_factor": -1}}, "none of method 'seq_bn'"),
        ({"method_settings": {"reduction_factor": 1e-9}}, "numbers on this encoder, and the file holds"),
        ({"method_settings": {"reduction_factor": 1e9}}, "leaves nothing of a hidden size"),
        ({"method": "lora"}, "numbers on this encoder, and the file holds"),
        ({"method": "ia3"}, "it is of method 'seq_bn', and the package says 'ia3'"),
    ],
)
def test_what_a_package_says_of_its_method_is_checked(saved, changes, told):
    assert told in misfit(saved(), package_of(**changes), small_backbone())


def test_prefixes_on_xl_are_refused(saved):
    package = package_of("prefix", "xlm-roberta-xl")
    folder = saved("seq_bn", "xlm-roberta-xl")
    assert "does not work on xlm-roberta-xl" in misfit(folder, package, small_backbone("xlm-roberta-xl"))


def test_files_that_are_missing_are_told(own):
    (own / "model_head.safetensors").unlink()
    assert "cannot be read" in misfit(own, package_of(), small_backbone())
    (own / "adapter_config.json").unlink()
    assert "adapter_config.json cannot be read" in misfit(own, package_of(), small_backbone())


def test_adapters_of_an_encoder_without_heads_fit(own):
    tensors = load_file(own / "adapter.safetensors")
    save_file({key.removeprefix("roberta."): value for key, value in tensors.items()}, own / "adapter.safetensors")
    require_fit(own, package_of(), small_backbone())
    model = new_model("xlm-roberta")
    part = AdapterPart("x", trains=False, source=own)
    assemble(model, Assembly(METHODS["seq_bn"], settings_of("seq_bn"), "x", TASKS["micro-copa"].format, 3, (part,)))
    key = next(key for key in tensors if key.endswith("adapter_down.1.weight") or key.endswith("adapter_up.weight"))
    assert torch.equal(model.state_dict()[key.replace(".copa.", ".x.")], tensors[key])


def test_a_setup_with_a_fusion_fits_as_the_library_saves_it(tmp_path):
    model = new_model("xlm-roberta")
    for name in ("a", "b", "t"):
        model.add_adapter(name, config="seq_bn")
    model.add_adapter_fusion(Fuse("a", "b"))
    model.add_multiple_choice_head("t", num_choices=2)
    model.save_adapter_setup(str(tmp_path), Stack(Fuse("a", "b"), "t"), head_setup="t", use_safetensors=True)
    inspect_package(tmp_path)
    package = package_of(
        method_settings={"reduction_factor": 16.0, "non_linearity": "relu"},
        adapters=tuple(
            SharedAdapter(path=name, name=name, role="target", task="copa", has_head=name == "t") for name in "abt"
        ),
        compositions=(SharedComposition(adapters=("a", "b", "t"), combines="fuse", fusion="a,b", head="t"),),
    )
    require_fit(tmp_path, package, small_backbone())
    file = tmp_path / "a,b" / "model_adapter_fusion.safetensors"
    tensors = load_file(file)
    key = next(iter(tensors))
    save_file({name: value for name, value in tensors.items() if name != key}, file)
    assert f"a,b: fusion: 1 tensors are missing: {key[:20]!r}"[:-1] in misfit(tmp_path, package, small_backbone())


# Who the encoder is.


def on_hub(repo="FacebookAI/xlm-roberta-base", commit=COMMIT, **changes):
    shape = {"model_type": "xlm-roberta", **{key: value for key, value in WIDE_SHAPE.items() if type(value) is int}}
    model = HubModel(repo, commit=commit)
    made = Backbone(name="base", summary="", reference="", model=model, tokenizer=model, shape=shape)
    return dataclasses.replace(made, **changes)


def shared(**changes):
    return package_of(backbone={"name": "base", "repo": "FacebookAI/xlm-roberta-base", "commit": COMMIT} | changes)


@pytest.fixture
def identified(monkeypatch):
    monkeypatch.setattr(Backbone, "digest", lambda self, texts_digest=None: DIGEST)


@pytest.mark.usefixtures("identified")
def test_the_encoder_is_the_one_of_that_commit(saved):
    require_fit(saved(), shared(digest=DIGEST), on_hub())
    told = misfit(saved(), shared(digest=DIGEST, commit=OTHER), on_hub())
    assert COMMIT in told and f"backbones: [{{name: base, revision: {OTHER}}}]" in told
    assert "differs in weights" in misfit(saved(), shared(digest="e" * 64), on_hub())
    other = misfit(saved(), shared(digest="e" * 64, repo="evil/xlm-roberta-base"), on_hub())
    assert "'evil/xlm-roberta-base' at commit" in other
    assert "evil" in misfit(saved(), shared(repo="evil/xlm-roberta-base"), on_hub())


@pytest.mark.parametrize("repo", ["xlm-roberta-base", "FacebookAI/xlm-roberta-base"])
def test_old_ids_without_an_organisation_are_the_same_repository(saved, repo):
    require_fit(saved(), shared(repo=repo), on_hub())


def named(folder, name):
    config = json.loads((folder / "adapter_config.json").read_text())
    write_json(folder / "adapter_config.json", config | {"model_name": name})


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("xlm-roberta-base", True),
        ("FacebookAI/xlm-roberta-base", True),
        ("base", True),
        ("xlm-roberta-large", False),
        ("roberta-base", False),
        ("evil/xlm-roberta-base", False),
        ("/data/xlm-roberta-base", False),
        ("", False),
        (None, False),
        ("\x1b[2J", False),
    ],
)
def test_without_a_manifest_the_name_that_plain_adapters_wrote_counts(own, name, fits):
    named(own, name)
    package = package_of(backbone={"name": "whatever"})
    if fits:
        require_fit(own, package, on_hub())
    else:
        told = misfit(own, package, on_hub())
        assert ("model_name" in told or "control character" in told) and "\x1b" not in told


def test_random_weights_are_not_the_checkpoint_of_that_name(own):
    named(own, "xlm-roberta-base")
    assert "model_name" in misfit(own, package_of(backbone={"name": "x"}), on_hub(weights="random"))


def test_an_encoder_in_a_folder_is_known_by_the_folders_name(own):
    backbone = on_hub(name="mine", model=LocalFolder("/data/tiny-encoder"), tokenizer=LocalFolder("/data/tiny-encoder"))
    named(own, "/elsewhere/tiny-encoder/")
    require_fit(own, package_of(backbone={"name": "x"}), backbone)
    named(own, "other-encoder")
    assert "model_name" in misfit(own, package_of(backbone={"name": "x"}), backbone)


def test_the_sandboxs_scales_are_told_apart_by_their_content(saved):
    nano, micro = BACKBONES["nano"], BACKBONES["micro"]
    package = package_of(backbone={"name": "nano", "hidden_size": 64, "digest": nano.digest(), "is_sandbox": True})
    assert "another encoder" in misfit(saved(), package, micro)
    told = misfit(saved(), package, nano)
    assert "another encoder" not in told and "hidden_size 32" in told


def test_a_trained_tokenizers_encoder_is_known_by_its_name(saved):
    backbone = dataclasses.replace(small_backbone(), name="real-text")
    assert "this is 'real-text'" in misfit(saved(), package_of(), backbone)


@pytest.mark.parametrize("name", ["keys", "forward", "training", "pop"])
def test_names_that_torchs_containers_have_are_refused(own, name):
    """The library keeps modules by adapter name; one of these ended the program in its middle."""
    for file in ("adapter_config.json", "head_config.json"):
        write_json(own / file, json.loads((own / file).read_text()) | {"name": name})
    for file in ("adapter.safetensors", "model_head.safetensors"):
        tensors = load_file(own / file)
        save_file({key.replace(".copa.", f".{name}."): value for key, value in tensors.items()}, own / file)
    adapter = SharedAdapter(path=".", name=name, role="target", task="copa", has_head=True)
    assert f"called {name!r}" in misfit(own, package_of(adapters=(adapter,)), small_backbone())
