"""The joining of detectors into public incidents: one cause, one incident, named from where evidence is and is not."""

import numpy as np
import pytest
from det_kit import fresh, platform

from bench.det_baselines import BASELINES, Fit, fitted, watched
from bench.det_faults import BILL_STREAMS, KINDS, trial
from bench.det_harms import ALL_STREAMS, Harm, apply
from bench.det_judge import Fitted, Opened, Sitting, about, right
from bench.det_learn import Judge
from bench.det_observe import SERIES, SERVICE_NAMES, Observer
from bench.det_platform import BANKS, BUCKET_S
from bench.det_result import HAKIKA
from bench.det_run import harmless, judged
from bench.det_world import PROBES, Recording
from hakika.health.detector import SeriesDetector, SeriesModel
from hakika.health.probes import ProbeQuorum
from hakika.health.reports import ReportsWatch

START, LENGTH = 360, 90


def _unfitted() -> Fitted:
    """A judge that knows nothing of the platform and works from defaults."""
    return Fitted(
        {name: SeriesDetector(SeriesModel.unknown(name, float(BUCKET_S))).to_state() for name in SERIES},
        {name: ProbeQuorum(name).to_state() for name in PROBES},
        {name: ReportsWatch.fit(name, [], 30.0).to_state() for name in SERVICE_NAMES},
    )


def _heard(recording: Recording, sitting: Sitting | None = None) -> tuple[list[Opened], str]:
    """What opens, and what the first of it is called in the end."""
    sitting = sitting or _unfitted().sitting()
    found: list[Opened] = []
    named = ""
    for tick in Observer().ticks(recording):
        found += sitting.hear(tick)
        named = sitting.named(found[0]) or named if found else ""
    return found, named


def _with(*harms: Harm) -> Recording:
    recording = fresh(START + LENGTH)
    apply(recording, harms, np.random.default_rng(1))
    return recording


def _failing(streams: tuple[int, ...], probes: tuple[int, ...], share: float = 0.95) -> Harm:
    return Harm(START, np.ones(LENGTH), streams, fail=share, probes=probes, probe_fail=share)


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (_failing((36, 37), (9,)), "bank-9>wallet"),
        (_failing((36, 37, 38, 39), (9,)), "bank-9"),
        (_failing(ALL_STREAMS, (*range(BANKS), PROBES.index("core"))), "platform"),
        (_failing(BILL_STREAMS, ()), "product:bill"),
    ],
    ids=["corridor", "bank", "core", "product"],
)
def test_one_cause_opens_one_incident_and_gets_its_name(harm: Harm, cause: str) -> None:
    opened, named = _heard(_with(harm))
    assert named == cause
    assert len({one.number for one in opened}) == len(opened)
    assert len(opened) <= 2  # what breaks everywhere may be met in two places before it is understood
    assert all(one.at_s >= fresh(3).start_s + START * BUCKET_S for one in opened)


def test_one_vantage_and_a_storm_of_reports_open_nothing() -> None:
    vantage = Harm(START, np.ones(LENGTH), (), probes=tuple(range(len(PROBES))), vantages=(1,), probe_fail=1.0)
    storm = Harm(START, np.ones(LENGTH), (), storm_a_minute=400.0)
    assert _heard(_with(vantage, storm))[0] == []


def test_a_gateway_without_counts_opens_nothing_by_itself() -> None:
    assert _heard(_with(Harm(START, np.ones(LENGTH), (), blind=True)))[0] == []


def test_tests_from_three_vantages_open_without_any_counts() -> None:
    blind = Harm(START, np.ones(LENGTH), (), blind=True)
    opened, named = _heard(_with(_failing((4, 5), (1,)), blind))
    assert len(opened) == 1
    assert opened[0].evidence == "probes"
    assert named == "bank-1"


def test_a_judge_goes_on_from_its_state() -> None:
    first, second = fresh(START), _with(_failing((36, 37), (9,)))
    one = _unfitted().sitting()
    _heard(first, one)
    other = one.state().sitting()
    later = second.after(START - 90, START + LENGTH)
    assert _heard(later, one) == _heard(later, other)


def _fit() -> Fit:
    quiet = fresh(2160, day=3)
    return fitted(watched([(quiet, Observer().seen(quiet))]))


def test_a_trial_is_judged_by_all_from_the_first_affected_transfer() -> None:
    kind = next(kind for kind in KINDS if kind.name == "fail-95")
    made = trial(platform(), kind, ">=60", 3)
    outcome = judged(made, Judge(_unfitted()), _fit(), 3)
    assert set(outcome.delays) == {HAKIKA, *(rule.name for rule in BASELINES)}
    assert 0 < outcome.delays[HAKIKA] < 120
    assert outcome.right_later in ("exact", "wider")
    first_s, onset_s = made.done.first_affected_s, made.recording.start_s + made.onset * BUCKET_S
    assert first_s is not None
    for name, delay_s in outcome.delays.items():
        assert delay_s == max(0.0, outcome.from_onset[name] - (first_s - onset_s))


def test_a_harmless_event_is_judged_by_all() -> None:
    kind = next(kind for kind in KINDS if kind.name == "rumours")
    outcome = harmless(trial(platform(), kind, "all", 3), Judge(_unfitted()), _fit(), 3)
    assert not outcome.opened[HAKIKA]
    assert outcome.opened["reports alone"]


def test_names_are_judged_exactly_or_as_wider() -> None:
    made = trial(platform(), next(kind for kind in KINDS if kind.name == "fail-95"), ">=60", 3)
    truth = made.cause()
    bank = f"bank-{made.corridor // 2}"
    assert right(truth, made) == "exact"
    assert right(bank, made) == right("platform", made) == "wider"
    assert right("bank-0>wallet", made) == right("", made) == "wrong"


def test_an_incident_elsewhere_finds_nothing() -> None:
    made = trial(platform(), next(kind for kind in KINDS if kind.name == "fail-95"), ">=60", 3)
    elsewhere, here = frozenset({(made.corridor + 2) % 20}), frozenset({made.corridor})
    assert not about(Opened(0.0, "bank-x", "", 1, elsewhere), made)
    assert about(Opened(0.0, "bank-x", "", 1, here), made)
    assert about(Opened(0.0, f"bank-{made.corridor // 2}", "probes", 1), made)


def test_a_trial_meets_a_judge_as_it_stood_last() -> None:
    early, late = _unfitted(), _unfitted()
    late.probes["core"]["slip"] = 0.125
    judge = Judge(early, [(100.0, early), (200.0, late)])
    assert judge.sitting(250.0).probes["core"].slip == 0.125
    assert judge.sitting(199.0).probes["core"].slip != 0.125
    assert judge.sitting(50.0).probes["core"].slip != 0.125
