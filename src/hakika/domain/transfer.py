"""A transfer's life: what has happened to it, what that means, and what follows from each new fact.

The promise: every accepted transfer ends exactly once, COMPLETED or RETURNED, and nothing is ever concluded
from silence. A transfer owns attempts; an attempt is open until the core's stored answer is known. While one
is open the transfer is not final, and neither a return nor another attempt may be recorded. `status_of`
derives the status from the facts; `decide` is total over status and event and returns the next facts with
the effects that the store writes in the same commit (`transfer_events.py` names both). No clock, no I/O.

Attempts, recalls, returns and reversals of other rails fit here as further events; a wallet as the source
adds RESERVED, which this table already carries.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from hakika.domain.deadlines import Deadlines
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.domain.transfer_events import (
    EVENTS,
    AcknowledgeReturn,
    BankAcknowledgedReturn,
    BankRecalled,
    BankRefusedReturn,
    BurnDone,
    ClockReturnDue,
    CloseAttempt,
    CoreAnswered,
    CoreKnowsAttempt,
    CoreKnowsNoCredit,
    DecideReturn,
    Effect,
    Event,
    HoldUntil,
    NoteRecall,
    OpenBreak,
    Outcome,
    RecordAttempt,
    SenderWroteNothing,
    TellBank,
    WorkerClaimed,
)

__all__ = [
    "ALL_NUMBERS",
    "ATTEMPTS_MAX",
    "EVENTS",
    "FINAL",
    "FOR_PEOPLE_MS",
    "MOVES",
    "POSITION_RETRY_MAX_MS",
    "POSITION_RETRY_MS",
    "UNSENT_AT_ONCE",
    "UNSENT_RETRY_MAX_MS",
    "UNSENT_RETRY_MS",
    "AcknowledgeReturn",
    "Attempt",
    "BankAcknowledgedReturn",
    "BankRecalled",
    "BankRefusedReturn",
    "BurnDone",
    "ClockReturnDue",
    "CloseAttempt",
    "CoreAnswered",
    "CoreKnowsAttempt",
    "CoreKnowsNoCredit",
    "DecideReturn",
    "Decision",
    "Effect",
    "Event",
    "Handler",
    "HoldUntil",
    "NoteRecall",
    "OpenBreak",
    "Outcome",
    "RecordAttempt",
    "Return",
    "SenderWroteNothing",
    "Status",
    "TellBank",
    "Transfer",
    "Verdict",
    "WorkerClaimed",
    "decide",
    "status_of",
]  # the words of `transfer_events.py` are given on: whoever needs them needs these rules too

ATTEMPTS_MAX = 64  # numbers that a transfer can have, so that after a restore all its ids can be named and burnt
POSITION_RETRY_MS = 30_000  # unscaled; a new attempt after the bank's position was short, doubling each time
POSITION_RETRY_MAX_MS = 300_000  # unscaled; so that ATTEMPTS_MAX outlast a promise of 4 h
UNSENT_AT_ONCE = 4  # attempts of which not a byte left; from the next one on, each waits twice as long as the last
UNSENT_RETRY_MS = 1_000
UNSENT_RETRY_MAX_MS = 300_000
ALL_NUMBERS = frozenset(range(1, ATTEMPTS_MAX + 1))
FOR_PEOPLE_MS = 2**53 - 1  # a `next_attempt_ms` that never comes: evidence contradicts itself, people settle it


class Status(StrEnum):
    """ISO 20022 codes on the wire: RCVD, ACFC, ACSP, ACCC, a pacs.004, RJCT."""

    RECEIVED = "RECEIVED"
    RESERVED = "RESERVED"
    IN_FLIGHT = "IN_FLIGHT"
    COMPLETED = "COMPLETED"
    RETURNED = "RETURNED"
    REJECTED = "REJECTED"


FINAL = frozenset({Status.COMPLETED, Status.RETURNED, Status.REJECTED})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission under its own id; `outcome` is None while no answer is known."""

    number: int
    outcome: Outcome | None = None
    reason: Reason | None = None
    lease_token: int = 1


@dataclass(frozen=True, slots=True)
class Return:
    """The durable decision that the money goes back to the debtor's bank."""

    reason: Reason
    acknowledged: bool = False
    burn_due: bool = False  # never attempted: attempt 1's id is still to be burnt at the core


@dataclass(frozen=True, slots=True)
class Transfer:
    """The facts about one transfer that decide its life."""

    id: Hashable  # names the transfer in errors; nothing is decided by it
    deadlines: Deadlines
    attempts: tuple[Attempt, ...] = ()
    returned: Return | None = None
    rejected: bool = False
    reserved: bool = False  # the source is an account of our own ledger and its money is set aside
    recalled: Reason | None = None
    next_attempt_ms: int = 0
    burn_first: bool = False  # older than a restore of the gateway: its log may lack attempts, and even its end

    @property
    def for_people(self) -> bool:
        """The core says that it has credited an id that it had called dead: no clock sends it or gives it back."""
        return self.next_attempt_ms == FOR_PEOPLE_MS

    def with_attempts(self, attempts: tuple[Attempt, ...]) -> "Transfer":
        """The same with these attempts; by hand, since it happens twice in every life."""
        return Transfer(
            self.id, self.deadlines, attempts, self.returned, self.rejected, self.reserved, self.recalled,
            self.next_attempt_ms, self.burn_first,
        )  # fmt: skip


def status_of(transfer: Transfer) -> Status:
    """The status that follows from the facts. Complete table (x: either), first match wins:

    ====== ======== ====== ==== ======== ==========================================================
    reject returned posted open reserved status
    ====== ======== ====== ==== ======== ==========================================================
    1      x        x      x    x        REJECTED   (only before a custody receipt; alone, checked)
    0      1        x      x    x        RETURNED   (with posted: a break; the status stays)
    0      0        1      x    x        COMPLETED
    0      0        0      1    x        IN_FLIGHT  (no answer is not an answer)
    0      0        0      0    1        RESERVED
    0      0        0      0    0        RECEIVED   (held; earlier attempts, if any, are all dead)
    ====== ======== ====== ==== ======== ==========================================================
    """
    if transfer.rejected:
        if transfer.attempts or transfer.returned:
            raise InvariantBroken(f"{transfer.id}: rejected after custody")
        return Status.REJECTED
    if transfer.returned:
        return Status.RETURNED
    in_flight = False
    for attempt in transfer.attempts:
        if attempt.outcome is Outcome.POSTED:
            return Status.COMPLETED
        in_flight = in_flight or attempt.outcome is None
    if in_flight:
        return Status.IN_FLIGHT
    return Status.RESERVED if transfer.reserved else Status.RECEIVED


class Verdict(StrEnum):
    """What became of an event."""

    CHANGED = "changed"
    RECORD_ONLY = "record_only"  # known already, or not allowed now: nothing changes
    CONTRADICTION = "contradiction"  # opens a break, status stays


@dataclass(frozen=True, slots=True)
class Decision:
    """The transfer after the event, and what to write."""

    transfer: Transfer
    effects: tuple[Effect, ...]
    verdict: Verdict


def decide(transfer: Transfer, event: Event) -> Decision:
    """What follows from `event`; total, never raises for anything that the world can say."""
    handler = MOVES[(status_of(transfer), type(event))]
    decision = handler(transfer, event)
    opens = sum(1 for attempt in decision.transfer.attempts if attempt.outcome is None)
    if opens > 1 or (opens and decision.transfer.returned):
        raise InvariantBroken(f"{transfer.id}: {opens} open attempts, returned={decision.transfer.returned}")
    return decision


def _record_only(transfer: Transfer, event: Event) -> Decision:
    return Decision(transfer, (), Verdict.RECORD_ONLY)


def _contradiction(transfer: Transfer, event: Event) -> Decision:
    said = event.outcome.value if isinstance(event, CoreAnswered) else type(event).__name__
    kind = f"{status_of(transfer).value.lower()}_but_{said}"
    return Decision(transfer, (OpenBreak(kind, repr(event)),), Verdict.CONTRADICTION)


def _contradicted(transfer: Transfer, event: CoreAnswered) -> Decision:
    """A break; and where a dead id is said to have moved money, nothing more goes out, forward or back."""
    decision = _contradiction(transfer, event)
    if event.outcome is not Outcome.POSTED or status_of(transfer) in FINAL or transfer.for_people:
        return decision
    held = replace(transfer, next_attempt_ms=FOR_PEOPLE_MS)
    return Decision(held, (*decision.effects, HoldUntil(FOR_PEOPLE_MS)), Verdict.CONTRADICTION)


def _claim(transfer: Transfer, event: Event) -> Decision:
    """RECEIVED only: one more attempt, if there is still time and nobody wants the money back."""
    if not isinstance(event, WorkerClaimed):
        raise InvariantBroken(f"claim cannot handle {event!r}")
    too_late = event.now_ms >= transfer.deadlines.valid_until_ms
    if transfer.recalled or transfer.burn_first or too_late or event.now_ms < transfer.next_attempt_ms:
        return _record_only(transfer, event)
    number = len(transfer.attempts) + 1
    if number > ATTEMPTS_MAX:
        return _record_only(transfer, event)
    grown = transfer.with_attempts((*transfer.attempts, Attempt(number)))
    return Decision(grown, (RecordAttempt(number),), Verdict.CHANGED)


def _answer(transfer: Transfer, event: Event) -> Decision:
    """An answer of the core, in any status: closes the open attempt, repeats, or contradicts."""
    if not isinstance(event, CoreAnswered) or event.outcome is Outcome.NOT_SENT:
        raise InvariantBroken(f"answer cannot handle {event!r}")
    attempt = _find(transfer, event.number)
    if attempt is None or attempt.outcome is Outcome.NOT_SENT:
        return _answer_about_unsent(transfer, event)
    if attempt.outcome is not None:
        same = attempt.outcome is event.outcome
        return _record_only(transfer, event) if same else _contradicted(transfer, event)
    closed = _closed(transfer, Attempt(attempt.number, event.outcome, event.reason, attempt.lease_token))
    close = CloseAttempt(event.number, event.outcome, event.reason)
    match event.outcome:
        case Outcome.POSTED:
            tell: tuple[Effect, ...] = (TellBank("final"),)
            if transfer.recalled:
                tell = (*tell, TellBank("resolution", transfer.recalled))
            return Decision(closed, (close, *tell), Verdict.CHANGED)
        case Outcome.REFUSED:
            return _after_refusal(closed, close, event)
        case Outcome.BURNT:
            return _after_burn(closed, close, event)
        case _ as never:
            assert_never(never)


def _answer_about_unsent(transfer: Transfer, event: CoreAnswered) -> Decision:
    """The pre-emptive burn of a transfer returned unsent; money moved under such an id is a break.

    Not where our log is older than a restore: what it lacks is recorded first, by `_known_attempt`.
    """
    beyond = len(transfer.attempts) < event.number <= ATTEMPTS_MAX
    lost = transfer.burn_first and beyond and status_of(transfer) not in FINAL
    broken = event.outcome is Outcome.POSTED and not lost
    effects: tuple[Effect, ...] = ()
    if broken:
        contradicted = _contradicted(transfer, event)
        transfer, effects = contradicted.transfer, contradicted.effects
    last = event.number == max(1, len(transfer.attempts))
    if transfer.returned and transfer.returned.burn_due and last:
        transfer = replace(transfer, returned=replace(transfer.returned, burn_due=False))
        effects = (BurnDone(), *effects)
    if not effects:
        return _record_only(transfer, event)
    return Decision(transfer, effects, Verdict.CONTRADICTION if broken else Verdict.CHANGED)


def _after_refusal(closed: Transfer, close: CloseAttempt, event: CoreAnswered) -> Decision:
    """Refused and stored: the id is dead. A short position may pass; any other reason sends it back."""
    if event.reason is None:
        raise InvariantBroken(f"{closed.id}: refusal without a reason")
    if closed.burn_first:
        return Decision(closed, (close,), Verdict.CHANGED)
    if event.reason is Reason.POSITION_SHORT and not closed.recalled and not closed.for_people:
        times = sum(attempt.reason is Reason.POSITION_SHORT for attempt in closed.attempts)
        wait_ms = min(POSITION_RETRY_MAX_MS, POSITION_RETRY_MS * 2 ** (times - 1))
        return _held(closed, close, event.now_ms + int(wait_ms / event.scale), TellBank("held", event.reason))
    reason = Reason.DEADLINE_PASSED if event.reason is Reason.VALIDITY_PASSED else event.reason
    return _give_back(closed, (close,), closed.recalled or reason)


def _after_burn(closed: Transfer, close: CloseAttempt, event: CoreAnswered) -> Decision:
    """Burnt: no id of this transfer can move money any more. Back, or another attempt while there is time."""
    if closed.burn_first:
        return Decision(closed, (close,), Verdict.CHANGED)
    if closed.recalled is None and event.now_ms < closed.deadlines.valid_until_ms:
        return _held(closed, close, closed.next_attempt_ms)
    return _give_back(closed, (close,), closed.recalled or Reason.DEADLINE_PASSED)


def _held(closed: Transfer, close: CloseAttempt, until_ms: int, *told: Effect) -> Decision:
    """Another attempt from `until_ms` on; after the last number that there is, none: it goes back by the clock."""
    if closed.for_people:
        return Decision(closed, (close,), Verdict.CHANGED)
    if len(closed.attempts) >= ATTEMPTS_MAX:
        until_ms = closed.deadlines.return_at_ms
    wait: tuple[Effect, ...] = (HoldUntil(until_ms),) if until_ms != closed.next_attempt_ms else ()
    return Decision(replace(closed, next_attempt_ms=until_ms), (close, *wait, *told), Verdict.CHANGED)


def _nothing_written(transfer: Transfer, event: Event) -> Decision:
    """IN_FLIGHT only: void the attempt if the sender still holds the lease that it had."""
    if not isinstance(event, SenderWroteNothing):
        raise InvariantBroken(f"nothing-written cannot handle {event!r}")
    attempt = _find(transfer, event.number)
    if attempt is None or attempt.outcome is not None:
        return _record_only(transfer, event)
    if attempt.lease_token != event.lease_token or event.lease_token != 1:  # a takeover may have sent it
        return _record_only(transfer, event)
    closed = _closed(transfer, replace(attempt, outcome=Outcome.NOT_SENT))
    close = CloseAttempt(event.number, Outcome.NOT_SENT, None, event.lease_token)
    if closed.burn_first:
        return Decision(closed, (close,), Verdict.CHANGED)
    if closed.recalled:
        return _give_back(closed, (close,), closed.recalled)
    times = sum(attempt.outcome is Outcome.NOT_SENT for attempt in closed.attempts)
    if times < UNSENT_AT_ONCE:
        return _held(closed, close, closed.next_attempt_ms)
    wait_ms = min(UNSENT_RETRY_MAX_MS, UNSENT_RETRY_MS * 2 ** (times - UNSENT_AT_ONCE))
    return _held(closed, close, event.now_ms + wait_ms)


def _return_due(transfer: Transfer, event: Event) -> Decision:
    """RECEIVED or RESERVED: nothing is open, so every id is dead or was never sent; unless our log is an old copy."""
    if not isinstance(event, ClockReturnDue):
        raise InvariantBroken(f"return-due cannot handle {event!r}")
    if event.now_ms < transfer.deadlines.return_at_ms or transfer.burn_first:
        return _record_only(transfer, event)
    last = transfer.attempts[-1].reason if transfer.attempts else None
    return _give_back(transfer, (), transfer.recalled or last or Reason.DEADLINE_PASSED)


def _recall(transfer: Transfer, event: Event) -> Decision:
    """Held: back at once. In flight, or held since before a restore: the burn decides. Final: answered below."""
    if not isinstance(event, BankRecalled):
        raise InvariantBroken(f"recall cannot handle {event!r}")
    if transfer.recalled:
        return _record_only(transfer, event)
    noted = replace(transfer, recalled=event.reason)
    note = NoteRecall(event.reason)
    if status_of(transfer) is Status.IN_FLIGHT or transfer.burn_first:
        return Decision(noted, (note,), Verdict.CHANGED)
    return _give_back(noted, (note,), event.reason)


def _recall_final(transfer: Transfer, event: Event) -> Decision:
    """The answer to a recall of a final transfer is its status; told once."""
    if not isinstance(event, BankRecalled):
        raise InvariantBroken(f"recall cannot handle {event!r}")
    if transfer.recalled:
        return _record_only(transfer, event)
    noted = replace(transfer, recalled=event.reason)
    return Decision(noted, (NoteRecall(event.reason), TellBank("resolution", event.reason)), Verdict.CHANGED)


def _acknowledged(transfer: Transfer, event: Event) -> Decision:
    if transfer.returned is None:
        raise InvariantBroken(f"{transfer.id}: acknowledgement reached a transfer without a return")
    if transfer.returned.acknowledged:
        return _record_only(transfer, event)
    booked = replace(transfer, returned=replace(transfer.returned, acknowledged=True))
    return Decision(booked, (AcknowledgeReturn(),), Verdict.CHANGED)


def _known_attempt(transfer: Transfer, event: Event) -> Decision:
    """Only after a restore: record again what our log has lost, number by number; the core's answer follows."""
    if not isinstance(event, CoreKnowsAttempt):
        raise InvariantBroken(f"known-attempt cannot handle {event!r}")
    next_number = len(transfer.attempts) + 1
    if not transfer.burn_first or transfer.for_people or event.number != next_number or next_number > ATTEMPTS_MAX:
        return _record_only(transfer, event)
    grown = transfer.with_attempts((*transfer.attempts, Attempt(next_number)))
    return Decision(grown, (RecordAttempt(next_number),), Verdict.CHANGED)


def _no_credit(transfer: Transfer, event: Event) -> Decision:
    """Only after a restore: back, when each id that the transfer can have is dead in the core, not one fewer."""
    if not isinstance(event, CoreKnowsNoCredit):
        raise InvariantBroken(f"no-credit cannot handle {event!r}")
    if not transfer.burn_first or not event.dead >= ALL_NUMBERS:
        return _record_only(transfer, event)
    return _give_back(transfer, (), transfer.recalled or Reason.GATEWAY_RESTORED, all_dead=True)


def _give_back(transfer: Transfer, effects: tuple[Effect, ...], reason: Reason, *, all_dead: bool = False) -> Decision:
    """The one place where a return is decided: no attempt is open here, and none was posted.

    `all_dead`: the core has answered about every id that the transfer can have; after a restore nothing less will do.
    """
    if any(attempt.outcome in (None, Outcome.POSTED) for attempt in transfer.attempts):
        raise InvariantBroken(f"{transfer.id}: return while an attempt is open or posted")
    if transfer.burn_first and not all_dead:
        raise InvariantBroken(f"{transfer.id}: return of what is older than a restore, with ids that may live")
    if transfer.for_people:
        return Decision(transfer, effects, Verdict.CHANGED if effects else Verdict.RECORD_ONLY)
    burn_due = not all_dead and all(attempt.outcome is Outcome.NOT_SENT for attempt in transfer.attempts)
    back = replace(transfer, returned=Return(reason, burn_due=burn_due))
    more: tuple[Effect, ...] = (DecideReturn(reason, burn_due=burn_due), TellBank("return", reason))
    if transfer.recalled:
        more = (*more, TellBank("resolution", transfer.recalled))
    return Decision(back, (*effects, *more), Verdict.CHANGED)


def _find(transfer: Transfer, number: int) -> Attempt | None:
    return transfer.attempts[number - 1] if 0 < number <= len(transfer.attempts) else None


def _closed(transfer: Transfer, attempt: Attempt) -> Transfer:
    kept = list(transfer.attempts)
    kept[attempt.number - 1] = attempt
    return transfer.with_attempts(tuple(kept))


Handler = Callable[[Transfer, Event], Decision]


def _row(*handlers: Handler) -> dict[type, Handler]:
    return dict(zip(EVENTS, handlers, strict=True))


# One row a status, one column an event, in the order of EVENTS:
# claimed, answered, nothing written, return due, recalled, return acknowledged, return refused,
# an attempt known to the core, no credit known to the core.
_TABLE: dict[Status, dict[type, Handler]] = {
    Status.RECEIVED: _row(
        _claim, _answer, _record_only, _return_due, _recall, _contradiction, _contradiction, _known_attempt,
        _no_credit),
    Status.RESERVED: _row(
        _claim, _answer, _record_only, _return_due, _recall, _contradiction, _contradiction, _known_attempt,
        _no_credit),
    Status.IN_FLIGHT: _row(
        _record_only, _answer, _nothing_written, _record_only, _recall, _contradiction, _contradiction,
        _record_only, _record_only),
    Status.COMPLETED: _row(
        _record_only, _answer, _record_only, _record_only, _recall_final, _contradiction, _contradiction,
        _record_only, _contradiction),
    Status.RETURNED: _row(
        _record_only, _answer, _record_only, _record_only, _recall_final, _acknowledged, _contradiction,
        _record_only, _record_only),
    Status.REJECTED: _row(
        _record_only, _contradiction, _record_only, _record_only, _record_only, _contradiction,
        _contradiction, _record_only, _record_only),
}  # fmt: skip
MOVES: dict[tuple[Status, type], Handler] = {
    (status, event): handler for status, row in _TABLE.items() for event, handler in row.items()
}
