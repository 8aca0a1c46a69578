"""What the gateway's messages say, read into statements about single transfers; pure, after verification.

An answer to an instruction counts only when it is bound to exactly the message that was sent: by message id, by
every UETR in it, and for a receipt by the hash of the body. A proxy that mixes up answers, or an error page with
a familiar status, therefore says nothing. `NotAnAnswer` names the rule; the message is then sent again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from hakika.counterparties.bookings import Statement
from hakika.counterparties.rules import Said, Word
from hakika.wire.bank_api import RECEIPT_INLINE_MAX, CustodyReceipt
from hakika.wire.iso20022.messages import PaymentReturn, StatusItem, StatusReport, TxStatus

WORDS = {
    TxStatus.RECEIVED: Word.PROGRESS,
    TxStatus.RESERVED: Word.PROGRESS,
    TxStatus.IN_FLIGHT: Word.PROGRESS,
    TxStatus.PENDING: Word.PROGRESS,
    TxStatus.SETTLED: Word.PROGRESS,  # a bank's own word: from the gateway it settles nothing
    TxStatus.COMPLETED: Word.COMPLETION,
    TxStatus.REJECTED: Word.REFUSAL,
}


class NotAnAnswer(Exception):
    """What came back says nothing about the message; the text names the rule that it misses."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An instruction as it was sent."""

    bank: str
    msg_id: str
    body: bytes
    uetrs: frozenset[str]


def of_report(report: StatusReport) -> list[Statement]:
    """One statement for each transfer of a pacs.002 that the gateway pushed, or answered to an inquiry."""
    return [_of_item(item) for item in report.items]


def of_return(message: PaymentReturn) -> Statement:
    """The statement of a pacs.004."""
    said = Said(
        Word.RETURN,
        message.original_msg_id,
        message.end_to_end_id,
        return_id=message.return_id,
        amount_minor=message.amount_minor,
        currency=message.currency,
    )
    return Statement(str(message.uetr), said, reason=message.reason, message_id=message.msg_id)


def _of_item(item: StatusItem) -> Statement:
    said = Said(WORDS[item.status], item.original_msg_id, item.end_to_end_id)
    return Statement(str(item.uetr), said, item.status, item.reason, item.tracking)


def of_acceptance(
    sent: Sent, report: StatusReport, answer_body: bytes, receipt: str | None, payload: Callable[[], bytes]
) -> list[Statement]:
    """The statements of a 202: receipts, and stored refusals among them; NotAnAnswer when it is not bound.

    `payload` verifies the receipt and gives its content; it is called only where the receipt is needed.
    """
    _bound(sent, report)
    if {str(item.uetr) for item in report.items} != sent.uetrs or len(report.items) != len(sent.uetrs):
        raise NotAnAnswer("the answer names each transfer of the message once")
    statements: list[Statement] = []
    held = [item for item in report.items if item.status is not TxStatus.REJECTED]
    deadline_ms = _checked_receipt(sent, held, answer_body, payload()) if held else None
    for item in report.items:
        if item.status is TxStatus.REJECTED:
            statements.append(_of_item(item))
            continue
        said = Said(Word.RECEIPT, item.original_msg_id, item.end_to_end_id, receipt=receipt)
        statements.append(Statement(str(item.uetr), said, item.status, None, item.tracking, deadline_ms))
        if item.status is TxStatus.COMPLETED:
            statements.append(_of_item(item))
    return statements


def of_refusal(sent: Sent, report: StatusReport) -> list[Statement]:
    """The statements of a 400 with GrpSts RJCT: every transfer of the message is refused."""
    _bound(sent, report)
    if report.group_status is not TxStatus.REJECTED:
        raise NotAnAnswer("a refusal has GrpSts RJCT")
    reasons = {str(item.uetr): item.reason for item in report.items}
    return [
        Statement(
            uetr,
            Said(Word.REFUSAL, sent.msg_id),
            TxStatus.REJECTED,
            reasons.get(uetr) or report.group_reason,
        )
        for uetr in sorted(sent.uetrs)
    ]


def _bound(sent: Sent, report: StatusReport) -> None:
    named = {item.original_msg_id for item in report.items}
    if report.original_msg_id is not None:
        named.add(report.original_msg_id)
    if named != {sent.msg_id}:
        raise NotAnAnswer("the answer names the message that was sent")


def _checked_receipt(sent: Sent, held: Sequence[StatusItem], answer_body: bytes, payload: bytes) -> int:
    """The promised deadline, once every member of the receipt agrees with what was sent and answered."""
    try:
        receipt = msgspec.json.decode(payload, type=CustodyReceipt)
        deadline_ms = _instant_ms(receipt.deadline)
    except (msgspec.DecodeError, ValueError) as error:
        raise NotAnAnswer(f"the custody receipt cannot be read: {error}") from error
    expected = (sent.bank, sent.msg_id, hashlib.sha256(sent.body).hexdigest(), len(held))
    if (receipt.bank, receipt.msg_id, receipt.message_sha256, receipt.count) != expected:
        raise NotAnAnswer("the custody receipt names bank, message, content and count of what was sent")
    if receipt.body_sha256 != hashlib.sha256(answer_body).hexdigest():
        raise NotAnAnswer("the custody receipt binds the body that it came with")
    if len(held) <= RECEIPT_INLINE_MAX:
        listed = {(t.uetr, t.end_to_end_id, t.tracking) for t in receipt.transfers}
        if listed != {(str(item.uetr), item.end_to_end_id, item.tracking) for item in held}:
            raise NotAnAnswer("the custody receipt lists the transfers of the answer")
    return deadline_ms


def _instant_ms(text: str) -> int:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without its zone")
    return int(instant.timestamp() * 1000)
