"""Where rows are looked for: layouts in their order, the Hub at a commit, and what is said where nothing is."""

from __future__ import annotations

import shutil

import pytest
from published_data import copa_rows, copa_xml, jsonl, write_file, write_parquet, xcopa_rows, xml_items

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import load_examples


def read(data_dir, published, language="en", **how):
    return load_examples(TASKS["xcopa"], "train", language, Reading(published, **how), data_dir)


def test_the_first_layout_that_is_there_is_read(data_dir):
    assert read(data_dir, "train").source == "copa/superglue-form/train-en.jsonl"
    write_file(data_dir / "COPA" / "train.jsonl", jsonl(copa_rows(1)[:4]))
    first = read(data_dir, "train")
    assert (first.source, len(first.examples)) == ("COPA/train.jsonl", 4)
    shutil.rmtree(data_dir / "COPA")
    shutil.rmtree(data_dir / "copa" / "superglue-form")
    assert read(data_dir, "train").source == "copa/copa-dev.xml"


def test_xcopa_is_found_in_its_own_repository_too(data_dir):
    assert read(data_dir, "val", "zh").source == "xcopa/data/zh/val.zh.jsonl"
    assert read(data_dir / "xcopa", "val", "zh").source == "data/zh/val.zh.jsonl"


def test_items_of_another_split_in_one_file_are_left_to_it(data_dir):
    shutil.rmtree(data_dir / "copa" / "superglue-form")
    train, val = read(data_dir, "train"), read(data_dir, "val")
    assert [int(example.id) for example in train.examples] == list(xml_items(1))
    assert [int(example.id) for example in val.examples] == list(xml_items(401))
    items = {**xml_items(1), **xml_items(401), 640: xml_items(501)[501]}
    write_file(data_dir / "copa" / "copa-dev.xml", copa_xml(items))
    for published in ("train", "val"):
        with pytest.raises(DataError, match=r"copa-dev\.xml:197: column 'id' is 640; allowed are 1 to 500"):
            read(data_dir, published)


def test_where_it_was_looked_for_is_said(tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, "val")
    message = str(caught.value)
    for pattern in ("COPA/val.jsonl", "copa/superglue-form/val-en.jsonl", "copa/copa-dev.xml", "copa-dev.xml"):
        assert pattern in message
    assert str(tmp_path) in message
    with pytest.raises(DataError, match=r"looked for data/qu/test\.qu\.jsonl, xcopa/data/qu/test\.qu\.jsonl"):
        read(tmp_path, "test", "qu")
    with pytest.raises(DataError, match=r"missing: no such folder; --data-dir is the folder"):
        read(tmp_path / "missing", "val")


def test_package_data_is_read_whatever_folder_is_given(tmp_path):
    task = TASKS["micro-copa"]
    given = load_examples(task, "test", "qb", data_dir=tmp_path)
    assert given == load_examples(task, "test", "qb")
    assert given.source == "sandbox/data/micro-copa/qb/test.jsonl"


def test_what_is_on_the_hub_is_read_at_the_commit_given(fake_hub):
    loaded = read(None, "test", "ta", revisions=fake_hub("cambridgeltl/xcopa"))
    assert loaded.source == "cambridgeltl/xcopa@000000000000 ta/test-00000-of-00001.parquet"
    assert len(loaded.examples) == 8


def test_shards_are_read_in_order(tmp_path, fake_hub):
    revisions = fake_hub("cambridgeltl/xcopa")
    folder = tmp_path / "hub" / "xcopa" / "sw"
    (folder / "test-00000-of-00001.parquet").unlink()
    rows = xcopa_rows(501, "sw")
    write_parquet(folder / "test-00001-of-00002.parquet", [*rows[5:], rows[0]])
    write_parquet(folder / "test-00000-of-00002.parquet", rows[:5])
    with pytest.raises(DataError) as caught:
        read(None, "test", "sw", revisions=revisions)
    second = "sw/test-00001-of-00002.parquet: row 4"
    assert f"{second}: item '501' stands already at sw/test-00000-of-00002.parquet: row 1" in str(caught.value)
    loaded = read(None, "test", "sw", revisions=revisions, on_bad_row="skip")
    assert [example.id for example in loaded.examples] == [str(item) for item in range(501, 509)]


@pytest.mark.parametrize("offline", [False, True])
def test_the_hubs_own_protocol(loopback_hub, tmp_path, monkeypatch, offline):
    from published_data import write_hub_datasets

    from adapter_transfer import hub

    folders = write_hub_datasets(tmp_path / "repositories")
    refs = {"allenai/social_i_qa": "refs/convert/parquet"}
    for repo, folder in folders.items():
        loopback_hub.add_dataset(repo, folder, ref=refs.get(repo, "main"))
    loopback_hub.use(monkeypatch, tmp_path / "home")

    def read_all():
        for task, published, language in (("xcopa", "test", "en"), ("xcopa", "test", "th"), ("socialiqa", "dev", "en")):
            asked = TASKS[task].hub_datasets("test", language, published)
            commits = tuple((repo, hub.resolve_commit("dataset", repo, revision)) for repo, revision in asked)
            yield load_examples(TASKS[task], "test", language, Reading(published, revisions=commits))

    before = list(read_all())
    assert [len(loaded.examples) for loaded in before] == [8, 8, 8]
    fetched = [path for _, path in loopback_hub.requests if path.split("?")[0].endswith(".parquet")]
    assert len({path.rpartition("/resolve/")[2] for path in fetched if "/resolve/" in path}) == 4
    if offline:
        loopback_hub.use(monkeypatch, tmp_path / "home", offline=True)
    loopback_hub.requests.clear()
    assert list(read_all()) == before
    again = [path for _, path in loopback_hub.requests]
    assert [path for path in again if ".parquet" in path] == []
    if offline:
        assert again == []
