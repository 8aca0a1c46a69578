"""What the roles tell health, and what its vantages and desks send: the JSON of health's own interfaces.

A role counts what it sees in memory, in intervals of SIGNAL_WIDTH_MS, and keeps the last SIGNALS_KEPT of them. Health
asks with the number of the last interval that it has; nobody waits for it, and what is lost with a process is lost.
`life` changes with each process, so that a restart is seen and numbers are not compared across it.
"""

from typing import Literal

import msgspec

SIGNAL_WIDTH_MS = 5_000
SIGNALS_KEPT = 720  # an hour
PROBES_A_MESSAGE = 50
DESK_REPORTS_A_MESSAGE = 1_000
DETAIL_MAX = 80


class Signal(msgspec.Struct, frozen=True, omit_defaults=True):
    """One series in one interval; see store/health for the meaning of each count. Ages in milliseconds."""

    series: str
    arrived: int = 0
    ended: int = 0
    failed: dict[str, int] = {}
    own_errors: int = 0
    open_count: int = 0
    oldest_ms: int = 0


class SignalInterval(msgspec.Struct, frozen=True):
    """Everything that one process counted in one closed interval."""

    number: int
    at_ms: int
    width_ms: int
    signals: list[Signal]


class Signals(msgspec.Struct, frozen=True):
    """Answer to `GET /internal/signals?after=N`: closed intervals with greater numbers, oldest first."""

    source: str
    life: str
    now_ms: int
    intervals: list[SignalInterval]


class ProbeReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One synthetic test as its vantage saw it; `component` is the series that it speaks about."""

    id: str
    probe: str
    component: str
    at_ms: int
    ok: bool
    latency_ms: int
    detail: str = ""


class ProbeReports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /probes`, signed by the vantage (X-JWS-Signature, as banks sign)."""

    vantage: str
    results: list[ProbeReport]


class DeskReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /desk-reports` of a bank's help desk: one customer who says that a service does not work."""

    component: str
    customer: str  # any stable word for the customer; hashed on arrival, never kept
    at_ms: int | None = None  # when the customer said so; what is older than an hour does not count


class DeskReports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /desk-reports`: a batch of one bank's desk."""

    reports: list[DeskReport]


class ProbesTaken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to `POST /probes`: results that were new, and results that do not count (old, known, malformed).

    `closer` names the components in doubt: until the next answer their tests are wanted more often.
    """

    stored: int
    refused: int
    closer: list[str] = []


class DeskTaken(msgspec.Struct, frozen=True):
    """Answer to `POST /desk-reports`: customers counted, counted already in this hour, and not taken."""

    stored: int
    again: int
    refused: int


Service = Literal["available", "degraded", "unavailable"]
