"""Examples on disk: the same as in memory, read once, whole or not there, and little of them in memory."""

from __future__ import annotations

import json
import os
import random
import sys
import tracemalloc
from pathlib import Path

import pytest

from adapter_transfer import durable
from adapter_transfer.errors import DataError, StoreError
from adapter_transfer.tasks import task as task_module
from adapter_transfer.tasks.cache_entries import new_entry
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.mapped_rows import BATCH_ROWS, MappedRows
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import CheckedRow, SchemaError
from adapter_transfer.tasks.stored_examples import Collector, ExampleCache
from adapter_transfer.tasks.task import examples_digest, load_examples

OF_EACH_KIND = ["socialiqa", "anli", "squad2", "ccg"]
"""Choices, several members under one head, answers (and none), tags."""
FIELDS = ["digest", "source", "num_repaired", "num_unlabelled", "problems", "item_family", "published", "task"]


@pytest.fixture
def cache(tmp_path):
    return ExampleCache(tmp_path / "cache" / "examples", most_in_memory=3)


@pytest.fixture
def num_read(monkeypatch):
    """Counts, in its only element, the rows that are read."""
    counted, checked_rows = [0], task_module.checked_rows

    def counting(*arguments, **settings):
        for row in checked_rows(*arguments, **settings):
            counted[0] += 1
            yield row

    monkeypatch.setattr(task_module, "checked_rows", counting)
    return counted


def entries(cache):
    return sorted(path.name for path in cache.folder.iterdir()) if cache.folder.is_dir() else []


def file_of(cache):
    (entry,) = entries(cache)
    return cache.folder / entry / "examples.arrow"


def assert_same(found, expected):
    assert list(found.examples) == list(expected.examples)
    assert list(found.premises) == list(expected.premises)
    assert [getattr(found, name) for name in FIELDS] == [getattr(expected, name) for name in FIELDS]


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_examples_of_the_cache_are_those_of_the_files(data_dir, cache, num_read, name):
    expected = load_examples(TASKS[name], "train", "en", data_dir=data_dir)
    first = load_examples(TASKS[name], "train", "en", data_dir=data_dir, cache=cache)
    before = num_read[0]
    again = load_examples(TASKS[name], "train", "en", data_dir=data_dir, cache=cache)
    assert num_read[0] == before, "the second time, no row is read"
    assert isinstance(again.examples, MappedRows)
    for found in (first, again):
        assert_same(found, expected)
        assert examples_digest(found.examples) == found.digest
    assert len(entries(cache)) == 1


def test_the_hubs_too(fake_hub, cache, num_read):
    reading = Reading("trn", revisions=fake_hub("allenai/social_i_qa"))
    expected = load_examples(TASKS["socialiqa"], "train", "en", reading)
    for _ in range(2):
        assert_same(load_examples(TASKS["socialiqa"], "train", "en", reading, cache=cache), expected)
    assert num_read[0] == 2 * len(expected.examples)


def test_a_small_split_leaves_nothing(data_dir, tmp_path):
    cache = ExampleCache(tmp_path / "cache")
    assert isinstance(load_examples(TASKS["anli"], "train", "en", data_dir=data_dir, cache=cache).examples, tuple)
    assert not cache.folder.exists()


@pytest.mark.parametrize("control", ["shuffled-labels", "real-or-shuffled", "choices-only"])
def test_what_is_made_of_another_task(data_dir, cache, num_read, control):
    task = TASKS[f"socialiqa-{control}"]
    expected = load_examples(task, "train", "en", data_dir=data_dir)
    for _ in range(2):
        found = load_examples(task, "train", "en", data_dir=data_dir, cache=cache)
        assert isinstance(found.examples, MappedRows)
        assert_same(found, expected)
    assert len(entries(cache)) == 2, "that of the other task, and its own"


def test_what_is_made_of_a_derived_entry_tells_its_own_files(data_dir, fake_hub, cache):
    """Hub and files give one digest: what is made of them differs in what is told of it alone."""
    task = TASKS["socialiqa-shuffled-labels"]
    from_files = load_examples(task, "train", "en", Reading("trn"), data_dir, cache)
    reading = Reading("trn", revisions=fake_hub("allenai/social_i_qa"))
    from_hub = load_examples(task, "train", "en", reading, cache=cache)
    assert (from_files.digest, from_files.source) == (from_hub.digest, "socialiqa/socialIQa_v1.4_trn.jsonl")
    assert from_hub.source.startswith("allenai/social_i_qa@")


@pytest.mark.parametrize("control", ["shuffled-labels", "real-or-shuffled"])
def test_one_file_as_two_published_splits_is_drawn_for_each(data_dir, cache, control):
    folder = data_dir / "socialiqa"
    (folder / "socialIQa_v1.4_dev.jsonl").write_bytes((folder / "socialIQa_v1.4_trn.jsonl").read_bytes())
    task = TASKS[f"socialiqa-{control}"]
    for published in ("trn", "dev"):
        expected = load_examples(task, "train", "en", Reading(published), data_dir)
        assert_same(load_examples(task, "train", "en", Reading(published), data_dir, cache), expected)


def many(count):
    texts = [f"text {number} ".strip() for number in range(count)]
    return [
        Example(f"id{number}", ((text, None), (f"other {number}", "b")), number) for number, text in enumerate(texts)
    ]


def collected(cache, examples, key="key"):
    with Collector(cache, key, "a task", "example") as collector:
        rows = (CheckedRow(each, each.rows[0][0] if each.label % 2 else "else", False) for each in examples)
        digest = examples_digest(collector.adding(rows))
        return collector.finish(digest, "a file")


def test_it_is_a_sequence_like_any_other(cache):
    count = 2 * BATCH_ROWS + 77
    expected = many(count)
    found = collected(cache, expected)
    assert len(found.examples) == count
    assert list(found.examples) == expected
    assert list(found.premises) == [each.rows[0][0] if each.label % 2 else "else" for each in expected]
    for index in (0, 1, BATCH_ROWS - 1, BATCH_ROWS, count - 1, -1, -count):
        assert found.examples[index] == expected[index]
    for index in (count, -count - 1):
        with pytest.raises(IndexError):
            found.examples[index]
    slices = [slice(5), slice(1000, 1100), slice(None, None, 7), slice(-3, None), slice(9, 2, -2), slice(10, 5)]
    for part in slices:
        assert list(found.examples[part]) == expected[part]
        assert len(found.examples[part]) == len(expected[part])
    assert list(found.examples[10:][::100][2:4]) == expected[10:][::100][2:4]
    assert found.examples[100:][5] == expected[105]
    assert list(reversed(found.examples[:3])) == expected[2::-1]


def test_other_bytes_are_another_entry(data_dir, cache):
    before = load_examples(TASKS["socialiqa"], "train", "en", data_dir=data_dir, cache=cache)
    path = data_dir / before.source
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    after = load_examples(TASKS["socialiqa"], "train", "en", data_dir=data_dir, cache=cache)
    assert len(after.examples) == len(before.examples) - 1
    assert len(list(before.examples)) == len(before.examples), "what is in use stays there"
    assert len(entries(cache)) == 2


def test_another_code_is_another_entry(data_dir, cache, num_read, monkeypatch):
    load_examples(TASKS["socialiqa"], "train", "en", data_dir=data_dir, cache=cache)
    before = num_read[0]
    monkeypatch.setattr(task_module, "code_digest", lambda: "changed")
    load_examples(TASKS["socialiqa"], "train", "en", data_dir=data_dir, cache=cache)
    assert num_read[0] == 2 * before
    assert len(entries(cache)) == 2


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [truncate, flip, Path.unlink, lambda path: path.with_name(durable.MANIFEST_NAME).unlink()]
)
def test_a_damaged_entry_is_made_anew_with_a_word(data_dir, cache, caplog, damage):
    expected = load_examples(TASKS["squad2"], "train", "en", data_dir=data_dir, cache=cache)
    expected = list(expected.examples)
    damage(file_of(cache))
    found = load_examples(TASKS["squad2"], "train", "en", data_dir=data_dir, cache=cache)
    assert list(found.examples) == expected
    assert "made anew" in caplog.text
    caplog.clear()
    assert list(load_examples(TASKS["squad2"], "train", "en", data_dir=data_dir, cache=cache).examples) == expected
    assert not caplog.text
    assert len(entries(cache)) == 1


def test_of_two_at_once_one_wins(cache):
    expected = many(50)
    rows = [CheckedRow(each, "premise", False) for each in expected]
    with Collector(cache, "key", "a", "example") as one, Collector(cache, "key", "a", "example") as other:
        adding = [one.adding(rows), other.adding(rows)]
        for pair in zip(*adding, strict=True):
            assert pair[0] == pair[1]
        found = [one.finish("d", "a file"), other.finish("d", "a file")]
    assert [list(each.examples) for each in found] == [expected, expected]
    assert entries(cache) == ["key"]


def test_who_is_interrupted_leaves_nothing(cache):
    def interrupted():
        yield from (CheckedRow(each, "premise", False) for each in many(3000))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Collector(cache, "key", "a task", "example") as collector:
        examples_digest(collector.adding(interrupted()))
    assert entries(cache) == []


def test_what_a_killed_process_left_is_removed_a_day_later(cache):
    cache.folder.mkdir(parents=True)
    old, new = durable.temporary_path(cache.folder / "key"), durable.temporary_path(cache.folder / "key")
    for path in (old, new):
        path.mkdir()
        (path / "examples.arrow").write_bytes(b"half of it")
    os.utime(old, (0, 0))
    with new_entry(cache.folder / "key"):
        pass
    assert entries(cache) == [new.name]


def test_where_nothing_can_be_written_they_stay_in_memory(data_dir, tmp_path, caplog):
    def refuse():
        raise StoreError("read-only")

    cache = ExampleCache(tmp_path / "cache", make_ready=refuse, most_in_memory=3)
    found = load_examples(TASKS["anli"], "train", "en", data_dir=data_dir, cache=cache)
    assert_same(found, load_examples(TASKS["anli"], "train", "en", data_dir=data_dir))
    assert "is read into memory: read-only" in caplog.text
    assert not cache.folder.exists()


def test_files_that_change_while_they_are_read(data_dir, cache, monkeypatch):
    checked_rows = task_module.checked_rows
    path = data_dir / load_examples(TASKS["socialiqa"], "train", "en", data_dir=data_dir).source

    def touching(*arguments, **settings):
        yield from checked_rows(*arguments, **settings)
        path.write_bytes(path.read_bytes() + b"\n")

    monkeypatch.setattr(task_module, "checked_rows", touching)
    with pytest.raises(DataError, match="have changed while they were read"):
        load_examples(TASKS["socialiqa"], "train", "en", data_dir=data_dir, cache=cache)
    assert entries(cache) == []


def anli_train(data_dir):
    for path in data_dir.rglob("train.jsonl"):
        if path.parent.name == "R1":
            return path
    raise AssertionError("the fixture has no R1")


@pytest.mark.parametrize("is_cached", [True, False])
def test_an_id_that_stands_twice_is_found_and_the_first_is_kept(data_dir, cache, is_cached):
    path = anli_train(data_dir)
    row = json.loads(path.read_text().splitlines()[0])
    uids = ["a", "b", "c", "a", "d", "b", "a"]
    texts = [f"Text {number}" for number in range(len(uids))]
    rows = [{**row, "context": text, "uid": uid} for text, uid in zip(texts, uids, strict=True)]
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    with pytest.raises(SchemaError) as caught:
        load_examples(TASKS["anli"], "train", "en", data_dir=data_dir, cache=cache if is_cached else None)
    messages = [str(problem) for problem in caught.value.problems]
    name = path.relative_to(data_dir)
    assert messages == [
        f"{name}:4: item 'r1/a' stands already at {name}:1",
        f"{name}:6: item 'r1/b' stands already at {name}:2",
        f"{name}:7: item 'r1/a' stands already at {name}:1",
    ]
    reading = Reading("train", on_bad_row="skip")
    found = load_examples(TASKS["anli"], "train", "en", reading, data_dir, cache if is_cached else None)
    kept = [example for example in found.examples if example.id.startswith("r1/")]
    assert [(example.id, example.rows[0][0]) for example in kept] == [
        ("r1/a", "Text 0"),
        ("r1/b", "Text 1"),
        ("r1/c", "Text 2"),
        ("r1/d", "Text 4"),
    ]
    assert len(found.problems) == 3


def test_equal_hashes_of_other_ids_are_no_fault(data_dir, cache, monkeypatch):
    monkeypatch.setattr("adapter_transfer.tasks.schema.hash", lambda id: 7, raising=False)
    found = load_examples(TASKS["anli"], "train", "en", data_dir=data_dir, cache=cache)
    assert_same(found, load_examples(TASKS["anli"], "train", "en", data_dir=data_dir))
    assert not found.problems


def test_how_far_it_is_gets_told(tmp_path):
    told = []
    cache = ExampleCache(tmp_path / "cache", on_rows=lambda *what: told.append(what))
    collected(cache, many(25_000))
    assert told == [("a task", 25_000, True)]
    collected(cache, many(40_000), "another")
    assert told[1:] == [("a task", 30_000, False), ("a task", 40_000, False), ("a task", 40_000, True)]


def opened_files(folder, call):
    """The files below a folder that are opened by a call."""
    found, is_on = set(), [True]

    def note(event, arguments):
        if is_on[0] and event == "open" and isinstance(arguments[0], str | os.PathLike):
            path = Path(os.fspath(arguments[0]))
            if path.is_relative_to(folder):
                found.add(path)

    sys.addaudithook(note)  # it cannot be taken away again
    try:
        call()
    finally:
        is_on[0] = False
    return found


def assert_all_files_count(folder):
    """What is read decides on the key: every file that a reader opens is one of those whose bytes are looked at."""
    num_parts = 0
    for task in [task for task in TASKS.values() if task.derivation is None]:
        for part in [part for part in task.source.parts if part.package is None]:
            for language in part.languages:
                try:
                    opened = part.open(task.name, language, folder, {})
                except DataError:
                    continue
                stated = {path for _, each in opened for path in each.files}
                used = opened_files(folder, lambda opened=opened: [list(each.rows) for _, each in opened])
                assert used and used <= stated, (task.name, part.published, language, used - stated)
                num_parts += 1
    assert num_parts > 5


def test_every_file_that_is_read_counts(data_dir):
    assert_all_files_count(data_dir)


def test_every_published_file_that_is_read_counts(shared_data):
    assert_all_files_count(shared_data)


def write_large(folder, count):
    """Rows of ANLI's first round and of the other members, few of these."""
    generator = random.Random(0)
    path = anli_train(folder)
    row = json.loads(path.read_text().splitlines()[0])
    with path.open("w") as file:
        for number in range(count):
            text = " ".join(generator.choices(["one", "two", "three", "four", "five", "six", "seven"], k=40))
            file.write(json.dumps({**row, "context": text, "hypothesis": text[:50], "uid": f"{number:040}"}) + "\n")


def peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_examples(data_dir, tmp_path):
    write_large(data_dir, 30_000)
    cache = ExampleCache(tmp_path / "cache", most_in_memory=2_000)

    def read(cache):
        return load_examples(TASKS["anli"], "train", "en", data_dir=data_dir, cache=cache)

    def read_all():
        assert sum(1 for _ in read(cache).examples) > 30_000

    collected(ExampleCache(tmp_path / "other", most_in_memory=3), many(10))  # loads what is loaded once
    first, second, in_memory = peak_of(lambda: read(cache)), peak_of(read_all), peak_of(lambda: read(None))
    limit = 5 << 20
    assert first < limit, "reading and checking"
    assert second < limit, "going through all of them"
    assert in_memory > 3 * limit, "else this would say nothing"
