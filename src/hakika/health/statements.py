"""What a bank is told about its corridor, from what is held to be true of it; pure.

A judgement says how bad it is; this page says what a bank does about it: OPEN, debit; SLOW, debit only after saying
how long it takes; HOLD, do not debit; TRICKLE, debit a share of the customers that grows by steps, so that recovery
does not end in a second outage. A statement is a heartbeat: it is issued anew every ten seconds even if nothing has
changed, with a number that only rises, and expires after thirty.
"""

from dataclasses import dataclass
from enum import StrEnum

from hakika.wire.statements import (
    EXPIRES_MS,
    HEARTBEAT_MS,
    Backlog,
    Decision,
    Evidence,
    Resume,
    Statement,
    StatusCheck,
)

RAMP = ((0.0, 5), (60.0, 25), (180.0, 100))  # policy: seconds of recovering, percent of customers
LEASH = StatusCheck(first_after_s=90.0, max=3, within_s=7200.0)  # policy; as domain/leash.py has it
DIRECTION = "bank_to_wallet"
NOTHING_SEEN = Evidence()


class Condition(StrEnum):
    """How a corridor stands, as the judge holds it."""

    WELL = "well"
    SLOW = "slow"  # evidence of the second level: banks are told, the public is not
    BROKEN = "broken"  # an incident is open and its evidence stands
    RECOVERING = "recovering"  # the evidence is good again, the incident not closed yet


@dataclass(frozen=True, slots=True)
class CorridorFacts:
    """Everything that a statement is made from. `since_ms` is when the condition began."""

    bank: str
    condition: Condition
    since_ms: int
    reasons: tuple[str, ...] = ()
    incident: str | None = None
    evidence: Evidence = NOTHING_SEEN
    backlog_count: int = 0
    oldest_s: float = 0.0


def decision_of(facts: CorridorFacts, now_ms: int, scale: float) -> tuple[Decision, int]:
    """The decision and the percent of customers that may debit; steps of the ramp are divided by `scale`."""
    match facts.condition:
        case Condition.WELL:
            return "OPEN", 100
        case Condition.SLOW:
            return "SLOW", 100
        case Condition.BROKEN:
            return "HOLD", 0
        case Condition.RECOVERING:
            waited_s = max(0.0, (now_ms - facts.since_ms) / 1000) * scale
            percent = [share for from_s, share in RAMP if waited_s >= from_s][-1]
            return ("TRICKLE", percent) if percent < 100 else ("SLOW", 100)


def statement_of(facts: CorridorFacts, *, operator: str, seq: int, now_ms: int, scale: float) -> Statement:
    """The statement of this instant under the number `seq`."""
    decision, percent = decision_of(facts, now_ms, scale)
    leash = StatusCheck(LEASH.first_after_s / scale, LEASH.max, LEASH.within_s / scale)
    return Statement(
        operator=operator,
        bank=facts.bank,
        direction=DIRECTION,
        decision=decision,
        since_ms=facts.since_ms,
        reason=list(facts.reasons),
        incident=facts.incident,
        evidence=facts.evidence,
        backlog=Backlog(facts.backlog_count, facts.oldest_s),
        resume=Resume(percent),
        status_check=leash,
        seq=seq,
        issued_at_ms=now_ms,
        expires_at_ms=now_ms + EXPIRES_MS,
        next_update_by_ms=now_ms + HEARTBEAT_MS,
    )
