"""Probes: three vantages that fail open, one broken vantage or one flaky probe does not."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakika.clock import seeded
from hakika.health.judgement import Alarm, Level
from hakika.health.observations import ProbeResult
from hakika.health.probes import CLOSER_S, STALE_S, SUPPORT_CAP, ProbeQuorum

EVERY_S = 30.0
VANTAGES = ("nairobi", "mombasa", "kigali")


def rounds(
    count: int, failing: "dict[str, float]", first: int = 0, seed: int = 1, every_s: float = EVERY_S
) -> list[ProbeResult]:
    """Rounds of one test a vantage, each failing with its own probability (0.005 where none is given)."""
    chance = seeded(seed)
    return [
        ProbeResult(
            first * EVERY_S + number * every_s + place * every_s / 3,
            name,
            "ussd",
            ok=chance.random() >= failing.get(name, 0.005),
        )
        for number in range(count)
        for place, name in enumerate(VANTAGES)
    ]


def said(quorum: ProbeQuorum, results: list[ProbeResult]) -> list[Alarm]:
    """Everything the quorum said."""
    return [alarm for result in results for alarm in quorum.step(result)]


def published(found: list[Alarm]) -> list[Alarm]:
    """Only what would open an incident."""
    return [alarm for alarm in found if alarm.level is Level.PUBLISH]


@pytest.mark.parametrize(("share", "within_s"), [(1.0, 60), (0.5, 300)])
def test_a_dead_way_in_is_seen_by_three(share: float, within_s: float) -> None:
    quorum = ProbeQuorum("ussd")
    said(quorum, rounds(100, {}))
    found = published(said(quorum, rounds(20, dict.fromkeys(VANTAGES, share), first=100)))
    assert found
    assert found[0].at_s - 100 * EVERY_S <= within_s
    assert 0 <= found[0].start_s - 100 * EVERY_S <= 120


def test_a_broken_vantage_opens_nothing_for_a_week() -> None:
    found = said(ProbeQuorum("ussd"), rounds(7 * 2880, {"mombasa": 1.0}))
    assert max((alarm.level for alarm in found), default=Level.QUIET) <= Level.AMBER


def test_two_broken_vantages_warn_banks_and_do_not_publish() -> None:
    found = said(ProbeQuorum("ussd"), rounds(120, {"mombasa": 1.0, "kigali": 1.0, "nairobi": 0.0}))
    assert max(alarm.level for alarm in found) is Level.SLOW


@pytest.mark.parametrize("seed", range(20))
def test_a_fifth_of_tests_failing_is_seen_within_minutes_of_a_closer_look(seed: int) -> None:
    quorum = ProbeQuorum("ussd")
    said(quorum, rounds(100, {}, seed=seed))
    failing = rounds(90, dict.fromkeys(VANTAGES, 0.2), first=100, seed=seed + 100, every_s=5.0)
    found = published(said(quorum, failing))
    assert found
    assert found[0].start_s - 100 * EVERY_S >= -60


def test_support_comes_minutes_before_and_never_from_one_vantage() -> None:
    supported = []
    for seed in range(200):
        quorum = ProbeQuorum("ussd")
        said(quorum, rounds(10, dict.fromkeys(VANTAGES, 0.2), seed=seed))
        supported.append(quorum.support(10 * EVERY_S))
    assert 6.0 <= sorted(supported)[100] <= 3 * SUPPORT_CAP == max(supported)
    alone = ProbeQuorum("ussd")
    said(alone, rounds(40, {"mombasa": 1.0, "nairobi": 0.0, "kigali": 0.0}))
    assert alone.support(40 * EVERY_S) == 0.0
    lone = ProbeQuorum("ussd")
    said(lone, [ProbeResult(number * EVERY_S, "mombasa", "ussd", ok=False) for number in range(9)])
    assert lone.support(9 * EVERY_S) == 0.0


def test_a_state_put_away_before_there_was_a_weak_sum_is_read() -> None:
    quorum = ProbeQuorum("ussd")
    said(quorum, rounds(4, dict.fromkeys(VANTAGES, 1.0)))
    state = quorum.to_state()
    state["vantages"] = {name: saved[:5] for name, saved in state["vantages"].items()}
    woken = ProbeQuorum.from_state(state)
    assert woken.level is Level.PUBLISH
    assert woken.score(4 * EVERY_S) == quorum.score(4 * EVERY_S)
    assert woken.support(4 * EVERY_S) == 0.0


def test_a_flaky_probe_is_learnt_as_flaky() -> None:
    quiet = rounds(2000, dict.fromkeys(VANTAGES, 0.15))
    quorum = ProbeQuorum.fit("ussd", quiet)
    assert quorum.slip == pytest.approx(0.125, abs=0.02)
    month = rounds(30 * 2880, dict.fromkeys(VANTAGES, 0.15), first=2000, seed=9)
    flaky = len(published(said(quorum, month)))
    assert flaky <= len(published(said(ProbeQuorum("ussd"), month)))


def test_quiet_months_publish_nothing() -> None:
    assert not published(said(ProbeQuorum("ussd"), rounds(60 * 2880, {}, seed=4)))


def test_a_vantage_that_went_away_counts_no_more() -> None:
    quorum = ProbeQuorum("ussd")
    said(quorum, rounds(4, {"mombasa": 1.0, "kigali": 1.0, "nairobi": 0.0}))
    later = [ProbeResult(2000.0 + number, "nairobi", "ussd", ok=False) for number in range(5)]
    assert not published(said(quorum, later))
    assert quorum.score(2004.0) == 8.0
    assert quorum.support(2004.0) == 0.0


def test_it_is_over_when_two_of_three_are_green_for_five_minutes() -> None:
    quorum = ProbeQuorum("ussd")
    said(quorum, rounds(10, dict.fromkeys(VANTAGES, 1.0)))
    assert quorum.level is Level.PUBLISH
    found = said(quorum, rounds(40, {"mombasa": 1.0, "nairobi": 0.0, "kigali": 0.0}, first=10))
    assert [alarm.level for alarm in found] == [Level.QUIET, Level.AMBER]
    assert 300 <= found[0].at_s - 10 * EVERY_S <= 360


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*VANTAGES, "kisumu"]), st.booleans()), max_size=120), st.integers(0, 119))
def test_saved_and_restored_it_has_the_same_future(drawn: "list[tuple[str, bool]]", cut: int) -> None:
    results = [ProbeResult(number * 7.0, name, "ussd", ok=ok) for number, (name, ok) in enumerate(drawn)]
    through, killed = ProbeQuorum("ussd"), ProbeQuorum("ussd")
    whole = said(through, results)
    first = said(killed, results[:cut])
    # A vantage that has not spoken yet has no time: it is not in the state at all, so this is plain JSON.
    woken = ProbeQuorum.from_state(json.loads(json.dumps(killed.to_state(), allow_nan=False)))
    assert first + said(woken, results[cut:]) == whole
    assert woken.to_state() == through.to_state()
    assert all(alarm.start_s <= alarm.at_s for alarm in whole)


def test_a_failure_is_worth_more_tests_until_it_is_decided() -> None:
    quorum = ProbeQuorum("ussd")
    said(quorum, rounds(10, dict.fromkeys(VANTAGES, 0.0)))
    assert not quorum.doubted(300.0)
    said(quorum, [ProbeResult(300.0, "mombasa", "ussd", ok=False)])
    assert quorum.doubted(300.0)
    assert not quorum.doubted(300.0 + STALE_S + 1)  # nobody has said anything since
    said(quorum, rounds(20, dict.fromkeys(VANTAGES, 0.0), first=11))
    assert not quorum.doubted(1000.0)
    said(quorum, rounds(20, dict.fromkeys(VANTAGES, 1.0), first=40))
    assert quorum.level is Level.PUBLISH
    assert not quorum.doubted(60 * EVERY_S)


def test_a_vantage_that_stays_broken_is_not_asked_for_more_for_ever() -> None:
    quorum = ProbeQuorum("ussd")
    said(quorum, rounds(20, {"mombasa": 1.0, "kigali": 0.0, "nairobi": 0.0}))
    assert quorum.doubted(20 * EVERY_S)
    said(quorum, rounds(20, {"mombasa": 1.0, "kigali": 0.0, "nairobi": 0.0}, first=20))
    assert not quorum.doubted(40 * EVERY_S)


def test_an_alarm_of_transfers_is_worth_more_tests_unless_it_publishes() -> None:
    quorum = ProbeQuorum("ussd")
    alarm = Alarm("corridor", "failures", Level.AMBER, 300.0, 250.0, 9.0)
    assert not quorum.doubted(300.0, [alarm])  # no vantage is there
    said(quorum, rounds(10, dict.fromkeys(VANTAGES, 0.0)))
    assert quorum.doubted(300.0, [alarm])
    assert not quorum.doubted(300.0, [alarm, replace(alarm, level=Level.PUBLISH)])
    assert not quorum.doubted(250.0 + CLOSER_S + 1, [alarm])


def test_tests_that_overlap_count_in_the_order_in_which_they_end() -> None:
    quorum, slow = ProbeQuorum("ussd"), ProbeResult(0.0, "mombasa", "ussd", ok=False, latency_s=20.0)
    quick = [ProbeResult(at_s, "mombasa", "ussd", ok=True, latency_s=1.0) for at_s in (5.0, 10.0, 15.0)]
    said(quorum, [*quick, slow])
    once = quorum.score(20.0)
    assert once > 0
    said(quorum, [*quick, slow])  # read again
    assert quorum.score(20.0) == once


def test_a_fifth_of_failures_is_told_from_a_half() -> None:
    weak, strong = ProbeQuorum("ussd"), ProbeQuorum("ussd")
    said(weak, rounds(40, dict.fromkeys(VANTAGES, 0.2), seed=3))
    said(strong, rounds(5, dict.fromkeys(VANTAGES, 0.7), seed=3))
    assert weak.is_weak(40 * EVERY_S)
    assert not strong.is_weak(5 * EVERY_S)
