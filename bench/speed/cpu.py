"""Processor time by part: what a unit of work costs the gateway, the core, PostgreSQL and the load generator.

On a small machine the sum of these is the throughput: two cores give 2,000 ms a second, whatever waits for whom.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def _fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; none for a process that has gone."""
    try:
        return (PROC / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def used_s(pid: int) -> float:
    """Seconds of processor time that one process, all its threads, has used; 0 when it has gone."""
    fields = _fields(pid)
    return TICK_S * (int(fields[11]) + int(fields[12])) if fields else 0.0


def children_used_s(pid: int) -> float:
    """Of the living direct children of `pid`, and of those it has buried: a postmaster's backends."""
    fields = _fields(pid)
    buried = TICK_S * (int(fields[13]) + int(fields[14])) if fields else 0.0
    living = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return buried + sum(used_s(one) for one in living if (found := _fields(one)) and int(found[1]) == pid)


class Meter:
    """Counts from `start` on: named processes, and PostgreSQL with all of its backends."""

    def __init__(self, processes: Mapping[str, Sequence[int | None]], postmaster: int | None) -> None:
        self._processes = {name: [pid for pid in pids if pid is not None] for name, pids in processes.items()}
        self._postmaster = postmaster
        self._before = self._read()

    def per_unit_ms(self, count: int) -> dict[str, float]:
        """Milliseconds of processor time for each of `count` units, by part."""
        now = self._read()
        return {name: round(1000 * (now[name] - self._before[name]) / max(1, count), 4) for name in now}

    def _read(self) -> dict[str, float]:
        found = {name: sum(map(used_s, pids)) for name, pids in self._processes.items()}
        if self._postmaster is not None:
            found["postgres"] = used_s(self._postmaster) + children_used_s(self._postmaster)
        return found


def mean(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of several measurements, part by part."""
    listed = list(parts)
    names = {name for part in listed for name in part}
    return {name: round(sum(part.get(name, 0.0) for part in listed) / len(listed), 4) for name in sorted(names)}


def told(parts: Mapping[str, float]) -> str:
    """The parts and their sum in words."""
    return f"{', '.join(f'{name} {ms:.3f}' for name, ms in parts.items())}; together {sum(parts.values()):.3f}"
