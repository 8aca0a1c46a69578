"""The regulator's report: a draft at once, final at the end, and never a figure that health cannot know."""

import csv
import io
from dataclasses import replace

from incident_states import AT_MS, BY_HAND, CAUSE, MET, OPENED, OVERRAN, RELAPSED, SAID_AGAINST, UNMET, after

from hakika.health.incident_events import Acknowledged, Closed, Measured, Recovering
from hakika.health.regulator import NOT_KNOWN, Report, report_of, to_csv
from hakika.health.regulator import Measured as Figures
from hakika.health.telling import Caught

NAMES = {CAUSE: "Demo Bank A"}
FIGURES = Figures(Caught(7, 120, 4, 1), peak_held=90, failed=300, reporters=12, published_ms=AT_MS + 3_000)


def report(*events: object, names: dict[str, str] = NAMES) -> Report:
    incident = after(*events)  # type: ignore[arg-type]
    return report_of(incident, FIGURES, names, operator="DemoPesa", zone="Africa/Nairobi")


def values(found: Report) -> dict[str, str]:
    return {line.field: line.value for line in found.lines}


def test_a_draft_is_ready_when_it_opens() -> None:
    found = report(OPENED)
    told = values(found)
    assert not found.final
    assert told["status"] == "draft"
    assert told["started"] == "1970-01-01T00:00:50Z (03:00:50 EAT)"
    assert told["detected"].startswith("1970-01-01T00:01:00Z")
    assert told["acknowledged"] == told["ended"] == "not yet"
    assert told["cause"] == "one bank's corridor: Demo Bank A"
    assert told["scope"] == "Demo Bank A"
    assert told["promises missed, at least"] == "1"
    assert told["promises kept, at most"] == "123"
    assert told["amount in flight"] == told["customers affected"] == NOT_KNOWN
    notes = {line.field: line.note for line in found.lines}
    assert notes["detected"] == "after 10 s"
    assert notes["published"] == "after 3 s"


def test_it_is_final_when_it_is_over() -> None:
    found = report(
        OPENED, Acknowledged(), Recovering(90), Measured(UNMET), RELAPSED, Recovering(95), Closed(MET, 120, 4)
    )
    told = values(found)
    assert found.final
    assert told["status"] == "final"
    assert told["ended"].startswith("1970-01-01T00:01:06Z")
    assert told["came back"] == "1"
    assert told["condition failures"] == "met"
    assert [line.value for line in found.history][:2] == ["opened", "acknowledged"]


def test_who_opened_it_and_what_was_said_is_in_it() -> None:
    assert values(report(BY_HAND))["evidence at opening"] == "opened by an operator"
    assert values(report(OPENED))["failed technically at opening"] == "40 %"
    notes = {line.field: line.note for line in report(OVERRAN).lines}
    assert notes["started"] == "the planned end of announced work"
    disputed = {line.field: line.note for line in report(OPENED, SAID_AGAINST).lines}
    assert disputed["operator said resolved"] == "measurements disagreed"


def test_no_cell_is_a_formula() -> None:
    for payload in ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1"):
        table = to_csv(report(replace(OPENED, components=(CAUSE,)), names={CAUSE: payload}))
        rows = list(csv.reader(io.StringIO(table.decode())))
        assert all(len(row) == 3 for row in rows)
        assert ["scope", f"'{payload}", "every part ever concerned"] in rows
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
