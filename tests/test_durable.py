"""Canonical JSON, atomic writes and sealed directories: under real kills, full disks, flipped bits and lost files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_transfer import durable
from adapter_transfer.errors import StoreError


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The kernel refuses to let a file of this process grow beyond 4 kB: a real failed write, also for root."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    (directory / "artifact").mkdir(parents=True)
    (directory / "artifact" / "weights.safetensors").write_bytes(bytes(range(256)))
    (directory / "metrics.json").write_text('{"accuracy": 0.5}')
    (directory / "empty").write_bytes(b"")
    durable.seal(directory, step=7)
    return directory


def test_sha256_of_a_file_longer_than_a_chunk(tmp_path: Path) -> None:
    data = random.Random(0).randbytes(3_000_001)
    (tmp_path / "x").write_bytes(data)
    assert durable.sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"a": NaN}', '{"a": 1e999}', '{"a": 1', "\x00", "[" * 100_000, "1" * 5000]
)
def test_damaged_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(StoreError, match=r"run\.json is damaged"):
        durable.read_json(tmp_path / "run.json")


# Atomic writes


def test_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    durable.write_atomic(path, b"old")
    durable.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [path.name]


def test_written_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        durable.write_atomic(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_json_is_readable_and_checked_before_writing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    durable.write_json_atomic(path, {"b": "é", "a": 0.1})
    assert path.read_text() == '{\n  "a": 0.1,\n  "b": "é"\n}\n'
    with pytest.raises(ValueError, match=r"\$\.a is nan"):
        durable.write_json_atomic(path, {"a": float("nan")})
    assert durable.read_json(path) == {"a": 0.1, "b": "é"}


@pytest.mark.usefixtures("full_disk")
def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    durable.write_atomic(path, b"old")
    with pytest.raises(StoreError, match=r"cannot write .*x: File too large\. Free some space"):
        durable.write_atomic(path, bytes(100_000))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "Free some space"), (errno.EROFS, "may write to"), (errno.EIO, "fault")]
)
def test_the_message_fits_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, advice: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreError, match=f"{os.strerror(code)}.*{advice}"):
        durable.write_atomic(tmp_path / "x", b"")
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        durable.write_atomic(tmp_path / "x", b"")
    assert os.listdir(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for path in (tmp_path / "file" / "x", tmp_path / "folder", tmp_path / "missing" / "x", Path("/proc/nothing")):
        with pytest.raises(StoreError, match="cannot write"):
            durable.write_atomic(path, b"data")
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_threads_that_write_one_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    contents = [bytes([number]) * 50_000 for number in range(8)]
    threads = [threading.Thread(target=durable.write_atomic, args=(tmp_path / "x", data)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "x").read_bytes() in contents
    assert os.listdir(tmp_path) == ["x"]


WRITER = """
import sys
from pathlib import Path
from adapter_transfer import canonical, durable
root = Path(sys.argv[1])
for number in range(1, 3000):  # it is killed long before
    durable.write_json_atomic(root / "state.json", {"number": number, "body": [number] * 3000})
    temporary = durable.temporary_path(root / "published")
    temporary.mkdir()
    for part in "ab":
        (temporary / part).write_bytes(str(number).encode() * 20000)
    durable.seal(temporary, number=number)
    durable.replace_directory(temporary, root / "published")
    if number == 1:
        print("started", flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_files(tmp_path: Path) -> None:
    moments = random.Random(2)
    highest = 0
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(moments.uniform(0, 0.05))
            writer.send_signal(signal.SIGKILL)
        number = durable.read_json(tmp_path / "state.json")["number"]
        assert durable.read_json(tmp_path / "state.json")["body"] == [number] * 3000
        highest = max(highest, number)
        durable.sweep(tmp_path)
        left = set(os.listdir(tmp_path))
        assert {"state.json"} <= left <= {"state.json", "published"}
        if "published" in left:
            manifest = durable.verify(tmp_path / "published")
            assert number - 1 <= manifest.extra["number"] <= number
    assert highest > 1  # else no kill came in the middle of the work


# Sealed directories


def test_a_manifest_says_what_is_there(sealed: Path) -> None:
    content = json.loads((sealed / "manifest.json").read_text())
    assert content["format"] == 1
    assert content["step"] == 7
    assert content["files"]["artifact/weights.safetensors"] == {
        "sha256": hashlib.sha256(bytes(range(256))).hexdigest(),
        "size_bytes": 256,
    }
    manifest = durable.verify(sealed)
    assert manifest.as_json() == content
    assert list(manifest.files) == ["artifact/weights.safetensors", "empty", "metrics.json"]
    assert manifest.extra == {"step": 7}


@pytest.mark.parametrize("name", ["artifact/weights.safetensors", "metrics.json"])
def test_a_flipped_bit_is_noticed(sealed: Path, name: str) -> None:
    data = (sealed / name).read_bytes()
    for position in random.Random(0).sample(range(len(data) * 8), 20):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        (sealed / name).write_bytes(flipped)
        with pytest.raises(StoreError, match=f"{name} has changed"):
            durable.verify(sealed)
    (sealed / name).write_bytes(data)
    durable.verify(sealed)


def test_a_flipped_bit_or_truncation_of_the_manifest_is_noticed(sealed: Path) -> None:
    path = sealed / "manifest.json"
    data = path.read_bytes()
    for position in random.Random(3).sample(range(len(data) * 8), 300):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(StoreError):
            durable.verify(sealed)
    for length in range(0, len(data) - 1, 13):  # without the newline at its end it still says the same
        path.write_bytes(data[:length])
        with pytest.raises(StoreError, match=r"manifest\.json is damaged"):
            durable.read_manifest(sealed)


def test_every_faulty_file_is_named(sealed: Path) -> None:
    os.truncate(sealed / "artifact" / "weights.safetensors", 100)
    (sealed / "empty").write_bytes(b"!")
    (sealed / "metrics.json").unlink()
    with pytest.raises(StoreError) as caught:
        durable.verify(sealed)
    assert "artifact/weights.safetensors is truncated (100 bytes, 256 were written)" in str(caught.value)
    assert "empty has grown" in str(caught.value)
    assert "metrics.json is missing" in str(caught.value)


def test_links_are_not_sealed_and_not_taken_for_files(sealed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (sealed / "metrics.json").rename(copy)
    (sealed / "metrics.json").symlink_to(copy)
    with pytest.raises(StoreError, match=r"metrics\.json is not a file any more"):
        durable.verify(sealed)
    with pytest.raises(StoreError, match=r"metrics\.json: it is a link"):
        durable.seal(sealed)


def test_a_manifest_that_points_outside_is_refused(sealed: Path) -> None:
    outside = sealed.parent / "outside"
    outside.write_bytes(b"x")
    file = durable.SealedFile(sha256=hashlib.sha256(b"x").hexdigest(), size_bytes=1)
    for name in ("../outside", str(outside)):
        durable.write_json_atomic(sealed / "manifest.json", durable.Manifest({name: file}, {}).as_json())
        with pytest.raises(StoreError, match="lies outside"):
            durable.verify(sealed)


def test_what_is_left_out_and_what_comes_later_does_not_matter(sealed: Path) -> None:
    (sealed / "progress").mkdir()
    (sealed / "progress" / "x").write_bytes(b"x")
    (sealed / "lease").write_bytes(b"")
    (sealed / ".old.0123456789ab.tmp").write_bytes(b"debris")
    manifest = durable.seal(sealed, exclude=("progress", "lease"))
    assert sorted(manifest.files) == ["artifact/weights.safetensors", "empty", "metrics.json"]
    (sealed / "notes.txt").write_text("mine")
    assert durable.verify(sealed) == manifest


def test_a_newer_or_missing_manifest(sealed: Path) -> None:
    durable.write_json_atomic(sealed / "manifest.json", {"format": 2, "files": []})
    with pytest.raises(StoreError, match=r"format 2, .*up to 1\. Upgrade"):
        durable.read_manifest(sealed)
    (sealed / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"manifest\.json: No such file"):
        durable.verify(sealed)


@pytest.mark.usefixtures("full_disk")
def test_a_failed_seal_leaves_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(StoreError, match="File too large"):
        durable.seal(tmp_path, note="n" * 10_000)
    assert os.listdir(tmp_path) == ["x"]


def test_publishing_replaces_a_directory(tmp_path: Path) -> None:
    for content in ("old", "new"):
        temporary = durable.temporary_path(tmp_path / "final")
        temporary.mkdir()
        (temporary / content).write_text(content)
        durable.replace_directory(temporary, tmp_path / "final")
    assert os.listdir(tmp_path) == ["final"]
    assert os.listdir(tmp_path / "final") == ["new"]


def test_publishing_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "old").write_text("old")
    with pytest.raises(StoreError, match="cannot publish"):
        durable.replace_directory(tmp_path / "missing", tmp_path / "final")
    assert (tmp_path / "final" / "old").read_text() == "old"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"cannot publish .* Not a directory"):
        durable.replace_directory(tmp_path / "final", tmp_path / "file")
    assert sorted(os.listdir(tmp_path)) == ["file", "final"]


def test_of_two_equal_makers_the_first_wins(tmp_path):
    for name in ("first", "second"):
        temporary = durable.temporary_path(tmp_path / "final")
        temporary.mkdir()
        (temporary / "who").write_text(name)
        durable.publish_first(temporary, tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert (tmp_path / "final" / "who").read_text() == "first"
