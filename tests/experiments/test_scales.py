"""What may differ from scale to scale, and what is said where it does; which runs trim their vocabulary."""

from __future__ import annotations

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.plan import make_plan

TWO = "backbones=[nano, {name: micro, precisions: [nf4]}]"


def caveats(experiment, word: str) -> list[str]:
    return [text for text in make_plan(experiment).warnings if word in text]


def trained(experiment):
    return [run.spec for run in make_plan(experiment).runs if run.spec.phase != "evaluation"]


def test_a_scale_has_a_precision_of_its_own(small):
    plan = make_plan(small(TWO))
    assert {(run.spec.backbone, run.spec.precision) for run in plan.runs} == {("nano", "fp32"), ("micro", "nf4")}
    assert {(cell.backbone, cell.method) for cell in plan.impossible} == {("micro", "full")}


def test_precision_that_varies_with_scale_is_said(small):
    (told,) = caveats(small(TWO, "methods=[seq_bn, lora]"), "precision varies")
    assert "for seq_bn, lora" in told
    assert "fp32: nano; nf4: micro" in told


def test_the_same_precisions_everywhere_spoil_nothing(small):
    both = small("backbones=[nano, micro]", "precisions=[fp32, nf4]", "methods=[seq_bn]")
    assert not caveats(both, "precision varies")
    overridden = small("backbones=[nano, {name: micro, precisions: [fp32]}]", "methods=[seq_bn]")
    assert not caveats(overridden, "precision varies")


def test_a_precision_of_a_scale_is_checked(small):
    with pytest.raises(ConfigError, match="int4"):
        small("backbones=[{name: nano, precisions: [int4]}]")
    with pytest.raises(ConfigError, match="repeated: nf4"):
        small("backbones=[{name: nano, precisions: [nf4, nf4]}]")


RULES = "{learning_rate: 1e-3, batch_size: 8, epochs: 1, max_length: 64, max_train_examples: 24}"


def test_memory_saving_says_what_it_gives_up(small):
    rule = (
        "{when: {backbone: micro, method: full}, optimizer: adamw-8bit, update: backward, master_weights: bf16, "
        "max_grad_norm: null}"
    )
    experiment = small("backbones=[nano, micro]", "precisions=[bf16]", "methods=[full]", f"training=[{RULES}, {rule}]")
    (told,) = caveats(experiment, "the optimizer varies")
    assert "adamw: nano; adamw-8bit inside the backward pass, bf16 weights: micro" in told
    (clipping,) = caveats(experiment, "global norm")
    assert clipping.startswith("full of micro:")
    (rounding,) = caveats(experiment, "stochastically")
    assert rounding.startswith("full of micro:")
    assert not caveats(small("methods=[full]"), "optimizer")


@pytest.mark.parametrize(
    ("overrides", "trimmed"),
    [
        ([], {("full", "fp32")}),
        (["precisions=[fp32, nf4]"], {("full", "fp32"), ("seq_bn", "nf4")}),
        (["trim_vocabulary=true"], {("full", "fp32"), ("seq_bn", "fp32")}),
        (["trim_vocabulary=false", "precisions=[fp32, nf4]"], set()),
    ],
)
def test_full_fine_tuning_and_quantized_backbones_trim_their_vocabulary(small, overrides, trimmed):
    specs = trained(small(*overrides))
    assert {(spec.method, spec.precision) for spec in specs if spec.vocabulary} == trimmed


def test_a_trimmed_run_reads_the_vocabulary_of_everything_and_is_the_same_run(small):
    trimmed, whole = trained(small("trim_vocabulary=true")), trained(small("trim_vocabulary=false"))
    assert [spec.id for spec in trimmed] == [spec.id for spec in whole]
    names = {ref.name for ref in trimmed[0].vocabulary}
    assert names == {
        *(f"{task}/{split}/en" for task in ("next-event", "micro-copa") for split in ("train", "validation")),
        "micro-copa/test/en",
        "micro-copa/test/qa",
    }
    spec = trimmed[0]
    assert type(spec).from_description(spec.description()) == spec
