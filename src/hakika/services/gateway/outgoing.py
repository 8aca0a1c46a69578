"""What a bank is told: facts of the outbox gathered into messages whose bytes never change afterwards.

Final statuses of one bank share a pacs.002; each return is a pacs.004 of its own with a fixed RtrId; each
answer to a recall is a camt.029. A message is stored before it is sent, so a resend repeats its bytes.
"""

from datetime import UTC, datetime

from hakika import clock
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.store.gateway import outgoing as rows
from hakika.store.gateway.outgoing import Connection, Fact
from hakika.store.lane import Lanes
from hakika.wire.iso20022.messages import CancellationStatus, PaymentReturn, StatusItem, StatusReport, TxStatus
from hakika.wire.iso20022.reasons import iso_code, iso_detail
from hakika.wire.iso20022.writing import write_cancellation_status, write_return, write_status_report

GATHER_MAX = 1000
WRITE_DEADLINE_S = 5.0
PACS_008 = "pacs.008.001.08"
ALREADY_CREDITED = "ARDT"  # external cancellation status reason: the money has reached the creditor


async def gather(lanes: Lanes, bank: str) -> int:
    """Make messages of every fact that waits for this bank; how many facts they carry."""
    return await lanes.run(lambda conn: _gather(conn, bank), deadline_s=WRITE_DEADLINE_S)


async def _gather(conn: Connection, bank: str) -> int:
    async with conn.transaction():
        facts = await rows.waiting(conn, bank, GATHER_MAX)
        if not facts:
            return 0
        now_ms = clock.now_ms()
        messages: list[tuple[str, str, bytes]] = []
        carried: list[tuple[int, str]] = []
        statuses = [fact for fact in facts if fact.kind in ("final", "held")]
        if statuses:
            msg_id = clock.new_id().hex
            messages.append((msg_id, "status", _status_report(msg_id, statuses, now_ms)))
            carried.extend((fact.seq, msg_id) for fact in statuses)
        for fact in facts:
            if fact.kind in ("return", "resolution"):
                msg_id = clock.new_id().hex
                body = (
                    _return(msg_id, fact, now_ms) if fact.kind == "return" else _resolution(msg_id, bank, fact, now_ms)
                )
                messages.append((msg_id, fact.kind, body))
                carried.append((fact.seq, msg_id))
        await rows.add(conn, bank, messages, carried, now_ms)
    return len(facts)


def _status_report(msg_id: str, facts: list[Fact], now_ms: int) -> bytes:
    return write_status_report(
        StatusReport(
            msg_id=msg_id,
            created_ms=now_ms,
            original_msg_id=None,
            original_msg_name=PACS_008,
            group_status=None,
            group_reason=None,
            group_detail=None,
            items=tuple(_status_item(fact) for fact in facts),
        )
    )


def _status_item(fact: Fact) -> StatusItem:
    held = fact.kind == "held"
    reason = Reason(fact.reason) if held and fact.reason else None
    return StatusItem(
        uetr=fact.uetr,
        original_msg_id=fact.msg_id,
        end_to_end_id=fact.end_to_end_id,
        instruction_id=fact.instruction_id,
        transaction_id=fact.transaction_id,
        status=TxStatus.PENDING if held else TxStatus.COMPLETED,
        reason=iso_code(reason) if reason else None,
        detail=iso_detail(reason) if reason else None,
        tracking=None,
        accepted_ms=fact.at_ms,
    )


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
