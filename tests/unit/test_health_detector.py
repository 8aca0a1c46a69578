"""The detector of one series: what it must see, what must not move it, and that its state is all of it."""

import json
from collections.abc import Sequence
from functools import cache

import pytest
from health_series import DAY, TIMEOUT, WIDTH_S, failing, silent, transfers
from hypothesis import given, settings
from hypothesis import strategies as st

from hakika.health.detector import SILENCE, SeriesDetector, SeriesModel, kind_of
from hakika.health.judgement import Alarm, Level
from hakika.health.observations import STUCK, Interval, Silence

QUIET_DAYS = 3


@cache
def fitted(per_minute: float) -> SeriesModel:
    """A model from three quiet days."""
    return SeriesModel.fit("bank-a -> wallet", transfers(1, QUIET_DAYS * DAY, per_minute), WIDTH_S)


def fresh(per_minute: float, intervals: int, seed: int = 7) -> list[Interval]:
    """Quiet intervals of the day after those that were fitted."""
    return transfers(seed, intervals, per_minute, start_s=QUIET_DAYS * DAY * WIDTH_S)


def alarms(detector: SeriesDetector, seen: "Sequence[Interval | Silence]") -> list[Alarm]:
    """Everything the detector said."""
    return [alarm for one in seen for alarm in detector.step(one)]


def published(found: list[Alarm]) -> list[Alarm]:
    """Only what would open an incident."""
    return [alarm for alarm in found if alarm.level is Level.PUBLISH]


@pytest.mark.parametrize(
    ("per_minute", "share", "within_s"), [(600, 0.5, 30), (60, 0.5, 60), (60, 0.2, 300), (6, 0.95, 600)]
)
def test_failures_are_seen_in_time(per_minute: float, share: float, within_s: float) -> None:
    lead, fault = fresh(per_minute, 360 + 120)[:360], fresh(per_minute, 360 + 120)[360:]
    detector = SeriesDetector(fitted(per_minute))
    assert not published(alarms(detector, lead))
    found = published(alarms(detector, failing(fault, share, seed=3)))
    assert found
    assert found[0].at_s - fault[0].at_s <= within_s
    assert abs(found[0].start_s - fault[0].at_s) <= 120  # the change point, computed backwards


def test_a_dead_gateway_is_seen_by_its_silence() -> None:
    seen = fresh(60, 480)
    detector = SeriesDetector(fitted(60))
    alarms(detector, seen[:360])
    found = published(alarms(detector, silent(seen[360:])))
    assert [alarm.kind for alarm in found] == ["drop"]
    assert found[0].at_s - seen[360].at_s <= 90


def test_a_role_that_does_not_answer_is_evidence_by_itself() -> None:
    seen = fresh(60, 60)
    detector = SeriesDetector(fitted(60))
    alarms(detector, seen)
    end_s = seen[-1].at_s + WIDTH_S
    found = published(alarms(detector, [Silence(end_s + WIDTH_S * number, "core") for number in range(6)]))
    assert [alarm.kind for alarm in found] == [SILENCE]
    assert found[0].start_s == end_s


def test_stuck_transfers_alarm_before_they_fail() -> None:
    detector = SeriesDetector(fitted(60))
    found = published(alarms(detector, failing(fresh(60, 30), 0.3, seed=5, reason=STUCK)))
    assert kind_of(STUCK) in {alarm.kind for alarm in found}
    assert found[0].at_s - fresh(60, 1)[0].at_s <= 90  # a minute of it might be a blip


def test_one_episode_is_one_alarm_a_kind_and_it_ends() -> None:
    seen = fresh(60, 360 + 180 + 180)
    episode = seen[:360] + failing(seen[360:540], 0.5, seed=3) + seen[540:]
    found = alarms(SeriesDetector(fitted(60)), episode)
    for kind in (kind_of(""), kind_of(TIMEOUT)):
        of_kind = [alarm for alarm in found if alarm.kind == kind and alarm.at_s > seen[360].at_s]
        assert [alarm.level for alarm in of_kind if alarm.level in (Level.PUBLISH, Level.QUIET)] == [
            Level.PUBLISH,
            Level.QUIET,
        ]
        over_s = of_kind[-1].at_s - seen[540].at_s
        assert 300 <= over_s <= 420  # five minutes of calm, not less


def test_nothing_closes_on_no_evidence() -> None:
    """After failures, an hour in which nothing ends at all: that the corridor works is not known."""
    seen = fresh(60, 360 + 60 + 360)
    detector = SeriesDetector(fitted(60))
    alarms(detector, seen[:360] + failing(seen[360:420], 0.6, seed=3))
    alarms(detector, silent(seen[420:]))
    assert kind_of("") in {alarm.kind for alarm in detector.standing()}


def test_quiet_days_out_of_sample_publish_nothing() -> None:
    for per_minute in (6, 60):
        assert not published(alarms(SeriesDetector(fitted(per_minute)), fresh(per_minute, 3 * DAY, seed=21)))


def test_customers_own_errors_are_no_evidence() -> None:
    """Outcomes that are not technical failures count only as outcomes, however many they are."""
    seen = [Interval(number * WIDTH_S, WIDTH_S, 100, {}, 100) for number in range(100)]
    assert not alarms(SeriesDetector(SeriesModel.unknown("x", WIDTH_S)), list(seen))


def test_without_quiet_data_it_works_from_defaults() -> None:
    detector = SeriesDetector(SeriesModel.unknown("new", WIDTH_S))
    seen = fresh(60, 480)
    assert not published(alarms(detector, seen[:360]))
    found = published(alarms(detector, failing(seen[360:], 0.5, seed=3)))
    assert found[0].at_s - seen[360].at_s <= 90


def test_what_failed_quietly_is_learnt_and_what_fails_loudly_is_not() -> None:
    usual = transfers(3, DAY, 60, usual=0.004)
    detector = SeriesDetector(SeriesModel.unknown("new", WIDTH_S))
    alarms(detector, usual)
    learnt = detector._reasons[""].usual
    assert learnt < 0.01
    later = transfers(4, 720, 60, start_s=DAY * WIDTH_S)
    alarms(detector, failing(later, 0.5, seed=3))
    assert detector._reasons[""].usual == pytest.approx(learnt, rel=0.1)


def test_an_old_interval_changes_nothing() -> None:
    seen = fresh(60, 50)
    detector = SeriesDetector(fitted(60))
    alarms(detector, seen)
    before = json.dumps(detector.to_state())
    assert not alarms(detector, failing(seen, 1.0, seed=1))
    assert json.dumps(detector.to_state()) == before


REASONS = st.sampled_from([TIMEOUT, STUCK, "unavailable"])
OBSERVED = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 40), st.dictionaries(REASONS, st.integers(1, 8), max_size=3), st.integers(0, 60)),
        st.none(),
    ),
    min_size=1,
    max_size=120,
)


def observations(drawn: "list[tuple[int, dict[str, int], int] | None]") -> list[Interval | Silence]:
    """Intervals from drawn numbers, each failure an outcome too; None is a silence."""
    seen: list[Interval | Silence] = []
    for number, one in enumerate(drawn):
        at_s = 1_000_000.0 + number * WIDTH_S
        if one is None:
            seen.append(Silence(at_s, "core"))
        else:
            ended, failed, arrived = one
            seen.append(Interval(at_s, WIDTH_S, ended + sum(failed.values()), failed, arrived))
    return seen


@settings(max_examples=150, deadline=None)
@given(OBSERVED, st.integers(0, 119), st.booleans())
def test_a_judge_killed_and_restored_has_the_same_future(
    drawn: "list[tuple[int, dict[str, int], int] | None]", cut: int, known: bool
) -> None:
    model = fitted(60) if known else SeriesModel.unknown("x", WIDTH_S)
    seen = observations(drawn)
    through = SeriesDetector(model)
    whole = [through.step(one) for one in seen]
    killed = SeriesDetector(model)
    first = [killed.step(one) for one in seen[:cut]]
    woken = SeriesDetector.from_state(json.loads(json.dumps(killed.to_state())))
    assert first + [woken.step(one) for one in seen[cut:]] == whole
    assert woken.to_state() == through.to_state()


@settings(max_examples=150, deadline=None)
@given(OBSERVED)
def test_alarms_are_in_order_and_never_begin_after_they_are_said(
    drawn: "list[tuple[int, dict[str, int], int] | None]",
) -> None:
    detector = SeriesDetector(SeriesModel.unknown("x", WIDTH_S))
    level: dict[str, Level] = {}
    for one in observations(drawn):
        for alarm in detector.step(one):
            assert alarm.start_s < alarm.at_s == one.at_s + WIDTH_S
            assert alarm.start_s >= 1_000_000.0
            before = level.get(alarm.kind, Level.QUIET)
            # It only rises within an episode, and each step is said once; it falls to quiet alone.
            assert alarm.level > before or (alarm.level is Level.QUIET and before is not Level.QUIET)
            level[alarm.kind] = alarm.level
    standing = {alarm.kind: alarm.level for alarm in detector.standing()}
    assert standing == {kind: one for kind, one in level.items() if one}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=200))
def test_no_failure_alarm_without_a_failure(counts: list[int]) -> None:
    detector = SeriesDetector(SeriesModel.unknown("x", WIDTH_S))
    for number, count in enumerate(counts):
        for alarm in detector.step(Interval(number * WIDTH_S, WIDTH_S, count, {}, count)):
            assert alarm.kind == "drop"


@given(st.dictionaries(REASONS, st.integers(1, 8), min_size=2, max_size=3))
def test_the_order_of_reasons_does_not_matter(failed: dict[str, int]) -> None:
    turned = dict(reversed(failed.items()))
    states = []
    for one in (failed, turned):
        detector = SeriesDetector(SeriesModel.unknown("x", WIDTH_S))
        detector.step(Interval(0.0, WIDTH_S, 40, one, 40))
        states.append(json.dumps(detector.to_state(), sort_keys=True))
    assert states[0] == states[1]
