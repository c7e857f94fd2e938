"""`adapter-transfer data show`: what a task's data holds, and whether it is sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from adapter_transfer.canonical import digest
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.hub import HubError
from adapter_transfer.hub_lock import Resolver
from adapter_transfer.languages import expand_languages
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.mixtures import is_mixture, members
from adapter_transfer.tasks.reading import QuestionField, Reading
from adapter_transfer.tasks.task import ExampleSet, Split, Task, load_examples
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, print_json, print_table, printable

if TYPE_CHECKING:
    from adapter_transfer.backbones.zoo import Backbone
    from adapter_transfer.tasks.survey import ReadSplits

MAX_LENGTH = 128
"""Tokens at which rows are cut here, as in the shipped recipes (XTREME-R's length)."""
TRAINED_LANGUAGE = "en"
OFFLINE_BACKBONE, SANDBOX_BACKBONE, USUAL_BACKBONE = "real-text-random", "mini", "base"

app = typer.Typer(
    help="Look at the data of a task.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: adapter-transfer data show micro-copa",
)


@app.callback()
def _group() -> None:
    # An app with one command and no callback would be that command: `data TASK`.
    pass


@app.command(epilog="Example: adapter-transfer data show socialiqa --data-dir data --split dev --rows 3")
def show(
    task: str = typer.Argument(help="Name of a task (ls tasks)."),
    data_dir: options.DataDir = None,
    language: list[str] | None = typer.Option(None, help="Only this language or set of languages; may be repeated."),
    split: list[str] | None = typer.Option(None, help="Only this published split, such as dev; may be repeated."),
    backbone: str | None = typer.Option(
        None,
        help="Whose tokenizer counts: a name (ls backbones), a folder or a Hub id. [default: mini for the sandbox; "
        "real-text-random with --data-dir or where the Hub cannot be reached; else base]",
    ),
    rows: int = typer.Option(2, min=0, help="Examples of each split to show as the model sees them."),
    question_field: QuestionField = typer.Option("repaired", help="Whether XCOPA's wrong questions are repaired."),
    on_bad_row: options.OnBadRow = "fail",
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what a task's data holds: splits, labels, token lengths, overlaps, rows. Faulty data exits with 4."""
    from adapter_transfer.tasks.survey import read_splits

    if is_mixture(task):
        names = ", ".join(each.name for each in members(task))
        raise ConfigError(f"{task!r} is a mixture; show its tasks one by one: {names}")
    declared, resolver = TASKS[task], Resolver()
    wanted = _choose(declared, split or (), expand_languages(language or ()))
    commit = _once(resolver)

    def read(published: str, code: str) -> ExampleSet:
        used_as = _used_as(declared, published) or "train"
        asked = () if data_dir is not None else declared.hub_datasets(used_as, code, published)
        commits = tuple((repo, commit(repo, revision)) for repo, revision in asked)
        reading = Reading(published, question_field, on_bad_row, commits)
        return load_examples(declared, used_as, code, reading, data_dir)

    found = read_splits(wanted, read)
    if found.faulty:
        _refuse_faulty(declared, found, json)
    if found.missing and (split or not found.sets):
        raise DataError("\n".join(found.missing))
    name, why = (backbone, "") if backbone else _default_backbone(declared, data_dir, resolver)
    tokenizer = _load_tokenizer(_backbone(name), found.sets, resolver)
    survey = {
        "task": declared.name,
        "backbone": name,
        "backbone_because": why,
        **_survey(declared, found, tokenizer, rows),
    }
    if json:
        print_json(survey)
    else:
        _print(declared, survey)


def _choose(task: Task, splits: Sequence[str], languages: Sequence[str]) -> list[tuple[str, str]]:
    """The published splits and languages that were asked for, training first.

    Raises:
        ConfigError: if a split or language is unknown, or they do not go together.
    """
    source = task.source
    there = {code for name in source.splits() for code in source.languages(name)}
    unknown = [name for name in splits if name not in source.splits()]
    problems = [unknown_name_message(f"published split of {task.name}", name, source.splits()) for name in unknown]
    problems += [f"task {task.name!r} has nothing in {code!r}" for code in languages if code not in there]
    if problems:
        raise ConfigError(problems)
    pairs = [
        (name, code)
        for name in source.splits()
        for code in source.languages(name)
        if (not splits or name in splits) and (not languages or code in languages)
    ]
    if not pairs:
        raise ConfigError(f"task {task.name!r} does not have {', '.join(splits)} in {', '.join(languages)}")
    return pairs


def _once(resolver: Resolver) -> Callable[[str, str], str]:
    """Resolves a dataset's revision; one that cannot be resolved is not waited for again for each of its splits."""
    failed: dict[tuple[str, str], HubError] = {}

    def commit(repo: str, revision: str) -> str:
        if (repo, revision) in failed:
            raise failed[repo, revision]
        try:
            return resolver.commit("dataset", repo, revision)
        except HubError as error:
            hint = "Or give the folder that holds the published files: --data-dir DIR."
            failed[repo, revision] = HubError(f"{error} {hint}")
            raise failed[repo, revision] from None

    return commit


def _used_as(task: Task, published: str) -> Split | None:
    """What a published split is used as where a configuration says nothing."""
    return next((split for split, name in task.splits.items() if name == published), None)


def _refuse_faulty(task: Task, found: ReadSplits, json: bool) -> None:
    """Lists every problem of every split, and ends with the exit code of faulty data."""
    listed = [(error.what, problem) for error in found.faulty for problem in error.problems]
    if json:
        problems = [{"split": what, "place": each.place, "message": each.message} for what, each in listed]
        print_json({"task": task.name, "problems": problems})
    else:
        for error in found.faulty:
            _say(f"{error.what}:")
            for problem in error.problems:
                _say(f"  {problem}")
    rows = "1 row is" if len(listed) == 1 else f"{len(listed)} rows are"
    raise DataError(f"{rows} faulty. {found.faulty[0].hint}")


def _default_backbone(task: Task, data_dir: Path | None, resolver: Resolver) -> tuple[str, str]:
    """A backbone whose tokenizer can be had, and why it was taken."""
    from adapter_transfer.backbones.zoo import BACKBONES

    trained = "its tokenizer was trained on the text that is shown here"
    if task.is_sandbox:
        return SANDBOX_BACKBONE, "the sandbox's own tokenizer"
    if data_dir is not None:
        return OFFLINE_BACKBONE, f"{trained}; --backbone {USUAL_BACKBONE} takes XLM-R's from the Hub"
    try:
        _ = BACKBONES[USUAL_BACKBONE].pinned(resolver.commit).tokenizer_path  # downloads it
    except HubError as error:
        return OFFLINE_BACKBONE, f"{trained}, because {USUAL_BACKBONE} cannot be had: {error}"
    return USUAL_BACKBONE, "the tokenizer of XLM-R"


def _backbone(name: str) -> Backbone:
    from adapter_transfer.backbones.zoo import BACKBONES, own_backbone

    # As in a configuration: what looks like a folder or a Hub id is the user's own.
    return own_backbone(name) if name not in BACKBONES and "/" in name else BACKBONES[name]


def _load_tokenizer(backbone: Backbone, sets: Sequence[ExampleSet], resolver: Resolver) -> Any:
    from adapter_transfer.backbones.tokenizer_loading import TokenizerText, load_tokenizer

    def texts() -> Iterator[str]:
        for each in sets:
            for example in each.examples:
                for first, second in example.rows:
                    yield first if second is None else f"{first} {second}"

    with TemporaryDirectory() as folder:
        text = TokenizerText(digest([each.digest for each in sets]), texts)
        return load_tokenizer(backbone.pinned(resolver.commit), text=text, cache_dir=Path(folder))


def _survey(task: Task, found: ReadSplits, tokenizer: Any, num_rows: int) -> dict[str, Any]:
    """Everything that is shown, as JSON."""
    from adapter_transfer.tasks.survey import as_the_model_sees, overlaps, token_lengths

    splits, seen, shown = [], [], set()
    for each in found.sets:
        part = task.source.find(each.published, each.language)
        splits.append(
            {
                "split": each.published,
                "used_as": _used_as(task, each.published),
                "language": each.language,
                "examples": len(each.examples),
                "published": part.size if part is not None else None,
                "labels": dict(task.format.count_labels(each.examples)),
                "tokens": asdict(token_lengths(each, task.format, tokenizer, MAX_LENGTH)),
                "num_repaired": each.num_repaired,
                "num_unlabelled": each.num_unlabelled,
                "skipped": [{"place": problem.place, "message": problem.message} for problem in each.problems],
                "source": each.source,
                "digest": each.digest,
            }
        )
        if each.published in shown:
            continue
        shown.add(each.published)
        rows = as_the_model_sees(each, task.format, tokenizer, MAX_LENGTH, num_rows)
        for example, texts in zip(each.examples, rows, strict=False):
            where = {"split": each.published, "language": each.language}
            seen.append({**where, "id": example.id, "label": example.label, "rows": texts})
    return {
        "max_length": MAX_LENGTH,
        "splits": splits,
        "missing": [{"splits": names, "reason": reason} for reason, names in found.missing.items()],
        "overlaps": [asdict(each) for each in overlaps(found.sets, TRAINED_LANGUAGE)],
        "rows": seen,
    }


def _labels(counts: dict[str, int]) -> str:
    """How often each label occurs; of many, only how many there are."""
    return "/".join(map(str, counts.values())) if len(counts) <= _LABELS_SHOWN else f"{len(counts)} labels"


def _say(text: str) -> None:
    console().print(printable(text), markup=False, soft_wrap=True)


def _print(task: Task, survey: dict[str, Any]) -> None:
    _say(f"{task.name}: {task.summary}")
    _say(f"Licence: {task.licence}. {task.reference}.")
    _say("")
    headers = ["split", "used as", "language", "examples", "labels", "mean", "p95", "max", "cut", "repaired", "skipped"]
    cells = [
        [
            each["split"],
            each["used_as"] or "–",
            each["language"],
            f"{each['examples']:,}",
            _labels(each["labels"]),
            f"{each['tokens']['mean']:.1f}",
            *(str(each["tokens"][key]) for key in ("p95", "max", "num_truncated")),
            str(each["num_repaired"]),
            str(len(each["skipped"])),
        ]
        for each in survey["splits"]
    ]
    print_table(headers, cells, notes=list(_notes(survey)), numeric=[name not in _WORDS for name in headers])
    _say("")
    _print_overlaps(survey["overlaps"])
    for each in survey["rows"]:
        _say("")
        # A long text has several rows, too; of those none is right or wrong.
        has_answers = isinstance(each["label"], int) and len(each["rows"]) > 1
        right = "* is right" if has_answers else f"label {each['label']}"
        _say(f"{each['split']} ({each['language']}), item {each['id']}, as the model sees it ({right}):")
        for number, text in enumerate(each["rows"]):
            _say(f"  {'*' if has_answers and number == each['label'] else ' '} {text}")


_LABELS_SHOWN = 8
_WORDS = ("split", "used as", "language", "labels")


def _notes(survey: dict[str, Any]) -> Iterator[str]:
    because = f" ({survey['backbone_because']})" if survey["backbone_because"] else ""
    yield (
        f"mean, p95, max: tokens of a row (text and answer) with the tokenizer of {survey['backbone']}{because}; "
        f"cut: rows longer than {survey['max_length']}."
    )
    for each in survey["splits"]:
        where = f"{each['split']} ({each['language']})"
        if each["published"] not in (None, each["examples"]):
            yield f"{where}: {each['examples']:,} examples; published are {each['published']:,}."
        if each["num_unlabelled"]:
            yield f"{where}: {each['num_unlabelled']:,} rows have no label of the publisher's and were left out."
        for problem in each["skipped"]:
            yield f"{where}: left out {problem['place']}: {problem['message']}"
    if any(each["num_repaired"] for each in survey["splits"]):
        yield "repaired: rows whose `question` is wrong upstream; --question-field as-published leaves them."
    for each in survey["missing"]:
        yield f"not there: {', '.join(each['splits'])}: {each['reason']}"


def _print_overlaps(overlaps: Sequence[dict[str, Any]]) -> None:
    found = [each for each in overlaps if each["num_items"] or each["num_texts"] or each["num_premises"]]
    clean = len(overlaps) - len(found)
    if found:
        keys = ("trained", "evaluated", "language", "num_items", "num_texts", "num_premises")
        headers = ("split", "and", "language", "items", "texts", "premises")
        cells = [[str(each[key]) for key in keys] for each in found]
        numeric = [key.startswith("num_") for key in keys]
        note = "Examples of the second split with the same item (in any language), texts, or premise in the first."
        print_table(headers, cells, title="In common", notes=[note], numeric=numeric)
    if clean:
        pairs = "1 pair of splits has" if clean == 1 else f"{clean} pairs of splits have"
        console().print(f"{pairs} no item, text or premise in common.", markup=False, style="dim")
