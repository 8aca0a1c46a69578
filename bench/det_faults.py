"""The faults of the evaluation: what breaks, where, when and how strongly; written apart from any detector.

Three families. *Classic* faults are those that the literature and `health`'s own targets name. *Unfitted* ones are
kinds that a detector tuned on the classic list has not met: hidden as customers' errors, only some amounts, only at
night, with one's own instruments broken at the same time. *Harmless* ones break an instrument or fill it with noise
while every transfer ends as it should: an incident opened by them is false. Each trial is decided by its seed alone:
platform, corridor, onset and chance. Strata are transfers a minute expected in the scope at the onset, so that a big
corridor at night counts as the small one that it is then. Scales of harm are choices, written here and nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.det_harms import ALL_STREAMS, Done, Harm, apply
from bench.det_platform import (
    BANKS,
    BUCKET_S,
    CORRIDORS,
    DAY_BUCKETS,
    EPOCH_S,
    PRODUCTS,
    STREAMS,
    Floats,
    Platform,
)
from bench.det_seeds import FIRST_JUDGED_DAY
from bench.det_world import PROBES, Feed, Recording

WARM_BUCKETS = 2_520  # 7 h of ordinary time before the onset: the longest window of a baseline is 6 h
JUDGED_DAYS = 30  # onsets fall into this many days from the first judged one
MINUTE = 60 // BUCKET_S
STRATA = {"<6": (0.0, 6.0), "6-60": (6.0, 60.0), ">=60": (60.0, float("inf"))}  # transfers a minute at the onset
WHOLE = "all"  # the one stratum of kinds that touch every corridor

CORE, TRACKING = PROBES.index("core"), PROBES.index("tracking")
BILL = PRODUCTS.index("bill")
BILL_STREAMS = tuple(range(BILL, STREAMS, len(PRODUCTS)))
OUTWARD_STREAMS = tuple(s for s in ALL_STREAMS if (s // len(PRODUCTS)) % 2 == 1)  # wallet to bank: begun in the app
MOSTLY_NO_ANSWER = (0.8, 0.15, 0.05)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when a trial's fault strikes."""

    start: int  # bucket of the onset within the recording
    length: int  # buckets until the recording ends
    corridor: int
    rng: np.random.Generator

    @property
    def bank(self) -> int:
        """The bank of the corridor, which is also the number of its probe."""
        return self.corridor // 2

    def streams(self) -> tuple[int, ...]:
        """Of the corridor."""
        return tuple(self.corridor * len(PRODUCTS) + product for product in range(len(PRODUCTS)))

    def bank_streams(self) -> tuple[int, ...]:
        """Of both directions of the bank."""
        first = self.bank * 2 * len(PRODUCTS)
        return tuple(range(first, first + 2 * len(PRODUCTS)))

    def whole(self) -> Floats:
        """Full strength from the onset to the end."""
        return np.ones(self.length)

    def ramp(self, minutes: float) -> Floats:
        """From nothing to full strength over so many minutes, then on."""
        return np.minimum(1.0, (np.arange(self.length) + 1) / (minutes * MINUTE))


Make = Callable[[Place], tuple[Harm, ...]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. `scope` is what an operator should be told is broken: corridor, bank, product, platform."""

    name: str
    words: str
    family: str
    scope: str
    make: Make
    horizon_min: int = 60
    hours: tuple[float, float] = (0.0, 24.0)  # of the onset
    strata: tuple[str, ...] = tuple(STRATA)


@dataclass(slots=True)
class Trial:
    """One fault on one platform, injected: what happened, and the truth about it."""

    kind: Kind
    stratum: str
    platform: Platform
    recording: Recording
    onset: int
    corridor: int
    done: Done

    def cause(self) -> str:
        """What is broken, in the words in which localisation is judged."""
        names = {
            "corridor": self.platform.corridors[self.corridor].name,
            "bank": f"bank-{self.corridor // 2}",
            "product": f"product:{PRODUCTS[BILL]}",
        }
        return names.get(self.kind.scope, self.kind.scope)


def trial(platform: Platform, kind: Kind, stratum: str, seed: int) -> Trial:
    """The trial of this seed; the same for every judge."""
    rng = np.random.default_rng((platform.seed, 3, seed, KINDS.index(kind), _stratum_number(stratum)))
    corridor, onset_s = _strike(platform, kind, stratum, rng)
    length = kind.horizon_min * MINUTE + 3
    start_s = onset_s - WARM_BUCKETS * BUCKET_S
    recording = Feed(platform, int(rng.integers(2**62)), start_s).next(WARM_BUCKETS + length)
    harms = kind.make(Place(WARM_BUCKETS, length, corridor, rng))
    done = apply(recording, harms, rng)
    return Trial(kind, stratum, platform, recording, WARM_BUCKETS, corridor, done)


def _stratum_number(stratum: str) -> int:
    return [WHOLE, *STRATA].index(stratum)


def _strike(platform: Platform, kind: Kind, stratum: str, rng: np.random.Generator) -> tuple[int, int]:
    """A corridor and an onset (unix seconds) drawn evenly from all that fit the stratum and the hours."""
    low, high = STRATA.get(stratum, (0.0, float("inf")))
    while True:
        day = FIRST_JUDGED_DAY + int(rng.integers(JUDGED_DAYS))
        bucket = int(rng.integers(DAY_BUCKETS // 3)) * 3
        corridor = int(rng.integers(CORRIDORS))
        onset_s = EPOCH_S + (day * DAY_BUCKETS + bucket) * BUCKET_S
        volume = platform.expected_volume(onset_s, 1)[0] * MINUTE
        touched = volume[corridor - corridor % 2 :][:2].sum() if kind.scope == "bank" else volume[corridor]
        hour = bucket / DAY_BUCKETS * 24
        if kind.hours[0] <= hour < kind.hours[1] and (stratum == WHOLE or low <= touched < high):
            return corridor, onset_s


def _failing(share: float, reasons: tuple[float, ...] = MOSTLY_NO_ANSWER) -> Make:
    def make(place: Place) -> tuple[Harm, ...]:
        return (_corridor_fails(place, share, place.whole(), reasons),)

    return make


def _corridor_fails(
    place: Place, share: float, strength: Floats, reasons: tuple[float, ...] = MOSTLY_NO_ANSWER
) -> Harm:
    return Harm(
        place.start, strength, place.streams(), fail=share, reasons=reasons, probes=(place.bank,), probe_fail=share
    )


def _ramp(place: Place) -> tuple[Harm, ...]:
    return (_corridor_fails(place, 0.30, place.ramp(20)),)


def _slow_burn(place: Place) -> tuple[Harm, ...]:
    return (_corridor_fails(place, 0.08, place.ramp(120)),)


def _silence(place: Place) -> tuple[Harm, ...]:
    return (Harm(place.start, place.whole(), place.streams(), gone=1.0, probes=(place.bank,), probe_fail=1.0),)


def _half_silence(place: Place) -> tuple[Harm, ...]:
    return (Harm(place.start, place.whole(), place.streams(), gone=0.6, probes=(place.bank,), probe_fail=0.6),)


def _stuck(place: Place) -> tuple[Harm, ...]:
    return (Harm(place.start, place.whole(), place.streams(), lose=0.8, probes=(place.bank,), probe_fail=0.8),)


def _latency_creep(place: Place) -> tuple[Harm, ...]:
    return (
        Harm(
            place.start,
            place.ramp(30),
            place.streams(),
            slow=0.4,
            probes=(place.bank,),
            probe_fail=0.2,
            probe_delay_s=6.0,
            reports_a_person=0.003,
        ),
    )


def _refused_fast(place: Place) -> tuple[Harm, ...]:
    return (
        Harm(
            place.start,
            place.whole(),
            place.streams(),
            fail=0.9,
            reasons=(0.0, 1.0, 0.0),
            again=1.0,
            probes=(place.bank,),
            probe_fail=0.9,
        ),
    )


def _flapping(place: Place) -> tuple[Harm, ...]:
    on = (np.arange(place.length) // 4 % 2 == 0).astype(np.float64)  # 40 s broken, 40 s well
    return (_corridor_fails(place, 0.7, on),)


def _brief(place: Place) -> tuple[Harm, ...]:
    return (_corridor_fails(place, 0.9, np.ones(3 * MINUTE)),)


def _product(place: Place) -> tuple[Harm, ...]:
    return (Harm(place.start, place.whole(), BILL_STREAMS, fail=0.9, reasons=(0.1, 0.0, 0.9)),)


def _core(place: Place) -> tuple[Harm, ...]:
    every = tuple(range(BANKS))
    return (Harm(place.start, place.whole(), lose=0.5, fail=0.9, probes=(*every, CORE), probe_fail=0.95),)


def _bank(place: Place) -> tuple[Harm, ...]:
    return (
        Harm(
            place.start,
            place.whole(),
            place.bank_streams(),
            fail=0.95,
            reasons=(0.3, 0.7, 0.0),
            probes=(place.bank,),
            probe_fail=0.95,
        ),
    )


def _login(place: Place) -> tuple[Harm, ...]:
    """Nobody gets into the app: a quarter of what goes out of wallets is not begun at all; nothing fails."""
    return (Harm(place.start, place.whole(), OUTWARD_STREAMS, gone=0.25, reports_a_person=0.04, reports_name_app=True),)


def _slow_database(place: Place) -> tuple[Harm, ...]:
    probes = (*range(BANKS), CORE, TRACKING)
    return (
        Harm(
            place.start,
            place.ramp(3),
            slow=0.6,
            probes=probes,
            probe_fail=0.3,
            probe_delay_s=5.0,
            reports_a_person=0.003,
        ),
    )


def _as_own_errors(place: Place) -> tuple[Harm, ...]:
    """The far side answers "unknown wallet" to most: no technical failure anywhere, the probe's wallet included."""
    return (Harm(place.start, place.whole(), place.streams(), as_own=0.6, probes=(place.bank,), probe_fail=0.6),)


def _large_amounts(place: Place) -> tuple[Harm, ...]:
    return (Harm(place.start, place.whole(), place.streams(), fail=0.08, reasons=(0.0, 0.0, 1.0)),)


def _blind_vantage(place: Place) -> Harm:
    """One vantage's network broke 20 minutes before."""
    early = min(20 * MINUTE, place.start)
    return Harm(
        place.start - early,
        np.ones(place.length + early),
        (),
        probes=tuple(range(len(PROBES))),
        vantages=(int(place.rng.integers(3)),),
        probe_fail=0.95,
        counts_as_affected=False,
    )


def _with_blind_vantage(place: Place) -> tuple[Harm, ...]:
    return (_blind_vantage(place), _corridor_fails(place, 0.5, place.whole()))


def _telemetry_lost(place: Place) -> tuple[Harm, ...]:
    blind = Harm(place.start, place.whole(), (), blind=True, counts_as_affected=False)
    return (_corridor_fails(place, 0.95, place.whole()), blind)


def _skewed(place: Place) -> tuple[Harm, ...]:
    ahead_s = float(place.rng.choice((-90.0, -35.0, 35.0, 90.0)))
    skew = Harm(0, np.zeros(1), (), skew_s=ahead_s, counts_as_affected=False)
    return (skew, _corridor_fails(place, 0.5, place.whole()))


def _counted_twice(place: Place) -> tuple[Harm, ...]:
    twice = Harm(place.start - 30 * MINUTE, np.ones(1), (), copies=2, counts_as_affected=False)
    return (twice, _corridor_fails(place, 0.2, place.whole()))


def _one_reason_rare(place: Place) -> tuple[Harm, ...]:
    return (_corridor_fails(place, 0.08, place.whole(), (0.0, 0.0, 1.0)),)


def _retry_storm(place: Place) -> tuple[Harm, ...]:
    """Answers are lost for 30 %, customers try again at once, and the second one succeeds: volume up, few failures."""
    return (
        Harm(place.start, place.whole(), place.streams(), lose=0.3, probes=(place.bank,), probe_fail=0.3),
        Harm(place.start, place.whole(), place.streams(), slow=0.1, counts_as_affected=False),
    )


def _rumours(place: Place) -> tuple[Harm, ...]:
    return (
        Harm(place.start, np.ones(30 * MINUTE), (), storm_a_minute=20.0, counts_as_affected=False),
        Harm(place.start, np.ones(5 * MINUTE), (), storm_a_minute=400.0, counts_as_affected=False),
    )


def _quiet_skew(place: Place) -> tuple[Harm, ...]:
    return (_skewed(place)[0],)


def _quiet_twice(place: Place) -> tuple[Harm, ...]:
    return (_counted_twice(place)[0],)


def _quiet_blind(place: Place) -> tuple[Harm, ...]:
    return (Harm(place.start, np.ones(10 * MINUTE), (), blind=True, counts_as_affected=False),)


def _quiet_vantage(place: Place) -> tuple[Harm, ...]:
    return (_blind_vantage(place),)


CLASSIC, UNFITTED, HARMLESS = "classic", "unfitted", "harmless"
NIGHT = (1.0, 4.0)
KINDS = (
    Kind("fail-95", "95 % fail", CLASSIC, "corridor", _failing(0.95)),
    Kind("fail-50", "50 % fail", CLASSIC, "corridor", _failing(0.50)),
    Kind("fail-20", "20 % fail", CLASSIC, "corridor", _failing(0.20)),
    Kind("one-reason", "8 % fail, all of one rare reason", CLASSIC, "corridor", _one_reason_rare),
    Kind("ramp", "ramp to 30 % in 20 min", CLASSIC, "corridor", _ramp),
    Kind("silent", "gateway silent, nothing arrives", CLASSIC, "corridor", _silence),
    Kind("half-silent", "volume falls to 40 %", CLASSIC, "corridor", _half_silence),
    Kind("stuck", "80 % of answers lost, none fails", CLASSIC, "corridor", _stuck),
    Kind("latency", "40 % too slow after 30 min", CLASSIC, "corridor", _latency_creep),
    Kind("refused", "90 % refused at once, and tried again", CLASSIC, "corridor", _refused_fast),
    Kind("flapping", "70 % fail, 40 s on and 40 s off", CLASSIC, "corridor", _flapping),
    Kind("bank", "one bank, both ways, 95 %", CLASSIC, "bank", _bank),
    Kind("core", "core gone, every corridor", CLASSIC, "platform", _core, strata=(WHOLE,)),
    Kind("product", "one product of every corridor, 90 %", CLASSIC, "product", _product, strata=(WHOLE,)),
    Kind("login", "app login broken, nothing fails", CLASSIC, "app", _login, strata=(WHOLE,)),
    Kind("slow-database", "database slow, 60 % too old", CLASSIC, "platform", _slow_database, strata=(WHOLE,)),
    Kind("as-own-errors", "60 % hidden as customers' errors", UNFITTED, "corridor", _as_own_errors),
    Kind("large-amounts", "8 % fail (large amounts), probes pass", UNFITTED, "corridor", _large_amounts),
    Kind("night", "50 % fail, begins 01 to 04 h", UNFITTED, "corridor", _failing(0.50), hours=NIGHT),
    Kind("blind-vantage", "50 % fail, one vantage already broken", UNFITTED, "corridor", _with_blind_vantage),
    Kind("telemetry-lost", "95 % fail and no counts arrive", UNFITTED, "corridor", _telemetry_lost),
    Kind("skew", "50 % fail, clock wrong by 35 or 90 s", UNFITTED, "corridor", _skewed),
    Kind("counted-twice", "20 % fail, every outcome counted twice", UNFITTED, "corridor", _counted_twice),
    Kind("slow-burn", "ramp to 8 % in 2 h", UNFITTED, "corridor", _slow_burn, horizon_min=180),
    Kind("brief", "90 % fail for 3 min", UNFITTED, "corridor", _brief),
    Kind("answers-lost", "30 % of answers lost, 10 % slow", UNFITTED, "corridor", _retry_storm),
    Kind("rumours", "400 persons a minute say the app is down", HARMLESS, "nothing", _rumours, strata=(WHOLE,)),
    Kind("vantage-broken", "one vantage broken for an hour", HARMLESS, "nothing", _quiet_vantage, strata=(WHOLE,)),
    Kind("skew-alone", "clock wrong by 35 or 90 s", HARMLESS, "nothing", _quiet_skew, strata=(WHOLE,)),
    Kind("twice-alone", "every outcome counted twice", HARMLESS, "nothing", _quiet_twice, strata=(WHOLE,)),
    Kind("counts-missing", "no counts for 10 min", HARMLESS, "nothing", _quiet_blind, strata=(WHOLE,)),
)
