"""What may happen to a transfer, and what the store writes because of it: the words that `transfer.py` decides in.

An event says in its first word who spoke: a worker, the core, the sender, the clock, the bank. An effect is a
verb: one row, or one column, that is written in the commit of the decision. Nothing is decided here.
"""

from dataclasses import dataclass
from enum import StrEnum

from hakika.domain.reasons import Reason


class Outcome(StrEnum):
    """How an attempt closed. `NOT_SENT` is the sender's own knowledge that it wrote no byte."""

    POSTED = "posted"
    REFUSED = "refused"
    BURNT = "burnt"
    NOT_SENT = "not_sent"


# --- events: who spoke, and what they said ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerClaimed:
    """A delivery worker with a live connection to the core wants to send this transfer now."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class CoreAnswered:
    """The core's stored answer about attempt `number`: all that can close an attempt that was sent."""

    number: int
    outcome: Outcome
    now_ms: int
    reason: Reason | None = None
    fee_minor: int = 0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class SenderWroteNothing:
    """The sender knows that not one byte of attempt `number` left; it held the lease under `lease_token`."""

    number: int
    lease_token: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class ClockReturnDue:
    """The instant after which a transfer that nobody has sent, or whose ids are all dead, goes back."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class BankRecalled:
    """camt.056: the debtor's bank wants the transfer back."""

    reason: Reason
    now_ms: int


@dataclass(frozen=True, slots=True)
class BankAcknowledgedReturn:
    """The bank has booked our pacs.004 to its customer."""

    now_ms: int


@dataclass(frozen=True, slots=True)
class BankRefusedReturn:
    """The bank says that it will not book our pacs.004; it cannot refuse, so this is a break."""

    detail: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class CoreKnowsAttempt:
    """After a restore of the gateway: the core has a stored answer under this number, which our log has lost."""

    number: int


@dataclass(frozen=True, slots=True)
class CoreKnowsNoCredit:
    """After a restore of the gateway: the ids of these numbers are dead in the core, none of them moved money."""

    dead: frozenset[int]
    now_ms: int


Event = (
    WorkerClaimed
    | CoreAnswered
    | SenderWroteNothing
    | ClockReturnDue
    | BankRecalled
    | BankAcknowledgedReturn
    | BankRefusedReturn
    | CoreKnowsAttempt
    | CoreKnowsNoCredit
)
EVENTS: tuple[type, ...] = (
    WorkerClaimed, CoreAnswered, SenderWroteNothing, ClockReturnDue, BankRecalled, BankAcknowledgedReturn,
    BankRefusedReturn, CoreKnowsAttempt, CoreKnowsNoCredit,
)  # fmt: skip


# --- effects: what the store writes in the same commit ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordAttempt:
    """Insert attempt `number`, open; only after the commit may it be sent."""

    number: int


@dataclass(frozen=True, slots=True)
class CloseAttempt:
    """Store the answer of attempt `number`."""

    number: int
    outcome: Outcome
    reason: Reason | None
    lease_token: int | None = None  # with NOT_SENT: the token under which nothing was written


@dataclass(frozen=True, slots=True)
class DecideReturn:
    """Insert the one return of this transfer."""

    reason: Reason
    burn_due: bool


@dataclass(frozen=True, slots=True)
class AcknowledgeReturn:
    """The bank has the money on its customer's account."""


@dataclass(frozen=True, slots=True)
class BurnDone:
    """The pre-emptive burn of a never-attempted transfer is stored at the core."""


@dataclass(frozen=True, slots=True)
class TellBank:
    """Put a fact in the outbox: `final` (completed), `return`, `held` (position short) or `resolution`."""

    kind: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class HoldUntil:
    """No new attempt before this instant."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class NoteRecall:
    """Remember that the bank wants it back; the burn decides."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class OpenBreak:
    """Evidence contradicts what is recorded: a person or a rule must settle it."""

    kind: str
    detail: str


Effect = (
    RecordAttempt
    | CloseAttempt
    | DecideReturn
    | AcknowledgeReturn
    | BurnDone
    | TellBank
    | HoldUntil
    | NoteRecall
    | OpenBreak
)
