"""Controls stand beside the results, marked, and in no finding."""

from __future__ import annotations

from dataclasses import replace

from adapter_transfer.analysis.control_tables import control_table
from adapter_transfer.analysis.findings import find
from adapter_transfer.analysis.plots import gain_panels
from adapter_transfer.analysis.report import render_report
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.analysis.tables import accuracy_table, gain_table

TARGET, PROBE = "micro-copa", "micro-copa-choices-only"
SHUFFLED = "next-event-shuffled-labels"


def controlled(grid):
    """A grid with a control of the intermediate and, in the same figures, a probe of the target."""
    found = grid(scales=["nano"], methods=["seq_bn"], intermediates=["none", "next-event", SHUFFLED])
    names = ("run", "target_run")
    probe = [
        replace(r, target=PROBE, **{name: getattr(r, name).replace(TARGET, PROBE) for name in names}) for r in found
    ]
    return [*found, *probe]


def test_one_table_holds_targets_and_intermediates_with_their_controls(grid):
    summary = summarise(controlled(grid))
    table = control_table(summary)
    kinds = [(row[3].text, row[4].text.split(" ")[0], row[5].text) for row in table.rows]
    assert kinds == [
        (TARGET, "none", ""),
        (TARGET, "next-event", ""),
        (TARGET, SHUFFLED, "shuffled-labels"),
        (PROBE, "none", "choices-only"),
        (PROBE, "next-event", "choices-only"),
        (PROBE, SHUFFLED, "choices-only + shuffled-labels"),
    ]
    # grid: 2 points for the intermediate, 4 for what stands after it; the languages other than English are 6 below it.
    assert [row[8].text.split(" ")[0] for row in table.rows] == ["", "+2.0", "+4.0", "", "+2.0", "+4.0"]
    assert [row[9].text for row in table.rows] == ["50.0"] * 6
    assert any(note.startswith("choices-only: premise and question are hidden") for note in table.notes)


def test_without_controls_there_is_no_such_table(grid):
    assert control_table(summarise(grid())).rows == ()
    assert "Controls beside the results" not in render_report(grid(), [], title="x")


def test_a_control_is_in_no_finding(grid):
    summary = summarise(controlled(grid))
    finding = find(summary, TARGET)
    assert [item.split(":")[0] for item in finding.items] == ["seq_bn after next-event"]
    assert [item.split(":")[0] for item in finding.controls] == [f"seq_bn after {SHUFFLED}"]
    assert "changed in accuracy on micro-copa, " in finding.lead
    assert "micro-copa-choices-only (a control itself: premise and question are hidden" in find(summary, PROBE).lead


def test_controls_alone_lead_to_no_finding(grid):
    found = grid(scales=["nano"], methods=["seq_bn"], intermediates=["none", SHUFFLED])
    finding = find(summarise(found), TARGET)
    assert (finding.items, len(finding.controls)) == ((), 1)
    assert "is a control, so no finding is drawn" in finding.lead


def test_tables_and_plots_name_controls_as_such(grid):
    summary = summarise(controlled(grid))
    for table in (accuracy_table(summary, TARGET), gain_table(summary, TARGET)):
        assert sum(f"{SHUFFLED} is a control, no result" in note for note in table.notes) == 1
        assert not any("next-event is a control" in note for note in table.notes)
    assert [panel.title for panel in gain_panels(summary, TARGET)] == ["next-event", f"{SHUFFLED} (control)"]
    page = render_report(controlled(grid), [], title="x")
    assert "Controls beside the results" in page
    assert "which an intermediate has to exceed" in page
