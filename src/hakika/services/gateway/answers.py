"""What a bank is answered at intake: the technical acceptance and the custody receipt.

Both are made from immutable columns alone, and Ed25519 is deterministic, so the same message always gets the
same bytes, whoever answers it and whenever.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hakika.domain.reasons import InvariantBroken, Reason
from hakika.ids import reference_text
from hakika.services.gateway.intake import Custody
from hakika.store.gateway.intake import CustodyRow
from hakika.wire.bank_api import RECEIPT_INLINE_MAX, CustodyReceipt, ReceiptTransfer
from hakika.wire.iso20022.fields import instant_text
from hakika.wire.iso20022.messages import StatusItem, StatusReport, TxStatus
from hakika.wire.iso20022.reasons import iso_code, iso_detail
from hakika.wire.iso20022.writing import write_status_report
from hakika.wire.jws import sign_compact

PACS_008 = "pacs.008.001.08"


@dataclass(frozen=True, slots=True)
class Signer:
    """The gateway's signing keys by key id; the newest signs, older ones repeat old receipts."""

    name: str
    kid: str
    keys: Mapping[str, Ed25519PrivateKey]

    @property
    def key(self) -> Ed25519PrivateKey:
        """The key that signs what is new."""
        return self.keys[self.kid]


def acceptance(custody: Custody, signer: Signer) -> tuple[bytes, str]:
    """(pacs.002 body, compact JWS of the custody receipt) for an accepted message."""
    report = StatusReport(
        msg_id="R" + hashlib.sha256(f"{custody.bank}/{custody.msg_id}".encode()).hexdigest()[:34],
        created_ms=custody.received_ms,
        original_msg_id=custody.msg_id,
        original_msg_name=PACS_008,
        group_status=None,
        group_reason=None,
        group_detail=None,
        items=tuple(_item(row, custody.msg_id) for row in custody.lines),
    )
    body = write_status_report(report)
    held = [row for row in custody.lines if not row.rejected]
    deadline_ms = max((row.deadline_ms or 0 for row in held), default=custody.received_ms)
    receipt = CustodyReceipt(
        iss=signer.name,
        bank=custody.bank,
        msg_id=custody.msg_id,
        message_sha256=custody.body_sha256.hex(),
        received=instant_text(custody.received_ms),
        deadline=instant_text(deadline_ms),
        count=len(held),
        transfers=[_receipt_line(row) for row in held] if len(held) <= RECEIPT_INLINE_MAX else [],
        body_sha256=hashlib.sha256(body).hexdigest(),
    )
    key = signer.keys.get(custody.receipt_kid)
    if key is None:
        raise InvariantBroken(f"receipt key {custody.receipt_kid} is not loaded; keep retired signing keys")
    return body, sign_compact(msgspec.json.encode(receipt), key, custody.receipt_kid)


def _receipt_line(row: CustodyRow) -> ReceiptTransfer:
    if row.tracking is None or row.end_to_end_id is None or row.deadline_ms is None:
        raise InvariantBroken(f"{row.uetr}: in custody without its columns")
    return ReceiptTransfer(
        uetr=str(row.uetr),
        end_to_end_id=row.end_to_end_id,
        tracking=reference_text(bytes(row.tracking)),
        deadline=instant_text(row.deadline_ms),
    )


def _item(row: CustodyRow, msg_id: str) -> StatusItem:
    reason = Reason(row.reason) if row.rejected and row.reason else None
    return StatusItem(
        uetr=row.uetr,
        original_msg_id=msg_id,
        end_to_end_id=row.end_to_end_id or "NOTPROVIDED",
        instruction_id=row.instruction_id,
        transaction_id=row.transaction_id,
        status=TxStatus.REJECTED if row.rejected else TxStatus.RECEIVED,
        reason=iso_code(reason) if reason else None,
        detail=iso_detail(reason) if reason else None,
        tracking=reference_text(bytes(row.tracking)) if row.tracking and not row.rejected else None,
        accepted_ms=None if row.rejected else row.received_ms,
    )
