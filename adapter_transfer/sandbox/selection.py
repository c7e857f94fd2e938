"""How a pretrained candidate is scored, to choose between pretraining seeds: a short full fine-tuning, validation only.

This is no second training loop for results: what is compared in experiments runs through `training`. It stands here so
that a rebuild needs nothing above the pretraining, and it never reads a test file.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, XLMRobertaTokenizerFast

from adapter_transfer.sandbox.languages import ENGLISH, TARGETS
from adapter_transfer.sandbox.rules import PROMPTS

BATCH_SIZE = 32
WARMUP_SHARE = 0.06
INTERMEDIATE_EPOCHS, INTERMEDIATE_LEARNING_RATE = 2, 1e-3
TARGET_EPOCHS, TARGET_LEARNING_RATE = 4, 3e-4

#: The choices of an item as token ids, and the right one.
Encoded = tuple[list[list[int]], int]


class _ChoiceScorer(nn.Module):
    """A body with two layers on its first token, one score a choice."""

    def __init__(self, checkpoint_dir: Path) -> None:
        super().__init__()
        self.body = AutoModel.from_pretrained(checkpoint_dir, add_pooling_layer=False, dtype=torch.float32)
        hidden_size = self.body.config.hidden_size
        self.head = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.Tanh(), nn.Linear(hidden_size, 1))

    def forward(self, ids: Tensor, mask: Tensor, num_choices: int) -> Tensor:
        """Scores (B, C) of choices given as rows of ids (B * C, T)."""
        first = self.body(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        scores: Tensor = self.head(first)
        return scores.view(-1, num_choices)


def score_candidate(
    checkpoint_dir: Path, tokenizer: XLMRobertaTokenizerFast, data_dir: Path, seed: int = 0
) -> Mapping[str, float]:
    """Validation accuracies (0 to 1) of micro-copa after full fine-tuning, without and with next-event before it.

    Returns:
        `none_en`, `none_zero_shot`, `next_event_en`, `next_event_zero_shot`; zero-shot is the mean over the languages
        that were never fine-tuned on.
    """
    intermediate = _read(data_dir, tokenizer, "next-event", ENGLISH.code, "train")
    target = _read(data_dir, tokenizer, "micro-copa", ENGLISH.code, "train")
    scores: dict[str, float] = {}
    for name, phases in (
        ("none", [(target, TARGET_EPOCHS, TARGET_LEARNING_RATE)]),
        (
            "next_event",
            [
                (intermediate, INTERMEDIATE_EPOCHS, INTERMEDIATE_LEARNING_RATE),
                (target, TARGET_EPOCHS, TARGET_LEARNING_RATE),
            ],
        ),
    ):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _ChoiceScorer(checkpoint_dir)
        for items, num_epochs, learning_rate in phases:
            _fit(model, items, num_epochs, learning_rate, seed)
        by_language = {
            language.code: _accuracy(model, _read(data_dir, tokenizer, "micro-copa", language.code, "validation"))
            for language in (ENGLISH, *TARGETS)
        }
        scores[f"{name}_en"] = by_language[ENGLISH.code]
        scores[f"{name}_zero_shot"] = sum(by_language[language.code] for language in TARGETS) / len(TARGETS)
    return {name: round(score, 4) for name, score in scores.items()}


def _read(data_dir: Path, tokenizer: XLMRobertaTokenizerFast, task: str, language: str, split: str) -> list[Encoded]:
    text = (data_dir / task / language / f"{split}.jsonl").read_text(encoding="utf-8")
    items: list[Encoded] = []
    for row in map(json.loads, text.splitlines()):
        if task == "micro-copa":
            premise, choices = f"{row['premise']} {PROMPTS[row['question']]}", [row["choice1"], row["choice2"]]
        else:
            premise, choices = row["context"], row["endings"]
        items.append((tokenizer([premise] * len(choices), choices)["input_ids"], row["label"]))
    return items


def _fit(model: _ChoiceScorer, items: Sequence[Encoded], num_epochs: int, learning_rate: float, seed: int) -> None:
    rng = random.Random(f"{seed}/selection")
    num_steps = num_epochs * -(-len(items) // BATCH_SIZE)
    warmup = max(1, round(WARMUP_SHARE * num_steps))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (num_steps - step) / max(1, num_steps - warmup))
    )
    model.train()
    for _ in range(num_epochs):
        order = rng.sample(range(len(items)), len(items))
        for start in range(0, len(order), BATCH_SIZE):
            batch = [items[i] for i in order[start : start + BATCH_SIZE]]
            loss = nn.functional.cross_entropy(_scores(model, batch), torch.tensor([label for _, label in batch]))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


@torch.no_grad()
def _accuracy(model: _ChoiceScorer, items: Sequence[Encoded]) -> float:
    model.eval()
    right = 0
    for start in range(0, len(items), 4 * BATCH_SIZE):
        batch = items[start : start + 4 * BATCH_SIZE]
        predictions = _scores(model, batch).argmax(dim=-1).tolist()
        right += sum(prediction == label for prediction, (_, label) in zip(predictions, batch, strict=True))
    return right / len(items)


def _scores(model: _ChoiceScorer, batch: Sequence[Encoded]) -> Tensor:
    """Scores (B, C) of a batch of items with as many choices each."""
    rows = [torch.tensor(ids) for choices, _ in batch for ids in choices]
    pad = model.body.config.pad_token_id
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    scores: Tensor = model(ids, (ids != pad).long(), len(batch[0][0]))
    return scores
