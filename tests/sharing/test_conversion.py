"""Pickles of adapters → safetensors: what comes out is what went in, and what is no adapter does nothing at all."""

from __future__ import annotations

import builtins
import collections
import json
import logging
import os
import pickle
import shutil
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import (
    AutoAdapterModel,
    CompacterConfig,
    DoubleSeqBnConfig,
    LoRAConfig,
    PrefixTuningConfig,
    SeqBnConfig,
    SeqBnInvConfig,
)
from adapters.loading import AdapterLoader
from safetensors.torch import load_file, save_file
from small_encoders import IDS, MASK, WIDE_SHAPE
from transformers import XLMRobertaConfig

from adapter_transfer.errors import DataError, StoreError
from adapter_transfer.methods.attach import adapter_state
from adapter_transfer.sharing import conversion_process
from adapter_transfer.sharing.conversion import convert_pickles
from adapter_transfer.sharing.conversion_process import FaultError, read_tensors
from adapter_transfer.sharing.inspection import inspect_package
from adapter_transfer.sharing.package import content_digest

SETTINGS = {
    "seq_bn": SeqBnConfig(reduction_factor=4),
    "double_seq_bn": DoubleSeqBnConfig(reduction_factor=4),
    "seq_bn_inv": SeqBnInvConfig(reduction_factor=4),
    "lora": LoRAConfig(r=4, alpha=8),
    "compacter": CompacterConfig(reduction_factor=4),
    "prefix": PrefixTuningConfig(prefix_length=3, bottleneck_size=8),
}


def make_model() -> Any:
    torch.manual_seed(5)
    return AutoAdapterModel.from_config(XLMRobertaConfig(type_vocab_size=1, **WIDE_SHAPE)).eval()


def add(model: Any, settings: Any, name: str = "mnli") -> None:
    """An adapter with a head, every weight of it drawn (a new adapter changes nothing)."""
    model.add_adapter(name, config=settings)
    model.add_classification_head(name, num_labels=3)
    with torch.no_grad():
        for parameter in (*adapter_state(model, name).values(), *model.heads[name].parameters()):
            parameter.normal_(std=0.3)


def logits(model: Any, name: str = "mnli") -> torch.Tensor:
    model.set_active_adapters(name)
    model.active_head = name
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=IDS, attention_mask=MASK).logits
    return result


def publish(folder: Path, settings: Any = SETTINGS["seq_bn"], name: str = "mnli") -> tuple[Path, torch.Tensor]:
    """A folder with pickles, as the library saves by default, and what its model answers."""
    model = make_model()
    add(model, settings, name)
    model.save_adapter(str(folder), name)
    return folder, logits(model, name)


def answer(folder: Path) -> torch.Tensor:
    """What plain adapters makes of a converted folder."""
    model, info = make_model(), dict[str, list[str]]()
    loaded = model.load_adapter(str(folder), use_safetensors=True, loading_info=info)
    assert not info["unexpected_keys"]
    return logits(model, loaded)


@pytest.fixture
def opened_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads harmless pickles in this process: for tests of what is made of them, a second faster each."""

    def run(work: Path, _: float) -> None:
        for pickled, name in conversion_process.OUTPUTS.items():
            if (work / "opened" / pickled).exists():
                save_file(read_tensors(work / "opened" / pickled), work / "read" / name)

    monkeypatch.setattr("adapter_transfer.sharing.conversion._run", run)


def edit_json(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def edit_pickle(path: Path, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    torch.save(edit(torch.load(path, weights_only=True)), path)


@pytest.mark.parametrize("method", SETTINGS)
def test_a_converted_adapter_answers_as_before(method: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if method not in ("seq_bn", "prefix"):  # the process takes seconds, and is the same for all
        request.getfixturevalue("opened_here")
    source, expected = publish(tmp_path / "source", SETTINGS[method])
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    convert_pickles(source, tmp_path / "made")
    made = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert made == ["adapter.safetensors", "adapter_config.json", "head_config.json", "model_head.safetensors"]
    assert torch.equal(answer(tmp_path / "made"), expected)
    inspect_package(tmp_path / "made")
    model = make_model()
    add(model, SETTINGS[method])
    assert load_file(tmp_path / "made" / "adapter.safetensors").keys() == adapter_state(model, "mnli").keys()
    for name in ("adapter_config.json", "head_config.json"):
        assert json.loads((tmp_path / "made" / name).read_text()) == json.loads((source / name).read_text())
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert sorted(os.listdir(tmp_path)) == ["made", "source"]


def test_the_same_weights_give_the_same_bytes_in_whatever_order_they_were_saved(tmp_path: Path) -> None:
    made = {}
    for name in ("one", "two"):
        source, _ = publish(tmp_path / f"source {name}")
        if name == "two":
            edit_pickle(source / "pytorch_adapter.bin", lambda state: dict(reversed(state.items())))
        convert_pickles(source, tmp_path / name)
        made[name] = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    assert made["one"] == made["two"]
    assert content_digest(tmp_path / "one") == content_digest(tmp_path / "two")


# What the first versions of the library wrote, by what is written today; the weights by the library's own table.
FIRST_SETTINGS = {
    "ln_after": "LN_after",
    "ln_before": "LN_before",
    "mh_adapter": "MH_Adapter",
    "output_adapter": "Output_Adapter",
}
FIRST_FIELDS = (
    "adapter_residual_before_ln",
    "non_linearity",
    "original_ln_after",
    "original_ln_before",
    "reduction_factor",
    "residual_before_ln",
)
INVERTIBLE = {"block_type": "nice", "non_linearity": "relu", "reduction_factor": 2}


def make_old(source: Path, kind: str, *, name: str) -> None:
    """Turns a folder of today into one as the library's first versions saved it."""
    old_names = {new: old for old, new in AdapterLoader.legacy_weights_mapping.items() if kind in old}

    def old_key(key: str) -> str:
        parts = key.replace(".mnli.", f".{name}.").split(".")
        if "adapters" in parts:
            place = "attention" if "attention" in parts else "layer"
            parts[parts.index("adapters")] = f"{place}_{kind}_adapters"
        return ".".join(old_names.get(part, part) if part == "invertible_adapters" else part for part in parts)

    def old_config(content: dict[str, Any]) -> None:
        now = content["config"]
        content["config"] = {old: now[new] for new, old in FIRST_SETTINGS.items()}
        content["config"] |= {key: now[key] for key in FIRST_FIELDS}
        content["config"] |= {"attention_type": "sent-lvl-dynamic", "new_attention_norm": False}
        # In every adapter's settings, used in those of languages only.
        content["config"]["invertible_adapter"] = INVERTIBLE
        if now["non_linearity"] == "gelu":
            content["config"]["non_linearity"] = "gelu_orig"
        del content["version"]
        content |= {"type": kind, "config_id": "9076f36a74755ac4", "name": name}
        content["model_class"] = "XLMRobertaModelWithHeads"

    edit_pickle(source / "pytorch_adapter.bin", lambda state: {old_key(key): value for key, value in state.items()})
    edit_json(source / "adapter_config.json", old_config)
    edit_pickle(
        source / "pytorch_model_head.bin",
        lambda state: {key.replace("heads.mnli.", f"heads.{name}."): value for key, value in state.items()},
    )

    def old_head(content: dict[str, Any]) -> None:
        del content["version"]
        content |= {"name": name, "model_class": "XLMRobertaModelWithHeads"}

    edit_json(source / "head_config.json", old_head)


@pytest.mark.usefixtures("opened_here")
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("text_task", SeqBnConfig(reduction_factor=4)),
        ("text_task", DoubleSeqBnConfig(reduction_factor=4, non_linearity="gelu")),
        ("text_lang", SeqBnInvConfig(reduction_factor=4)),
    ],
)
def test_files_of_the_first_versions_become_those_of_today(
    kind: str, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, expected = publish(tmp_path / "source", settings)
    today = json.loads((source / "adapter_config.json").read_text())
    make_old(source, kind, name="nli/multinli@ukp")
    with caplog.at_level(logging.WARNING, logger="adapter_transfer"):
        convert_pickles(source, tmp_path / "made")
    assert "'nli/multinli@ukp' is called 'nli_multinli_ukp'" in caplog.text
    assert torch.equal(answer(tmp_path / "made"), expected)
    made = json.loads((tmp_path / "made" / "adapter_config.json").read_text())
    assert made == {**today, "name": "nli_multinli_ukp"}
    inspect_package(tmp_path / "made")


@pytest.mark.usefixtures("opened_here")
def test_a_head_of_a_model_class_becomes_a_flexible_one(tmp_path: Path) -> None:
    source, expected = publish(tmp_path / "source")
    names = {"heads.mnli.1": "classifier.dense", "heads.mnli.4": "classifier.out_proj"}

    def static(content: dict[str, Any]) -> None:
        labels = content["config"]["label2id"]
        content |= {"config": None, "name": None, "label2id": labels, "num_labels": 3}
        content["model_class"] = "XLMRobertaForSequenceClassification"

    def static_key(key: str) -> str:
        layer, _, parameter = key.rpartition(".")
        return f"{names[layer]}.{parameter}"

    edit_json(source / "head_config.json", static)
    edit_pickle(source / "pytorch_model_head.bin", lambda state: {static_key(k): v for k, v in state.items()})
    convert_pickles(source, tmp_path / "made")
    assert torch.equal(answer(tmp_path / "made"), expected)


@pytest.mark.usefixtures("opened_here")
def test_weights_saved_without_a_model_around_them_get_its_prefix(tmp_path: Path) -> None:
    source, expected = publish(tmp_path / "source")
    edit_pickle(source / "pytorch_adapter.bin", lambda state: {k.removeprefix("roberta."): v for k, v in state.items()})
    convert_pickles(source, tmp_path / "made")
    assert all(key.startswith("roberta.") for key in load_file(tmp_path / "made" / "adapter.safetensors"))
    assert torch.equal(answer(tmp_path / "made"), expected)


@pytest.mark.usefixtures("opened_here")
def test_an_adapter_without_a_head_and_lora_as_it_was_scaled(tmp_path: Path) -> None:
    source, _ = publish(tmp_path / "source", SETTINGS["lora"])
    (source / "head_config.json").unlink()
    (source / "pytorch_model_head.bin").unlink()
    edit_json(source / "adapter_config.json", lambda content: content.update(version="adapters.1.0.1"))
    convert_pickles(source, tmp_path / "made")
    assert sorted(os.listdir(tmp_path / "made")) == ["adapter.safetensors", "adapter_config.json"]
    # As the library itself mends what it wrote before 1.1: its own loading of the pickle says the same.
    model = make_model()
    model.load_adapter(str(source))
    made = json.loads((tmp_path / "made" / "adapter_config.json").read_text())
    assert made["config"] == model.adapters_config.get("mnli").to_dict()
    assert made["config"]["alpha"] == made["config"]["r"] == 4


@pytest.mark.usefixtures("opened_here")
def test_what_the_library_knows_no_more_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, expected = publish(tmp_path / "source")
    # The library saved the weights of every head whose name begins with this one's.
    edit_pickle(source / "pytorch_model_head.bin", lambda state: state | {"heads.mnli2.1.bias": torch.ones(3)})
    edit_json(source / "adapter_config.json", lambda content: content["config"].update(patience=3))
    convert_pickles(source, tmp_path / "made")
    assert torch.equal(answer(tmp_path / "made"), expected)
    assert "heads.mnli2.1.bias" in caplog.text
    assert "['patience']" in caplog.text


class Call:
    """Pickled, a call of any function: what an unpickler that does not look would run."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._call


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


ATTACKS: dict[str, Callable[[Path, tuple[str, int]], object]] = {
    "system": lambda canary, _: {"a": Call(os.system, f"touch {canary}")},
    "eval": lambda canary, _: {"a": Call(builtins.eval, f"__import__('pathlib').Path({str(canary)!r}).touch()")},
    "no mapping": lambda canary, _: Call(os.mkdir, str(canary)),
    "nested": lambda canary, _: {
        "a": torch.ones(2),
        "b": Call(collections.OrderedDict, [("c", Call(torch.Size, Call(os.system, f"touch {canary}")))]),
    },
    "in a tensor": lambda canary, _: {
        "a": Call(torch._tensor._rebuild_from_type_v2, os.mkdir, torch.Tensor, (str(canary),), {})
    },
    "torch's own": lambda canary, _: {"a": Call(torch.UntypedStorage.from_file, str(canary), True, 8)},
    "socket": lambda _, address: {"a": Call(socket.create_connection, address)},
}


@pytest.mark.parametrize("kind", ATTACKS)
@pytest.mark.parametrize("form", ["archive", "bare"])
def test_a_pickle_that_calls_anything_is_refused_and_nothing_is_called(
    kind: str, form: str, tmp_path: Path, listener: socket.socket
) -> None:
    payload = ATTACKS[kind](tmp_path / "canary", listener.getsockname())
    torch.save(payload, tmp_path / "pickle", _use_new_zipfile_serialization=form == "archive")
    with pytest.raises(FaultError) as raised:
        read_tensors(tmp_path / "pickle")
    assert raised.value.code == conversion_process.REFUSED
    assert os.listdir(tmp_path) == ["pickle"]
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize(("kind", "pickled"), [("system", "pytorch_adapter.bin"), ("socket", "pytorch_model_head.bin")])
def test_what_is_refused_is_told_in_one_message_and_leaves_nothing(
    kind: str, pickled: str, tmp_path: Path, listener: socket.socket
) -> None:
    source, _ = publish(tmp_path / "source")
    torch.save(ATTACKS[kind](tmp_path / "canary", listener.getsockname()), source / pickled)
    with pytest.raises(DataError, match=rf"holds more than tensors; nothing of it was run \('{pickled}: ") as raised:
        convert_pickles(source, tmp_path / "made")
    assert "\n" not in str(raised.value)
    assert sorted(os.listdir(tmp_path)) == ["source"]
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_the_attacks_would_have_worked(tmp_path: Path, listener: socket.socket) -> None:
    """Or the test above would prove nothing."""
    for kind, make in ATTACKS.items():
        canary = tmp_path / "canary"
        data = pickle.dumps(make(canary, listener.getsockname()))
        if kind in ("in a tensor", "nested"):
            with pytest.raises((TypeError, AttributeError)):
                pickle.loads(data)
        else:
            made = pickle.loads(data)
            if kind == "socket":
                made["a"].close()
                listener.accept()[0].close()
                continue
            del made
        assert canary.exists(), kind
        shutil.rmtree(canary) if canary.is_dir() else canary.unlink()


def expanded() -> dict[str, torch.Tensor]:
    return {"a": torch.ones(1).expand(10**10)}


def with_methods_of_its_own() -> object:
    value = torch.full((4,), float("nan"))
    return {"roberta.x.adapters.mnli.y": Call(torch._tensor._rebuild_from_type_v2, *_disguised(value))}


def _disguised(value: torch.Tensor) -> tuple[Any, ...]:
    parts: Any = value.__reduce_ex__(2)  # type: ignore[no-untyped-call]  # torch's own
    return parts[0], torch.Tensor, parts[1], {"detach": torch.Size, "numel": torch.Size}


UNFIT: dict[str, Callable[[], object]] = {
    "no mapping": lambda: [torch.ones(2)],
    "nothing": dict,
    "a number": lambda: {"a": 1},
    "nested": lambda: {"a": {"b": torch.ones(2)}},
    "no text as key": lambda: {1: torch.ones(2)},
    "integers": lambda: {"a": torch.ones(2, dtype=torch.int64)},
    "doubles": lambda: {"a": torch.ones(2, dtype=torch.float64)},
    "complex": lambda: {"a": torch.ones(2, dtype=torch.complex64)},
    "sparse": lambda: {"a": torch.eye(3).to_sparse()},
    "quantized": lambda: {"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)},
    "meta": lambda: {"a": torch.ones(2, device="meta")},
    "NaN": lambda: {"a": torch.tensor([1.0, float("nan")])},
    "infinite": lambda: {"a": torch.tensor([float("inf")])},
    "empty": lambda: {"a": torch.ones(0)},
    "10 GB out of one number": expanded,
    "overlapping": lambda: _windows(),
    "methods of its own": with_methods_of_its_own,
}


def _windows() -> dict[str, torch.Tensor]:
    base = torch.ones(9_000)
    return {f"w{start}": base[start : start + 8_000] for start in range(20)}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch means to give up quantized tensors
@pytest.mark.parametrize("kind", UNFIT)
def test_what_is_no_plain_tensor_of_floats_is_refused(kind: str, tmp_path: Path) -> None:
    torch.save(UNFIT[kind](), tmp_path / "pickle")
    with pytest.raises(FaultError) as raised:
        read_tensors(tmp_path / "pickle")
    assert raised.value.code == conversion_process.UNFIT, str(raised.value)


def test_a_fault_in_a_pickle_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    source, _ = publish(tmp_path / "source")
    torch.save(UNFIT["NaN"](), source / "pytorch_model_head.bin")
    with pytest.raises(DataError, match=r"cannot be shared .*pytorch_model_head.bin: 'a' has values that are not fin"):
        convert_pickles(source, tmp_path / "made")
    assert sorted(os.listdir(tmp_path)) == ["source"]


def bomb_in_zip(path: Path) -> None:
    """A true archive of torch's, its numbers compressed a thousandfold."""
    torch.save({"a": torch.zeros(4 << 20)}, path.with_name("plain"))
    with zipfile.ZipFile(path.with_name("plain")) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    path.with_name("plain").unlink()
    assert path.stat().st_size < 100_000


def claim(path: Path) -> None:
    """A tensor of 10 GB in an archive of some hundred bytes."""
    torch.save({"a": torch.ones(2)}, path.with_name("plain"))
    with zipfile.ZipFile(path.with_name("plain")) as plain, zipfile.ZipFile(path, "w") as made:
        for entry in plain.infolist():
            content = plain.read(entry)
            if entry.filename.endswith("data.pkl"):
                two, many = b"K\x02t", b"\x8a\x05" + (2_500_000_000).to_bytes(5, "little") + b"t"
                assert two in content
                content = content.replace(two, many).replace(b"K\x02\x85", many[:-1] + b"\x85")
            made.writestr(entry.filename, content)
    path.with_name("plain").unlink()


def as_tar(path: Path) -> None:
    shutil.make_archive(str(path), "tar", path.parent)
    Path(f"{path}.tar").rename(path)


DAMAGED: dict[str, Callable[[Path], object]] = {
    "zip bomb": bomb_in_zip,
    "10 GB claimed": claim,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"<html>not found</html>"),
    "tar": as_tar,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_torch_cannot_read_is_refused(kind: str, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(9)}, tmp_path / "pickle")
    DAMAGED[kind](tmp_path / "pickle")
    with pytest.raises(FaultError) as raised:
        read_tensors(tmp_path / "pickle")
    expected = conversion_process.REFUSED if kind == "text" else conversion_process.UNREADABLE
    assert raised.value.code == expected, str(raised.value)


def test_what_asks_for_all_memory_gets_none_of_it(tmp_path: Path) -> None:
    source, _ = publish(tmp_path / "source")
    torch.save({"a": Call(bytearray, 100_000_000_000)}, source / "pytorch_adapter.bin")
    with pytest.raises(DataError, match=r"more memory than its size \('pytorch_adapter.bin: MemoryError'\)"):
        convert_pickles(source, tmp_path / "made")
    assert sorted(os.listdir(tmp_path)) == ["source"]


def test_a_pickle_that_never_ends_is_stopped(tmp_path: Path) -> None:
    source, _ = publish(tmp_path / "source")
    # Pairs of pairs of pairs, 64 deep: to use it as a key, Python hashes it, which takes 2^64 steps.
    pairs = b"\x80\x02})" + b"q\x00h\x00\x86" * 64 + b"K\x01s."
    with zipfile.ZipFile(source / "pytorch_adapter.bin", "w") as archive:
        archive.writestr("a/data.pkl", pairs)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/byteorder", "little")
    start = time.monotonic()
    with pytest.raises(DataError, match="longer than 8 seconds; it was stopped"):
        convert_pickles(source, tmp_path / "made", time_limit_seconds=8)
    assert time.monotonic() - start < 20
    assert sorted(os.listdir(tmp_path)) == ["source"]


UNSAFE = ["", "/etc/passwd", "../../up", "a.b", "-x", "a\x1b[2Jb", "a\nb", "x" * 65, "ä", 3, None, ["a"]]


@pytest.mark.usefixtures("opened_here")
@pytest.mark.parametrize("name", UNSAFE, ids=repr)
def test_an_unsafe_name_is_refused(name: object, tmp_path: Path) -> None:
    source, _ = publish(tmp_path / "source")
    edit_json(source / "adapter_config.json", lambda content: content.update(name=name))
    with pytest.raises(DataError, match=r"no name of an adapter|names no adapter|control character"):
        convert_pickles(source, tmp_path / "made")
    assert not (tmp_path / "made").exists()


WRONG: dict[str, Callable[[Path], object]] = {
    "no pickle": lambda folder: (folder / "pytorch_adapter.bin").unlink(),
    "no configuration": lambda folder: (folder / "adapter_config.json").unlink(),
    "head without configuration": lambda folder: (folder / "head_config.json").unlink(),
    "link": lambda folder: _relink(folder / "pytorch_adapter.bin"),
    "pipe": lambda folder: _pipe(folder / "pytorch_adapter.bin"),
    "too large": lambda folder: (folder / "adapter_config.json").write_bytes(b" " * (1 << 21)),
    "no JSON": lambda folder: (folder / "adapter_config.json").write_text("{'a': 1}"),
    "another adapter's weights": lambda folder: edit_json(
        folder / "adapter_config.json", lambda content: content.update(name="qqp")
    ),
    "another head's weights": lambda folder: edit_json(
        folder / "head_config.json", lambda content: content.update(name="qqp")
    ),
    "unknown architecture": lambda folder: edit_json(
        folder / "adapter_config.json", lambda content: content["config"].update(architecture="evil")
    ),
    "settings that are none": lambda folder: edit_json(
        folder / "adapter_config.json", lambda content: content.update(config="../../etc")
    ),
    "invertible without weights": lambda folder: edit_json(
        folder / "adapter_config.json", lambda content: content["config"].update(inv_adapter="nice")
    ),
    "half a setting": lambda folder: edit_json(
        folder / "adapter_config.json", lambda content: content.update(config={"mh_adapter": True})
    ),
    "a head of no kind": lambda folder: edit_json(
        folder / "head_config.json", lambda content: content.update(model_class="os.system")
    ),
}


def _relink(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.usefixtures("opened_here")
@pytest.mark.parametrize("kind", WRONG)
def test_a_folder_that_is_no_whole_adapter_is_refused(kind: str, tmp_path: Path) -> None:
    source, _ = publish(tmp_path / "source")
    WRONG[kind](source)
    with pytest.raises(DataError, match="its pickles cannot be converted"):
        convert_pickles(source, tmp_path / "made")
    assert sorted(os.listdir(tmp_path)) == ["source"]


def test_sizes_are_bounded_before_anything_is_read(tmp_path: Path) -> None:
    source, _ = publish(tmp_path / "source")
    with pytest.raises(DataError, match="at most 1,000 are allowed"):
        convert_pickles(source, tmp_path / "made", max_bytes=1_000)


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    source, _ = publish(tmp_path / "source")
    (tmp_path / "made").mkdir()
    with pytest.raises(StoreError, match="there already"):
        convert_pickles(source, tmp_path / "made")
    assert not os.listdir(tmp_path / "made")


def test_the_process_gets_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment and arguments, as the kernel shows them while it reads a pickle that never ends."""
    source, _ = publish(tmp_path / "source")
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    seen: dict[str, Any] = {}

    class Watched:
        def __init__(self, command: list[str], **options: Any) -> None:
            seen.update(command=command, **options)
            raise OSError(5, "not started")

    monkeypatch.setattr("adapter_transfer.sharing.conversion.subprocess.Popen", Watched)
    with pytest.raises(StoreError):
        convert_pickles(source, tmp_path / "made")
    assert seen["command"][1] == "-I"
    assert seen["close_fds"]
    assert "canary" not in repr(seen)
    assert not {"HF_TOKEN", "HTTPS_PROXY", "PATH", "PYTHONPATH"} & seen["env"].keys()


def test_numbers_that_a_pickle_does_not_hold_are_refused(tmp_path: Path) -> None:
    """`torch.FloatTensor(n)`, which torch's restrictions allow, gives what the memory held before: another content
    each time, and nothing that its author sent."""
    source, _ = publish(tmp_path / "source")

    def edit(state: dict[str, torch.Tensor]) -> dict[str, Any]:
        first, *_, last = state
        spare = torch.zeros(100_000)[: state[first].numel()].view(state[first].shape)  # pays for the numbers below
        return {**state, first: spare, last: Call(torch.FloatTensor, *state[last].shape)}

    edit_pickle(source / "pytorch_adapter.bin", edit)
    with pytest.raises(DataError, match="not finite"):
        convert_pickles(source, tmp_path / "made")
