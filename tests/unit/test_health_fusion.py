"""Signals joined: any strong one opens, weak ones add up to a cap, and reports never open alone."""

import json
from dataclasses import replace
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from hakika.health.fusion import Evidence, disputes, fused_score, opinion, scaled
from hakika.health.judgement import Alarm, Level
from hakika.health.observations import Reports
from hakika.health.reports import REPORT_CAP, ReportsWatch

AT_S = 10_000.0


def alarm(level: Level, kind: str = "failures", start_s: float = 9_900.0) -> Alarm:
    """A standing alarm."""
    return Alarm("bank-a -> wallet", kind, level, AT_S, start_s, 0.0)


@given(st.floats(0, 1e6), st.integers(0, 20))
def test_reports_alone_open_nothing_at_all(score: float, minutes: int) -> None:
    since_s = AT_S - 60.0 * minutes
    found = opinion(Evidence(AT_S, report_score=score, reports_since_s=since_s, green=3, vantages=3))
    assert found.level is Level.QUIET
    assert not found.may_clear
    assert disputes(found)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_side_signals_together_never_publish_nor_warn(probes: float, reports: float) -> None:
    assert fused_score(0.0, probes, reports) < 20.0
    told = Evidence(AT_S, transfer_start_s=9_000.0, probe_score=probes, report_score=reports)
    assert opinion(told).level <= Level.AMBER
    assert opinion(replace(told, transfer_start_s=None)).level is Level.QUIET


def test_any_strong_signal_opens_by_itself() -> None:
    for level in (Level.AMBER, Level.SLOW, Level.PUBLISH):
        by_transfers = opinion(Evidence(AT_S, transfers=[alarm(level)]))
        by_probes = opinion(Evidence(AT_S, probes=[alarm(level, "probes")]))
        assert (by_transfers.level, by_transfers.kinds) == (level, ("failures",))
        assert (by_probes.level, by_probes.kinds) == (level, ("probes",))


def test_reports_and_probes_pull_an_alarm_forward() -> None:
    half = Evidence(AT_S, transfer_score=14.0, transfer_start_s=9_850.0)
    assert opinion(half).level is Level.AMBER
    brief = Evidence(AT_S, transfer_score=14.0, transfer_start_s=9_950.0, probe_score=6.0, report_score=50.0)
    assert opinion(brief).level is Level.AMBER  # a blip does this: nobody is told
    many = replace(brief, transfer_start_s=9_850.0, transfers_told=150.0, transfer_score=18.0)
    assert opinion(many).level is Level.SLOW  # a fifth of so many would have said it alone
    helped = Evidence(AT_S, transfer_score=14.0, transfer_start_s=9_850.0, probe_score=6.0, report_score=50.0)
    found = opinion(helped)
    assert found.level is Level.PUBLISH
    assert found.kinds == ("fused",)
    assert found.start_s == 9_850.0


def test_the_level_is_the_highest_and_never_falls_with_more_evidence() -> None:
    scores = (0.0, 5.0, 12.0, 21.0, 30.0)
    for transfers, probes, reports in product(scores, repeat=3):
        base = Evidence(
            AT_S, transfer_score=transfers, transfer_start_s=9_000.0, probe_score=probes, report_score=reports
        )
        more = replace(base, probe_score=2 * probes, probes=[alarm(Level.SLOW, "probes")])
        assert opinion(more).level >= max(opinion(base).level, Level.SLOW)


def test_what_blocks_an_all_clear_is_named() -> None:
    clear = opinion(Evidence(AT_S, green=2, vantages=3))
    assert clear.may_clear
    assert not disputes(clear)
    blocked = opinion(Evidence(AT_S, transfers=[alarm(Level.SLOW)], green=1, vantages=3, reports_since_s=9_000.0))
    assert blocked.against_clear == ("failures", "reports", "vantages")
    assert disputes(blocked)
    amber = opinion(Evidence(AT_S, transfers=[alarm(Level.AMBER)], green=3, vantages=3))
    assert amber.may_clear  # amber starts probes, and does not keep an incident open


def test_a_start_is_never_in_the_future() -> None:
    assert opinion(Evidence(AT_S, transfer_score=scaled(1.0), transfer_start_s=AT_S + 5)).start_s == AT_S


def reports(counts: list[int], first: int = 0) -> list[Reports]:
    """Reports by the minute."""
    return [Reports((first + number) * 60.0, 60.0, count) for number, count in enumerate(counts)]


def told(watch: ReportsWatch, seen: list[Reports]) -> float | None:
    """Since when reports are elevated, after some more of them."""
    for one in seen:
        watch.step(one)
    return watch.since_s


def test_reports_rise_and_return_to_the_usual() -> None:
    watch = ReportsWatch.fit("ussd", reports([0, 1, 0, 2, 0, 0, 1, 0] * 200), 60.0)
    assert told(watch, reports([0, 1, 0, 0], first=1600)) is None
    assert told(watch, reports([9, 14, 20], first=1604)) == 1604 * 60.0
    assert watch.score == REPORT_CAP
    woken = ReportsWatch.from_state(json.loads(json.dumps(watch.to_state())))
    assert told(watch, reports([0] * 60, first=1607)) is None
    assert told(woken, reports([0] * 60, first=1607)) is None
    assert woken.to_state() == watch.to_state()
