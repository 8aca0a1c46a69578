"""Transfers in every status, by short names, for the tables of `test_transfer.py` and its neighbours.

One calendar for all: valid until 1,000, returned from 1,100 on, promised for 1,200 (milliseconds). `BEFORE`,
`CLOSING` and `AFTER` are instants before the first, between the first two, and at the second.
"""

from dataclasses import replace
from uuid import UUID

from hakika.domain.deadlines import Deadlines
from hakika.domain.reasons import Reason
from hakika.domain.transfer import (
    ALL_NUMBERS,
    Attempt,
    BankAcknowledgedReturn,
    BankRecalled,
    BankRefusedReturn,
    ClockReturnDue,
    CoreAnswered,
    CoreKnowsAttempt,
    CoreKnowsNoCredit,
    Outcome,
    Return,
    SenderWroteNothing,
    Transfer,
    WorkerClaimed,
)

ID = UUID(int=1)
DEADLINES = Deadlines(valid_until_ms=1_000, return_at_ms=1_100, deadline_ms=1_200)
BEFORE, CLOSING, AFTER = 500, 1_050, 1_100
SHORT, UNKNOWN, RECALL = Reason.POSITION_SHORT, Reason.WALLET_UNKNOWN, Reason.RECALLED_BY_BANK
LATE, RESTORED = Reason.DEADLINE_PASSED, Reason.GATEWAY_RESTORED

held = Transfer(ID, DEADLINES)
old = Transfer(ID, DEADLINES, burn_first=True)
_open = Attempt(1)
_posted = Attempt(1, Outcome.POSTED)
_short = Attempt(1, Outcome.REFUSED, SHORT)
_unknown = Attempt(1, Outcome.REFUSED, UNKNOWN)
_burnt = Attempt(1, Outcome.BURNT)
_not_sent = Attempt(1, Outcome.NOT_SENT)

STATES: dict[str, Transfer] = {
    "held": held,
    "held, position short": replace(held, attempts=(_short,), next_attempt_ms=600),
    "held, burnt": replace(held, attempts=(_burnt,)),
    "held, not sent": replace(held, attempts=(_not_sent,)),
    "reserved": replace(held, reserved=True),
    "reserved, not sent": replace(held, reserved=True, attempts=(_not_sent,)),
    "held, all numbers used": replace(
        held, attempts=tuple(Attempt(number, Outcome.BURNT) for number in sorted(ALL_NUMBERS))
    ),
    "in flight, last number": replace(
        held, attempts=(*(Attempt(number, Outcome.NOT_SENT) for number in range(1, max(ALL_NUMBERS))), Attempt(64))
    ),
    "restored": old,
    "restored, reserved": replace(old, reserved=True),
    "restored, burnt": replace(old, attempts=(_burnt,)),
    "restored, not sent": replace(old, attempts=(_not_sent,)),
    "restored, recalled": replace(old, attempts=(_burnt,), recalled=RECALL),
    "restored, in flight": replace(old, attempts=(_open,)),
    "restored, recalled in flight": replace(old, attempts=(_open,), recalled=RECALL),
    "restored, completed": replace(old, attempts=(_posted,)),
    "restored, returned": replace(old, returned=Return(RESTORED)),
    "in flight": replace(held, attempts=(_open,)),
    "in flight, taken over": replace(held, attempts=(Attempt(1, lease_token=2),)),
    "in flight, recalled": replace(held, attempts=(_open,), recalled=RECALL),
    "in flight, second": replace(held, attempts=(_burnt, Attempt(2))),
    "in flight, reserved": replace(held, attempts=(_open,), reserved=True),
    "completed": replace(held, attempts=(_posted,)),
    "completed, second": replace(held, attempts=(_short, Attempt(2, Outcome.POSTED))),
    "completed, recalled": replace(held, attempts=(_posted,), recalled=RECALL),
    "returned unsent": replace(held, returned=Return(LATE, burn_due=True)),
    "returned unsent, burnt": replace(held, returned=Return(LATE)),
    "returned, not sent": replace(held, attempts=(_not_sent,), returned=Return(LATE, burn_due=True)),
    "returned, refused": replace(held, attempts=(_unknown,), returned=Return(UNKNOWN)),
    "returned, burnt": replace(held, attempts=(_burnt,), returned=Return(LATE)),
    "returned, acknowledged": replace(held, attempts=(_burnt,), returned=Return(LATE, acknowledged=True)),
    "returned, recalled": replace(held, returned=Return(RECALL, burn_due=True), recalled=RECALL),
    "rejected": replace(held, rejected=True),
}


def claimed(now_ms: int = BEFORE) -> WorkerClaimed:
    """A delivery worker asks for the transfer."""
    return WorkerClaimed(now_ms)


def posted(number: int = 1, now_ms: int = BEFORE) -> CoreAnswered:
    """The core has credited the wallet under this id."""
    return CoreAnswered(number, Outcome.POSTED, now_ms, fee_minor=5)


def refused(reason: Reason | None, number: int = 1, now_ms: int = BEFORE) -> CoreAnswered:
    """The core has refused and stored it."""
    return CoreAnswered(number, Outcome.REFUSED, now_ms, reason, scale=10.0)


def burnt(number: int = 1, now_ms: int = BEFORE) -> CoreAnswered:
    """The core has burnt this id."""
    return CoreAnswered(number, Outcome.BURNT, now_ms)


def wrote_nothing(number: int = 1, token: int = 1) -> SenderWroteNothing:
    """The sender says that no byte of the attempt left, under the lease token that it had."""
    return SenderWroteNothing(number, token, BEFORE)


def due(now_ms: int = AFTER) -> ClockReturnDue:
    """The clock says that it is time for the return."""
    return ClockReturnDue(now_ms)


def knows(number: int = 1) -> CoreKnowsAttempt:
    """After a restore: the core has an answer under this number."""
    return CoreKnowsAttempt(number)


def no_credit(*alive: int) -> CoreKnowsNoCredit:
    """After a restore: every id is dead in the core, but those of these numbers, of which nothing is known."""
    return CoreKnowsNoCredit(ALL_NUMBERS - set(alive), BEFORE)


def recalled(reason: Reason = RECALL) -> BankRecalled:
    """camt.056."""
    return BankRecalled(reason, BEFORE)


def acknowledged() -> BankAcknowledgedReturn:
    """The bank has booked the return."""
    return BankAcknowledgedReturn(BEFORE)


def return_refused() -> BankRefusedReturn:
    """The bank says that it will not book the return."""
    return BankRefusedReturn("account closed", BEFORE)
