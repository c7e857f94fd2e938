"""Masked-language-model pretraining of the sandbox's tiny XLM-R scales, in one thread of a CPU.

The figures of `SCALES` and the constants below were found by trial (see the candidates in `build.json`); with them a
scale takes between one and five minutes. The same seed gives the same weights on one machine with one
version of torch; another processor may round otherwise.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizerFast

from adapter_transfer.registry import Registry
from adapter_transfer.sandbox.pretraining_text import (
    MAX_TOKENS,
    NUM_LINES,
    Line,
    dictionary_line,
    pretraining_lines,
    word_ids,
)

BATCH_SIZE = 64
MASK_RATE = 0.40
WARMUP_SHARE = 0.06
MAX_GRAD_NORM = 1.0

#: Steps at the start that show dictionary lines alone. Translations first, causes after: without this the causal lines
#: hide the dictionary for thousands of steps (8 % of its words were guessed after 800 steps, against 88 %).
DICTIONARY_STEPS = 400

#: How small embeddings begin, beside the other weights. Small words, so that what is learned outweighs the noise that
#: tells translations apart (cosine of translations .79 after 1,200 steps, against .58 after 2,500 at full size). Still
#: smaller positions, for at full size they drown the words: a dictionary alone was learned to 3 % after 400 steps,
#: with small ones to 100 %. No token type: there is one, and it would outweigh both.
WORD_INIT = 0.2
POSITION_INIT = 0.02

#: The label of positions without a loss.
_IGNORED = -100


@dataclass(frozen=True)
class Scale:
    """A size of backbone and how it is pretrained.

    Args:
        name: as in the zoo.
        num_layers: transformer blocks.
        hidden_size: width; the feed-forward layer has four times as much, a head 32.
        learning_rate: the peak, after the warm-up.
        num_steps: optimizer steps of `BATCH_SIZE` lines.
    """

    name: str
    num_layers: int
    hidden_size: int
    learning_rate: float
    num_steps: int


SCALES: Registry[Scale] = Registry(
    "sandbox scale",
    [
        Scale("nano", num_layers=2, hidden_size=64, learning_rate=4e-3, num_steps=2_500),
        Scale("micro", num_layers=2, hidden_size=128, learning_rate=3e-3, num_steps=2_500),
        Scale("mini", num_layers=3, hidden_size=128, learning_rate=2.5e-3, num_steps=2_300),
    ],
)


@dataclass(frozen=True)
class Pretraining:
    """What one pretraining gave: the model, its closing loss (mean of the last 100 steps, in nats) and its duration."""

    model: XLMRobertaForMaskedLM
    mlm_loss: float
    num_steps: int
    seconds: float


def backbone_config(scale: Scale, tokenizer: XLMRobertaTokenizerFast) -> XLMRobertaConfig:
    """The configuration of a scale. Dropout is 0: the scales are too small to spare units, in fine-tuning too."""
    return XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=scale.hidden_size,
        num_hidden_layers=scale.num_layers,
        num_attention_heads=scale.hidden_size // 32,
        intermediate_size=4 * scale.hidden_size,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=MAX_TOKENS + 2,  # XLM-R counts positions from padding_idx + 1
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        initializer_range=0.7 / math.sqrt(scale.hidden_size),
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def random_model(scale: Scale, tokenizer: XLMRobertaTokenizerFast, seed: int) -> XLMRobertaForMaskedLM:
    """The model before pretraining, drawn from `seed`; torch's global stream is left as it was.

    Output matrices of attention and feed-forward are scaled down by 1 / sqrt(2 * layers) (GPT-2's rule); without it the
    larger scales lag behind.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = XLMRobertaForMaskedLM(backbone_config(scale, tokenizer))
    output_factor = 1 / math.sqrt(2 * scale.num_layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("output.dense.weight"):
                parameter.mul_(output_factor)
            elif name.endswith("word_embeddings.weight"):
                parameter.mul_(WORD_INIT)
            elif name.endswith("position_embeddings.weight"):
                parameter.mul_(POSITION_INIT)
            elif name.endswith("token_type_embeddings.weight"):
                parameter.zero_()
    return model


def pretrain(
    scale: Scale,
    tokenizer: XLMRobertaTokenizerFast,
    seed: int,
    *,
    num_steps: int | None = None,
    lines: Sequence[Line] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Pretraining:
    """Trains a model of `scale` from nothing on `lines`.

    Args:
        scale: size, rate and number of steps.
        tokenizer: the sandbox's tokenizer.
        seed: decides initial weights, order and masks.
        num_steps: instead of the scale's own.
        lines: instead of `pretraining_lines()`, as many as the steps can use.
        progress: called with the step and its loss after every step.
    """
    start = time.perf_counter()
    num_steps = num_steps or scale.num_steps
    model = random_model(scale, tokenizer, seed).train()
    network: nn.Module = model  # transformers' own types hide that a model is a module
    optimizer = torch.optim.AdamW(_parameter_groups(network), lr=scale.learning_rate, betas=(0.9, 0.98), fused=True)
    warmup = max(1, round(WARMUP_SHARE * num_steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (num_steps - step) / max(1, num_steps - warmup))
    )
    if lines is None:
        lines = list(pretraining_lines(min(NUM_LINES, num_steps * BATCH_SIZE)))
    encoded = _encode(tokenizer, lines)
    batches = _batches(encoded, tokenizer, seed)
    losses = []
    for step in range(num_steps):
        inputs, labels = next(batches)
        loss = _mlm_loss(model, inputs, labels, tokenizer.pad_token_id)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if progress is not None:
            progress(step, losses[-1])
    closing = losses[-100:]
    return Pretraining(model.eval(), sum(closing) / len(closing), num_steps, time.perf_counter() - start)


def save_body(model: XLMRobertaForMaskedLM, directory: Path) -> None:
    """Writes `config.json` and `model.safetensors`: the body in fp16, without the language-model head."""
    directory.mkdir(parents=True, exist_ok=True)
    config = XLMRobertaConfig.from_dict(model.config.to_dict())
    config.architectures = ["XLMRobertaModel"]
    config.dtype = "float16"
    (directory / "config.json").write_bytes(config.to_json_string().encode("utf-8"))
    tensors = {name: tensor.detach().half().contiguous() for name, tensor in model.roberta.state_dict().items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def _parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices; none for biases and norms."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]


def _mlm_loss(model: XLMRobertaForMaskedLM, inputs: Tensor, labels: Tensor, pad_token_id: int) -> Tensor:
    """Cross-entropy over the masked positions; the head runs on these alone.

    Args:
        inputs: token ids with masks, (B, T).
        labels: the masked tokens, -100 elsewhere, (B, T).
    """
    hidden = model.roberta(input_ids=inputs, attention_mask=(inputs != pad_token_id).long()).last_hidden_state
    masked = labels != _IGNORED
    return nn.functional.cross_entropy(model.lm_head(hidden[masked]), labels[masked])


def _encode(tokenizer: XLMRobertaTokenizerFast, lines: Sequence[Line]) -> list[list[int]]:
    encodings = tokenizer.backend_tokenizer.encode_batch(
        [first if second is None else (first, second) for first, second in lines]
    )
    return [encoding.ids for encoding in encodings]


def _batches(
    encoded: list[list[int]], tokenizer: XLMRobertaTokenizerFast, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Masked batches without end: dictionary batches, then epoch after epoch of all lines in random order.

    Lines are not sorted by length: that puts the dictionary and the causal lines into different batches, and two kinds
    of steps that pull in turns learned more slowly than padding costs.
    """
    rng = random.Random(f"{seed}/order")
    generator = torch.Generator().manual_seed(seed)
    maskable = torch.tensor(word_ids(tokenizer))
    for _ in range(DICTIONARY_STEPS):
        dictionary = _encode(tokenizer, [dictionary_line(rng) for _ in range(BATCH_SIZE)])
        yield _masked_batch(dictionary, tokenizer, maskable, generator)
    while True:
        order = rng.sample(range(len(encoded)), len(encoded))
        for start in range(0, len(order), BATCH_SIZE):
            lines = [encoded[i] for i in order[start : start + BATCH_SIZE]]
            yield _masked_batch(lines, tokenizer, maskable, generator)


def _masked_batch(
    lines: list[list[int]], tokenizer: XLMRobertaTokenizerFast, maskable: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Inputs with `MASK_RATE` of the maskable tokens replaced by `<mask>`, and labels that name them, both (B, T).

    Names and stems alone are masked: affixes, prompts and punctuation teach nothing about this world. Every one of them
    becomes `<mask>`; none is replaced by another word or kept, as some are in BERT.
    """
    ids = nn.utils.rnn.pad_sequence(
        [torch.tensor(line) for line in lines], batch_first=True, padding_value=tokenizer.pad_token_id
    )
    masked = (torch.rand(ids.shape, generator=generator) < MASK_RATE) & torch.isin(ids, maskable)
    return ids.masked_fill(masked, tokenizer.mask_token_id), ids.masked_fill(~masked, _IGNORED)
