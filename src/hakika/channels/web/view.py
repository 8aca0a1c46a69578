"""What a tracking page may know about one transfer: its stage, its instants, its parties as strangers see them.

A view is a snapshot: whatever is shown from it was true at `as_of_ms` and is dated so. While no attempt is
open exactly one party holds the money; while one is open nobody may claim to know, and the page says what was
sent and when. Names and numbers arrive here masked already, so that no template can leak a whole one.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from hakika.domain.masking import mask_msisdn, mask_name
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.domain.transfer import Status

__all__ = ["Holder", "Stage", "TrackingView", "holder_of", "mask_msisdn", "mask_name", "since_ms", "status_of"]


class Stage(StrEnum):
    """Where a transfer stands, as far as people are concerned."""

    HELD = "held"  # in custody, no attempt open
    SENDING = "sending"  # an attempt is open, sent moments ago
    IN_DOUBT = "in_doubt"  # an attempt is open and has had no answer
    PAST_DEADLINE_IN_DOUBT = "past_deadline_in_doubt"  # the one exception to the clock
    COMPLETED = "completed"
    COMING_BACK = "coming_back"  # return decided, the bank has not confirmed it
    RETURNED = "returned"  # the bank has confirmed it
    RETURNED_BUT_CREDITED = "returned_but_credited"  # a late success after a return: both facts stand


FINAL = frozenset({Stage.COMPLETED, Stage.RETURNED})
OPEN = frozenset({Stage.SENDING, Stage.IN_DOUBT, Stage.PAST_DEADLINE_IN_DOUBT})


class Holder(StrEnum):
    """Who has the money: one party, or nobody may say while an attempt is open."""

    HAKIKA = "hakika"
    WALLET = "wallet"
    BANK = "bank"
    BEING_ESTABLISHED = "being_established"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingView:
    """One transfer as of `as_of_ms`; all instants are milliseconds since 1970 UTC, amounts minor units."""

    reference: str  # 26 characters, as under /t/
    stage: Stage
    as_of_ms: int
    amount_minor: int
    currency: str
    bank_name: str  # the debtor's bank
    debtor_name_masked: str  # empty when the bank gave none
    creditor_name_masked: str  # empty when the bank gave none
    creditor_msisdn_masked: str
    received_ms: int
    sent_ms: int | None  # the open attempt's instant, or the last one's where it is known
    ended_ms: int | None  # completed, or the return decided
    deadline_ms: int
    acknowledged_ms: int | None  # the bank confirmed the return
    fee_minor: int | None
    reason: Reason | None  # why it goes or went back
    position_short: bool  # held because the bank's position does not cover it
    bank_id: str = ""  # for reports about its corridor; empty where that is not known

    def __post_init__(self) -> None:
        needed = {
            Stage.SENDING: self.sent_ms,
            Stage.IN_DOUBT: self.sent_ms,
            Stage.PAST_DEADLINE_IN_DOUBT: self.sent_ms,
            Stage.COMPLETED: self.ended_ms,
            Stage.COMING_BACK: self.ended_ms,
            Stage.RETURNED: self.acknowledged_ms,
            Stage.RETURNED_BUT_CREDITED: self.ended_ms,
        }
        if self.stage in needed and needed[self.stage] is None:
            raise InvariantBroken(f"tracking view {self.stage}: its instant is missing")

    @property
    def final(self) -> bool:
        """Nothing about this transfer will change any more."""
        return self.stage in FINAL or (self.stage is Stage.RETURNED_BUT_CREDITED and self.acknowledged_ms is not None)


def status_of(stage: Stage) -> Status:
    """The transfer's status, as the bank is told it."""
    match stage:
        case Stage.HELD:
            return Status.RECEIVED
        case Stage.SENDING | Stage.IN_DOUBT | Stage.PAST_DEADLINE_IN_DOUBT:
            return Status.IN_FLIGHT
        case Stage.COMPLETED:
            return Status.COMPLETED
        case Stage.COMING_BACK | Stage.RETURNED | Stage.RETURNED_BUT_CREDITED:
            return Status.RETURNED
        case _ as never:
            assert_never(never)


def holder_of(view: TrackingView) -> Holder:
    """Who holds the money; a return is ours until the bank confirms it, as an instruction is the bank's until
    our receipt.
    """
    if view.stage in OPEN:
        return Holder.BEING_ESTABLISHED
    if view.stage is Stage.COMPLETED:
        return Holder.WALLET
    if view.stage is Stage.HELD or view.acknowledged_ms is None:
        return Holder.HAKIKA
    return Holder.BANK


def since_ms(view: TrackingView) -> int:
    """Since when the stage holds: received, sent, ended, or confirmed by the bank."""
    if view.stage is Stage.HELD:
        instant: int | None = view.received_ms
    elif view.stage in OPEN:
        instant = view.sent_ms
    elif view.stage is Stage.COMPLETED or view.acknowledged_ms is None:
        instant = view.ended_ms
    else:
        instant = view.acknowledged_ms
    if instant is None:
        raise InvariantBroken(f"tracking view {view.stage}: its instant is missing")
    return instant
