"""A worker's session: runs one run after the other and keeps backbone, tokenizer and tokens loaded in between."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from adapter_transfer.backbones.loading import load_body, trimming_of
from adapter_transfer.backbones.sizes import count_parameters
from adapter_transfer.backbones.tokenizer_loading import TokenizerText, load_tokenizer
from adapter_transfer.backbones.vocabulary import KeptTokens
from adapter_transfer.errors import DataError
from adapter_transfer.experiments.adopting import adopt
from adapter_transfer.experiments.assemblies import (
    body_source,
    evaluation_assembly,
    parent_artifacts,
    training_assembly,
)
from adapter_transfer.experiments.data import SplitRef, examples_of
from adapter_transfer.experiments.kept import kept_for_run, of_attempt
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.provenance import machine, versions
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import RunDirectory, Store
from adapter_transfer.methods.attach import with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.encoding import require_legible, take
from adapter_transfer.tasks.formats import Cutting, EncodedExamples
from adapter_transfer.tasks.stored_examples import LARGE_SPLIT, ExampleCache
from adapter_transfer.tasks.stored_tokens import TokenCache
from adapter_transfer.training.loop import FitTask, Progress
from adapter_transfer.training.phases import PhasePaths, TrainingPhase, run_evaluation_phase, run_training_phase
from adapter_transfer.training.runtime import Runtime, chosen_device, make_accelerator

_ENCODINGS_KEPT = 32


@dataclass
class Session:
    """What a worker keeps from run to run: one model, tokenizers, encoded data, one accelerator.

    Attributes:
        large_split: examples up to which a split is kept in memory, and not in the store's cache.
    """

    store: Store
    settings: MachineSettings
    large_split: int = LARGE_SPLIT
    _tokenizers: dict[str, Any] = field(default_factory=dict)
    _encodings: OrderedDict[tuple[str, ...], EncodedExamples] = field(default_factory=OrderedDict)
    _runtime: tuple[tuple[Any, ...], Runtime] | None = None
    _model: tuple[tuple[Any, ...], Any] | None = None
    _kept: tuple[tuple[Any, ...], KeptTokens | None] | None = None

    def __post_init__(self) -> None:
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)

    def execute(self, spec: RunSpec, on_progress: Callable[[Progress], None] = lambda _: None) -> None:
        """Runs one run to its end in its directory.

        Raises:
            LeaseHeldError: if another process works on it.
            RunDoneError: if it is done.
            AdapterTransferError: whatever stopped it; it is written down in the run's directory, too.
        """
        with self.store.begin(spec.id, self._run_json(spec)) as directory:
            try:
                if spec.is_adoption:
                    metrics = adopt(spec, directory, self.store)
                else:
                    runtime = self._runtime_for(spec)
                    run = self._evaluate if spec.phase == "evaluation" else self._train
                    with _tracked(runtime, spec):
                        metrics = run(spec, directory, runtime, on_progress)
                # run.json tells of the first attempt; a run may be finished by another machine or version.
                directory.commit({**metrics, "finished_by": self._provenance()})
            except BaseException as error:
                self._model = None  # in whatever state the failure left it
                if isinstance(error, Exception):
                    directory.fail(error)
                raise

    def _train(
        self, spec: RunSpec, directory: RunDirectory, runtime: Runtime, on_progress: Callable[[Progress], None]
    ) -> dict[str, Any]:
        whole = [self._encoded(spec, ref, on_progress) for ref in spec.data]
        artifact = parent_artifacts(self.store, spec)
        trained_dir = body_source(spec, artifact)
        kept, progress_dir, trimming = self._kept_for(spec, whole), directory.progress_dir, None
        if kept is not None and METHODS[spec.method].kind == "full":
            kept, progress_dir = of_attempt(progress_dir, kept, [part.tokens for part in whole])
            vocab_size = len(self._tokenizer(spec))
            trimming = trimming_of(spec.declaration, kept, vocab_size=vocab_size, trained_dir=trained_dir)
        model = self._load(spec, runtime, trained_dir, kept)
        parts = iter(_renumbered(whole, kept))
        tasks = tuple(
            FitTask(task.name, take(next(parts), spec.training.max_train_examples), next(parts)) for task in spec.tasks
        )
        metrics = run_training_phase(
            TrainingPhase(
                model=model,
                assembly=training_assembly(spec, artifact),
                counts=count_parameters(_whole_config(model, kept)),
                tasks=tasks,
                settings=spec.training,
                seed=spec.seed,
                purpose=f"{spec.phase}/{spec.task}",
                runtime=runtime,
                paths=PhasePaths(
                    directory.artifact_dir, progress_dir, directory.history_path, directory.predictions_path
                ),
                trimming=trimming,
                on_progress=on_progress,
            )
        )
        return {**metrics, "num_kept_tokens": None if kept is None else len(kept)}

    def _evaluate(
        self, spec: RunSpec, directory: RunDirectory, runtime: Runtime, on_progress: Callable[[Progress], None]
    ) -> dict[str, Any]:
        whole = [self._encoded(spec, ref, on_progress) for ref in spec.data]
        artifact = parent_artifacts(self.store, spec)
        kept = self._kept_for(spec, whole)
        metrics = run_evaluation_phase(
            self._load(spec, runtime, body_source(spec, artifact), kept),
            evaluation_assembly(spec, artifact),
            _renumbered(whole, kept),
            runtime,
            directory.predictions_path,
            on_rows=lambda done, total: on_progress(Progress(done, total)),
        )
        return {**metrics, "num_kept_tokens": None if kept is None else len(kept)}

    def _kept_for(self, spec: RunSpec, encoded: Sequence[EncodedExamples]) -> KeptTokens | None:
        """To which tokens the table is trimmed; None where it stays whole, as where a token would lack its row."""
        key = (spec.backbone_digest, spec.vocabulary)
        if self._kept is None or self._kept[0] != key:
            cache, data_dir = self.store.root / "cache", self.settings.data_dir
            self._kept = (
                key,
                kept_for_run(
                    spec, self._tokenizer(spec), cache_dir=cache, data_dir=data_dir, examples=self._example_cache
                ),
            )
        kept = self._kept[1]
        is_enough = kept is not None and all(kept.covers(part.tokens) for part in encoded)
        return kept if is_enough else None

    def _load(self, spec: RunSpec, runtime: Runtime, trained_dir: Path | None, kept: KeptTokens | None) -> Any:
        is_full = METHODS[spec.method].kind == "full"
        kept_digest = None if kept is None else kept.digest
        key = (spec.backbone_digest, spec.precision, spec.training.dropout, runtime.device, kept_digest)
        if not is_full and self._model is not None and self._model[0] == key:
            return self._model[1]
        self._model = None  # before the next is loaded: two of them may not fit
        tokenizer = self._tokenizer(spec)
        self._require_unchanged(spec)
        body = load_body(
            spec.declaration,
            precision=spec.precision,
            trains=is_full,
            device=runtime.device,
            vocab_size=len(tokenizer),
            dropout=spec.training.dropout,
            # In evaluation, too: a body that trained in bf16 computes as it did.
            dtype=torch.bfloat16 if is_full and spec.training.master_weights == "bf16" else None,
            trained_dir=trained_dir,
            keep=kept,
            prepared_dir=self.store.root / "cache" / "backbones",
        )
        model = with_flexible_heads(body)
        if not is_full:
            self._model = (key, model)
        return model

    def _require_unchanged(self, spec: RunSpec) -> None:
        """Refuses a backbone whose files are no longer those that the run's identity was made of."""
        if spec.declaration.digest(spec.texts_digest) != spec.backbone_digest:
            raise DataError(
                f"backbone {spec.backbone!r} is not the one this run was planned or trained with: its weights, "
                "configuration or tokenizer have changed. Restore them, or plan again to make new runs."
            )

    def _tokenizer(self, spec: RunSpec) -> Any:
        if spec.backbone_digest not in self._tokenizers:
            self._require_unchanged(spec)
            text = None
            if spec.texts_digest is not None:
                text = TokenizerText(spec.texts_digest, partial(self._texts, spec.tokenizer_data))
            cache = self.store.root / "cache" / "tokenizers"
            self._tokenizers[spec.backbone_digest] = load_tokenizer(spec.declaration, text=text, cache_dir=cache)
        return self._tokenizers[spec.backbone_digest]

    @property
    def _example_cache(self) -> ExampleCache:
        return ExampleCache(self.store.root / "cache" / "examples", most_in_memory=self.large_split)

    def _texts(self, refs: tuple[SplitRef, ...]) -> Iterator[str]:
        for ref in refs:
            for example in examples_of(ref, self.settings.data_dir, self._example_cache).examples:
                for first, second in dict.fromkeys(example.rows):
                    yield first if second is None else f"{first} {second}"

    def _encoded(self, spec: RunSpec, ref: SplitRef, on_progress: Callable[[Progress], None]) -> EncodedExamples:
        """A split as tokens; of a large one to be trained on, no more than that takes (and enough to be looked at)."""
        cutting = Cutting(spec.training.max_length, spec.training.doc_stride)
        most = spec.training.max_train_examples if ref.split == "train" and spec.phase != "evaluation" else None
        count = ref.num_examples if most is None else max(most, self.large_split)
        sizes = (str(min(count, ref.num_examples)), str(cutting.max_length), str(cutting.doc_stride))
        format = next(each for task, each in zip(spec.tasks, spec.formats, strict=True) if task.name == ref.task)
        # The same words are other numbers where the training data has other tags.
        key = (spec.backbone_digest, ref.digest, ref.task, ref.language, repr(format), *sizes)
        if key in self._encodings:
            self._encodings.move_to_end(key)
            return self._encodings[key]
        examples = examples_of(ref, self.settings.data_dir, self._example_cache)
        if examples.digest != ref.digest:
            raise DataError(f"{ref.name} has changed since the plan was made; start again")
        if most is not None and count < len(examples.examples):
            examples = replace(examples, examples=examples.examples[:count])
        tokens = TokenCache(
            self.store.root / "cache" / "tokens",
            lambda task, done, total: on_progress(Progress(done, total, doing=f"tokenizing {task}")),
            self.large_split,
        )
        encoded = tokens.encode(examples, format, self._tokenizer(spec), cutting, spec.backbone_digest)
        if spec.declaration.trains_tokenizer:
            require_legible(encoded, examples.examples, self._tokenizer(spec).unk_token_id, ref.name)
        self._encodings[key] = encoded
        if len(self._encodings) > _ENCODINGS_KEPT:
            self._encodings.popitem(last=False)
        return encoded

    def _runtime_for(self, spec: RunSpec) -> Runtime:
        pad_id = self._tokenizer(spec).pad_token_id
        token_budget = self.settings.micro_batch_tokens(spec.training)
        key = (spec.precision, pad_id, token_budget)
        if self._runtime is None or self._runtime[0] != key:
            accelerator = make_accelerator(
                self.settings.device,
                spec.precision,
                trackers=self.settings.trackers,
                logging_dir=self.store.root / "trackers",
            )
            runtime = Runtime(
                accelerator,
                precision=spec.precision,
                token_budget=token_budget,
                checkpoint_steps=self.settings.checkpoint_steps,
                pad_id=pad_id,
                trackers=self.settings.trackers,
            )
            self._runtime = (key, runtime)
        return self._runtime[1]

    def _run_json(self, spec: RunSpec) -> dict[str, Any]:
        return {
            "format": 1,
            "id": spec.id,
            "identity": spec.identity(),
            "description": spec.description(),
            **self._provenance(),
        }

    def _provenance(self) -> dict[str, Any]:
        found = machine(chosen_device(self.settings.device))
        return {"versions": versions(), "machine": {**found, "token_budget": self.settings.token_budget}}


@contextmanager
def _tracked(runtime: Runtime, spec: RunSpec) -> Iterator[None]:
    """Opens the experiment trackers that the user asked for, for one run."""
    if not runtime.trackers:
        yield
        return
    description = spec.description()
    flat = {key: value for key, value in description.items() if isinstance(value, str | int | float)}
    runtime.accelerator.init_trackers(f"adapter-transfer-{spec.id}", config=flat)
    try:
        yield
    finally:
        runtime.accelerator.end_training()


def _renumbered(encoded: Sequence[EncodedExamples], kept: KeptTokens | None) -> list[EncodedExamples]:
    """The examples with the tokens' ids in a trimmed table."""
    return [part if kept is None else replace(part, tokens=kept.renumber(part.tokens)) for part in encoded]


def _whole_config(model: Any, kept: KeptTokens | None) -> dict[str, Any]:
    """The model's configuration with the vocabulary that it has outside of this run."""
    config: dict[str, Any] = model.config.to_dict()
    return config if kept is None else {**config, "vocab_size": kept.num_rows}
