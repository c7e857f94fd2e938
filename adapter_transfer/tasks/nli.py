"""Natural language inference: does a premise entail a hypothesis, contradict it, or neither? MNLI, ANLI and SNLI.

The task `anli` is the ANLI+ of Phang et al. 2020: trained on ANLI's three rounds, MNLI and SNLI together
under one head, validated on ANLI's three rounds. Its ids begin with what they come from (`r1/`, `r2/`, `r3/`, `mnli/`,
`snli/`). Labels are in one order everywhere.

An example's id is its publisher's (ANLI's `uid`, GLUE's `index`), or its row's number: in the reduced files, and of
SNLI, whose `pairID` the Hub does not have (files and Hub give the same examples).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from adapter_transfer.tasks.choice_formats import Classification
from adapter_transfer.tasks.columns import Column, Number, OneOf, Text, Unused
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.readers import Reader, read_jsonl
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import FileLayout, HubParquet, Part, Source
from adapter_transfer.tasks.table_readers import read_csv, read_tsv
from adapter_transfer.tasks.task import Task

LABELS = ("entailment", "neutral", "contradiction")
_LETTERS, _NUMBERS = ("e", "n", "c"), (0, 1, 2)
_ROUNDS = ("r1", "r2", "r3")


@dataclass(frozen=True)
class _Unread:
    """A column that nothing is read from, and of which no description tells more than the name."""

    name: str
    is_optional: bool = True

    def problem(self, value: object) -> str | None:
        return None


def _read(row: Row, number: int, premise: str, hypothesis: str, label: OneOf, item: str | None) -> Example:
    name = str(number if item is None else row[item])
    return Example(name, ((row[premise], row[hypothesis]),), label.allowed.index(row[label.name]))


def _form(premise: str, hypothesis: str, label: OneOf, *others: Column, item: str | None = None) -> Form:
    """Rows with one premise and one hypothesis.

    Args:
        label: its first three values are `LABELS`, in that order; a fourth is that of rows without a label.
        others: every other column, that of the id included.
        item: the column of the id.
    """
    return Form(
        (Text(premise), Text(hypothesis), label, *others),
        partial(_read, premise=premise, hypothesis=hypothesis, label=label, item=item),
        premise,
        is_unlabelled=(lambda row: row[label.name] == label.allowed[-1]) if len(label.allowed) > len(LABELS) else None,
    )


def _archived(path: str, folder: str, form: Form, read: Reader = read_jsonl) -> tuple[FileLayout, ...]:
    """A file under its path in the publisher's archive, unpacked in the data folder or in one of the data set's own."""
    return tuple(FileLayout(f"{before}{path}", form, read) for before in ("", f"{folder}/"))


# The columns of GLUE's tables are those of MultiNLI's own, with an index before them.
_GLUE_COLUMNS = (
    *("promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"),
    *("sentence1_parse", "sentence2_parse"),
)
_LAST_INDEX = 10**6


def _glue(num_annotators: int) -> tuple[Form, tuple[str, ...]]:
    """The rows of GLUE's MNLI, and the names of all columns; training rows have one annotator, the others five."""
    unused = (*_GLUE_COLUMNS, *(f"label{number}" for number in range(1, num_annotators + 1)))
    index = Number("index", 0, _LAST_INDEX, is_text=True)
    form = _form("sentence1", "sentence2", OneOf("gold_label", LABELS), index, *map(Unused, unused), item="index")
    return form, tuple(column.name for column in form.columns)


_GLUE_TRAIN, _TRAIN_COLUMNS = _glue(num_annotators=1)
_GLUE_DEV, _DEV_COLUMNS = _glue(num_annotators=5)
_GLUE_HUB = _form("premise", "hypothesis", OneOf("label", _NUMBERS), Number("idx", 0, _LAST_INDEX), item="idx")
_UNIFIED = _form("premise", "hypothesis", OneOf("label", LABELS))


def _mnli(published: str, num_rows: int, on_hub: str, *more: FileLayout) -> Part:
    form, columns = (_GLUE_TRAIN, _TRAIN_COLUMNS) if published == "train" else (_GLUE_DEV, _DEV_COLUMNS)
    layouts = _archived(f"MNLI/{published}.tsv", "mnli", form, read=partial(read_tsv, columns=columns))
    hub = HubParquet("nyu-mll/glue", f"mnli/{on_hub}-*.parquet", _GLUE_HUB)
    return Part(published, ("en",), num_rows=num_rows, files=(*layouts, *more), hub=hub)


def _mnli_sample(published: str, file: str) -> Part:
    """Five draws of 16 rows a label from GLUE's training rows (none drawn twice), 240 rows in one half of them."""

    def draw(seed: int) -> Part:
        path = f"mnli/glue-tsv-sample/16-{seed}/{file}.tsv"
        # `dev_matched.tsv` too holds training rows, and has their columns.
        layout = FileLayout(path, _GLUE_TRAIN, partial(read_tsv, columns=_TRAIN_COLUMNS))
        return Part(published, ("en",), num_rows=48, files=(layout,))

    members = tuple((f"16-{seed}/", draw(seed)) for seed in (13, 21, 42, 87, 100))
    return Part(published, ("en",), members=members, drawn_from=("train",))


_MNLI_TRAIN = _mnli("train", 392_702, "train")
_DEV_MATCHED_UNIFIED = FileLayout("mnli/dev_matched.unified.jsonl", _UNIFIED)

MNLI = Task(
    name="mnli",
    format=Classification(LABELS),
    roles=("intermediate",),
    source=Source(
        (
            _MNLI_TRAIN,
            _mnli("dev_matched", 9_815, "validation_matched", _DEV_MATCHED_UNIFIED),
            _mnli("dev_mismatched", 9_832, "validation_mismatched"),
            _mnli_sample("glue-sample-train", "train"),
            _mnli_sample("glue-sample-dev", "dev_matched"),
        )
    ),
    splits={"train": "train", "validation": "dev_matched"},
    summary="does a sentence, spoken or written, entail another, contradict it, or neither",
    licence="OANC's terms for most of it, CC BY 3.0 and CC BY-SA 3.0 for parts",
    reference="Williams et al. 2018 (MultiNLI), as in GLUE: Wang et al. 2018, arXiv 1804.07461",
)


_SNLI_FILE = _form(
    "sentence1",
    "sentence2",
    OneOf("gold_label", (*LABELS, "-")),
    Text("pairID"),
    Unused("captionID"),
    Unused("annotator_labels", list),
    *(Unused(f"sentence{number}_{parse}") for number in (1, 2) for parse in ("parse", "binary_parse")),
)
# Where the annotators did not agree on a label, the Hub has -1.
_SNLI_HUB = _form("premise", "hypothesis", OneOf("label", (*_NUMBERS, -1)))
_SNLI_TRAIN = Part(
    "snli-train",
    ("en",),
    num_rows=550_152,
    files=_archived("snli_1.0/snli_1.0_train.jsonl", "snli", _SNLI_FILE),
    hub=HubParquet("stanfordnlp/snli", "plain_text/train-*.parquet", _SNLI_HUB),
)


_ANLI_RELEASE = _form(
    "context",
    "hypothesis",
    OneOf("label", _LETTERS),
    Text("uid"),
    *map(_Unread, ("model_label", "emturk", "genre", "reason", "tag")),
    item="uid",
)
_ANLI_HUB = _form("premise", "hypothesis", OneOf("label", _NUMBERS), Text("uid"), _Unread("reason"), item="uid")

_MODELS = (
    *("roberta-from-r2", "roberta-from-r3", "bert-r1", "anli-roberta-large", "anli-bart-large"),
    *("anli-xlnet-large", "anli-electra-large", "anli-albert-xxlarge"),
)
# The rows of the authors' error analysis: the same items, with the statement for the hypothesis. The columns stand in
# another order in each round's file, so they are known by their names.
_ANLI_ANALYSIS = _form(
    "context",
    "statement",
    OneOf("gold_label", _LETTERS),
    Text("uid"),
    *map(Unused, ("reason", "A1Code", "A1Notes", "eid", "tags")),
    OneOf("adversary_pred", _LETTERS),
    *(Unused(f"preds-{model}") for model in _MODELS),
    *(OneOf(f"preds-{model}PredLabel", _LETTERS) for model in _MODELS),
    item="uid",
)
_ANALYSIS_COLUMNS = tuple(column.name for column in _ANLI_ANALYSIS.columns)
_TEST_TAGS = tuple(f"{round_}_test" for round_ in _ROUNDS)
_ANLI_UNIFIED = _form("premise", "hypothesis", OneOf("label", LABELS), OneOf("tag", _TEST_TAGS))


def _is_of_another_round(row: Row, round_: str) -> bool:
    return row.get("tag") in _TEST_TAGS and row["tag"] != f"{round_}_test"


def _round(split: str, round_: str, num_rows: int) -> Part:
    """One of ANLI's three rounds of writing against ever better models."""
    layouts = _archived(f"anli_v1.0/{round_.upper()}/{split}.jsonl", "anli", _ANLI_RELEASE)
    if split == "dev":
        read = partial(read_csv, columns=_ANALYSIS_COLUMNS)
        layouts += (FileLayout(f"anli/ANLI_analysis_{round_}_dev.csv", _ANLI_ANALYSIS, read),)
    if split == "test":
        path, others = "anli/test_r1r2r3.unified.jsonl", partial(_is_of_another_round, round_=round_)
        layouts += (FileLayout(path, _ANLI_UNIFIED, elsewhere=others),)
    hub = HubParquet("facebook/anli", f"plain_text/{split}_{round_}-*.parquet", _ANLI_HUB)
    return Part(f"{split}_{round_}", ("en",), num_rows=num_rows, files=layouts, hub=hub)


def _rounds(split: str, *num_rows: int) -> tuple[tuple[str, Part], ...]:
    rounds = zip(_ROUNDS, num_rows, strict=True)
    return tuple((f"{round_}/", _round(split, round_, number)) for round_, number in rounds)


_TRAIN_MEMBERS = (
    *_rounds("train", 16_946, 45_460, 100_459),
    ("mnli/", replace(_MNLI_TRAIN, published="mnli-train")),
    ("snli/", _SNLI_TRAIN),
)

ANLI = Task(
    name="anli",
    format=Classification(LABELS),
    roles=("intermediate",),
    source=Source(
        (
            Part("train", ("en",), members=_TRAIN_MEMBERS),
            # Of round 3, the authors' error analysis has 1,198 rows.
            Part("dev", ("en",), members=_rounds("dev", 1_000, 1_000, 1_200)),
            Part("test", ("en",), members=_rounds("test", 1_000, 1_000, 1_200)),
        )
    ),
    splits={"train": "train", "validation": "dev"},
    summary="ANLI+: inference that was written to mislead models (three rounds), with MNLI and SNLI",
    licence="CC BY-NC 4.0 (ANLI), CC BY-SA 4.0 (SNLI), MNLI's",
    reference="Nie et al. 2020, arXiv 1910.14599; Bowman et al. 2015, arXiv 1508.05326 (SNLI); MNLI's",
)
