"""The report: complete, plain about what is missing, closed to the network, safe against hostile names."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from adapter_transfer.analysis.report import render_report, write_report
from adapter_transfer.errors import StoreError
from adapter_transfer.experiments.plan import ImpossibleCell
from adapter_transfer.experiments.results import Result, RunRecord, SplitRecord

Grid = Callable[..., list[Result]]
MakeRun = Callable[..., RunRecord]
SANDBOX = ("nano", "micro", "mini")
HOSTILE = "</script><script>alert('x')</script><img src=http://evil.example/x onerror=alert(1)>"


class Page(HTMLParser):
    """The tags of a page and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        self._open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            self.scripts[-1] += data
        elif self._open != "style":
            self.text += " " + " ".join(data.split())

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_full_page(grid: Grid, run: MakeRun) -> None:
    page = Page(
        render_report(
            grid(),
            [run(1), run(2, status="failed", reason="loss is not finite")],
            title="demo",
            question="Does size matter?",
            notes=["A note."],
            impossible=[ImpossibleCell("nano", "fp32", "full", "next-event", "stack", "micro-copa", "cannot stack")],
            sandbox_backbones=SANDBOX,
        )
    )
    for text in (
        "Sandbox figures are no evidence about XLM-R.",
        "Does size matter?",
        "A note.",
        "+2.0 on nano",
        "500 × 4",
        "loss is not finite",
        "cannot stack",
        "Gain by scale",
        "Full against adapter",
        "Accuracy by language",
        "How to read this",
        "1 of 2 runs done",
    ):
        assert text in page.text, text
    assert len(json.loads(page.scripts[1])) == 1 + 6
    assert all("scope" in attributes for attributes in page.named("th"))
    assert len(page.named("figcaption")) == len(page.named("figure")) == 7


def test_the_banner_is_about_sandbox_scales_alone(grid: Grid) -> None:
    assert "no evidence" not in render_report(grid(), [], title="real")
    mixed = Page(render_report(grid(), [], title="mixed", sandbox_backbones=["nano"]))
    assert "nano is a tiny model of the embedded sandbox" in mixed.text


def test_the_network_is_not_asked(grid: Grid, run: MakeRun) -> None:
    html = render_report(grid(), [run()], title="demo")
    page = Page(html)
    (policy,) = [tag["content"] for tag in page.named("meta") if tag.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    for _, attributes in page.tags:
        for name in ("src", "srcset", "href", "action", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not page.named("link") and not page.named("iframe") and not page.named("base")
    (css,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert "url(" not in css and "@import" not in css


def test_downloads_hold_the_results(grid: Grid) -> None:
    results = grid()
    links = Page(render_report(results, [], title="demo")).named("a")
    files = {link["download"]: base64.b64decode(link["href"].partition(",")[2]).decode() for link in links}
    assert [row["accuracy"] for row in json.loads(files["results.json"])] == [found.accuracy for found in results]
    assert len(list(csv.DictReader(io.StringIO(files["results.csv"])))) == len(results)


@pytest.mark.parametrize("name", [HOSTILE, "{{ 7*7 }}", "a\u2028b", '"><svg onload=alert(1)>', "<!--", "=1+1"])
def test_hostile_names_are_only_names(grid: Grid, run: MakeRun, name: str) -> None:
    results = grid(scales=[name, "micro"], methods=[name], intermediates=["none", name], languages=["en", name])
    runs = [
        run(
            backbone=name,
            status="failed",
            reason=name,
            versions={name: name},
            data={name: SplitRecord(name, source=name, published=name)},
        )
    ]
    cell: Any = ImpossibleCell(name, "fp32", name, name, "stack", name, name)
    html = render_report(results, runs, title=name, question=name, notes=[name], impossible=[cell])
    page = Page(html)
    assert len(page.scripts) == 3
    assert not page.named("img") and not page.named("svg")
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    specs = json.loads(page.scripts[1])
    assert name in json.dumps(specs, ensure_ascii=False).replace('\\"', '"')
    assert f"<h1>{name}" not in html or name == "{{ 7*7 }}" or name in ("a\u2028b", "=1+1")
    assert " ".join(name.split()) in page.text
    rows = csv.DictReader(io.StringIO(base64.b64decode(page.named("a")[0]["href"].partition(",")[2]).decode()))
    assert next(rows)["method"] == ("'=1+1" if name == "=1+1" else name)


def test_an_empty_store() -> None:
    page = Page(render_report([], [], title="empty"))
    assert "nothing to report yet" in page.text
    assert not page.scripts


def test_nothing_is_finished_yet(run: MakeRun) -> None:
    runs = [run(1, status="todo", intermediate="next-event", composition="stack"), run(2, status="todo")]
    page = Page(render_report([], runs, title="planned", sandbox_backbones=SANDBOX))
    for text in ("no finding", "0 of 2 runs done", "2 of 2 runs", "Sandbox figures", "–"):
        assert text in page.text, text


def test_one_seed_and_one_scale(grid: Grid) -> None:
    page = Page(render_report(grid(scales=["nano"], seeds=[1]), [], title="quick"))
    assert "nothing can be said about scale" in page.text
    assert "±" not in page.text.partition("± is the standard deviation")[0]


@pytest.mark.parametrize(
    "lacks",
    [
        lambda found: found.intermediate == "none",
        lambda found: found.language == "en",
        lambda found: found.language != "en",
        lambda found: found.backbone == "micro" and found.method == "full",
        lambda found: found.seed == 2 and found.intermediate != "none",
    ],
)
def test_partial_stores(grid: Grid, run: MakeRun, lacks: Callable[[Result], bool]) -> None:
    planned = [run(number, status="todo", backbone=scale) for number, scale in enumerate(SANDBOX)]
    page = Page(render_report([found for found in grid() if not lacks(found)], planned, title="partial"))
    assert not re.search(r"\b(nan|None|inf)\b", page.text)
    assert "How to read this" in page.text


def test_degenerate_runs_alone(result: Callable[..., Result]) -> None:
    results = [result(0.5, constant_predictions=True, intermediate=lower) for lower in ("none", "next-event")]
    page = Page(render_report(results, [], title="chance"))
    assert "gives every English item the same answer" in page.text
    assert "0.0 on micro" in page.text


def test_contradicting_results_are_said_to_be_so(result: Callable[..., Result]) -> None:
    results = [result(0.6, run="a", target_run="x"), result(0.9, run="b", target_run="y")]
    text = Page(render_report(results, [], title="two versions")).text
    assert "several runs claim this cell and seed" in text
    assert "no finding" in text


def test_several_targets_have_their_own_sections(grid: Grid, result: Callable[..., Result]) -> None:
    html = render_report([*grid(), result(target="xcopa")], [], title="two")
    assert "Target task: micro-copa" in html and "Target task: xcopa" in html
    ids = re.findall(r'id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_writing_makes_folders_and_leaves_no_debris(grid: Grid, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "demo" / "report.html"
    write_report(path, grid(), [], title="demo")
    write_report(path, [], [], title="again")
    assert "again" in path.read_text("utf-8")
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(StoreError):
        write_report(path / "below-a-file" / "report.html", [], [], title="demo")
