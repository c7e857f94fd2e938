"""An adapter of somebody else's is recognised by what it computes, or refused with what differs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import adapters
import pytest

from adapter_transfer.errors import DataError, ImpossibleError
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.recognition import WITHOUT_EFFECT, differing_fields, recognise

OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "seq_bn": {"reduction_factor": 2, "non_linearity": "gelu", "ln_before": True},
    "double_seq_bn": {"reduction_factor": 1.5, "non_linearity": "relu"},
    "par_bn": {"reduction_factor": 8, "scaling": 2},
    "lora": {"r": 4, "alpha": 16, "dropout": 0.1, "attn_matrices": ["k", "q"], "output_lora": True},
    "dora": {"r": 4, "attn_matrices": ["v"], "intermediate_lora": True},
    "ia3": {"attn_matrices": [], "output_lora": True},
    "compacter": {"reduction_factor": 4, "phm_dim": 2, "phm_rank": 3},
    "prefix": {"prefix_length": 3, "flat": True, "bottleneck_size": 8, "dropout": 0.2},
    "reft": {"r": 2, "prefix_positions": 1, "dropout": 0.05},
}


def saved(config: Any, **changes: Any) -> dict[str, Any]:
    """A configuration of the library as its file holds it."""
    fields: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    return {**fields, **changes}


def config_of(name: str, settings: dict[str, Any]) -> Any:
    method = METHODS[name]
    resolved = method.parse_settings(settings).model_dump(mode="json")
    assert method.adapter_config is not None
    return getattr(adapters, method.adapter_config)(**method.config_fields(resolved)), resolved


@pytest.mark.parametrize("name", OTHER_SETTINGS)
@pytest.mark.parametrize("changed", [False, True])
def test_every_method_is_read_back_with_its_settings(name, changed):
    config, resolved = config_of(name, OTHER_SETTINGS[name] if changed else {})
    assert recognise(saved(config)) == (name, resolved)


def test_every_adapter_method_is_among_the_cases():
    assert set(OTHER_SETTINGS) == {method.name for method in METHODS.values() if method.kind == "adapter"}


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (adapters.SeqBnConfig(reduction_factor=2), "seq_bn"),
        (adapters.DoubleSeqBnConfig(), "double_seq_bn"),
        (adapters.ParBnConfig(), "par_bn"),
        (adapters.CompacterConfig(), "compacter"),
        (adapters.LoRAConfig(alpha=16), "lora"),
        (adapters.DoRAConfig(), "dora"),
        (adapters.IA3Config(), "ia3"),
        (adapters.PrefixTuningConfig(), "prefix"),
        (adapters.LoReftConfig(tied_weights=True), "reft"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_library_s_own_defaults_are_methods_here(config, name):
    assert recognise(saved(config))[0] == name


def test_how_a_number_is_written_does_not_matter():
    whole, broken = saved(adapters.LoRAConfig(r=4, alpha=16)), saved(adapters.LoRAConfig(r=4, alpha=16))
    broken |= {"r": 4.0, "alpha": 16.0}
    assert recognise(whole) == recognise(broken)
    assert recognise(saved(adapters.SeqBnConfig(reduction_factor=2))) == recognise(
        saved(adapters.SeqBnConfig(reduction_factor=2.0))
    )


def test_from_what_an_adapter_started_does_not_matter():
    changes = {"init_weights": "mam_adapter", "init_weights_seed": 5, "phm_init_range": 0.5, "cross_adapter": True}
    assert changes.keys() <= WITHOUT_EFFECT
    config = saved(adapters.SeqBnConfig())
    assert recognise({**config, **changes}) == recognise(config)
    assert differing_fields({**config, **changes}, adapters.SeqBnConfig().to_dict()) == []


def test_fields_of_another_version():
    config = saved(adapters.SeqBnConfig())
    del config["stochastic_depth"], config["leave_out"], config["init_weights_seed"]
    assert recognise({**config, "of_the_future": 3})[0] == "seq_bn"
    # What is missing is what the library would take it for: of any bottleneck, not of this kind of them.
    del config["original_ln_before"]
    with pytest.raises(ImpossibleError, match="original_ln_before False instead of True"):
        recognise(config)


@pytest.mark.parametrize(
    ("config", "nearest", "told"),
    [
        (saved(adapters.SeqBnInvConfig()), "seq_bn", "inv_adapter 'nice' instead of None"),
        (saved(adapters.SeqBnConfig(leave_out=[11])), "seq_bn", r"leave_out \[11\] instead of \[\]"),
        (saved(adapters.SeqBnConfig(dropout=0.1)), "seq_bn", "dropout 0.1 instead of 0.0"),
        (saved(adapters.SeqBnConfig(reduction_factor={"default": 16})), "seq_bn", "reduction_factor {'default': 16}"),
        (saved(adapters.SeqBnConfig(non_linearity="mish")), "seq_bn", "non_linearity 'mish'"),
        (saved(adapters.LoRAConfig(use_gating=True)), "lora", "use_gating True instead of False"),
        (saved(adapters.VeraConfig()), "lora", "vera_d 0.1 instead of None"),
        (saved(adapters.LoReftConfig()), "reft", "tied_weights False instead of True"),
        (saved(adapters.DoRAConfig(alpha=16)), "dora", "alpha 16 instead of 8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_none_of_ours_is_refused_by_what_differs(config, nearest, told):
    with pytest.raises(ImpossibleError, match=f"nearest is '{nearest}'.*{told}"):
        recognise(config)


@pytest.mark.parametrize(
    "config", [adapters.PromptTuningConfig().to_dict(), {"architecture": "union", "configs": []}, {"architecture": []}]
)
def test_other_architectures_are_refused(config):
    with pytest.raises(ImpossibleError, match=r"architecture .* is none that this toolkit can use; methods: seq_bn, "):
        recognise(config)


def test_a_lora_whose_scale_the_library_would_change_is_refused():
    config = saved(adapters.LoRAConfig(r=8, alpha=16))
    for version in ("adapters.0.2.1", "adapters.1.0.1"):
        with pytest.raises(ImpossibleError, match=r"adapters 1\.1 and later set its alpha to r"):
            recognise(config, version)
        assert recognise({**config, "alpha": 8}, version)[0] == "lora"
    for version in ("adapters.1.1.0", "adapters.1.3.0", "adapters.10.0", "3.2.1", ""):
        assert recognise(config, version)[1]["alpha"] == 16


@pytest.mark.parametrize("config", ["pfeiffer", None, 3, []])
def test_what_is_no_mapping_is_damaged(config):
    with pytest.raises(DataError, match="must be a mapping"):
        recognise(config)


def test_a_configuration_that_lacks_what_makes_it_is_damaged():
    with pytest.raises(DataError, match="lacks mh_adapter"):
        recognise({})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "x" * 500, {"a": []}, [[]], None])
@pytest.mark.parametrize("field", ["reduction_factor", "non_linearity", "ln_before", "leave_out"])
def test_odd_values_are_refused_in_one_line(field, value):
    with pytest.raises(ImpossibleError, match="nearest is 'seq_bn'") as caught:
        recognise(saved(adapters.SeqBnConfig(), **{field: value}))
    assert len(str(caught.value)) < 500


def test_neither_recognising_nor_reading_loads_torch_to_be_imported():
    code = (
        "import sys, adapter_transfer.methods.recognition, adapter_transfer.sharing.reading;"
        "assert not {'torch', 'adapters', 'transformers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
