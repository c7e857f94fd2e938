"""The catalog: every combination is allowed or refused with its reason, and settings are what the library takes."""

from __future__ import annotations

import dataclasses
import typing

import adapters
import pytest
from pydantic import ValidationError

from adapter_transfer.backbones.zoo import QUANTIZED, SUPPORTED_ARCHITECTURES, Precision
from adapter_transfer.errors import ImpossibleError
from adapter_transfer.methods.catalog import METHODS, require_architecture
from adapter_transfer.methods.composition import COMPOSITIONS, CompositionName, CompositionRequest, resolve_composition

STACKS = ("stack", "stack-tuned", "sequential")
# method → compositions it allows, what `auto` takes first; class of the library.
ROWS = {
    "full": (("sequential",), None),
    "seq_bn": (STACKS, "SeqBnConfig"),
    "double_seq_bn": (STACKS, "DoubleSeqBnConfig"),
    "par_bn": (("sequential", "sum"), "ParBnConfig"),
    "lora": (("sum", "sequential"), "LoRAConfig"),
    "dora": (("sequential",), "DoRAConfig"),
    "ia3": (STACKS, "IA3Config"),
    "compacter": (STACKS, "CompacterConfig"),
    "prefix": (STACKS, "PrefixTuningConfig"),
    "reft": (("sequential",), "LoReftConfig"),
}
NAMES = typing.get_args(CompositionName)
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
each_adapter = pytest.mark.parametrize(
    "method", [method for method in METHODS.values() if method.kind == "adapter"], ids=lambda method: method.name
)


def resolved(method, **given):
    return method.parse_settings(given).model_dump(mode="json")


def test_the_rows_are_all_there_are():
    assert {name: (method.compositions, method.adapter_config) for name, method in METHODS.items()} == ROWS
    assert set(NAMES) == set(COMPOSITIONS) - {"none", "alone"}  # these two are nobody's choice
    assert set(typing.get_args(CompositionRequest)) == {"auto", *NAMES}


@each_method
def test_every_composition_is_allowed_or_refused_with_its_reason(method):
    assert set(method.compositions).isdisjoint(method.refusals)
    assert {*method.compositions, *method.refusals} == set(NAMES)
    for name in NAMES:
        if name in method.compositions:
            assert resolve_composition(method, name, has_intermediate=True) == name
            continue
        with pytest.raises(ImpossibleError) as refused:
            resolve_composition(method, name, has_intermediate=True)
        assert str(refused.value).startswith(method.refusals[name])
        assert str(refused.value).endswith(f"Works with {method.name!r}: {', '.join(method.compositions)}.")


@each_method
def test_auto_takes_the_first_and_nothing_without_an_intermediate(method):
    assert resolve_composition(method, "auto", has_intermediate=True) == ROWS[method.name][0][0]
    for request in ("auto", *NAMES):
        assert resolve_composition(method, request, has_intermediate=False) == "none"


@each_method
def test_precisions_are_refused_with_what_to_do(method):
    wanted = QUANTIZED if method.name in ("full", "dora") else set()
    assert set(method.refused_precisions) == wanted <= set(typing.get_args(Precision))
    for reason in method.refused_precisions.values():
        assert "use " in reason and "fp16" in reason


@each_method
def test_architectures_are_refused_with_what_works_there(method):
    wanted = {"xlm-roberta-xl"} if method.name == "prefix" else set()
    assert set(method.refused_architectures) == wanted <= set(SUPPORTED_ARCHITECTURES)
    for architecture in SUPPORTED_ARCHITECTURES:
        if architecture not in wanted:
            require_architecture(method, architecture)
            continue
        with pytest.raises(ImpossibleError) as refused:
            require_architecture(method, architecture)
        assert str(refused.value).startswith(f"method {method.name!r} does not work on {architecture}: ")
        working = ", ".join(name for name in METHODS if name != "prefix")
        assert str(refused.value).endswith(f"Works there: {working}.")


@each_method
def test_settings_are_documented(method):
    properties = method.settings.model_json_schema().get("properties", {})
    assert all(found.get("description") for found in properties.values())
    assert bool(properties) == (method.kind == "adapter")
    assert method.reference and method.summary


@each_adapter
def test_settings_are_the_librarys_and_so_are_their_defaults(method):
    library = getattr(adapters, method.adapter_config)
    ours, theirs = method.config_fields(resolved(method)), library().to_dict()
    assert ours.keys() <= {found.name for found in dataclasses.fields(library)}
    different = {key: (theirs[key], value) for key, value in ours.items() if theirs[key] != value}
    assert different == ({"dropout": (0.05, 0.0), "tied_weights": (False, True)} if method.name == "reft" else {})


@pytest.mark.parametrize("name", ["seq_bn", "double_seq_bn", "par_bn", "compacter"])
def test_a_norm_before_a_bottleneck_shows_where_it_is_asked_for_only(name):
    # Run ids are made of resolved settings: those of runs without it stay what they were.
    without, asked = resolved(METHODS[name]), resolved(METHODS[name], ln_before=True)
    assert "ln_before" not in without and resolved(METHODS[name], ln_before=False) == without
    assert asked == without | {"ln_before": True} == resolved(METHODS[name], **asked)
    assert METHODS[name].config_fields(asked)["ln_before"] is True


def test_settings_are_taken_as_a_file_writes_them():
    given = {"attn_matrices": ["k"], "r": 2}
    assert resolved(METHODS["lora"], **given) == METHODS["lora"].settings(r=2, attn_matrices=("k",)).model_dump(
        mode="json"
    )
    assert isinstance(resolved(METHODS["par_bn"], scaling=2)["scaling"], float)  # the library takes no whole number
    for scaling in (0.0, -1.0, "learned", True):
        with pytest.raises(ValidationError):
            resolved(METHODS["par_bn"], scaling=scaling)


@each_adapter
def test_unknown_and_impossible_settings_are_refused(method):
    for given in ({"reduction": 4}, {"reduction_factor": 0.0}, {"r": 0}, {"prefix_length": 0}, {"dropout": 1.0}):
        with pytest.raises(ValidationError):
            resolved(method, **given)


@pytest.mark.parametrize("name", ["lora", "dora", "ia3"])
def test_a_low_rank_method_adapts_something(name):
    nowhere = {"attn_matrices": (), "intermediate_lora": False, "output_lora": False}
    with pytest.raises(ValidationError, match="adapts nothing"):
        resolved(METHODS[name], **nowhere)
    assert resolved(METHODS[name], **(nowhere | {"output_lora": True}))["attn_matrices"] == []


def test_the_alpha_of_dora_is_its_rank():
    assert METHODS["dora"].config_fields(resolved(METHODS["dora"], r=5))["alpha"] == 5
    with pytest.raises(ValidationError):
        resolved(METHODS["dora"], alpha=16)


@each_method
def test_defaults_fit_every_published_scale(method):
    for hidden_size in (384, 768, 1024, 2560, 4096):  # Multilingual MiniLM, XLM-R base, large, XL, XXL
        method.check(resolved(method), hidden_size)


@pytest.mark.parametrize(
    ("name", "given", "hidden_size", "message"),
    [
        (
            "seq_bn",
            {"reduction_factor": 65},
            64,
            "reduction_factor 65 leaves nothing of a hidden size of 64; at most 64",
        ),
        ("double_seq_bn", {"reduction_factor": 33}, 32, "at most 32"),
        ("par_bn", {"reduction_factor": 33.5}, 32, "at most 32"),
        ("lora", {"r": 65}, 64, "r 65 is more than the hidden size 64; at most 64"),
        ("dora", {"r": 65}, 64, "at most 64"),
        ("reft", {"r": 65}, 64, "at most 64"),
        (
            "compacter",
            {},
            64,
            "64 / 32 = 2 must be divisible by phm_dim 4.*reduction_factor 2 or 4 or 8 or 16 would do",
        ),
        ("compacter", {"reduction_factor": 10}, 64, "64 / 10 = 6 must be divisible"),
        ("compacter", {"phm_dim": 3}, 770, "hidden size 770 and bottleneck 770 / 32 = 24"),
        ("compacter", {"reduction_factor": 100}, 66, "leaves nothing .*; hidden size 66 .*; change phm_dim"),
    ],
)
def test_settings_that_a_hidden_size_does_not_allow_are_refused(name, given, hidden_size, message):
    with pytest.raises(ImpossibleError, match=f"^method '{name}': .*{message}"):
        METHODS[name].check(resolved(METHODS[name], **given), hidden_size)


@pytest.mark.parametrize(("name", "given"), [("seq_bn", {"reduction_factor": 64}), ("lora", {"r": 64}), ("ia3", {})])
def test_the_last_settings_that_fit_are_allowed(name, given):
    METHODS[name].check(resolved(METHODS[name], **given), 64)
