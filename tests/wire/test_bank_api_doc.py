"""The reference for banks: its Python is run as it stands, its tables are compared with the code."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from wire_samples import AT_MS, ROOT, UETR, whole_errors

from hakika.clock import now_ms
from hakika.domain.deadlines import PACKS
from hakika.domain.reasons import Reason
from hakika.wire import bank_api, jws
from hakika.wire.bank_api import CustodyReceipt, QuoteAnswer, ReceiptTransfer
from hakika.wire.iso20022 import guard, reading, writing
from hakika.wire.iso20022.guideline import SERVED
from hakika.wire.iso20022.messages import CreditTransferMessage, StatusItem, StatusReport, TxStatus
from hakika.wire.iso20022.reasons import iso_code

PAGE = (ROOT / "docs" / "reference" / "bank-api.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
BANK_KEY, BANK_PUBLIC = jws.new_key_pair()
GATEWAY_KEY, GATEWAY_PUBLIC = jws.new_key_pair()
GATEWAY_KEYS = {"gateway-1": GATEWAY_PUBLIC}


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """Everything that the page's Python defines."""
    names: dict[str, Any] = {}
    exec("\n".join(BLOCKS), names)
    return names


def test_the_page_signs_as_the_gateway_verifies(example: dict[str, Any]) -> None:
    body = "<a>é & \n</a>".encode()
    value = example["sign"](body, BANK_KEY, "bank-a-1")
    verified = jws.verify_detached(value, body, {"bank-a-1": BANK_PUBLIC}.get, now_ms() // 1000)
    assert verified.kid == "bank-a-1"


def test_the_page_verifies_what_the_gateway_signs_and_nothing_else(example: dict[str, Any]) -> None:
    body, now_s = b"<a/>", now_ms() // 1000
    value = jws.sign_detached(body, GATEWAY_KEY, "gateway-1", now_s)
    example["verify"](body, value, GATEWAY_KEYS)
    with pytest.raises(InvalidSignature):
        example["verify"](body + b" ", value, GATEWAY_KEYS)
    with pytest.raises(InvalidSignature):
        example["verify"](body, jws.sign_detached(body, BANK_KEY, "gateway-1", now_s), GATEWAY_KEYS)
    with pytest.raises(ValueError, match="stale"):
        example["verify"](body, jws.sign_detached(body, GATEWAY_KEY, "gateway-1", now_s - 600), GATEWAY_KEYS)
    with pytest.raises(ValueError, match="detached"):
        example["verify"](body, jws.sign_compact(body, GATEWAY_KEY, "gateway-1"), GATEWAY_KEYS)


def message_of(example: dict[str, Any]) -> bytes:
    body = example["transfer_message"](
        "M-1", str(UETR), "RENT-JULY", "bank-b", "1500.00", "Amina & Sons", "Juma <J>", "254712345678"
    )
    assert isinstance(body, bytes)
    return body


def test_the_pages_message_is_taken(example: dict[str, Any]) -> None:
    body = message_of(example)
    message = reading.read(body)
    assert isinstance(message, CreditTransferMessage)
    item = message.transfers[0]
    assert (item.uetr, item.amount_minor, item.currency, item.debtor_agent) == (UETR, 150_000, "KES", "bank-b")
    assert (item.debtor_name, item.creditor_name) == ("Amina & Sons", "Juma <J>")
    assert whole_errors("pacs.008.001.08", body) == []


class Gateway:
    """Answers as a gateway does, from the wire codecs alone."""

    def __init__(self, *, status: int = 202, forged: bool = False, other_message: bool = False) -> None:
        self.status = status
        self.forged = forged
        self.other_message = other_message

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        received = request.read()
        signature = request.headers["X-JWS-Signature"]
        jws.verify_detached(signature, received, {"bank-b-1": BANK_PUBLIC}.get, now_ms() // 1000)
        item = StatusItem(UETR, "M-1", "RENT-JULY", None, None, TxStatus.RECEIVED, tracking="t" * 26, accepted_ms=AT_MS)
        report = StatusReport("GW-1", AT_MS, "M-1", "pacs.008.001.08", None, None, None, (item,))
        body = writing.write_status_report(report)
        hashed = b"another" if self.other_message else received
        receipt = CustodyReceipt(
            iss="hakika",
            bank="bank-b",
            msg_id="M-1",
            message_sha256=hashlib.sha256(hashed).hexdigest(),
            received="2023-07-27T09:15:30.250Z",
            deadline="2023-07-27T13:15:30.250Z",
            count=1,
            transfers=[ReceiptTransfer(str(UETR), "RENT-JULY", "t" * 26)],
            body_sha256=hashlib.sha256(body).hexdigest(),
        )
        key = BANK_KEY if self.forged else GATEWAY_KEY
        headers = {
            "X-JWS-Signature": jws.sign_detached(body, GATEWAY_KEY, "gateway-1", now_ms() // 1000),
            "X-Custody-Receipt": jws.sign_compact(msgspec.json.encode(receipt), key, "gateway-1"),
        }
        return httpx2.Response(self.status, content=body, headers=headers)

    def client(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.answer))


def sent(example: dict[str, Any], gateway: Gateway) -> Any:
    with gateway.client() as http:
        return example["send"](http, "http://gateway", message_of(example), BANK_KEY, "bank-b-1", GATEWAY_KEYS)


def test_the_page_sends_a_transfer_and_verifies_the_receipt(example: dict[str, Any]) -> None:
    receipt = sent(example, Gateway())
    assert receipt["deadline"] == "2023-07-27T13:15:30.250Z" and receipt["transfers"][0]["uetr"] == str(UETR)
    assert sent(example, Gateway(status=503)) is None
    with pytest.raises(RuntimeError):
        sent(example, Gateway(status=409))
    with pytest.raises(InvalidSignature):
        sent(example, Gateway(forged=True))
    with pytest.raises(ValueError, match="another message"):
        sent(example, Gateway(other_message=True))


def test_no_answer_is_none_for_the_page(example: dict[str, Any]) -> None:
    def broken(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("silence", request=request)

    def proxy(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(502, content=b"<html>Bad Gateway</html>")

    for handler in (broken, proxy):
        with httpx2.Client(transport=httpx2.MockTransport(handler)) as http:
            body = message_of(example)
            assert example["send"](http, "http://gateway", body, BANK_KEY, "bank-b-1", GATEWAY_KEYS) is None


def test_the_page_runs_against_a_ready_file(
    example: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bank.pem").write_bytes(jws.private_pem(BANK_KEY))
    (tmp_path / "gateway.pem").write_bytes(jws.public_pem(GATEWAY_PUBLIC))
    ready = {
        "gateway_url": "http://gateway",
        "gateway_public_key_file": str(tmp_path / "gateway.pem"),
        "banks": [{"id": "bank-b", "kid": "bank-b-1", "key_file": str(tmp_path / "bank.pem")}],
        "wallets": ["254712345678"],
    }
    (tmp_path / "ready.json").write_text(json.dumps(ready))
    monkeypatch.chdir(tmp_path)
    client = Gateway().client()
    monkeypatch.setattr(httpx2, "Client", lambda: client)
    example["main"]()
    assert "held until 2023-07-27T13:15:30.250Z" in capsys.readouterr().out


def test_every_reason_stands_on_the_page_with_its_code() -> None:
    for reason in Reason:
        assert f"| `{iso_code(reason)}` | `{reason.value}` |" in PAGE, reason


def test_every_signature_code_stands_on_the_page() -> None:
    assert all(f"`{code}`" in PAGE for code in jws.SignatureCode)


def test_every_message_status_and_rule_pack_stands_on_the_page() -> None:
    assert all(f"### {name}" in PAGE for name in SERVED)
    written = ("pacs.002.001.10", "pacs.004.001.09", "camt.029.001.09", "admi.002.001.01")
    assert all(name in PAGE for name in written)
    used = set(TxStatus) - {TxStatus.RESERVED}  # only where the source is an account of our own ledger
    assert all(f"`{status}`" in PAGE for status in used)
    assert all(f"`{name}`" in PAGE for name in PACKS)


def test_every_element_of_the_guideline_stands_on_the_page() -> None:
    """Of the message and its direct parts; common parts (agents, addresses) are described once."""
    for name in SERVED:
        section = PAGE.partition(f"### {name}")[2].partition("\n### ")[0]
        text = (ROOT / "src" / "hakika" / "wire" / "schemas" / f"{name}.xsd").read_text()
        for kind in ("GroupHeader", "Header", "Transfer", "Inquiry", "Acknowledged", "Assignment", "Recall", "Message"):
            inside = re.search(rf'<xs:complexType name="{kind}">(.*?)</xs:complexType>', text, re.DOTALL)
            for element in re.findall(r'<xs:element name="(\w+)"', inside[1] if inside else ""):
                assert element in section, f"{name}: {element} is not on the page"


def test_every_field_of_receipt_and_quote_stands_on_the_page() -> None:
    for kind in (CustodyReceipt, ReceiptTransfer, QuoteAnswer, bank_api.QuoteRequest):
        assert all(f"`{name}`" in PAGE or f'"{name}"' in PAGE for name in kind.__struct_fields__), kind


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    limits = {
        "5,000,000 bytes": guard.BODY_BYTES_MAX,
        "32 deep": guard.DEPTH_MAX,
        "| 200,000 |": guard.TAGS_MAX,
        "4,096 bytes": guard.RUN_BYTES_MAX,
        "300 s either way": jws.WINDOW_S,
        "1 to 1,000 transfers": reading.TRANSFERS_MAX,
        "empty above 50": bank_api.RECEIPT_INLINE_MAX,
    }
    for words, value in limits.items():
        assert words in PAGE
        number = next(part for part in re.findall(r"[\d,]+", words)[::-1] if part != ",")
        assert int(number.replace(",", "")) == value, words
