"""First attempts, recorded in the commit that takes their transfers into custody.

While the way to the core is calm and nothing older waits, a transfer need not be found, locked and claimed in a commit
of its own: its first attempt is decided by the same rule (`domain/transfer.py`), counts against the same window, and is
on disk before anything is sent, as every attempt is. From then on it is an attempt like any other: what is not sent in
time is voided by its holder, what a dead process leaves behind is taken over when its lease ends (docs/adr/0013).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from hakika import clock
from hakika.domain.deadlines import Deadlines
from hakika.domain.transfer import RecordAttempt, Transfer, WorkerClaimed, decide
from hakika.ids import attempt_id
from hakika.services.gateway.transfers import LEASE_MS
from hakika.store.gateway.intake import NewTransfer
from hakika.store.gateway.queues import OpenAttempt
from hakika.store.gateway.transfers import AttemptRow

SEND_BY_MS = LEASE_MS // 2  # what was recorded longer ago is not sent: an answer would outlast the lease


class Way(Protocol):
    """The link to the core, as far as its window goes."""

    in_flight: int

    def free(self) -> int:
        """How many more instructions may be recorded and sent now."""

    def short_banks(self) -> list[str]:
        """Banks whose position was short moments ago."""


@dataclass(slots=True)
class Recorded:
    """The attempts of one batch: reserved in the window, and of use once the batch is committed."""

    holder: UUID
    at_ms: int
    attempts: list[OpenAttempt]

    def rows(self) -> list[AttemptRow]:
        """As they are inserted."""
        until_ms = self.at_ms + LEASE_MS
        return [(one.id, one.transfer, one.number, self.at_ms, self.holder, until_ms) for one in self.attempts]


class FirstAttempts:
    """Between intake, which records, and delivery, which sends."""

    def __init__(self, holder: UUID, way: Way | None = None) -> None:
        """`holder` names this process in the leases; without a `way` nothing is recorded."""
        self.way = way
        self.keeps_up = False  # nothing in custody waits to be claimed, as far as delivery has seen
        self.drains = False  # what waits was taken long ago, a backlog, or may have been: nothing could be sent
        self._holder = holder
        self._ready: deque[tuple[int, OpenAttempt]] = deque()

    def batch(self) -> Recorded:
        """Nothing recorded yet."""
        return Recorded(self._holder, clock.now_ms(), [])

    def record(self, recorded: Recorded, fresh: Sequence[NewTransfer]) -> None:
        """Reserve places in the window for what may be sent at once, if there is room for all that is fresh.

        A part would go ahead of the rest, which then waits behind everything that is fresh later.
        """
        if self.way is None:
            return
        custody = [one for one in fresh if one.status == "RECEIVED"]
        sendable = self.keeps_up and len(custody) <= self.way.free()
        short = self.way.short_banks() if sendable else []
        for transfer in custody if sendable else ():
            if transfer.bank not in short and _claimed(transfer, recorded.at_ms):
                recorded.attempts.append(_attempt(transfer))
        if len(recorded.attempts) < len(custody):
            self.keeps_up = False
        self.way.in_flight += len(recorded.attempts)

    def committed(self, recorded: Recorded) -> None:
        """The batch is on disk: what it recorded may be sent."""
        self._ready.extend((recorded.at_ms, one) for one in recorded.attempts)

    def abandoned(self, recorded: Recorded) -> None:
        """The batch is not known to be on disk: its places are free, and what may be there is left to recovery."""
        if self.way is not None:
            self.way.in_flight -= len(recorded.attempts)

    def take(self, most: int) -> tuple[list[OpenAttempt], list[OpenAttempt]]:
        """Up to `most` that are ready: what may still be sent, and what waited for too long.

        Their places in the window are the caller's to free.
        """
        oldest_ms = clock.now_ms() - SEND_BY_MS
        timely: list[OpenAttempt] = []
        late: list[OpenAttempt] = []
        for _ in range(min(most, len(self._ready))):
            at_ms, attempt = self._ready.popleft()
            (timely if at_ms >= oldest_ms else late).append(attempt)
        return timely, late


def _claimed(transfer: NewTransfer, now_ms: int) -> bool:
    """The rule that claims a transfer in custody says yes."""
    deadlines = Deadlines(transfer.valid_until_ms, transfer.return_at_ms, transfer.deadline_ms)
    fresh = Transfer(transfer.id, deadlines, burn_first=transfer.burn_first)
    return RecordAttempt(1) in decide(fresh, WorkerClaimed(now_ms)).effects


def _attempt(transfer: NewTransfer) -> OpenAttempt:
    return OpenAttempt(
        id=attempt_id(transfer.bank, transfer.uetr, 1),
        transfer=transfer.id,
        number=1,
        lease_token=1,
        bank=transfer.bank,
        creditor_msisdn=transfer.creditor_msisdn,
        amount_minor=transfer.amount_minor,
        currency=transfer.currency,
        valid_until_ms=transfer.valid_until_ms,
        burn_only=False,
    )
