"""Hyper-parameters that travel with the program: for published backbones, each with its source. No torch.

They come before an experiment's own rules, which win. What no recipe sets has the default of `TrainingSettings`. Where
nobody has published a value for a combination, the source says so and names where the value was taken from; every
figure was read in the script or table that is named. The sandbox and users' own encoders have no recipes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_transfer.backbones.zoo import PUBLISHED
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.mixtures import is_mixture, members
from adapter_transfer.training.settings import Phase, RuleBase, TrainingRule, TrainingSettings

SCALES = tuple(backbone.name for backbone in PUBLISHED)
"""Backbones that recipes are for, smallest first."""


@dataclass(frozen=True)
class Recipe:
    """Values for some trainings, with where they come from.

    Attributes:
        backbones: of the zoo; the recipe is for each of them.
        methods: likewise.
        rule: what it sets; its own filter is empty.
        source: paper and table, or script and where it is published; honest where there is none.
        tasks: that are trained; empty for every one.
        phase: None for both.
    """

    backbones: tuple[str, ...]
    methods: tuple[str, ...]
    rule: RuleBase
    source: str
    tasks: tuple[str, ...] = ()
    phase: Phase | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What it sets, in the order of `TrainingSettings`."""
        changes = self.rule.changes()
        return {name: changes[name] for name in TrainingSettings.model_fields if name in changes}


NO_VALUE = "no published value"
"""How the source of a value begins that nobody published for that method and scale."""

_XTREME_R = "XTREME-R (Ruder et al. 2021, arXiv 2104.07412): google-research/xtreme@c061466 scripts/train_xcopa.sh"
_XTREME = "XTREME (Hu et al. 2020, arXiv 2003.11080): google-research/xtreme@0918248 scripts"
_POTH = "Poth et al. 2021 (arXiv 2104.08247): adapter-hub/efficient-task-transfer@a3564a5 run_configs"
_FUSION = "Pfeiffer et al. 2021 (AdapterFusion, arXiv 2005.00247, section 4.1)"
_LORA = "Hu et al. 2021 (LoRA, arXiv 2106.09685)"
_HE = "He et al. 2022 (arXiv 2110.04366, table 8)"
_REFT = "Wu et al. 2024 (ReFT, arXiv 2404.03592)"


def _recipe(
    backbones: Iterable[str], methods: Iterable[str], source: str, values: Mapping[str, Any], *tasks: str
) -> Recipe:
    return Recipe(tuple(backbones), tuple(methods), TrainingRule(**values), source, tasks)


_MINI = ("mminilm-l6", "mminilm-l12")
_BILLIONS = ("xl", "xxl")
_OTHERS = tuple(name for name in SCALES if name != "base")
_OTHER_ADAPTERS = tuple(name for name, method in METHODS.items() if method.kind == "adapter" and name != "seq_bn")
_PLAIN = {"weight_decay": 0.0, "warmup_share": 0.0}
_DECAYED = {"weight_decay": 0.1, "warmup_share": 0.06}
_XTREME_R_VALUES = {"batch_size": 32, "epochs": 5, "max_length": 128}
_XTREME_QA = {"batch_size": 32, "epochs": 3, "max_length": 384, "doc_stride": 128}
_SQUAD = ("squad1", "squad2")
_POTH_VALUES = {"batch_size": 32, "epochs": 15, "max_length": 128, "patience": 4}

_FULL = (
    _recipe(
        ("base",),
        ("full",),
        f"{_XTREME_R} (SIQA, then COPA: 8 × 4 steps of accumulation; decay and warm-up are its Trainer's defaults)",
        {"learning_rate": 2e-5, **_XTREME_R_VALUES, **_PLAIN},
    ),
    _recipe(
        ("large",),
        ("full",),
        f"{_XTREME_R} (SIQA, then COPA: 2 × 16 steps of accumulation; decay and warm-up are its Trainer's defaults)",
        {"learning_rate": 3e-5, **_XTREME_R_VALUES, **_PLAIN},
    ),
    _recipe(
        _MINI,
        ("full",),
        f"{NO_VALUE} for multiple choice; rate, epochs and decay of mMiniLM-L12 on XNLI (microsoft/unilm@01e7da4 "
        "minilm/README.md, batch 128 there), batch and length as base",
        {"learning_rate": 5e-5, **_XTREME_R_VALUES, "weight_decay": 0.001},
    ),
    _recipe(
        _BILLIONS,
        ("full",),
        f"{NO_VALUE} found for XLM-R XL and XXL; rate of DeBERTa V2 XXL (1.5 billion) on MNLI (microsoft/"
        "DeBERTa@10f237a experiments/glue/mnli.sh), batch, epochs and length as large",
        {"learning_rate": 3e-6, **_XTREME_R_VALUES},
    ),
    _recipe(
        ("base", "large"),
        ("full",),
        f"{_XTREME}/train_qa.sh (SQuAD 1.1, XLM-R base and large: 4 × 8 steps of accumulation; its 500 steps of "
        "warm-up are 0.06 of all)",
        {"learning_rate": 3e-5, **_XTREME_QA, "weight_decay": 0.0001, "warmup_share": 0.06},
        *_SQUAD,
    ),
    _recipe(
        (*_MINI, *_BILLIONS),
        ("full",),
        f"{NO_VALUE} at these scales; epochs, length and stride taken from base, the rate is their own",
        _XTREME_QA,
        *_SQUAD,
    ),
    _recipe(
        ("base", "large"),
        ("full",),
        f"{NO_VALUE} for CCG; rate, batch, epochs and length as XTREME (Hu et al. 2020, arXiv 2003.11080) tags names "
        "with XLM-R: google-research/xtreme@0918248 scripts/train_panx.sh",
        {"learning_rate": 2e-5, "batch_size": 32, "epochs": 10, "max_length": 128},
        "ccg",
    ),
    _recipe(
        SCALES,
        ("full",),
        f"{NO_VALUE} of a length for XLM-R; taken from seq_bn",
        {"max_length": 200},
        "hellaswag",
    ),
    _recipe(
        SCALES,
        ("full",),
        f"{NO_VALUE} of a length for XLM-R; taken from seq_bn",
        {"max_length": 160},
        "anli",
    ),
)

# What depends on the task: how long, and in which steps. It is the same for every adapter method, so that none is
# given more passes than another; the rate is each method's own, below.
_ADAPTER_TASKS = (
    _recipe(
        ("base",),
        ("seq_bn",),
        f"{_POTH}/copa.json (RoBERTa base, of the same shape; length 60 there, 128 here for other scripts; decay and "
        f"warm-up are its defaults); the rate also in {_FUSION}",
        {"learning_rate": 1e-4, **_POTH_VALUES, **_PLAIN},
    ),
    _recipe(
        _OTHERS,
        ("seq_bn",),
        f"{NO_VALUE} at this scale for these tasks; all taken from base (LoRA's table 9 has 3e-4 for RoBERTa large on "
        "GLUE: a value to try in `tune:`)",
        {"learning_rate": 1e-4, **_POTH_VALUES, **_PLAIN},
    ),
    _recipe(
        SCALES,
        _OTHER_ADAPTERS,
        f"{NO_VALUE} for these tasks; batch, epochs, patience and length taken from seq_bn",
        _POTH_VALUES,
    ),
    _recipe(
        ("base",),
        ("seq_bn",),
        f"{_POTH}/social_i_qa.json (RoBERTa base)",
        {"batch_size": 16},
        "socialiqa",
    ),
    _recipe(
        _OTHERS,
        ("seq_bn",),
        f"{NO_VALUE} at this scale; taken from base",
        {"batch_size": 16},
        "socialiqa",
    ),
    _recipe(
        SCALES,
        _OTHER_ADAPTERS,
        f"{NO_VALUE} for this task; taken from seq_bn",
        {"batch_size": 16},
        "socialiqa",
    ),
    *(
        recipe
        for source, values, tasks in (
            ("hellaswag.json (RoBERTa base)", {"batch_size": 16, "max_length": 200}, ("hellaswag",)),
            ("cosmos_qa.json (RoBERTa base)", {"batch_size": 16}, ("cosmosqa",)),
            ("commonsense_qa.json (RoBERTa base)", {"batch_size": 16, "max_length": 80}, ("commonsenseqa",)),
            ("squad.json and squad_v2.json (RoBERTa base)", {"batch_size": 16, "max_length": 384}, _SQUAD),
            ("anli_r3.json (RoBERTa base, round 3 alone)", {"max_length": 160}, ("anli",)),
        )
        for recipe in (
            _recipe(("base",), ("seq_bn",), f"{_POTH}/{source}", values, *tasks),
            _recipe(_OTHERS, ("seq_bn",), f"{NO_VALUE} at this scale; taken from base", values, *tasks),
            _recipe(SCALES, _OTHER_ADAPTERS, f"{NO_VALUE} for this task; taken from seq_bn", values, *tasks),
        )
    ),
)

_ADAPTER_METHODS = (
    _recipe(
        SCALES,
        ("double_seq_bn",),
        f"{NO_VALUE} for these tasks; taken from seq_bn (LoRA's table 9 has 3e-4 for RoBERTa large on GLUE)",
        {"learning_rate": 1e-4, **_PLAIN},
    ),
    _recipe(
        ("base",),
        ("par_bn", "prefix"),
        f"{_HE}: every method they compare, prefixes by way of an MLP, RoBERTa base on MNLI and SST-2; warm-up in A.2",
        {"learning_rate": 1e-4, **_DECAYED},
    ),
    _recipe(
        _OTHERS,
        ("par_bn", "prefix"),
        f"{NO_VALUE} at this scale; taken from base (prefixes without an MLP want more: P-tuning v2 has 9e-3 for "
        "RoBERTa large on COPA, THUDM/P-tuning-v2@2873f47 run_script/run_copa_roberta.sh)",
        {"learning_rate": 1e-4, **_DECAYED},
    ),
    _recipe(
        ("base",),
        ("lora",),
        f"{_LORA}, table 9: RoBERTa base on MNLI and RTE, r 8, α 8; decay and warm-up in microsoft/LoRA@c18b175 "
        "examples/NLU/roberta_base_mnli.sh",
        {"learning_rate": 5e-4, **_DECAYED},
    ),
    _recipe(
        ("large",),
        ("lora",),
        f"{_LORA}, table 9: RoBERTa large on MNLI, r 8, α 16; decay and warm-up in microsoft/LoRA@c18b175 "
        "examples/NLU/roberta_large_stsb.sh",
        {"learning_rate": 3e-4, **_DECAYED},
    ),
    _recipe(
        _MINI,
        ("lora",),
        f"{NO_VALUE} at this scale; taken from base",
        {"learning_rate": 5e-4, **_DECAYED},
    ),
    _recipe(
        _BILLIONS,
        ("lora",),
        f"{NO_VALUE} for XLM-R XL and XXL; taken from DeBERTa V2 XXL (1.5 billion) on MNLI: {_LORA}, table 10",
        {"learning_rate": 1e-4, "weight_decay": 0.0, "warmup_share": 0.1},
    ),
    _recipe(
        (*_MINI, "base"),
        ("dora",),
        f"{NO_VALUE} for encoders (Liu et al. 2024, arXiv 2402.09353, train LLaMA: 2e-4, NVlabs/DoRA@7393fa6 "
        "commonsense_reasoning/llama2_7B_DoRA.sh); taken from LoRA at the same scale",
        {"learning_rate": 5e-4, **_DECAYED},
    ),
    _recipe(
        ("large",),
        ("dora",),
        f"{NO_VALUE} for encoders; taken from LoRA at the same scale",
        {"learning_rate": 3e-4, **_DECAYED},
    ),
    _recipe(
        _BILLIONS,
        ("dora",),
        f"{NO_VALUE} for encoders; taken from LoRA at the same scale",
        {"learning_rate": 1e-4, "weight_decay": 0.0, "warmup_share": 0.1},
    ),
    _recipe(
        SCALES,
        ("ia3",),
        f"{NO_VALUE} for encoders; taken from T-Few (Liu et al. 2022, arXiv 2205.05638, section 3.5: T0 with "
        "Adafactor, 60 of 1,000 steps of warm-up; COPA among its tasks)",
        {"learning_rate": 3e-3, "weight_decay": 0.0, "warmup_share": 0.06},
    ),
    _recipe(
        SCALES,
        ("compacter",),
        f"{NO_VALUE} for encoders; taken from T5 base on GLUE (Karimi Mahabadi et al. 2021, arXiv 2106.04647: "
        "rabeehk/compacter@bf8c555 seq2seq/configs/compacter.json; 500 steps of warm-up there)",
        {"learning_rate": 3e-3},
    ),
    _recipe(
        ("base",),
        ("reft",),
        f"{_REFT}, table 9: LoReFT, RoBERTa base on MNLI",
        {"learning_rate": 6e-4, "weight_decay": 0.0, "warmup_share": 0.06},
    ),
    _recipe(
        ("large",),
        ("reft",),
        f"{_REFT}, table 10: LoReFT, RoBERTa large on MNLI",
        {"learning_rate": 6e-4, **_PLAIN},
    ),
    _recipe(
        _MINI,
        ("reft",),
        f"{NO_VALUE} at this scale; taken from base",
        {"learning_rate": 6e-4, "weight_decay": 0.0, "warmup_share": 0.06},
    ),
    _recipe(
        _BILLIONS,
        ("reft",),
        f"{NO_VALUE} at this scale for encoders; taken from large",
        {"learning_rate": 6e-4, **_PLAIN},
    ),
)

RECIPES: tuple[Recipe, ...] = (*_FULL, *_ADAPTER_TASKS, *_ADAPTER_METHODS)
"""Every recipe; a later one wins over an earlier one, as with an experiment's rules."""


def recipes_for(*, phase: Phase, method: str, backbone: str, task: str) -> tuple[Recipe, ...]:
    """The recipes of one training, in the order in which they apply; none where the backbone is not a published one.

    A control is trained as the task that it is made of. A mixture is trained as any task, with the longest rows that a
    task of it has.
    """
    names = {member.base.name for member in members(task)}
    fitting = [
        recipe
        for recipe in RECIPES
        if backbone in recipe.backbones and method in recipe.methods and recipe.phase in (None, phase)
    ]
    if not is_mixture(task):
        return tuple(recipe for recipe in fitting if not recipe.tasks or names & set(recipe.tasks))
    general = tuple(recipe for recipe in fitting if not recipe.tasks)
    lengths = [
        recipe.values.get("max_length", 0) for recipe in fitting if not recipe.tasks or names & set(recipe.tasks)
    ]
    if not general:
        return ()
    rule = TrainingRule(**{"max_length": max(lengths)})
    return (
        *general,
        Recipe((backbone,), (method,), rule, f"{NO_VALUE} for mixtures; length as the longest of its tasks"),
    )
