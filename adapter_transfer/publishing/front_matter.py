"""The front matter of a model card: what the Hub reads to find, filter and compare models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapter_transfer.documents import dump_text
from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.languages import LANGUAGES
from adapter_transfer.publishing.escaping import Written, visible
from adapter_transfer.sharing.package import Package, Score
from adapter_transfer.tasks.mixtures import members
from adapter_transfer.tasks.task import Task

LIBRARY = "adapter-transformers"
TRAINING_LANGUAGE = "en"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9][\w.:-]{0,63}", re.ASCII)
_NO_TAGS = str.maketrans("<>", "‹›")
_TASK_TYPES = {
    "multiple_choice": "multiple-choice",
    "classification": "text-classification",
    "span": "question-answering",
    "tagging": "token-classification",
}


def front_matter(package: Package, title: str) -> Written:
    """The YAML between the card's two lines of dashes, as a real YAML writer has it."""
    datasets = list(dict.fromkeys(hub_datasets(package)))
    results = [_result(score) for score in package.scores]
    fields: dict[str, Any] = {
        "library_name": LIBRARY,
        "tags": list(dict.fromkeys(tag for tag in _tags(package) if _TAG.fullmatch(tag))),
        "base_model": package.backbone.repo,
        "base_model_relation": "adapter" if package.backbone.repo is not None else None,
        "datasets": datasets,
        "language": _languages(package),
        "license": package.licence,
        "model-index": [{"name": title, "results": results}] if results else [],
    }
    return Written(dump_text(_visible({name: value for name, value in fields.items() if value})))


def tasks_of(name: str) -> tuple[Task, ...]:
    """The tasks of this version that a name stands for; none where it is a stranger's."""
    try:
        return members(name)
    except AdapterTransferError:
        return ()


def hub_datasets(package: Package) -> Iterator[str]:
    """Ids of the data sets behind a package: those that its data was read from, and those that its tasks declare."""
    for adapter in package.adapters:
        for split in adapter.data:
            repo, at, _ = split.source.partition("@")
            if at and _HUB_ID.fullmatch(repo):
                yield repo
    for name in _task_names(package):
        for task in tasks_of(name):
            for part in task.source.parts:
                for single in part.single_parts:
                    yield from (repo for repo, _ in single.hub.datasets) if single.hub is not None else ()


def _task_names(package: Package) -> Iterable[str]:
    names = [adapter.task for adapter in package.adapters]
    scored = [score.task for score in package.scores]
    return dict.fromkeys(name for name in (*names, package.intermediate, package.target, *scored) if name)


def _tags(package: Package) -> Iterator[str]:
    yield from (LIBRARY, package.backbone.architecture, "adapter-transfer")
    for name in _task_names(package):
        yield from (task.name for task in tasks_of(name))
    yield package.method


def _languages(package: Package) -> list[str]:
    codes = [TRAINING_LANGUAGE, *(score.language for score in package.scores)]
    real = {code for code, language in LANGUAGES.items() if not language.sandbox}
    return [code for code in dict.fromkeys(codes) if code in real]


def _result(score: Score) -> dict[str, Any]:
    """One entry of the model index, as huggingface_hub's `EvalResult` is written."""
    task = next(iter(tasks_of(score.task)), None)
    dataset: dict[str, Any] = {"name": f"{score.task} ({score.language})", "type": score.task}
    kind = "multiple-choice"
    if task is not None:
        published = task.splits.get("test", "test")
        part = task.source.find(published, score.language)
        repos = [repo for repo, _ in part.hub.datasets] if part is not None and part.hub is not None else []
        kind = _TASK_TYPES[task.format.head_type]
        dataset = {**dataset, "type": repos[0] if repos else task.name, "config": score.language, "split": published}
    return {
        "task": {"type": kind, "name": kind.replace("-", " ")},
        "dataset": dataset,
        "metrics": [{"type": score.metric, "value": round(score.value, 4), "name": score.metric}],
    }


def _visible(value: Any) -> Any:
    """The same with every text on one line and without tags: nothing ends the front matter, nothing is HTML."""
    if isinstance(value, Mapping):
        return {name: _visible(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_visible(item) for item in value]
    return visible(value).translate(_NO_TAGS) if isinstance(value, str) else value
