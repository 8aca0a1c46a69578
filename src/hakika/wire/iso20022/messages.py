"""The messages of the bank corridor as typed values; field names follow the standard's meaning.

Instants are wall-clock milliseconds UTC; amounts are integer minor units plus ISO 4217 code.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import msgspec


class TxStatus(StrEnum):
    """ExternalPaymentTransactionStatus1Code values that we send or accept."""

    RECEIVED = "RCVD"
    RESERVED = "ACFC"
    IN_FLIGHT = "ACSP"
    COMPLETED = "ACCC"
    PENDING = "PDNG"  # held: the bank's position is short
    REJECTED = "RJCT"
    SETTLED = "ACSC"  # only from a bank, on our pacs.004: booked to the customer


class Contact(msgspec.Struct, frozen=True):
    """Debtor's contact details (Contact4): where the customer wants to be told, and in which language."""

    phone: str | None = None  # E.164 digits without +
    email: str | None = None
    language: str | None = None  # en, sw, fr; carried as CtctDtls/Othr with ChanlTp LANG


class CreditTransfer(msgspec.Struct, frozen=True):
    """One CdtTrfTxInf of a pacs.008.001.08."""

    uetr: UUID
    end_to_end_id: str
    instruction_id: str | None
    transaction_id: str | None
    amount_minor: int
    currency: str
    debtor_name: str
    debtor_account: str | None
    debtor_agent: str  # clearing member id: the bank's id with us
    creditor_name: str
    creditor_msisdn: str  # CdtrAcct/Id/Othr/Id, E.164 digits without +
    contact: Contact
    remittance: str | None = None

    def canonical(self) -> bytes:
        """The content that a resend under the same UETR must repeat, unambiguous; no group header in it."""
        fields = (
            str(self.uetr), self.end_to_end_id, self.instruction_id, self.transaction_id,
            str(self.amount_minor), self.currency, self.debtor_name, self.debtor_account, self.debtor_agent,
            self.creditor_name, self.creditor_msisdn, self.contact.phone, self.contact.email,
            self.contact.language, self.remittance,
        )  # fmt: skip
        out = bytearray()
        for field in fields:
            raw = b"\x00" if field is None else b"\x01" + field.encode()
            out += len(raw).to_bytes(4, "big") + raw
        return bytes(out)


@dataclass(frozen=True, slots=True)
class CreditTransferMessage:
    """A pacs.008.001.08: 1 to 1,000 transfers of one bank."""

    msg_id: str
    created_ms: int
    transfers: tuple[CreditTransfer, ...]


@dataclass(frozen=True, slots=True)
class StatusInquiry:
    """A pacs.028.001.03 about one transfer."""

    msg_id: str
    uetr: UUID
    original_msg_id: str | None
    end_to_end_id: str | None


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A camt.056.001.08 about one transfer: the bank recalls it."""

    assignment_id: str
    cancellation_id: str
    uetr: UUID
    original_msg_id: str | None
    end_to_end_id: str | None
    reason: str  # ISO code: DUPL, CUST, FRAD, TECH ...


@dataclass(frozen=True, slots=True)
class ReturnAcknowledgement:
    """A bank's pacs.002.001.10 on our pacs.004: booked (`ACSC`/`ACCC`) or refused (`RJCT`, which opens a break)."""

    msg_id: str
    items: tuple["ReturnAcknowledged", ...]


@dataclass(frozen=True, slots=True)
class ReturnAcknowledged:
    """One TxInfAndSts: OrgnlTxId carries our RtrId, OrgnlUETR the transfer."""

    return_id: str
    uetr: UUID
    accepted: bool
    reason: str | None = None


class StatusItem(msgspec.Struct, frozen=True):
    """One TxInfAndSts of a pacs.002 that we send (or, in the demo banks, read)."""

    uetr: UUID
    original_msg_id: str
    end_to_end_id: str
    instruction_id: str | None
    transaction_id: str | None
    status: TxStatus
    reason: str | None = None  # ISO status reason code
    detail: str | None = None  # AddtlInf: field and rule, or plain words (<= 105 characters a line)
    tracking: str | None = None  # AcctSvcrRef
    accepted_ms: int | None = None  # AccptncDtTm


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A pacs.002.001.10. `group_status` is set where the whole message is accepted or refused."""

    msg_id: str
    created_ms: int
    original_msg_id: str | None
    original_msg_name: str | None  # e.g. pacs.008.001.08
    group_status: TxStatus | None
    group_reason: str | None
    group_detail: str | None
    items: tuple[StatusItem, ...]


@dataclass(frozen=True, slots=True)
class PaymentReturn:
    """A pacs.004.001.09 with one transaction: the money comes back to the debtor's bank."""

    msg_id: str
    created_ms: int
    return_id: str
    uetr: UUID
    original_msg_id: str
    end_to_end_id: str
    instruction_id: str | None
    transaction_id: str | None
    amount_minor: int
    currency: str
    reason: str  # ISO return reason code
    detail: str | None
    settlement_date: str  # YYYY-MM-DD


@dataclass(frozen=True, slots=True)
class MessageReject:
    """An admi.002.001.01: the message was not taken; says nothing about any transfer."""

    reference: str  # the refused message's id, or NOTPROVIDED
    reason: str  # short code of ours: `signature_stale`, `busy`, `id_conflict` ...
    rejected_ms: int
    location: str | None  # field
    description: str  # rule, and what to do


@dataclass(frozen=True, slots=True)
class CancellationStatus:
    """A camt.029.001.09: the answer to every camt.056 about one transfer. `status` is CNCL, RJCR or PDCR."""

    assignment_id: str
    created_ms: int
    bank: str
    cancellation_ids: tuple[str, ...]
    uetr: UUID
    original_msg_id: str | None
    end_to_end_id: str | None
    status: str
    reason: str | None
