"""Every detector of the platform behind one door: takes stored evidence in the order of time, says what is held true.

Each component has a detector of its transfers, a quorum of its synthetic tests and a watch of its reports; fusion
joins them, and what is broken together is explained together. Counts of several processes for one interval are added
up before they are judged. A role that does not answer is silent; what it tells of is then not known, and never well.
State is plain values by name, models apart because they change once a day. Evidence that was taken before changes
nothing, so whoever wakes these detectors may show it to them again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hakika.health.assessment import AVAILABLE, DEGRADED, UNAVAILABLE, UNKNOWN, Assessment, Reading
from hakika.health.detector import SILENCE, SeriesDetector, SeriesModel
from hakika.health.fusion import Evidence, Opinion, opinion, scaled
from hakika.health.judge import LATE_MS, REPORT_WIDTH_MS, Batch
from hakika.health.judgement import Alarm, Level
from hakika.health.naming_causes import named_causes
from hakika.health.observations import Interval, ProbeResult, Reports, Silence
from hakika.health.probes import KIND as PROBES
from hakika.health.probes import ProbeQuorum
from hakika.health.recent import HOLD_MIN_S, HOLD_S, Recent, Slot, Usual
from hakika.health.reports import ReportsWatch
from hakika.health.volume import DROP
from hakika.store.health.evidence import ProbeRow, SignalRow
from hakika.store.health.judging import StateRow

WIDTH_MS = 5_000  # of the intervals that roles count in
WAIT_MS = 12_000  # for the other processes of a role, before an interval is judged without them
OUT_SHARE = 0.5  # of the last minute's transfers: more than degraded
BANK_UNREACHABLE = "failures:bank_unreachable"
SILENT_KINDS = (SILENCE, DROP)


@dataclass(slots=True)
class Component:
    """One component: its detectors, its last minutes, and what was held of it at the last tick."""

    name: str
    detector: SeriesDetector
    quorum: ProbeQuorum
    reports: ReportsWatch
    recent: Recent
    mark_ms: int = 0  # start of the last interval taken
    mended: bool = False
    well_since_ms: int | None = None


class Detectors:
    """The `Watch` of the judge."""

    def __init__(
        self,
        components: Iterable[str],
        states: Sequence[StateRow] = (),
        recent: tuple[Sequence[SignalRow], Sequence[ProbeRow]] = ((), ()),
        *,
        scale: float = 1.0,
    ) -> None:
        """`recent` is the evidence of the last hour: what was taken before `states` were saved fills the minutes."""
        self._hold_s = max(HOLD_MIN_S, HOLD_S / scale)
        self._stored = {row.series: row.state for row in states}
        self._saved: dict[str, dict[str, Any]] = dict(self._stored)
        self._unsaved: dict[str, StateRow] = {}
        self._components: dict[str, Component] = {}
        self._sources: dict[str, dict[str, int]] = {}  # by series: when each source last told of it
        self._reports_ms = int(self._stored.get("judge-reports", {}).get("upto_ms", 0))
        for name in components:
            self._component(name)
        for name in self._stored:
            if name.startswith("series/"):
                self._component(name.removeprefix("series/"))
        signals, probes = recent
        for series, buckets in self._in_buckets(signals).items():
            one = self._component(series)
            for bucket in sorted(buckets):
                row = _added_up(buckets[bucket])
                if row.at_ms <= one.mark_ms:
                    one.recent.add(_slot(row))
        for test in probes:
            self._component(test.component).recent.test(test.vantage, (test.at_ms + test.latency_ms) / 1000, test.ok)

    # --- the judge's Watch

    def marks(self) -> Mapping[str, int]:
        """The start of the last interval taken, by series (ms)."""
        return {name: one.mark_ms for name, one in self._components.items()}

    def reports_from_ms(self, now_ms: int) -> int:
        """The start of the first interval of reports that was not taken yet."""
        floor_ms = (now_ms - LATE_MS) // REPORT_WIDTH_MS * REPORT_WIDTH_MS
        return max(self._reports_ms, floor_ms)

    def take(self, batch: Batch) -> Assessment:
        """What is held to be true with this evidence, at `batch.upto_ms`."""
        self._take_signals(batch)
        for silent in batch.silences:
            name = role_of(silent.source)
            self._component(name).detector.step(Silence(silent.at_ms / 1000, silent.source))
        for row in batch.probes:
            one = self._component(row.component)
            at_s = row.at_ms / 1000
            one.quorum.step(ProbeResult(at_s, row.vantage, row.probe, row.ok, row.latency_ms / 1000, row.detail))
            one.recent.test(row.vantage, at_s + row.latency_ms / 1000, row.ok)
        self._take_reports(batch)
        readings = {name: self._reading(one, batch.upto_ms) for name, one in self._components.items()}
        causes = named_causes(readings, self._carried(), self._reachable(batch.upto_ms), batch.upto_ms)
        self._put_away(batch.upto_ms)
        return Assessment(batch.upto_ms, readings, causes)

    def closer(self, now_ms: int) -> frozenset[str]:
        """The components of which more synthetic tests would decide something."""
        found = self._components.items()
        return frozenset(name for name, one in found if one.quorum.doubted(now_ms / 1000, one.detector.standing()))

    def unsaved(self) -> list[StateRow]:
        """Where every detector stands that has moved since `saved`."""
        return list(self._unsaved.values())

    def saved(self) -> None:
        """What `unsaved` gave is committed."""
        self._saved.update((name, row.state) for name, row in self._unsaved.items())
        self._unsaved.clear()

    # --- fitting

    def adopt(self, series: str, model: SeriesModel, usual: Usual) -> bool:
        """Judge by a new model from now on; not while something is held against the series."""
        one = self._component(series)
        if one.detector.standing():
            return False
        seen_until_s = one.detector.seen_until_s
        one.detector = SeriesDetector(model)
        one.detector.seen_until_s = seen_until_s
        one.recent.usual = usual
        return True

    # --- evidence

    def _take_signals(self, batch: Batch) -> None:
        for series, buckets in self._in_buckets(batch.signals).items():
            one = self._component(series)
            for bucket in sorted(buckets):
                if not self._complete(series, bucket, batch.upto_ms):
                    break
                row = _added_up(buckets[bucket])
                if row.at_ms <= one.mark_ms:
                    continue
                one.detector.step(_interval(row))
                one.recent.add(_slot(row))
                one.mark_ms = max(each.at_ms for each in buckets[bucket])

    def _in_buckets(self, signals: Sequence[SignalRow]) -> dict[str, dict[int, list[SignalRow]]]:
        """By series and interval; and who told last of what."""
        found: dict[str, dict[int, list[SignalRow]]] = {}
        for row in signals:
            sources = self._sources.setdefault(row.series, {})
            sources[row.source] = max(row.at_ms, sources.get(row.source, 0))
            found.setdefault(row.series, {}).setdefault(row.at_ms // WIDTH_MS, []).append(row)
        return found

    def _complete(self, series: str, bucket: int, now_ms: int) -> bool:
        """Every process that tells of this series has told of the interval, or has been waited for."""
        if now_ms - (bucket + 1) * WIDTH_MS >= WAIT_MS:
            return True
        live = [at_ms for at_ms in self._sources[series].values() if now_ms - at_ms < 60_000]
        return all(at_ms // WIDTH_MS >= bucket for at_ms in live)

    def _take_reports(self, batch: Batch) -> None:
        counts = {(row.component, row.at_ms): row.persons for row in batch.reports}
        upto_ms = batch.upto_ms // REPORT_WIDTH_MS * REPORT_WIDTH_MS
        from_ms = self.reports_from_ms(batch.upto_ms)
        for at_ms in range(from_ms, upto_ms, REPORT_WIDTH_MS):
            for name, one in self._components.items():
                persons = counts.get((name, at_ms), 0)
                one.reports.step(Reports(at_ms / 1000, REPORT_WIDTH_MS / 1000, persons))
                if persons:
                    one.recent.reports.append((at_ms / 1000, persons))
        for one in self._components.values():
            while one.recent.reports and one.recent.reports[0][0] < (batch.upto_ms - LATE_MS) / 1000:
                one.recent.reports.popleft()
        self._reports_ms = max(self._reports_ms, upto_ms)

    # --- reading

    def _reading(self, one: Component, now_ms: int) -> Reading:
        now_s = now_ms / 1000
        found = _opinion(one, now_s)
        level = int(found.level)
        silent = any(kind in SILENT_KINDS for kind in found.kinds)
        broken = self._broken(one, found, now_s)
        if broken:
            one.well_since_ms = None
        elif one.well_since_ms is None:
            one.well_since_ms = now_ms
        silent_s = int(now_s - found.start_s) if silent and found.start_s is not None else 0
        since_s = found.start_s if broken and found.start_s is not None else 0.0
        figures = one.recent.figures(now_s, silent_s=max(0, silent_s), since_s=since_s)
        return Reading(
            component=one.name,
            state=self._state(one, found, now_s, broken=broken, silent=silent),
            level=level,
            broken=broken,
            start_ms=None if found.start_s is None else int(found.start_s * 1000),
            well_since_ms=one.well_since_ms,
            kinds=found.kinds,
            score=found.score,
            conditions=one.recent.conditions(now_s, reports_elevated=one.reports.since_s is not None),
            figures=figures,
        )

    def _broken(self, one: Component, found: Opinion, now_s: float) -> bool:
        """Evidence stands against it, and the last minutes do not show it working."""
        if found.level < Level.SLOW:
            one.mended = False
            return False
        if DROP in found.kinds:
            one.mended = False  # volume is back when its own sum says so
        elif SILENCE in found.kinds:
            one.mended = one.recent.told(now_s)
        elif one.mended:
            one.mended = not one.recent.fails_again(now_s)
        else:
            one.mended = one.recent.works(now_s)
        return not one.mended

    @staticmethod
    def _state(one: Component, found: Opinion, now_s: float, *, broken: bool, silent: bool) -> str:
        known = one.recent.fresh(now_s) or one.recent.probed(now_s)
        if not broken:
            if not known:
                return UNKNOWN
            return DEGRADED if found.level >= Level.SLOW else AVAILABLE
        share = one.recent.share_since(now_s, found.start_s or 0.0)
        if share is not None and not silent:
            return UNAVAILABLE if share >= OUT_SHARE else DEGRADED
        figures = one.recent.figures(now_s)
        return UNAVAILABLE if silent or not figures.vantages or not figures.green else DEGRADED

    def _carried(self) -> dict[str, frozenset[str]]:
        """By role, the other components that its sources tell of."""
        found: dict[str, set[str]] = {}
        for series, sources in self._sources.items():
            for source in sources:
                found.setdefault(role_of(source), set()).add(series)
        return {role: frozenset(one for one in of if not one.startswith("role:")) for role, of in found.items()}

    def _reachable(self, now_ms: int) -> dict[str, bool]:
        """Banks that do not take what we push are not reached; only those that we know of count."""
        found = {}
        for name, one in self._components.items():
            if name.startswith("corridor:") and one.recent.fresh(now_ms / 1000):
                standing = [alarm for alarm in one.detector.standing() if alarm.kind == BANK_UNREACHABLE]
                cut_off = any(alarm.level >= Level.SLOW for alarm in standing) and not one.mended
                found[name.partition(":")[2]] = not cut_off
        return found

    # --- state

    def _component(self, name: str) -> Component:
        one = self._components.get(name)
        if one is None:
            one = self._components[name] = self._woken(name)
        return one

    def _woken(self, name: str) -> Component:
        """As it was put away, or as nothing is known of it."""
        saved = self._stored.get(f"series/{name}")
        model = self._stored.get(f"model/{name}")
        probes, reports = self._stored.get(f"probes/{name}"), self._stored.get(f"reports/{name}")
        width_s = WIDTH_MS / 1000
        if saved is not None and model is not None:
            detector = SeriesDetector.from_state({**saved["detector"], "model": model["model"]})
        else:
            # Nobody knows yet how much is usual here: a platform without traffic is not one that fell silent.
            detector = SeriesDetector(replace(SeriesModel.unknown(name, width_s), volume=None))
        usual = Usual(**model["usual"]) if model is not None else Usual()
        recent = Recent(name.startswith(("corridor:", "product:")), self._hold_s, usual)
        one = Component(
            name,
            detector,
            ProbeQuorum.from_state(probes) if probes is not None else ProbeQuorum(name),
            ReportsWatch.from_state(reports["watch"])
            if reports is not None
            else ReportsWatch.fit(name, (), REPORT_WIDTH_MS / 1000),
            recent,
        )
        if saved is not None:
            one.mark_ms, one.mended, one.well_since_ms = saved["mark_ms"], saved["mended"], saved["well_since_ms"]
            recent.seen = bool(saved["mark_ms"])
        if reports is not None:
            recent.reports.extend((at_s, persons) for at_s, persons in reports["told"])
        return one

    def _put_away(self, now_ms: int) -> None:
        """Note every state that has changed."""
        self._note("judge-reports", {"upto_ms": self._reports_ms}, now_ms)
        for name, one in self._components.items():
            detector = one.detector.to_state()
            model = detector.pop("model")
            usual = one.recent.usual
            kept = {"failed": usual.failed, "oldest_ms": usual.oldest_ms, "open_count": usual.open_count}
            self._note(f"model/{name}", {"model": model, "usual": kept}, now_ms)
            place = {"mark_ms": one.mark_ms, "mended": one.mended, "well_since_ms": one.well_since_ms}
            self._note(f"series/{name}", {"detector": detector, **place}, now_ms)
            self._note(f"probes/{name}", one.quorum.to_state(), now_ms)
            told = [[at_s, persons] for at_s, persons in one.recent.reports]
            self._note(f"reports/{name}", {"watch": one.reports.to_state(), "told": told}, now_ms)

    def _note(self, name: str, state: dict[str, Any], now_ms: int) -> None:
        if self._saved.get(name) != state:
            self._unsaved[name] = StateRow(name, state, now_ms)


def role_of(source: str) -> str:
    """The role of a source: `gateway` and `gateway-2` are processes of `role:gateway`."""
    name, _, number = source.rpartition("-")
    return f"role:{name if name and number.isdecimal() else source}"


def _opinion(one: Component, now_s: float) -> Opinion:
    """All signals of one component, joined."""
    standing = one.detector.standing()
    quorum = one.quorum
    probes: Iterable[Alarm] = ()
    if quorum.level:
        probes = (Alarm(one.name, PROBES, quorum.level, now_s, quorum.start_s, quorum.score(now_s)),)
    figures = one.recent.figures(now_s)
    return opinion(
        Evidence(
            at_s=now_s,
            transfers=standing,
            transfer_score=scaled(one.detector.strength()),
            transfer_start_s=min((alarm.start_s for alarm in standing), default=None),
            transfers_told=one.detector.told(),
            probes=tuple(probes),
            probe_score=quorum.support(now_s),
            green=figures.green,
            vantages=figures.vantages,
            report_score=one.reports.score,
            reports_since_s=one.reports.since_s,
        )
    )


def _added_up(rows: Sequence[SignalRow]) -> SignalRow:
    """The counts of several processes for one interval, as one."""
    first = min(rows, key=lambda row: row.at_ms)
    if len(rows) == 1:
        return first
    failed: dict[str, int] = {}
    for row in rows:
        for reason, count in row.failed.items():
            failed[reason] = failed.get(reason, 0) + count
    return SignalRow(
        first.series,
        first.source,
        first.at_ms,
        first.width_ms,
        sum(row.arrived for row in rows),
        sum(row.ended for row in rows),
        failed,
        sum(row.own_errors for row in rows),
        sum(row.open_count for row in rows),
        max(row.oldest_ms for row in rows),
    )


def _interval(row: SignalRow) -> Interval:
    return Interval(
        row.at_ms / 1000, row.width_ms / 1000, row.ended, row.failed, row.arrived, row.open_count, row.oldest_ms / 1000
    )


def _slot(row: SignalRow) -> Slot:
    end_s = (row.at_ms + row.width_ms) / 1000
    return Slot(end_s, row.width_ms / 1000, row.arrived, row.ended, row.failed, row.open_count, row.oldest_ms)
