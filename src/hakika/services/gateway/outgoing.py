"""What a bank is told: facts of the outbox in messages whose bytes never change afterwards.

Statuses that one commit makes true for a bank share a pacs.002 that is stored in the same commit. What needs more than
that commit knows is gathered from the outbox: each return is a pacs.004 of its own with a fixed RtrId, each answer to a
recall is a camt.029. A message is stored before it is sent, so a resend repeats its bytes, and who stored it sends it
first: other processes only after SENDING_MS, when it may have died with it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from hakika import clock
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.store.gateway import outgoing as rows
from hakika.store.gateway.outgoing import Connection, Fact, NewMessage
from hakika.store.gateway.transfers import Loaded
from hakika.store.lane import Lanes
from hakika.wire.iso20022.messages import CancellationStatus, PaymentReturn, StatusItem, StatusReport, TxStatus
from hakika.wire.iso20022.reasons import iso_code, iso_detail
from hakika.wire.iso20022.writing import write_cancellation_status, write_return, write_status_report

GATHER_MAX = 1000
SENDING_MS = 3_000  # machine timer: so long a message is its taker's to send; longer than a push may take
WRITE_DEADLINE_S = 5.0
PACS_008 = "pacs.008.001.08"
ALREADY_CREDITED = "ARDT"  # external cancellation status reason: the money has reached the creditor
STATUSES = frozenset({"final", "held"})  # kinds of facts that a pacs.002 carries


async def gather(lanes: Lanes, bank: str, *, sends: int) -> list[NewMessage]:
    """Make messages of the facts that wait for this bank, up to GATHER_MAX of them.

    The first `sends` messages are the caller's to send; the others are due at once, for any courier.
    """
    return await lanes.run(lambda conn: _gather(conn, bank, sends), deadline_s=WRITE_DEADLINE_S)


async def _gather(conn: Connection, bank: str, sends: int) -> list[NewMessage]:
    async with conn.transaction():
        facts = await rows.waiting(conn, bank, GATHER_MAX)
        if not facts:
            return []
        now_ms = clock.now_ms()
        messages: list[NewMessage] = []
        carried: list[tuple[int, str]] = []
        statuses = [fact for fact in facts if fact.kind in STATUSES]  # of a release that left them all to be gathered
        if statuses:
            messages.append(status_message(bank, [_status_item(fact) for fact in statuses], now_ms))
            carried.extend((fact.seq, messages[0].msg_id) for fact in statuses)
        for fact in facts:
            if fact.kind in ("return", "resolution"):
                msg_id = clock.new_id().hex
                body = (
                    _return(msg_id, fact, now_ms) if fact.kind == "return" else _resolution(msg_id, bank, fact, now_ms)
                )
                messages.append(_new(msg_id, bank, fact.kind, body, now_ms))
                carried.append((fact.seq, msg_id))
        messages[sends:] = [message._replace(next_send_ms=now_ms) for message in messages[sends:]]
        await rows.add(conn, messages, carried)
    return messages


def status_message(bank: str, items: Sequence[StatusItem], now_ms: int) -> NewMessage:
    """One pacs.002 of these statuses, to be stored with the facts that they are of."""
    msg_id = clock.new_id().hex
    report = StatusReport(
        msg_id=msg_id,
        created_ms=now_ms,
        original_msg_id=None,
        original_msg_name=PACS_008,
        group_status=None,
        group_reason=None,
        group_detail=None,
        items=tuple(items),
    )
    return _new(msg_id, bank, "status", write_status_report(report), now_ms)


def status_item(row: Loaded | Fact, kind: str, reason: Reason | None, at_ms: int) -> StatusItem:
    """What a bank is told of a transfer that is `final` or `held`, for this reason and since this instant."""
    if row.msg_id is None or row.end_to_end_id is None:
        raise InvariantBroken(f"{row.uetr}: told of without the columns of custody")
    told = reason if kind == "held" else None
    return StatusItem(
        uetr=row.uetr,
        original_msg_id=row.msg_id,
        end_to_end_id=row.end_to_end_id,
        instruction_id=row.instruction_id,
        transaction_id=row.transaction_id,
        status=TxStatus.PENDING if kind == "held" else TxStatus.COMPLETED,
        reason=iso_code(told) if told else None,
        detail=iso_detail(told) if told else None,
        tracking=None,
        accepted_ms=at_ms,
    )


def _new(msg_id: str, bank: str, kind: str, body: bytes, now_ms: int) -> NewMessage:
    return NewMessage(msg_id, bank, kind, body, now_ms, now_ms + SENDING_MS)


def _status_item(fact: Fact) -> StatusItem:
    return status_item(fact, fact.kind, Reason(fact.reason) if fact.reason else None, fact.at_ms)


def _return(msg_id: str, fact: Fact, now_ms: int) -> bytes:
    if fact.return_id is None or fact.return_reason is None:
        raise InvariantBroken(f"{fact.transfer}: a return in the outbox without its row")
    reason = Reason(fact.return_reason)
    return write_return(
        PaymentReturn(
            msg_id=msg_id,
            created_ms=now_ms,
            return_id=fact.return_id,
            uetr=fact.uetr,
            original_msg_id=fact.msg_id,
            end_to_end_id=fact.end_to_end_id,
            instruction_id=fact.instruction_id,
            transaction_id=fact.transaction_id,
            amount_minor=fact.amount_minor,
            currency=fact.currency,
            reason=iso_code(reason),
            detail=iso_detail(reason),
            settlement_date=datetime.fromtimestamp(fact.at_ms / 1000, UTC).date().isoformat(),
        )
    )


def _resolution(msg_id: str, bank: str, fact: Fact, now_ms: int) -> bytes:
    match fact.status:
        case "RETURNED":
            status, reason = "CNCL", None
        case "COMPLETED":
            status, reason = "RJCR", ALREADY_CREDITED
        case other:
            raise InvariantBroken(f"{fact.transfer}: a recall resolved in status {other}")
    return write_cancellation_status(
        CancellationStatus(
            assignment_id=msg_id,
            created_ms=now_ms,
            bank=bank,
            cancellation_ids=tuple(fact.cancellation_ids),
            uetr=fact.uetr,
            original_msg_id=fact.msg_id,
            end_to_end_id=fact.end_to_end_id,
            status=status,
            reason=reason,
        )
    )
