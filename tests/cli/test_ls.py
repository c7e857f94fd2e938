"""`ls`: what it lists is what is declared, without a network, and the documentation's table is one of its outputs."""

from __future__ import annotations

import json
import re

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.training.recipes import RECIPES, SCALES


def test_the_documented_hyper_parameters_are_the_shipped_ones(call, root):
    text = (root / "docs" / "hyperparameters.md").read_text("utf-8")
    [documented] = re.findall(r"<!-- recipes -->\n(.*?)<!-- /recipes -->", text, re.DOTALL)
    shown = call("ls", "recipes", "--markdown")
    assert shown.code == 0
    assert documented == shown.out, "write what `adapter-transfer ls recipes --markdown` prints between the marks"


def test_the_readmes_table_of_tasks_is_that_of_the_declarations(call, root):
    text = (root / "README.md").read_text("utf-8")
    [documented] = re.findall(r"<!-- tasks -->\n(.*?)<!-- /tasks -->", text, re.DOTALL)
    shown = call("ls", "tasks", "--markdown")
    assert shown.code == 0
    assert documented == shown.out, "write what `adapter-transfer ls tasks --markdown` prints between the marks"
    published = [name for name, task in TASKS.items() if not task.is_sandbox]
    assert [line.split("`")[1] for line in shown.out.splitlines()[2:]] == published


def test_recipes_for_machines_hold_every_figure(call):
    rows = json.loads(call("ls", "recipes", "--json").out)
    assert [row["values"] for row in rows] == [recipe.values for recipe in RECIPES]
    assert rows[0] == {
        "methods": ["full"],
        "backbones": ["base"],
        "tasks": [],
        "phase": None,
        "values": {
            "learning_rate": 2e-5,
            "batch_size": 32,
            "epochs": 5,
            "max_length": 128,
            "weight_decay": 0.0,
            "warmup_share": 0.0,
        },
        "source": RECIPES[0].source,
    }


def test_recipes_for_people_write_rates_as_papers_do(call):
    shown = call("ls", "recipes").out
    assert "learning_rate 2e-5, batch_size 32, epochs 5" in shown
    assert "0.00002" not in shown


def test_published_backbones_are_listed_with_their_parameters(call):
    rows = {row["name"]: row for row in json.loads(call("ls", "backbones", "--json").out)}
    assert list(rows) == list(BACKBONES)
    # Conneau et al. 2020 say 270 and 550 million: 250,002 tokens, 514 positions, without pooler and heads.
    assert rows["base"]["parameters"] == 277_453_056
    assert rows["large"]["parameters"] == 558_840_832
    shown = call("ls", "backbones").out
    assert all(name in shown for name in SCALES)


def test_every_published_backbone_can_be_trained(call):
    rows = {row["name"]: row for row in json.loads(call("ls", "backbones", "--json").out)}
    assert {row["impossible"] for row in rows.values()} == {None}
    assert rows["base"]["source"] == "FacebookAI/xlm-roberta-base"


def test_methods_show_their_settings_as_a_configuration_has_them(call):
    rows = {row["name"]: row for row in json.loads(call("ls", "methods", "--json").out)}
    assert list(rows) == list(METHODS)
    assert rows["lora"]["settings"]["attn_matrices"] == ["q", "v"]
    assert rows["full"]["not at"] == "int8, nf4"
    shown = " ".join(call("ls", "methods").out.split())
    assert "attn_matrices: [q, v], intermediate_lora: false" in shown


def test_tasks_show_their_languages(call):
    rows = {row["name"]: row for row in json.loads(call("ls", "tasks", "--json").out)}
    assert rows["xcopa"]["languages"] == "en, et, ht, id, it, qu, sw, ta, th, tr, vi, zh"
    assert rows["socialiqa"]["role"] == "intermediate"
