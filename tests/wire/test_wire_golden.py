"""Golden files: each is read into the value that it must give, and that value written again is the same document."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from lxml import etree
from msgspec import structs
from wire_samples import (
    ACKNOWLEDGEMENT,
    AT_MS,
    CANCELLATION,
    CANCELLATION_STATUS,
    CREDIT_TRANSFERS,
    FINAL,
    INQUIRY,
    LEAST_TRANSFER,
    RECEIVED,
    REJECT,
    REJECTED,
    RETURN,
    whole_errors,
)

from hakika.wire.iso20022 import reading, reading_bank, writing
from hakika.wire.iso20022.messages import Contact, CreditTransfer, CreditTransferMessage

GOLDEN = Path(__file__).parent / "golden" / "iso20022"
SECOND_MS = 1_690_449_330_000
LEAST = CreditTransferMessage(
    "BANKA-2023-07-27-000017",
    SECOND_MS,
    (
        structs.replace(
            LEAST_TRANSFER,
            uetr=UUID("0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9"),
            end_to_end_id="MB-778812",
            amount_minor=2500_00,
            debtor_name="Grace Achieng",
            creditor_name="Peter Mwangi",
            creditor_msisdn="254722000444",
        ),
    ),
)


def _wages(number: int, uetr: str, amount_minor: int) -> CreditTransfer:
    return CreditTransfer(
        uetr=UUID(uetr),
        end_to_end_id=f"PAYROLL-{number}",
        instruction_id=f"I-{number}",
        transaction_id=f"T-{number}",
        amount_minor=amount_minor,
        currency="KES",
        debtor_name="Kahawa Millers Ltd",
        debtor_account="0100200300400",
        debtor_agent="01",
        creditor_name=f"Worker {number}",
        creditor_msisdn=f"25471100000{number}",
        contact=Contact(phone="254204442211", email="payroll@kahawa.example"),
        remittance="July wages",
    )


INDEPENDENT = CreditTransferMessage(
    "KM-WAGES-07",
    SECOND_MS - 3 * 3600 * 1000,
    (
        _wages(1, "3f2b1c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d", 15_000_50),
        _wages(2, "4a3c2d5e-6f70-4b8c-9dae-1f203b4c5d6e", 16_250_25),
    ),
)
Write = Callable[[Any], bytes]
FILES: dict[str, tuple[Any, Write | None]] = {
    # file: the value it gives, and what writes the same document again (None where ours would write it otherwise)
    "pacs.008.least.xml": (LEAST, None),
    "pacs.008.full.xml": (CREDIT_TRANSFERS, writing.write_credit_transfer),
    "pacs.008.independent.xml": (INDEPENDENT, None),
    "pacs.028.xml": (INQUIRY, lambda message: writing.write_inquiry(message, created_ms=AT_MS)),
    "pacs.002.acknowledgement.xml": (
        ACKNOWLEDGEMENT,
        lambda message: writing.write_return_acknowledgement(message, created_ms=AT_MS, return_msg_id="GW-4"),
    ),
    "camt.056.xml": (
        CANCELLATION,
        lambda message: writing.write_cancellation(message, created_ms=AT_MS, bank="bank-a"),
    ),
    "pacs.002.received.xml": (RECEIVED, writing.write_status_report),
    "pacs.002.rejected.xml": (REJECTED, writing.write_status_report),
    "pacs.002.final.xml": (FINAL, writing.write_status_report),
    "pacs.004.xml": (RETURN, writing.write_return),
    "admi.002.xml": (REJECT, writing.write_reject),
    "camt.029.xml": (CANCELLATION_STATUS, writing.write_cancellation_status),
}
FROM_GATEWAY = {
    "pacs.002.received.xml",
    "pacs.002.rejected.xml",
    "pacs.002.final.xml",
    "pacs.004.xml",
    "admi.002.xml",
    "camt.029.xml",
}


def canonical(body: bytes) -> bytes:
    """C14N without comments and without white space between elements."""
    parser = etree.XMLParser(remove_blank_text=True, remove_comments=True, resolve_entities=False)
    return etree.tostring(etree.fromstring(body, parser), method="c14n")


@pytest.mark.parametrize("name", FILES)
def test_a_golden_file_is_read(name: str) -> None:
    body = (GOLDEN / name).read_bytes()
    read: Callable[[bytes], Any] = reading_bank.read_answer if name in FROM_GATEWAY else reading.read
    assert read(body) == FILES[name][0]


@pytest.mark.parametrize("name", [name for name, (_, write) in FILES.items() if write])
def test_a_golden_file_is_written(name: str) -> None:
    message, write = FILES[name]
    assert write is not None
    assert canonical(write(message)) == canonical((GOLDEN / name).read_bytes())


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("admi")])
def test_the_standard_accepts_every_golden_file(name: str) -> None:
    body = (GOLDEN / name).read_bytes()
    namespace = str(etree.fromstring(body).tag)[1:].partition("}")[0]
    assert whole_errors(namespace.rpartition(":")[2], body) == []


def test_every_golden_file_is_tested_and_has_its_origin_noted() -> None:
    assert {path.name for path in GOLDEN.glob("*.xml")} == set(FILES)
    readme = (GOLDEN / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in FILES)
