"""What Hakika learns of a platform's quiet weeks, kept by the code that learnt it.

Learning a platform takes minutes, so its outcome is kept in `var/bench/learnt/` under a digest of everything it
depends on: the world's code, health's code and the seeds. A change of any of them learns anew.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

from bench.det_judge import Fitted, Sitting
from bench.det_observe import SERIES, SERVICE_NAMES, Observer
from bench.det_platform import BUCKET_S
from bench.det_world import PROBES, REPORT_EVERY, Recording
from hakika.health.detector import SeriesDetector, SeriesModel
from hakika.health.observations import Interval, ProbeResult, Reports
from hakika.health.probes import ProbeQuorum
from hakika.health.reports import ReportsWatch

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "var" / "bench" / "learnt"
WORLD = ("det_platform", "det_world", "det_observe", "det_seeds", "det_learn")


@dataclass(slots=True)
class Judge:
    """A fitted judge, and how it stood at instants (unix seconds, rising) of the quiet time that it has lived through.

    A fault meets a judge who was at work until shortly before, not one who has slept since its quiet weeks: a volume's
    usual level is followed by the hour.
    """

    fitted: Fitted
    stood: list[tuple[float, Fitted]] = field(default_factory=list)

    def sitting(self, at_s: float | None = None) -> Sitting:
        """As it stood last before the instant; as fitted where nothing is known."""
        before = [state for when_s, state in self.stood if at_s is not None and when_s <= at_s]
        return (before[-1] if before else self.fitted).sitting()


def judged_code() -> str:
    """A digest of the code that judges and of the world that it learns."""
    digest = sha256(np.__version__.encode())
    files = [ROOT / "bench" / f"{name}.py" for name in WORLD]
    for path in sorted([*files, *(ROOT / "src" / "hakika" / "health").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def learnt(seed: int, days: list[Recording]) -> Judge:
    """The judge of a platform after these quiet days."""
    kept = KEPT / f"{seed}-{judged_code()}.json"
    if kept.exists():
        return Judge(msgspec.json.decode(kept.read_bytes(), type=Fitted))
    fitted = _fit(days)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(msgspec.json.encode(fitted))
    return Judge(msgspec.json.decode(kept.read_bytes(), type=Fitted))


def _fit(days: list[Recording]) -> Fitted:
    width_s, half_minute_s = float(BUCKET_S), float(BUCKET_S * REPORT_EVERY)
    counts: dict[str, list[Interval]] = {name: [] for name in SERIES}
    probes: dict[str, list[ProbeResult]] = {name: [] for name in PROBES}
    reports: dict[str, list[Reports]] = {name: [] for name in SERVICE_NAMES}
    observer = Observer()
    for tick in (tick for day in days for tick in observer.ticks(day)):
        for name, interval in tick.intervals:
            counts[name].append(interval)
        for result in tick.probes:
            probes[result.probe].append(result)
        for name, said in tick.reports:
            reports[name].append(said)
    series = {}
    for name in SERIES:
        series[name] = SeriesDetector(SeriesModel.fit(name, counts.pop(name), width_s)).to_state()
    return Fitted(
        series,
        {name: ProbeQuorum.fit(name, quiet).to_state() for name, quiet in probes.items()},
        {name: ReportsWatch.fit(name, quiet, half_minute_s).to_state() for name, quiet in reports.items()},
    )
