"""The bank's own messages as bytes: pacs.008, pacs.028 and the pacs.002 that acknowledges a return.

What goes into the outbox is written once, here, and stored; nothing is written again at a resend.
"""

from collections.abc import Sequence
from uuid import UUID

from hakika import clock
from hakika.counterparties.bookings import Order, Statement
from hakika.wire.iso20022 import writing
from hakika.wire.iso20022.messages import (
    CreditTransfer,
    CreditTransferMessage,
    ReturnAcknowledged,
    ReturnAcknowledgement,
    StatusInquiry,
)

REFUSED_REASON = "NARR"  # ISO status reason: narrative


def instruction_body(msg_id: str, created_ms: int, carried: Sequence[tuple[Order, CreditTransfer]]) -> bytes:
    """The pacs.008 that carries these transfers."""
    transfers = tuple(transfer for _, transfer in carried)
    return writing.write_credit_transfer(CreditTransferMessage(msg_id, created_ms, transfers))


def acknowledgement_body(statement: Statement, booked: bool, at_ms: int) -> bytes:
    """The pacs.002 on a pacs.004: booked to the customer, or refused because it contradicts our books."""
    return_id = statement.said.return_id or ""
    item = ReturnAcknowledged(return_id, UUID(statement.uetr), booked, None if booked else REFUSED_REASON)
    message = ReturnAcknowledgement(clock.new_id().hex, (item,))
    return writing.write_return_acknowledgement(message, created_ms=at_ms, return_msg_id=statement.message_id)


def inquiry_body(uetr: str, original_msg_id: str, end_to_end_id: str) -> bytes:
    """A pacs.028 about one transfer, under a message id of its own."""
    inquiry = StatusInquiry(clock.new_id().hex, UUID(uetr), original_msg_id, end_to_end_id)
    return writing.write_inquiry(inquiry, created_ms=clock.now_ms())
