"""What a bank meets beside ISO 20022: the quote before the debit, and the custody receipt. JSON.

The receipt is the payload of a JWS in `X-Custody-Receipt`; its fields come from the intake row alone, so a
resend of the same message gets the same bytes.
"""

from typing import Literal

import msgspec

RECEIPT_INLINE_MAX = 50  # above this many transfers, they are listed in the signed body instead


class QuoteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asked before the customer is debited."""

    creditor_msisdn: str
    amount_minor: int
    currency: str


class QuoteAnswer(msgspec.Struct, frozen=True):
    """`now`: credited within seconds. `held`: kept safe, final by `final_by_ms`. `not_now`: do not debit."""

    answer: Literal["now", "held", "not_now"]
    advice: Literal["OPEN", "SLOW", "HOLD", "TRICKLE"]  # what the corridor tells the bank to do
    as_of_ms: int
    final_by_ms: int | None = None
    creditor_name: str | None = None  # masked; None when it cannot be asked now
    fee_minor: int | None = None
    reason: str | None = None  # e.g. wallet_unknown: a transfer would come back


class ReceiptTransfer(msgspec.Struct, frozen=True):
    """One transfer in custody."""

    uetr: str
    end_to_end_id: str
    tracking: str  # reference under /t/
    deadline: str = ""  # of this transfer: a repeated one keeps its first promise


class CustodyReceipt(msgspec.Struct, frozen=True):
    """We hold your instruction, and answer by then."""

    iss: str  # the gateway's name
    bank: str
    msg_id: str
    message_sha256: str  # of the raw body, hex: binds every id, party and amount
    received: str  # ISO 8601 UTC, milliseconds
    deadline: str  # the latest of its transfers
    count: int
    transfers: list[ReceiptTransfer]  # empty above RECEIPT_INLINE_MAX: the body lists them
    body_sha256: str  # of the pacs.002 in the same answer
