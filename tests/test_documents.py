from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapter_transfer.documents import (
    MAX_BYTES,
    Document,
    append_item,
    apply_overrides,
    dump_text,
    read_document,
    read_text,
)
from adapter_transfer.errors import ConfigError

TEXT = "a: 1e-4\nb:\n  - 1\n  - c: no\n"


def refused(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_text(text, "x.yaml")
    return caught.value.problems


def test_data_and_the_line_of_each_thing() -> None:
    document = read_text(TEXT, "x.yaml")
    assert document.data == {"a": 1e-4, "b": [1, {"c": "no"}]}
    assert dict(document.places) == {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4}
    assert document.place(("b", 1, "d", 7)) == "x.yaml:4", "what is not there is placed at what is around it"


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "[1e-4, 1E5, 010, 0x1f, no, on, ~, null, true, 'true', 2026-01-01, 12:30, .inf, -3, +1.5, '']"
    assert read_text(f"x: {text}", "x").data["x"] == [
        *(1e-4, 1e5, 10, 31, "no", "on", None, None, True, "true", "2026-01-01", "12:30", float("inf"), -3, 1.5, "")
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "x.yaml: is empty; a configuration is a mapping (key: value)"),
        ("# only a comment\n", "x.yaml: is empty; a configuration is a mapping (key: value)"),
        ("\n- 1\n", "x.yaml:2: must be a mapping (key: value), not a list"),
        ("words", "x.yaml:1: must be a mapping (key: value), not text"),
        ("a: 1\nb: {c: 1,\n  c: 2}\n", "x.yaml:3: the key 'b.c' is already given on line 2"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: starts a second document; one file holds one configuration"),
        ("%YAML 1.1\n---\na: no\n", "x.yaml:2: has a % directive; plain YAML 1.2 is read here"),
        ("1: x\n", "x.yaml:1: the key 1 is a number; a key is text (put it in quotes)"),
        ("? [a]\n: 1\n", "x.yaml:1: uses a list as a key; a key is text"),
        ("a: !!python/name:os.system x\n", "x.yaml:1: uses the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("a: !thing {b: 1}\n", "x.yaml:1: uses the tag '!thing'; only plain values are read"),
        ("a: b: c\n", "x.yaml:1: is not valid YAML: mapping values are not allowed here"),
        ("a: 'open\n", "x.yaml:2: is not valid YAML: while scanning a quoted scalar; found unexpected end of stream"),
        ("a: 1\n\tb: 2\n", "x.yaml:2: is not valid YAML"),
        ("a: 1\nb: \x07\n", "x.yaml:2: is not valid YAML: unacceptable character #x0007"),
        ("a: " + "9" * 5000, "x.yaml:1: '9999999999999999999999999999999999999999' cannot be read as a value"),
        ("a:\n  " + "[" * 50_000, "x.yaml:2: is nested more than 20 deep"),
        ("{a: " * 21, "x.yaml:1: is nested more than 20 deep"),
        ("a: [" + "1," * 20_000 + "]", "x.yaml:1: is where more than 20,000 values are reached"),
    ],
)
def test_what_is_refused(text: str, problem: str) -> None:
    (found,) = refused(text)
    assert found.startswith(problem)


def test_every_problem_that_can_be_seen_is_told() -> None:
    assert refused("a: &x 1\nb: *x\na: 2\nc: !t 3\n") == (
        "x.yaml:1: sets the anchor &x; write the value out where it is needed",
        "x.yaml:2: uses the alias *x; write the value out",
        "x.yaml:3: the key 'a' is already given on line 1",
        "x.yaml:4: uses the tag '!t'; only plain values are read",
    )


def test_a_billion_laughs_are_not_laughed() -> None:
    lines = ["a0: &a0 [lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert all("anchor" in problem or "alias" in problem for problem in refused("\n".join(lines)))


def test_the_limits_themselves_are_allowed() -> None:
    assert read_text("a: " + "[" * 19 + "]" * 19, "x").data
    assert len(read_text("a: [" + "1," * 19_997 + "]", "x").data["a"]) == 19_997


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: caf\xc3\xa9\r\n")
    assert read_document(path).data == {"a": "café"}
    assert read_document(str(path)).source == str(path)

    cases = {
        "latin.yaml": (b"a: 1\nb: caf\xe9\n", "latin.yaml:2: is not UTF-8 text (byte 11)"),
        "large.yaml": (b"#" * (MAX_BYTES + 1), "is larger than 1,048,576 bytes"),
        "zero.yaml": (b"", "zero.yaml: is empty"),
        "binary.yaml": (b"a: \x00\n", "is not valid YAML: unacceptable character #x0000"),
    }
    for name, (content, problem) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            read_document(tmp_path / name)
        assert problem in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, problem in [("none.yaml", "there is no such file"), (".", "is a folder"), ("pipe", "no ordinary file")]:
        with pytest.raises(ConfigError, match=problem):
            read_document(tmp_path / name)
    with pytest.raises(ConfigError, match=r"cannot be read|no such file"):
        read_document("a\0b.yaml")


def test_overrides() -> None:
    document = read_text(TEXT, "x.yaml")
    changed = apply_overrides(document, ["b.1.c=3", "x.y=[1, 2]", "b.0={q: no}", "a=null", "x.z='1=2'"])
    assert changed.data == {"a": None, "b": [{"q": "no"}, {"c": 3}], "x": {"y": [1, 2], "z": "1=2"}}
    assert document == read_text(TEXT, "x.yaml"), "the document that was given stays as it was"
    assert changed.place(("x", "y", 0)) == "--set x.y=[1, 2]"
    assert changed.place(("b", 1, "c")) == "--set b.1.c=3"
    assert changed.place(("b",)) == "x.yaml:2"
    assert changed.place(("x",)) == "--set x.y=[1, 2]", "nobody wrote x; the option made it"


def test_the_last_override_of_a_key_wins() -> None:
    changed = apply_overrides(read_text("a: 1", "x"), ["a=2", "a=3"])
    assert changed.data == {"a": 3}
    assert changed.place(("a",)) == "--set a=3"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("a", "must look like key.path=value, for example training.0.epochs=3"),
        ("=1", "must look like key.path=value"),
        ("a..b=1", "must look like key.path=value"),
        ("a=", "gives no value; write null for nothing"),
        ("a.b=1", "a is 0.0001, so nothing can be set inside it"),
        ("b.2=1", "b has 2 items, counted from 0; there is no '2'"),
        ("b.-1=1", "b has 2 items, counted from 0; there is no '-1'"),
        ("b.first.c=1", "b has 2 items, counted from 0; there is no 'first'"),
        ("a=[1", "is not valid YAML"),
        ("a=&x 1", "sets the anchor &x"),
        ("a=" + "[" * 30, "is nested more than 20 deep"),
    ],
)
def test_overrides_that_are_refused(override: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(read_text(TEXT, "x.yaml"), [override, "also bad"])
    assert str(caught.value.problems[0]).startswith(f"--set {override}: {problem}")
    assert len(caught.value.problems) == 2, "every bad option is told at once"


def test_a_document_made_by_hand_has_no_lines() -> None:
    document = Document({"a": 1}, "the demo")
    assert document.place(("a",)) == "the demo"


def test_dumped_text_reads_back() -> None:
    data = {"a": 1e-5, "b": "1e-5", "c": [], "d": {}, "e": [[1, [2]], {"f": [{"g": None}]}], "h": "x " * 200, "i": -0.0}
    assert read_text(dump_text(data), "x").data == data


def test_an_item_is_added_and_comments_stay():
    text = "# what for\nname: x\nseeds: [1, 2]  # few\nintermediates:\n  - none  # the baseline\n"
    flow = append_item(text, "seeds", "hub:a/b@c#d")
    assert read_text(flow, "x").data["seeds"] == [1, 2, "hub:a/b@c#d"]
    assert "# what for" in flow and "# few" in flow and "# the baseline" in flow
    block = append_item(text, "intermediates", "mnli")
    assert read_text(block, "x").data["intermediates"] == ["none", "mnli"]
    with pytest.raises(ConfigError, match="no list 'name'"):
        append_item(text, "name", "y")


def test_a_text_of_nothing_but_aliases_is_not_read_to_its_end():
    text = "a: &a 1\nb: [" + "*a," * 100_000 + "]\n"
    with pytest.raises(ConfigError) as caught:
        read_text(text, "x.yaml")
    assert len(caught.value.problems) == 1_001
    assert caught.value.problems[-1] == "x.yaml:2: is where 1,000 problems are reached; the rest was not read"
