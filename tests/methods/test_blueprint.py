"""What files have to hold is told by a model without weights. That it is right is shown in `sharing/test_fit`."""

from __future__ import annotations

import pytest
import torch

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError
from adapter_transfer.methods.blueprint import adapter_blueprint, bare_model, count_numbers, head_shapes
from adapter_transfer.methods.catalog import METHODS


def test_no_weight_of_the_largest_published_encoder_is_made_or_asked_for():
    model = bare_model(BACKBONES["xxl"])
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    method = METHODS["seq_bn"]
    settings = method.parse_settings({}).model_dump(mode="json")
    shapes = adapter_blueprint(model, method, settings).shapes
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == count_numbers(
        BACKBONES["xxl"], method, settings
    )


def test_the_model_is_left_as_it_was():
    model = bare_model(BACKBONES["nano"])
    before = set(model.state_dict())
    method = METHODS["lora"]
    once = adapter_blueprint(model, method, method.parse_settings({}).model_dump(mode="json"))
    again = adapter_blueprint(model, method, method.parse_settings({}).model_dump(mode="json"))
    assert once == again and once.config["r"] == 8
    shapes = head_shapes(model, {"head_type": "multiple_choice", "num_choices": 2, "layers": 2})
    assert shapes["heads.*.4.weight"] == (1, 64)
    assert set(model.state_dict()) == before and not model.heads


def test_heads_that_do_not_answer_here_are_refused():
    with pytest.raises(DataError, match="multiple_choice, classification"):
        head_shapes(bare_model(BACKBONES["nano"]), {"head_type": "masked_lm"})
