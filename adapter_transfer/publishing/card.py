"""The model card, README.md of a package: written from the manifest's content alone, by a template.

Whatever a template puts out is escaped unless it was made as Markdown or code here (`escaping.Written`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from adapter_transfer.analysis.statistics.intervals import MIN_SEEDS
from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import PackageFolder
from adapter_transfer.backbones.zoo import BACKBONES, PUBLISHED
from adapter_transfer.durable import read_json
from adapter_transfer.languages import LANGUAGES
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import COMPOSITIONS
from adapter_transfer.publishing import snippets
from adapter_transfer.publishing.escaping import Written, code, markdown
from adapter_transfer.publishing.front_matter import TRAINING_LANGUAGE, front_matter, tasks_of
from adapter_transfer.sharing.package import HEAD_FILES, Package, Score, SharedAdapter

_TEMPLATE = "card.md"
_ADAPTERS = "adapters, the library: Poth et al. 2023, arXiv 2311.11077"
_UNKNOWN = "not known"


def write_card(
    folder: Path, package: Package, *, backbone: Backbone, place: snippets.Place, notes: Sequence[str] = ()
) -> str:
    """The text of the card.

    Args:
        folder: holds the package's files, so that snippets fit its heads.
        backbone: how the encoder is loaded.
        notes: what people should know of the data, a sentence each.

    Raises:
        DataError: if a head's configuration cannot be read.
    """
    head = _head(folder, package)
    encoder = snippets.Encoder(backbone)
    worked = snippets.worked_question(package, head)
    can_be_asked = worked is not None and worked.asking is not None and bool(package.compositions)
    is_lone = len(package.adapters) == 1 and package.target is None
    seeds = _seeds(package)
    title = place.repo or _title(package)
    text = _template().render(
        package=package,
        place=place,
        encoder=encoder,
        title=title,
        front_matter=front_matter(package, title),
        lead=_lead(package),
        settings=_listed(package.method_settings),
        composition=_composition(package),
        seeds=", ".join(map(str, seeds)) or _UNKNOWN,
        first_seed=seeds[0] if seeds else None,
        other_seeds=", ".join(map(str, seeds[1:])),
        needs_us=isinstance(backbone.model, PackageFolder) or package.backbone.architecture == "xlm-roberta-xl",
        plain=Written(snippets.plain_adapters(package, encoder, place, head)),
        command=Written(snippets.command(place, worked, encoder)) if worked is not None and can_be_asked else None,
        with_us=Written(snippets.with_us(place, worked, encoder)) if worked is not None and can_be_asked else None,
        experiment=Written(snippets.in_experiment(place)) if is_lone and place.repo is not None else None,
        data=list(_data(package)),
        has_unknown_data=not all(adapter.is_data_complete for adapter in package.adapters),
        notes=notes,
        parameters=_parameters(package),
        validation=_validation(package),
        versions=", ".join(f"{name} {version}" for name, version in sorted(package.versions.items())),
        scores=[_score(score) for score in package.scores],
        has_zero_shot=any(score.language != TRAINING_LANGUAGE for score in package.scores),
        sources=list(_sources(package)),
    )
    return text.rstrip("\n") + "\n"


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("adapter_transfer.publishing"),
        # Markdown, not HTML: `finalize` sees every value that is put out, and escapes it for both.
        autoescape=False,
        finalize=markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = code
    return environment.get_template(_TEMPLATE)


def _head(folder: Path, package: Package) -> Mapping[str, Any] | None:
    """`head_config.json` of what answers first; None where nothing does."""
    if not package.compositions:
        return None
    path = folder / package.compositions[0].head / HEAD_FILES[0]
    return read_json(path) if path.is_file() else None


def _title(package: Package) -> str:
    names = [package.backbone.name, package.method, package.intermediate, package.target]
    return " ".join(dict.fromkeys(name for name in names if name and name != "none"))


def _lead(package: Package) -> Written:
    kind = code(package.method)
    encoder = code(package.backbone.repo or package.backbone.name)
    if package.target is None:
        task = package.adapters[-1].task
        return Written(f"{kind} adapters for {encoder}, trained in English on the intermediate task {code(task)}.")
    after = "" if package.intermediate == "none" else f" after the intermediate task {code(package.intermediate)}"
    return Written(
        f"{kind} adapters for {encoder}, trained in English on {code(package.target)}{after}, and asked in other "
        "languages without further training."
    )


def _composition(package: Package) -> Written:
    if package.composition not in COMPOSITIONS:
        return code(package.composition)
    declared = COMPOSITIONS[package.composition]
    summary = "one adapter" if package.composition == "none" else declared.summary
    combines = package.compositions[0].combines if package.compositions else None
    fused = "; adapters are fused" if combines == "fuse" else ""
    return Written(f"{code(declared.name)}: {markdown(summary + fused)}")


def _seeds(package: Package) -> list[int]:
    return sorted({adapter.seed for adapter in package.adapters if adapter.seed is not None})


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()))


def _first_of_each_role(package: Package) -> list[SharedAdapter]:
    """One adapter a role and task: seeds share data and hyper-parameters."""
    found: dict[tuple[str, str], SharedAdapter] = {}
    for adapter in package.adapters:
        found.setdefault((adapter.role, adapter.task), adapter)
    return list(found.values())


def _data(package: Package) -> Iterator[dict[str, Any]]:
    for adapter in _first_of_each_role(package):
        for split in adapter.data:
            tasks = tasks_of(split.split.split("/")[0])
            yield {
                "adapter": adapter.task,
                "split": split.split,
                "num_examples": split.num_examples,
                "source": split.source or _UNKNOWN,
                "licence": tasks[0].licence if tasks else _UNKNOWN,
            }


def _parameters(package: Package) -> dict[str, Any] | None:
    adapters = [adapter for adapter in _first_of_each_role(package) if adapter.training]
    names = sorted({name for adapter in adapters for name in adapter.training})
    if not names:
        return None
    return {
        "columns": [Written(f"{markdown(adapter.role)} {code(adapter.task)}") for adapter in adapters],
        "rows": [(name, [adapter.training.get(name, "") for adapter in adapters]) for name in names],
    }


def _validation(package: Package) -> Written:
    told = [
        f"{code(adapter.task)}{'' if adapter.seed is None else f' with seed {adapter.seed}'} "
        f"{markdown(name)} {_percent(value)}"
        for adapter in package.adapters
        for name, value in sorted(adapter.validation.items())
    ]
    return Written("; ".join(told))


def _score(score: Score) -> dict[str, Any]:
    language = LANGUAGES[score.language].name if score.language in LANGUAGES else None
    return {
        "task": score.task,
        "language": f"{language} ({score.language})" if language else score.language,
        "metric": score.metric,
        "value": _percent(score.value),
        "interval": _interval(score),
        "num_items": score.num_items,
        "num_seeds": score.num_seeds,
        "chance": _percent(score.chance),
    }


def _interval(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"none: fewer than {MIN_SEEDS} seeds" if score.num_seeds < MIN_SEEDS else "none"
    # The interval is symmetric; of a share near its bound, what lies beyond is no share.
    return f"{_percent(max(score.low, 0.0))} to {_percent(min(score.high, 1.0))}"


def _percent(share: float | None) -> str:
    return _UNKNOWN if share is None else f"{100 * share:.1f} %"


def _sources(package: Package) -> Iterator[str]:
    yield _ADAPTERS
    if package.method in METHODS:
        yield f"the method: {METHODS[package.method].reference}"
    known = [backbone for backbone in PUBLISHED if getattr(backbone.model, "repo", None) == package.backbone.repo]
    if package.backbone.is_sandbox and package.backbone.name in BACKBONES:
        known = [BACKBONES[package.backbone.name]]
    yield from (f"the backbone: {backbone.reference.partition(';')[0]}" for backbone in known[:1])
    told: dict[str, None] = {}
    for adapter in package.adapters:
        for task in tasks_of(adapter.task):
            told[f"{task.name}: {task.reference}"] = None
    yield from told
