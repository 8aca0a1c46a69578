"""Messages for the wire tests: typed values with every field and with the least, and raw XML that can be bent.

`whole_schema` finds the standard's own schemas: HAKIKA_XSD_DIR, or the reference folder beside the repository.
CI always sets the variable; there a missing folder is a failure and not a skip.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from lxml import etree

from hakika.wire.iso20022.guideline import NAMESPACE
from hakika.wire.iso20022.messages import (
    Cancellation,
    CancellationStatus,
    Contact,
    CreditTransfer,
    CreditTransferMessage,
    MessageReject,
    PaymentReturn,
    ReturnAcknowledged,
    ReturnAcknowledgement,
    StatusInquiry,
    StatusItem,
    StatusReport,
    TxStatus,
)

ROOT = Path(__file__).parent.parent.parent
AT_MS = 1_690_449_330_250  # 2023-07-27T09:15:30.250Z
UETR = UUID("8a562c67-ca16-48ba-b074-65581be6f001")
UETR_2 = UUID("eb6305c9-1f7f-49de-aed0-16487c27b42d")


@cache
def whole_schema(name: str) -> etree.XMLSchema:
    """The standard's own schema of a message."""
    named = os.environ.get("HAKIKA_XSD_DIR")
    folder = Path(named) if named else ROOT.parent / "shared" / "wire" / "xsd"
    if not folder.is_dir():
        if named or os.environ.get("CI"):
            pytest.fail("HAKIKA_XSD_DIR must name the folder with the whole ISO 20022 schemas")
        pytest.skip("the whole ISO 20022 schemas are not here: set HAKIKA_XSD_DIR")
    return etree.XMLSchema(etree.parse(str(folder / f"{name}.xsd")))


def whole_errors(name: str, body: bytes) -> list[str]:
    """What the standard's own schema has against `body`."""
    schema = whole_schema(name)
    schema.validate(etree.fromstring(body))
    errors: Any = schema.error_log
    return [error.message for error in errors if error.level >= etree.ErrorLevels.ERROR]


FULL_TRANSFER = CreditTransfer(
    uetr=UETR,
    end_to_end_id="SCHOOL-FEES-07",
    instruction_id="INSTR-0001",
    transaction_id="TX-0001",
    amount_minor=1_500_50,
    currency="KES",
    debtor_name="Amina Wanjiru & Sons <Ltd>",
    debtor_account="0011 2233 4455",
    debtor_agent="bank-a",
    creditor_name="Juma Ochieng'",
    creditor_msisdn="254712345678",
    contact=Contact(phone="254733000111", email="amina@example.co.ke", language="sw"),
    remittance="Term 3, class 7\nÑandú 李",
)
LEAST_TRANSFER = CreditTransfer(
    uetr=UETR_2,
    end_to_end_id="E2E-2",
    instruction_id=None,
    transaction_id=None,
    amount_minor=1,
    currency="KES",
    debtor_name="B",
    debtor_account=None,
    debtor_agent="bank-a",
    creditor_name="C",
    creditor_msisdn="255754000000",
    contact=Contact(),
)
CREDIT_TRANSFERS = CreditTransferMessage("MSG-20230727-0001", AT_MS, (FULL_TRANSFER, LEAST_TRANSFER))
INQUIRY = StatusInquiry("ASK-1", UETR, "MSG-20230727-0001", "SCHOOL-FEES-07")
CANCELLATION = Cancellation("RECALL-1", "CXL-1", UETR, "MSG-20230727-0001", "SCHOOL-FEES-07", "DUPL")
ACKNOWLEDGEMENT = ReturnAcknowledgement(
    "ACK-1",
    (
        ReturnAcknowledged("RTR-1", UETR, accepted=True),
        ReturnAcknowledged("RTR-2", UETR_2, accepted=False, reason="AC04"),
    ),
)
_ORIGINAL = {"original_msg_id": "MSG-20230727-0001", "end_to_end_id": "SCHOOL-FEES-07"}
STATUS_ITEM = StatusItem(
    uetr=UETR,
    instruction_id="INSTR-0001",
    transaction_id="TX-0001",
    status=TxStatus.RECEIVED,
    tracking="k3m9x7q2c4v8b6n1p5r0",
    accepted_ms=AT_MS,
    **_ORIGINAL,
)
RECEIVED = StatusReport("GW-1", AT_MS, "MSG-20230727-0001", "pacs.008.001.08", None, None, None, (STATUS_ITEM,))
REJECTED = StatusReport(
    "GW-2",
    AT_MS,
    "NOTPROVIDED",
    "pacs.008.001.08",
    TxStatus.REJECTED,
    "AM12",
    "CdtTrfTxInf[3]/IntrBkSttlmAmt: an amount is greater than zero",
    (),
)
FINAL = StatusReport(
    "GW-3",
    AT_MS,
    None,
    None,
    None,
    None,
    None,
    (
        StatusItem(UETR, "MSG-1", "E-1", None, None, TxStatus.COMPLETED),
        StatusItem(
            UETR_2,
            "MSG-2",
            "E-2",
            None,
            None,
            TxStatus.PENDING,
            "AM04",
            "position_short: " + "long words " * 20 + "end",
        ),
    ),
)
RETURN = PaymentReturn(
    msg_id="GW-4",
    created_ms=AT_MS,
    return_id="RTR-1",
    uetr=UETR,
    instruction_id="INSTR-0001",
    transaction_id="TX-0001",
    amount_minor=1_500_50,
    currency="KES",
    reason="AC04",
    detail="wallet_closed: The wallet has been closed.",
    settlement_date="2023-07-27",
    **_ORIGINAL,
)
REJECT = MessageReject("MSG-1", "signature_stale", AT_MS, "X-JWS-Signature", "iat lies within 300 s of our clock")
CANCELLATION_STATUS = CancellationStatus(
    "GW-5", AT_MS, "bank-a", ("CXL-1",), UETR, "MSG-20230727-0001", "SCHOOL-FEES-07", "RJCR", "ARDT"
)

TRANSFER_XML = (
    "<CdtTrfTxInf><PmtId><EndToEndId>E2E-{number}</EndToEndId>"
    "<UETR>8a562c67-ca16-48ba-b074-{number:012x}</UETR></PmtId>"
    '<IntrBkSttlmAmt Ccy="KES">100.00</IntrBkSttlmAmt><ChrgBr>SLEV</ChrgBr><Dbtr><Nm>Amina</Nm></Dbtr>'
    "<DbtrAgt><FinInstnId><ClrSysMmbId><MmbId>bank-a</MmbId></ClrSysMmbId></FinInstnId></DbtrAgt>"
    "<CdtrAgt><FinInstnId><BICFI>HAKIKENA</BICFI></FinInstnId></CdtrAgt><Cdtr><Nm>Juma</Nm></Cdtr>"
    "<CdtrAcct><Id><Othr><Id>254712345678</Id></Othr></Id></CdtrAcct></CdtTrfTxInf>"
)


def least_xml(transfers: int = 1) -> str:
    """A pacs.008 with the least elements, as text to be bent with `replace`."""
    body = "".join(TRANSFER_XML.format(number=number) for number in range(1, transfers + 1))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{NAMESPACE}pacs.008.001.08"><FIToFICstmrCdtTrf>'
        f"<GrpHdr><MsgId>MSG-1</MsgId><CreDtTm>2023-07-27T12:15:30+03:00</CreDtTm><NbOfTxs>{transfers}</NbOfTxs>"
        f"<SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr>{body}</FIToFICstmrCdtTrf></Document>"
    )


def bent(old: str, new: str, transfers: int = 1) -> bytes:
    """The least pacs.008 with the first `old` replaced; the test fails where there is none."""
    text = least_xml(transfers)
    assert old in text
    return text.replace(old, new, 1).encode()
