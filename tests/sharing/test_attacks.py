"""What somebody may try who wants to harm: none of it succeeds, and each is refused in words. (Corpus: 0 successes.)

A success would be: code of theirs runs (a canary file appears), a path leads out of its folder, memory fills, a damaged
or foreign adapter passes, or a message carries what a terminal obeys. Adapters on a wrong encoder, and with missing or
extra tensors, are in `test_fit`; the conversion of pickles has attacks of its own in `test_conversion`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import socket
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from small_packages import CONFIG, HEAD, TENSORS, sizes, write_json, write_member, write_package

from adapter_transfer.documents import read_text
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.methods.weights import load_adapter, load_head
from adapter_transfer.sharing.inspection import inspect_package
from adapter_transfer.sharing.listing import UnsafePackageError, admitted_files
from adapter_transfer.sharing.references import is_safe_name, parse_hub_adapter

WEIGHTS = ("adapter.safetensors", "model_head.safetensors")
ESCAPES = "\x1b]0;owned\x07\x1b[31m\r\x9b2J<script>alert(1)</script>\u202e"


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.fixture
def package(tmp_path):
    return write_package(tmp_path / "package")


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


def refusal(folder):
    """What a person is told; nothing in it may act on a terminal."""
    with pytest.raises(UnsafePackageError) as caught:
        inspect_package(folder)
    told = str(caught.value).replace(str(folder), "")
    assert all(character.isprintable() or character == "\n" for character in told), ascii(told)
    assert len(told) < 10_000
    return told


def payloads(canary):
    """Pickles in every wrapping, each of which would run a command where it is unpickled."""
    made = {f"protocol {protocol}": pickle.dumps(Payload(canary), protocol) for protocol in range(6)}
    buffer = io.BytesIO()
    torch.save({"weight": Payload(canary)}, buffer)
    made["torch, zip"] = buffer.getvalue()
    buffer = io.BytesIO()
    torch.save({"weight": Payload(canary)}, buffer, _use_new_zipfile_serialization=False)
    made["torch, old"] = buffer.getvalue()
    return made


KINDS = [*(f"protocol {protocol}" for protocol in range(6)), "torch, zip", "torch, old"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_payloads_are_real(canary, kind):
    data = payloads(canary)[kind]
    torch.load(io.BytesIO(data), weights_only=False) if "torch" in kind else pickle.loads(data)
    assert canary.exists()


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_that_is_called_safetensors_is_not_read(package, canary, kind, name):
    (package / name).write_bytes(payloads(canary)[kind])
    told = refusal(package)
    assert repr(name) in told and "pickle" in told and "not safetensors" in told
    with pytest.raises(DataError, match="damaged"):
        if name == WEIGHTS[0]:
            load_adapter(package, "copa", {NAME: torch.zeros(4, 16)}, CONFIG["config"])
        else:
            load_head(package, {"1.weight": torch.zeros(2, 16)})
    assert not canary.exists()


@pytest.mark.parametrize("name", ["pytorch_adapter.bin", "pytorch_model_head.bin", "copa/x.pt", "seed-1/copa/x.pkl"])
def test_a_pickle_beside_good_files_is_refused(package, canary, name):
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_bytes(payloads(canary)["torch, zip"])
    assert "--convert" in refusal(package)
    assert not canary.exists()


NAME = next(iter(TENSORS))


def test_a_pickle_behind_whole_tensors_is_refused(package, canary):
    with open(package / "adapter.safetensors", "ab") as file:
        file.write(payloads(canary)["torch, zip"])
    assert "longer than it should be" in refusal(package)
    assert not canary.exists()


# Pieces that have led out of folders elsewhere; every fuzzed name is made of some.
PIECES = (
    *(
        "..",
        ".",
        "/",
        "\\",
        "//",
        "~",
        "%2e%2e",
        "%2f",
        "..;",
        "....//",
        "\0",
        "\n",
        "\r",
        "\t",
        "\x1b[2J",
        "\x7f",
        " ",
    ),
    *(
        "C:",
        "\\\\host\\",
        "file://",
        "https://",
        "hub:",
        "@",
        "#",
        "$HOME",
        "`id`",
        "|sh",
        "&",
        "*",
        "?",
        "<b>",
        '"',
        "'",
    ),
    *("\u2024\u2024", "\uff0f", "\u2215", "\u2044", "\uff0e\uff0e", "\u202e", "\u200b", "\ufeff", "\u0430", "e\u0301"),
    *("\udc80", "\U0001f600", "con", "aux.txt", "seed-1", "seed-", "copa", "a,b", "A", "x" * 300, "-rf", "--", ".git"),
    *("adapter.safetensors", "adapter_config.json", "manifest.json", "README.md", "model.py", "pytorch_adapter.bin"),
)


def fuzzed(number, seed=7):
    draw = random.Random(seed)
    for _ in range(number):
        yield "".join(draw.choice(PIECES) for _ in range(draw.randint(1, 6)))


def test_of_ten_thousand_fuzzed_names_none_leads_out(tmp_path):
    whole = {"adapter_config.json": 1, "adapter.safetensors": 1}
    root = tmp_path.resolve() / "destination"
    num_admitted = num_safe = num_references = 0
    for name in fuzzed(10_000):
        for leave_out in (False, True):
            try:
                admitted = admitted_files({**whole, name: 1}, leave_out_unknown=leave_out)
            except UnsafePackageError as error:
                assert all(character.isprintable() or character == "\n" for character in str(error)), ascii(name)
                continue
            num_admitted += name in admitted
            for path in admitted:
                assert path.isascii() and path.isprintable()
                assert os.path.normpath(root / path) == str(root / path)
                assert (root / path).resolve().is_relative_to(root)
        if is_safe_name(name):
            num_safe += 1
            assert (root / name).resolve().parent == root and Path(name).name == name
        for text in (name, f"hub:{name}", f"hub:org/{name}", f"hub:org/name@{name}", f"hub:org/name@{'0' * 40}#{name}"):
            try:
                reference = parse_hub_adapter(text)
            except ConfigError as error:
                assert all(character.isprintable() for character in str(error)), ascii(name)
                continue
            num_references += 1
            told = str(reference)
            assert told.isascii() and told.isprintable() and ".." not in told and "\\" not in told
            assert reference.repo.count("/") == 1 and not reference.repo.startswith("/")
            assert (root / reference.repo).resolve().is_relative_to(root)
            assert (root / reference.revision).resolve().is_relative_to(root)
            assert parse_hub_adapter(told) == reference
    # That some are admitted shows that the rest is refused for what it is.
    assert num_admitted > 20 and num_safe > 50 and num_references > 50


def test_whatever_is_written_by_admitted_names_lies_inside(tmp_path):
    """Packages in folders of fuzzed names: what is admitted is written, and nothing appears anywhere else."""
    draw = random.Random(11)
    folders = [*fuzzed(100, seed=3), *("copa", "mnli", "seed-1/a", "seed-2/a", "a,b") * 20]
    written = 0
    for number in range(300):
        root = tmp_path / "deep" / str(number)
        chosen = {draw.choice(folders) for _ in range(2)}
        listing = {
            f"{folder}/{name}": 1 for folder in chosen for name in ("adapter_config.json", "adapter.safetensors")
        }
        try:
            admitted = admitted_files(listing, leave_out_unknown=True)
        except UnsafePackageError:
            continue
        for path in admitted:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"x")
            written += 1
        there = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        assert there == set(admitted)
    assert written > 50
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    assert all(path.name.isdecimal() for path in (tmp_path / "deep").iterdir())


@pytest.mark.parametrize("target", ["/etc/passwd", "/nowhere/at/all", "adapter_config.json", "/", "."])
@pytest.mark.parametrize("name", ["adapter.safetensors", "README.md", "copa", "seed-1/copa", "LICENSE"])
def test_links_are_refused_and_not_followed(package, name, target):
    link = package / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    told = refusal(package)
    assert f"{name!r}: is a symbolic link" in told and "root:" not in told


def test_pipes_and_sockets_are_refused_without_waiting(package, monkeypatch):
    (package / "adapter.safetensors").unlink()
    os.mkfifo(package / "adapter.safetensors")
    monkeypatch.chdir(package)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("LICENSE")
        assert refusal(package).count("is a device, a pipe or a socket") == 2


def bombs():
    """Archives that are a thousand times larger when they are unpacked."""
    zeros = bytes(4 * 2**20)
    in_zip, in_tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(in_zip, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../adapter.safetensors", zeros)
    with tarfile.open(fileobj=in_tar, mode="w") as archive:
        entry = tarfile.TarInfo("../../adapter.safetensors")
        entry.size = 4096
        archive.addfile(entry, io.BytesIO(zeros[:4096]))
    return {
        "zip": in_zip.getvalue(),
        "gzip": gzip.compress(zeros, mtime=0),
        "bzip2": bz2.compress(zeros),
        "xz": lzma.compress(zeros),
        "tar": in_tar.getvalue(),
    }


@pytest.mark.parametrize("name", ["adapter.safetensors", "adapter_config.json", "README.md"])
@pytest.mark.parametrize("kind", ["zip", "gzip", "bzip2", "xz", "tar"])
def test_archives_under_known_names_are_not_unpacked(package, kind, name):
    (package / name).write_bytes(bombs()[kind])
    before = sizes(package)
    told = refusal(package)
    if name == "adapter.safetensors":
        assert f"{kind} archive" in told and "not safetensors" in told
    assert sizes(package) == before


@pytest.mark.parametrize("ending", [".zip", ".tar.gz", ".7z", ".whl"])
def test_archives_under_their_own_names_are_refused(package, ending):
    (package / f"adapter{ending}").write_bytes(bombs()["zip"])
    assert "archives are never unpacked" in refusal(package)


def huge_header(path, claimed, apparent):
    with open(path, "wb") as file:
        file.write(claimed.to_bytes(8, "little") + b'{"a":')
        file.truncate(apparent)  # sparse: it takes no room


@pytest.mark.parametrize(
    ("claimed", "apparent"),
    [(10 * 2**30, 100), (10 * 2**30, 11 * 2**30), (2**63, 100), (2**64 - 1, 10 * 2**30), (3 * 2**30, 3 * 2**30 + 8)],
)
@pytest.mark.parametrize("max_bytes", [4 * 2**30, 2**40])
def test_headers_of_ten_gigabytes_take_no_memory(package, claimed, apparent, max_bytes):
    huge_header(package / "adapter.safetensors", claimed, apparent)
    tracemalloc.start()
    try:
        with pytest.raises(UnsafePackageError, match=r"claims a header of|bytes, more than"):
            inspect_package(package, max_bytes=max_bytes)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_header_of_many_small_values_takes_bounded_memory(package):
    header = b'{"a":[' + b"[],[]," * 150_000 + b"[]]}"
    (package / "adapter.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    tracemalloc.start()
    try:
        assert "more than 200,000 values" in refusal(package)
        assert tracemalloc.get_traced_memory()[1] < 80 * 2**20
    finally:
        tracemalloc.stop()


def test_values_are_read_in_parts(package):
    save_file({NAME: np.ones((16, 2**20), np.float32)}, package / "adapter.safetensors")  # 64 MiB
    tracemalloc.start()
    try:
        inspect_package(package)
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()


def entry(**changes):
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(shape=[2**62, 4])},
        {"a": entry(shape=[-2])},
        {"a": entry(shape=[True, 2])},
        {"a": entry(data_offsets=[0, 2**60])},
        {"a": entry(data_offsets=[-8, 0])},
        {"a": entry(), "b": entry()},
        {"a": entry(), "b": entry(data_offsets=[16, 24])},
        {"a": entry(dtype="../F32")},
        {"a": entry(dtype="PICKLE")},
        {"a": "F32"},
        {"a": entry(), "__metadata__": {"x": {"y": 1}}},
        {"a": entry(), "__metadata__": {"trust": ESCAPES}},
        {ESCAPES: entry()},
        [],
    ],
)
def test_headers_that_lie_are_refused(package, header):
    text = json.dumps(header).encode()
    (package / "adapter.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + np.ones(2, "<f4").tobytes())
    assert "'adapter.safetensors'" in refusal(package)


def test_a_tensor_that_is_named_twice_is_refused(package):
    text = b'{"a":%b,"a":%b}' % ((json.dumps(entry()).encode(),) * 2)
    (package / "adapter.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    assert "has the key 'a' twice" in refusal(package)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(package, name, value):
    tensors = {key: tensor.copy() for key, tensor in (TENSORS if name == WEIGHTS[0] else HEAD).items()}
    next(iter(tensors.values()))[-1, -1] = value
    save_file(tensors, package / name)
    assert "not finite" in refusal(package)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested more than"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested more than"),
        ('{"name": ' + "[" * 40 + "]" * 40 + "}", "nested more than 32 deep"),
        ('{"config": {"r": 1e999}}', "too large"),
        ('{"config": {"r": -1e999}}', "too large"),
        ('{"config": {"r": NaN}}', "NaN"),
        ('{"config": {"r": Infinity}}', "Infinity"),
        ('{"config": {"r": ' + "9" * 100_000 + "}}", "100,000 digits"),
        ('{"name": "copa", "name": "/etc"}', "'name' twice"),
        ('{"config": {"r": 8, "r": 9}}', "'r' twice"),
        ("[1, 2]", "not an object"),
        ('"copa"', "not an object"),
        ("{}{}", "no valid JSON"),
        ("", "no valid JSON"),
        ('{"x": "' + "y" * 20_000 + '"}', "20,000 characters"),
        ('{"x": [' + "1," * 250_000 + "1]}", "more than 200,000 values"),
        ("{" + ",".join(f'"k{number}":1' for number in range(60_000)) + ',"k7":1}', "'k7' twice"),
        ('{"x": "' + "y" * 2**20 + '"}', "more than the 1,048,576"),
        ('{"x": "\\ud800"}', "control character"),
        ('{"x": "\\u001b[2J"}', "control character"),
    ],
)
@pytest.mark.parametrize("name", ["adapter_config.json", "head_config.json", "manifest.json", "adapter_setup.json"])
def test_json_bombs_are_refused(package, name, text, told):
    (package / name).write_text(text, "utf-8")
    assert told in refusal(package)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 30)
)
"""The billion laughs, 9^30 of them."""


def test_a_yaml_bomb_in_a_card_is_never_read(package):
    (package / "README.md").write_text(f"---\n{BOMB}---\n# Laugh\n", "utf-8")
    tracemalloc.start()
    try:
        inspect_package(package)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a [*a, *a]\n",
        "a: &a {b: *a}\n",
        "x: 1\na: &a [" + "x," * 5 + "]\nb: [" + "*a," * 100_000 + "]\n",
        "x: !!python/object/apply:os.system [touch canary]\n",
        "x: " + "[" * 2_000 + "]" * 2_000,
        "x: " + "9" * 5_000,
        "x: {" + "a: {" * 1_000,
    ],
    ids=["laughs", "itself", "itself-in-a-mapping", "many-aliases", "tag", "deep", "digits", "open"],
)
def test_yaml_bombs_in_a_configuration_are_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        read_text(text, "experiment.yaml")
    assert "experiment.yaml:" in str(caught.value) and len(caught.value.problems) <= 1_001
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a.b", "a/b", "", None, 3, "\x1b[2J", "x" * 300, ["copa"]])
def test_unsafe_names_are_not_loaded_even_without_an_inspection(package, name):
    load_adapter(package, "copa", {NAME: torch.zeros(4, 16)}, CONFIG["config"])
    load_head(package, {"1.weight": torch.zeros(2, 16)})
    for file in ("adapter_config.json", "head_config.json"):
        write_json(package / file, CONFIG | {"name": name})
    with pytest.raises(DataError, match="none that can be used") as caught:
        load_adapter(package, "copa", {NAME: torch.zeros(4, 16)}, CONFIG["config"])
    assert "\x1b" not in str(caught.value)
    with pytest.raises(DataError, match="none that can be used"):
        load_head(package, {"1.weight": torch.zeros(2, 16)})


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8])
def test_other_types_are_not_loaded_even_without_an_inspection(package, dtype):
    save_file({NAME: TENSORS[NAME].astype(dtype)}, package / "adapter.safetensors")
    with pytest.raises(DataError, match="weights are float32, float16 or bfloat16"):
        load_adapter(package, "copa", {NAME: torch.zeros(4, 16)}, CONFIG["config"])


def test_two_tensors_for_one_place_are_not_loaded(package):
    save_file({NAME: TENSORS[NAME], NAME.replace(".copa.", ".*."): TENSORS[NAME]}, package / "adapter.safetensors")
    with pytest.raises(DataError, match="stand for the same one"):
        load_adapter(package, "copa", {NAME: torch.zeros(4, 16)}, CONFIG["config"])


def test_escapes_in_names_of_files_are_shown_and_not_obeyed(package):
    for name in ("\x1b[31mred", "a\nb.json", "<img src=x onerror=alert(1)>", "\u202egpj.exe", "\x9b2J"):
        (package / name).write_text("x")
    told = refusal(package)
    assert r"'\x1b[31mred'" in told and r"'a\nb.json'" in told


@pytest.mark.parametrize("key", ["name", "model_name", "model_type", "version", ESCAPES])
def test_escapes_in_configurations_are_refused(package, key):
    write_json(package / "adapter_config.json", CONFIG | {key: ESCAPES})
    assert "control character" in refusal(package)


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "\x9b31m", "back\x08space", "\u202eevil", "nul\0"])
def test_cards_with_escapes_are_refused(package, text):
    (package / "README.md").write_text(f"# Card\n{text}\n", "utf-8")
    assert "control character" in refusal(package)


def test_html_in_names_is_refused(package):
    write_member(package / "<b>", has_head=False)
    assert "characters that are not allowed" in refusal(package)
    write_json(package / "adapter_config.json", CONFIG | {"name": "<script>alert(1)</script>"})
    assert "library makes paths of names" in refusal(package)


def test_a_folder_of_a_million_files_is_not_walked_through(package):
    for number in range(2_100):
        (package / f"f{number}").touch()
    assert "more than 2,000 files" in refusal(package)


@pytest.mark.parametrize("name", ["adapter_config.json", "head_config.json", "manifest.json"])
@pytest.mark.parametrize("text", ["cc-by-4.0\nreference    hub:google/official", "a\rb", "a\tb", "a\u2028b"])
def test_a_text_that_would_pass_for_a_line_of_ours_is_refused(package, name, text):
    content = json.loads((package / name).read_text()) if (package / name).exists() else {"files": {}}
    write_json(package / name, content | {"more": {"deep": [text]}})
    assert "line break or a tab" in refusal(package)
    write_json(package / name, content | {text: 1})
    assert "line break or a tab" in refusal(package)
