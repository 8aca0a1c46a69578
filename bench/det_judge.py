"""Hakika's judgement of a whole platform: its detectors side by side, joined into public incidents.

Every series, every way in and every service has the detector that runs in `health`, fitted on the platform's quiet
weeks. Whenever a component's evidence publishes, what is broken is named from all components, and an incident is
opened unless an open one, or one closed less than half an hour ago, goes on. A component's evidence is its own
transfers, its bank's synthetic tests and its reports. A gateway that delivers no counts is a fault of our telemetry
until the synthetic tests say more: its silence opens nothing here.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from bench.det_faults import Trial
from bench.det_observe import SERIES, Tick
from bench.det_platform import CORRIDORS, PRODUCTS, corridors
from bench.det_world import PROBES
from hakika.health.detector import SeriesDetector
from hakika.health.fusion import Evidence, Opinion, opinion, scaled
from hakika.health.judgement import Alarm, Level
from hakika.health.localise import Cause, Finding, Health, Kind, Series, causes, continues
from hakika.health.observations import Interval
from hakika.health.probes import ProbeQuorum
from hakika.health.reports import ReportsWatch

VANTAGES_MATTER = 8.0  # below this much evidence from tests nothing can publish that has no alarm of its own
RECENT = 12  # intervals in which a series shows that it is well
RECENT_S = 180.0  # they take two minutes; the gateway's stamps may be off by a minute and a half
WELL_SUCCESSES, WELL_SCORE = 5, 4.0
WELL_SUCCESSES_WEAK = 20  # where only a fifth of the bank's tests fail, a few successes say nothing
RELAPSE_S = 1800.0
TOGETHER_S = 120.0  # what breaks within so long of an opening belongs to that incident
PRODUCT_BAD, PRODUCT_BAD_SHARE = 3, 0.3  # failures of one product in RECENT intervals
PRODUCT_WELL, PRODUCT_WELL_SHARE = 10, 0.04

COMPONENTS = tuple(Series(f"bank-{one.bank}", one.direction) for one in corridors())
CHANNELS = {probe: Series(channel=probe) for probe in PROBES[CORRIDORS // 2 :]}
NAMES = {(series.bank, series.direction): name for series, name in zip(COMPONENTS, SERIES, strict=True)}


@dataclass(frozen=True, slots=True)
class Opened:
    """A public incident at the moment in which it opened; times are unix seconds."""

    at_s: float
    cause: str
    evidence: str
    number: int
    corridors: frozenset[int] = frozenset()  # that it is about


@dataclass(slots=True)
class _Incident:
    number: int
    began_s: float
    causes: list[Cause]  # several while what is broken is not yet understood as one thing
    last_s: float  # when its evidence last published

    def holds(self, cause: Cause, now_s: float) -> bool:
        """The cause is this incident's: it goes on, or it came with it."""
        return now_s - self.began_s <= TOGETHER_S or any(continues(one, cause) for one in self.causes)

    def corridors(self) -> frozenset[int]:
        """The corridors that its causes explain."""
        explained = {(series.bank, series.direction) for cause in self.causes for series in cause.explains}
        places = enumerate(COMPONENTS)
        return frozenset(place for place, one in places if (one.bank, one.direction) in explained)

    def name(self) -> str:
        """By the cause that explains most."""
        return words(max(self.causes, key=lambda cause: len(cause.explains)))


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the quiet weeks taught, as plain values: states of all detectors."""

    series: dict[str, dict[str, Any]]
    probes: dict[str, dict[str, Any]]
    reports: dict[str, dict[str, Any]]

    def sitting(self) -> "Sitting":
        """A judge with this state."""
        return Sitting(
            {name: SeriesDetector.from_state(state) for name, state in self.series.items()},
            {name: ProbeQuorum.from_state(state) for name, state in self.probes.items()},
            {name: ReportsWatch.from_state(state) for name, state in self.reports.items()},
        )


@dataclass(slots=True)
class Sitting:
    """A judge at work on one platform; hand it each tick in order."""

    series: dict[str, SeriesDetector]
    probes: dict[str, ProbeQuorum]
    reports: dict[str, ReportsWatch]
    _recent: dict[str, deque[Interval]] = field(default_factory=dict)
    _standing: set[str] = field(default_factory=set)
    _incidents: list[_Incident] = field(default_factory=list)
    _opened: int = 0

    def __post_init__(self) -> None:
        self._recent = {name: deque(maxlen=RECENT) for name in self.series}
        self._standing = {name for name, detector in self.series.items() if detector.standing()}

    def hear(self, tick: Tick) -> list[Opened]:
        """What the tick's observations open in public."""
        for name, interval in tick.intervals:
            detector = self.series[name]
            if detector.step(interval):
                (self._standing.add if detector.standing() else self._standing.discard)(name)
            self._recent[name].append(interval)
        for result in tick.probes:
            self.probes[result.probe].step(result)
        for name, reports in tick.reports:
            self.reports[name].step(reports)
        opened = self._judge(tick)
        tick.closer = self._closer(tick.now_s)
        return opened

    def _closer(self, now_s: float) -> frozenset[str]:
        """The probes of which more tests would decide something."""
        alarms: dict[str, list[Alarm]] = {}
        for name in self._standing:
            alarms.setdefault(PROBES[SERIES.index(name) // 2], []).extend(self.series[name].standing())
        return frozenset(name for name, one in self.probes.items() if one.doubted(now_s, alarms.get(name, ())))

    def named(self, opened: Opened) -> str:
        """What the incident is said to be by now."""
        return next((one.name() for one in self._incidents if one.number == opened.number), "")

    def state(self) -> Fitted:
        """All detectors as plain values, without incidents."""
        return Fitted(
            {name: detector.to_state() for name, detector in self.series.items()},
            {name: quorum.to_state() for name, quorum in self.probes.items()},
            {name: watch.to_state() for name, watch in self.reports.items()},
        )

    def _judge(self, tick: Tick) -> list[Opened]:
        now_s = tick.now_s
        loud = {
            probe for probe, quorum in self.probes.items() if quorum.score(now_s) >= VANTAGES_MATTER or quorum.level
        }
        if not loud and not self._standing:
            return []
        opinions = {place: self._opinion(place, now_s) for place in self._awake(loud)}
        publishing = {COMPONENTS[place] for place, found in opinions.items() if found.level is Level.PUBLISH}
        down = {probe for probe in loud if self.probes[probe].level is Level.PUBLISH}
        publishing |= {CHANNELS[probe] for probe in down if probe in CHANNELS}
        if not publishing and not down:
            return []
        findings = self._findings(opinions, now_s)
        findings.update(_by_product(findings, tick.by_product(RECENT)))
        return self._incidents_of(self._causes(findings, publishing, down), opinions, now_s)

    def _awake(self, loud: set[str]) -> list[int]:
        """The components that could publish: with an alarm of their own, or whose bank's tests are loud."""
        places = {SERIES.index(name) for name in self._standing}
        for probe in loud:
            if probe not in CHANNELS:
                bank = PROBES.index(probe)
                places |= {2 * bank, 2 * bank + 1}
        return sorted(places)

    def _opinion(self, place: int, now_s: float) -> Opinion:
        name = SERIES[place]
        detector = self.series[name]
        quorum, watch = self.probes[PROBES[place // 2]], self.reports[name]
        transfers = detector.standing()
        return opinion(
            Evidence(
                now_s,
                transfers,
                scaled(detector.strength()),
                min((alarm.start_s for alarm in transfers), default=None),
                detector.told(),
                (),
                quorum.support(now_s),
                report_score=watch.score,
                reports_since_s=watch.since_s,
            )
        )

    def _findings(self, opinions: dict[int, Opinion], now_s: float) -> dict[Series, Finding]:
        """What is known of each corridor and channel."""
        findings: dict[Series, Finding] = {}
        for place, component in enumerate(COMPONENTS):
            found = opinions.get(place) or Opinion(Level.QUIET)
            health = self._health(place, found, now_s, cut_off=component.bank in self._cut_off())
            findings[component] = Finding(health, found.start_s)
        for probe, channel in CHANNELS.items():
            bad = self.probes[probe].level >= Level.SLOW
            findings[channel] = Finding(Health.BAD if bad else Health.GOOD, self.probes[probe].start_s if bad else None)
        return findings

    def _cut_off(self) -> set[str]:
        return {probe for probe, quorum in self.probes.items() if quorum.level >= Level.SLOW}

    def _causes(self, findings: dict[Series, Finding], publishing: set[Series], down: set[str]) -> list[Cause]:
        """What is broken; a bank whose tests alone say so is named by them."""
        strong = publishing | {series for series in findings if series.bank in down}
        found = [one for one in causes(findings) if strong & set(one.explains)]
        explained = {series for one in found for series in one.explains}
        for probe in sorted(down):
            mine = {series for series in findings if probe in (series.bank, series.channel)}
            if not mine & explained:
                kind = Kind.CHANNEL if probe in CHANNELS else Kind.BANK
                found.append(Cause(kind, probe, tuple(sorted(mine)), self.probes[probe].start_s))
        return found

    def _health(self, place: int, found: Opinion, now_s: float, *, cut_off: bool) -> Health:
        """A corridor is well when it shows so, cut off when its bank's tests fail and it does not."""
        if found.level >= Level.AMBER:
            return Health.BAD
        recent = self._recent[SERIES[place]]
        since_s = now_s - RECENT_S  # counts that no longer arrive show nothing
        quorum = self.probes[PROBES[place // 2]]
        if cut_off:  # nor do successes from before the tests began to fail
            since_s = max(since_s, quorum.start_s)
        successes = sum(seen.ended - sum(seen.failed.values()) for seen in recent if seen.at_s >= since_s)
        weak = cut_off and quorum.is_weak(now_s)
        if successes >= (WELL_SUCCESSES_WEAK if weak else WELL_SUCCESSES) and self._quiet(place):
            return Health.GOOD
        return Health.BAD if cut_off else Health.UNKNOWN

    def _quiet(self, place: int) -> bool:
        return scaled(self.series[SERIES[place]].strength()) < WELL_SCORE

    def _incidents_of(self, found: list[Cause], opinions: dict[int, Opinion], now_s: float) -> list[Opened]:
        """Carry on the incidents that these causes continue, and open one for each that is new."""
        self._incidents = [one for one in self._incidents if now_s - one.last_s <= RELAPSE_S]
        new: list[_Incident] = []
        renewed: dict[int, list[Cause]] = {}
        for cause in found:
            going_on = [one for one in self._incidents if one.holds(cause, now_s)]
            if not going_on:
                self._opened += 1
                going_on = [_Incident(self._opened, now_s, [cause], now_s)]
                self._incidents += going_on
                new += going_on
            incident = going_on[0]
            for other in going_on[1:]:  # now understood as one
                incident.causes += other.causes
                renewed.setdefault(incident.number, []).extend(renewed.pop(other.number, []))
                self._incidents.remove(other)
            renewed.setdefault(incident.number, []).append(cause)
        for incident in self._incidents:
            if incident.number in renewed:
                incident.causes, incident.last_s = renewed[incident.number], now_s
        return [
            Opened(now_s, one.name(), self._evidence(one.causes[0], opinions), one.number, one.corridors())
            for one in new
            if one in self._incidents
        ]

    def _evidence(self, cause: Cause, opinions: dict[int, Opinion]) -> str:
        kinds: set[str] = set()
        for series in cause.explains:
            if series in COMPONENTS:
                found = opinions.get(COMPONENTS.index(series))
                kinds |= {kind for kind in found.kinds if found.level is Level.PUBLISH} if found else set()
            probe = series.channel or series.bank
            if probe in self.probes and self.probes[probe].level is Level.PUBLISH:
                kinds.add("probes")
        return ", ".join(sorted(kinds))


def _by_product(findings: dict[Series, Finding], told: list[list[list[int]]]) -> dict[Series, Finding]:
    """Each product of each bad corridor: what its own outcomes of the last minutes say."""
    found = {}
    ended, failed = told
    for place, component in enumerate(COMPONENTS):
        if findings[component].health is not Health.BAD:
            continue
        for product, name in enumerate(PRODUCTS):
            seen, bad = ended[place][product], failed[place][product]
            health = Health.UNKNOWN
            if bad >= PRODUCT_BAD and bad >= PRODUCT_BAD_SHARE * seen:
                health = Health.BAD
            elif seen >= PRODUCT_WELL and bad < PRODUCT_WELL_SHARE * seen:
                health = Health.GOOD
            one = Series(component.bank, component.direction, name)
            found[one] = Finding(health, findings[component].start_s if health is Health.BAD else None)
    if not any(finding.health is Health.GOOD for finding in found.values()):
        return {}  # no product is known to be well: the split says nothing
    return found


def words(cause: Cause) -> str:
    """A cause in the words in which the truth of a fault is said."""
    match cause.kind:
        case Kind.CORE | Kind.LINKS:
            return "platform"
        case Kind.PRODUCT:
            return f"product:{cause.name}"
        case Kind.DIRECTION | Kind.FRONT:
            return f"{cause.kind.value}:{cause.name}"
        case Kind.CORRIDOR:
            return NAMES[cause.explains[0].bank, cause.explains[0].direction]
        case _:
            return cause.name


def right(named: str, made: Trial) -> str:
    """`exact`, `wider` (what is broken and more), or `wrong`."""
    truth = made.cause()
    if named == truth or (truth == "app" and named == "direction:wallet_to_bank"):
        return "exact"
    corridor = made.platform.corridors[made.corridor]
    around = {
        "corridor": {f"bank-{corridor.bank}", f"direction:{corridor.direction}", "platform"},
        "bank": {"platform"},
        "product": {"platform"},
        "app": {"platform"},
    }
    return "wider" if named in around.get(made.kind.scope, set()) else "wrong"


def about(opened: Opened, made: Trial) -> bool:
    """The incident is about what the fault broke, whatever else it names."""
    return bool(opened.corridors & made.done.by_corridor) or right(opened.cause, made) != "wrong"
