"""A scripted gateway on a real socket with the real codec, and a demo bank as a real process, for the tests here.

The gateway remembers every message and refuses to see two bodies under one message id: that is the check that a
resend is the same bytes. By default it takes everything into custody; a script may answer otherwise.
"""

import asyncio
import hashlib
import os
import signal
import socket
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import msgspec

import hakika
from hakika import clock
from hakika.counterparties.door import Door, Listening, Request, Response, Route, Silence, listen
from hakika.wire import jws
from hakika.wire.bank_api import CustodyReceipt, QuoteAnswer, ReceiptTransfer
from hakika.wire.iso20022 import reading, writing
from hakika.wire.iso20022.messages import (
    CreditTransfer,
    CreditTransferMessage,
    MessageReject,
    PaymentReturn,
    ReturnAcknowledgement,
    StatusInquiry,
    StatusItem,
    StatusReport,
    TxStatus,
)

XML = "application/xml"
GATEWAY_KID = "gateway-1"
BANK = "bank-b"
BANK_KID = "bank-b-1"
CONTROL_TOKEN = "control-me"
SOURCE = Path(hakika.__file__).parents[1]
PROMISE_MS = 4 * 3600 * 1000
PATIENCE_S = 20.0

Scripted = Response | Silence | None
Script = Callable[[CreditTransferMessage, bytes, int], Awaitable[Scripted]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(met: Callable[[], object], what: str) -> None:
    """Wait for a condition, and say which one never came."""
    began_s = clock.monotonic_s()
    while not met():
        if clock.monotonic_s() - began_s > PATIENCE_S:
            raise AssertionError(f"never happened: {what}")
        await asyncio.sleep(0.01)


def item(transfer: CreditTransfer, msg_id: str, status: TxStatus, **more: Any) -> StatusItem:
    return StatusItem(
        transfer.uetr,
        msg_id,
        transfer.end_to_end_id,
        transfer.instruction_id,
        transfer.transaction_id,
        status,
        **more,
    )


@dataclass
class Keys:
    gateway: Any = field(default_factory=jws.new_key_pair)
    bank: Any = field(default_factory=jws.new_key_pair)


class ScriptedGateway:
    """What a bank sees of a gateway."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.script: Script | None = None
        self.quote: QuoteAnswer | Response | Silence | None = None
        self.bodies: dict[str, bytes] = {}  # MsgId -> the one body
        self.sendings: defaultdict[str, int] = defaultdict(int)
        self.custody: dict[UUID, tuple[CreditTransfer, str]] = {}
        self.answers: dict[str, tuple[bytes, str]] = {}
        self.acknowledged: dict[str, bool] = {}  # RtrId -> booked
        self.acknowledgements: defaultdict[str, set[bytes]] = defaultdict(set)
        self.refuse_acknowledgements = 0
        self.forgot = False
        self.inquiries: list[StatusInquiry] = []
        self.inquiry_answers: list[Response] = []
        self.final: dict[UUID, bytes] = {}
        self.quotes = 0
        self.listening: Listening | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        door = Door([Route("POST", "/iso20022", self.receive), Route("POST", "/quote", self.on_quote)])
        self.listening = await listen(door, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self.listening:
            await self.listening.stop()
        self.listening = None

    def signed(self, status: int, body: bytes, content_type: str = XML, **headers: str) -> Response:
        signature = jws.sign_detached(body, self.keys.gateway[0], GATEWAY_KID, clock.now_ms() // 1000)
        more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return Response(status, body, content_type, (("x-jws-signature", signature), *more))

    async def receive(self, request: Request) -> Response | Silence:
        jws.verify_detached(
            request.headers.get("x-jws-signature"),
            request.body,
            lambda kid: self.keys.bank[1] if kid == BANK_KID else None,
            clock.now_ms() // 1000,
        )
        match reading.read(request.body):
            case CreditTransferMessage() as message:
                return await self._on_instruction(message, request.body)
            case StatusInquiry() as inquiry:
                self.inquiries.append(inquiry)
                if self.inquiry_answers:
                    return self.inquiry_answers.pop(0)
                if inquiry.uetr not in self.custody:
                    return self.unknown(404, "unknown_id")
                final = self.final.get(inquiry.uetr)
                return self.signed(200, final) if final else Response(404)
            case ReturnAcknowledgement() as acknowledgement:
                for one in acknowledgement.items:
                    if one.uetr not in self.custody and self.forgot:
                        return self.unknown(409, "return_unknown")
                    self.acknowledgements[one.return_id].add(request.body)
                    if self.refuse_acknowledgements:
                        self.refuse_acknowledgements -= 1
                        return Response(503)
                    self.acknowledged[one.return_id] = one.accepted
                return Response(204)
            case other:
                raise AssertionError(other)

    def unknown(self, status: int, code: str) -> Response:
        """No such id here, signed."""
        return self.signed(status, writing.write_reject(MessageReject("M-1", code, clock.now_ms(), None, "not here")))

    def forget(self) -> None:
        """Put back to a copy of before: not a message is known any more."""
        self.forgot = True
        for known in (self.custody, self.answers, self.final, self.acknowledged):
            known.clear()

    async def _on_instruction(self, message: CreditTransferMessage, body: bytes) -> Response | Silence:
        assert self.bodies.setdefault(message.msg_id, body) == body, "a resend is the same bytes"
        self.sendings[message.msg_id] += 1
        if self.script is not None:
            scripted = await self.script(message, body, self.sendings[message.msg_id])
            if scripted is not None:
                return scripted
        return self.take(message, body)

    def take(self, message: CreditTransferMessage, body: bytes) -> Response:
        """Custody: 202 with the receipt, the same bytes each time."""
        if message.msg_id not in self.answers:
            for transfer in message.transfers:
                self.custody[transfer.uetr] = (transfer, message.msg_id)
            self.answers[message.msg_id] = self.acceptance(message, body)
        answer, receipt = self.answers[message.msg_id]
        return self.signed(202, answer, x_custody_receipt=receipt)

    def acceptance(self, message: CreditTransferMessage, body: bytes, **changes: Any) -> tuple[bytes, str]:
        """The answer's body and the custody receipt over `body`; `changes` spoil the receipt."""
        tracking = {t.uetr: hashlib.sha256(t.uetr.bytes).hexdigest()[:22] for t in message.transfers}
        items = tuple(item(t, message.msg_id, TxStatus.RECEIVED, tracking=tracking[t.uetr]) for t in message.transfers)
        answer = writing.write_status_report(self.report(message.msg_id, items))
        now_ms = clock.now_ms()
        listed = [ReceiptTransfer(str(t.uetr), t.end_to_end_id, tracking[t.uetr]) for t in message.transfers]
        receipt = CustodyReceipt(
            iss="hakika",
            bank=BANK,
            msg_id=message.msg_id,
            message_sha256=hashlib.sha256(body).hexdigest(),
            received=instant(now_ms),
            deadline=instant(now_ms + PROMISE_MS),
            count=len(message.transfers),
            transfers=listed if len(listed) <= 50 else [],
            body_sha256=hashlib.sha256(answer).hexdigest(),
        )
        payload = msgspec.json.encode(msgspec.structs.replace(receipt, **changes))
        return answer, jws.sign_compact(payload, self.keys.gateway[0], GATEWAY_KID)

    def report(self, original_msg_id: str, items: tuple[StatusItem, ...], **group: Any) -> StatusReport:
        values = {"group_status": None, "group_reason": None, "group_detail": None, **group}
        return StatusReport(
            msg_id=clock.new_id().hex,
            created_ms=clock.now_ms(),
            original_msg_id=original_msg_id,
            original_msg_name="pacs.008.001.08",
            items=items,
            **values,
        )

    def refusal(self, msg_id: str) -> Response:
        """A refusal that follows from the bytes: 400, GrpSts RJCT."""
        report = self.report(msg_id, (), group_status=TxStatus.REJECTED, group_reason="FF01", group_detail="Amt: rule")
        return self.signed(400, writing.write_status_report(report))

    def completion(self, *uetrs: UUID) -> bytes:
        """A final pacs.002."""
        items = tuple(
            item(self.custody[uetr][0], self.custody[uetr][1], TxStatus.COMPLETED, accepted_ms=clock.now_ms())
            for uetr in uetrs
        )
        body = writing.write_status_report(self.report(items[0].original_msg_id, items))
        self.final.update(dict.fromkeys(uetrs, body))
        return body

    def money_back(self, of: UUID, return_id: str | None = None, **changes: Any) -> bytes:
        """A pacs.004."""
        transfer, msg_id = self.custody[of]
        message = PaymentReturn(
            msg_id=clock.new_id().hex,
            created_ms=clock.now_ms(),
            return_id=return_id or clock.new_id().hex,
            uetr=of,
            original_msg_id=msg_id,
            end_to_end_id=transfer.end_to_end_id,
            instruction_id=None,
            transaction_id=None,
            amount_minor=transfer.amount_minor,
            currency=transfer.currency,
            reason="AC03",
            detail=None,
            settlement_date="2023-07-27",
        )
        body = writing.write_return(replace(message, **changes))
        self.final[of] = body
        return body

    async def on_quote(self, request: Request) -> Response | Silence:
        self.quotes += 1
        if isinstance(self.quote, QuoteAnswer):
            return self.signed(200, msgspec.json.encode(self.quote), "application/json")
        return self.quote or Response(503)


def instant(at_ms: int) -> str:
    text = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class BankProcess:
    """One demo bank in a process of its own, with its files in a folder."""

    def __init__(self, folder: Path, gateway: ScriptedGateway, **settings: Any) -> None:
        self.folder = folder
        self.gateway = gateway
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.books_file = folder / "books.sqlite"
        self.log_file = folder / "bank.log"
        self.process: asyncio.subprocess.Process | None = None
        self.client = httpx2.AsyncClient(base_url=self.url, timeout=10.0, trust_env=False)
        self._write(settings)

    def _write(self, settings: dict[str, Any]) -> None:
        private, public = jws.private_pem, jws.public_pem
        (self.folder / "bank.pem").write_bytes(private(self.gateway.keys.bank[0]))
        (self.folder / "gateway.pem").write_bytes(public(self.gateway.keys.gateway[1]))
        (self.folder / "token").write_text(CONTROL_TOKEN + "\n")
        values = {
            "role": "bank",
            "id": BANK,
            "name": "Mlima Bank",
            "listen": f"127.0.0.1:{self.port}",
            "books_file": "books.sqlite",
            "gateway_url": self.gateway.url,
            "gateway_public_key_file": "gateway.pem",
            "gateway_kid": GATEWAY_KID,
            "signing_key_file": "bank.pem",
            "kid": BANK_KID,
            "style": "sends_throughout",
            "control_token_file": "token",
            "customers": 5,
            "opening_balance_minor": 1_000_000,
            **settings,
        }
        lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in values.items()]
        (self.folder / "settings.toml").write_text("\n".join(lines) + "\n")

    async def start(self, crash_at: str | None = None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        if crash_at is not None:
            environment["HAKIKA_CRASH_AT"] = crash_at
        code = "import sys, pathlib; from hakika.counterparties import bank; bank.run(pathlib.Path(sys.argv[1]))"
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                str(self.folder / "settings.toml"),
                env=environment,
                stdout=log,
                stderr=log,
            )
        began_s = clock.monotonic_s()
        while True:
            if self.process.returncode is not None or clock.monotonic_s() - began_s > PATIENCE_S:
                raise AssertionError(f"the bank did not start: {self.log_file.read_text()}")
            try:
                if (await self.client.get("/livez")).status_code == 200:
                    return
            except httpx2.TransportError:
                await asyncio.sleep(0.02)

    async def stop(self) -> int:
        """SIGTERM and the exit code."""
        if self.process is None:
            return 0
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            code = await self.process.wait()
        self.process = None
        return code

    async def pay(self, request_id: str, customer: int = 1, **changes: Any) -> dict[str, Any]:
        """One order; the answer's content."""
        content = {
            "request_id": request_id,
            "creditor_msisdn": "254712345678",
            "creditor_name": "Amina Wanjiku",
            "amount_minor": 50_000,
            "currency": "KES",
            **changes,
        }
        response = await self.client.post(f"/customers/{customer}/transfers", json=content)
        answer: dict[str, Any] = response.json()
        return answer

    async def command(self, **faults: Any) -> None:
        response = await self.client.post(
            "/control", json={"faults": faults}, headers={"authorization": f"Bearer {CONTROL_TOKEN}"}
        )
        assert response.status_code == 200, response.text

    async def push(self, body: bytes) -> int:
        """One call of the gateway; the status."""
        headers = dict(self.gateway.signed(200, body).headers)
        response = await self.client.post("/iso20022", content=body, headers={**headers, "content-type": XML})
        return response.status_code

    async def state(self) -> dict[str, Any]:
        content: dict[str, Any] = (await self.client.get("/control/state")).json()
        return content

    def books(self) -> "BooksSeen":
        return BooksSeen(self.books_file)


StartBank = Callable[..., Awaitable[BankProcess]]


class BooksSeen:
    """The books as a stranger reads them from the file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        conn = sqlite3.connect(self.file)
        try:
            return conn.execute(query, values).fetchall()
        finally:
            conn.close()

    def balance(self, name: str) -> int:
        found: int = self.rows("SELECT balance_minor FROM account WHERE name = ?", name)[0][0]
        return found

    def states(self) -> dict[str, str]:
        """State by request id."""
        return dict(self.rows("SELECT request_id, state FROM transfer"))

    def uetr(self, request_id: str) -> UUID:
        return UUID(self.rows("SELECT uetr FROM transfer WHERE request_id = ?", request_id)[0][0])

    def check(self) -> None:
        """Balanced, journal and accounts agree, transit holds exactly what has not ended."""
        assert self.rows("SELECT sum(balance_minor) FROM account") == [(0,)]
        open_minor = self.rows("SELECT coalesce(sum(amount_minor), 0) FROM transfer WHERE final_ms IS NULL")
        assert open_minor == [(self.balance("in_transit"),)]
        recounted = self.rows(
            "SELECT a.name FROM account a WHERE a.balance_minor <>"
            " (SELECT coalesce(sum(amount_minor), 0) FROM journal WHERE credit = a.name)"
            " - (SELECT coalesce(sum(amount_minor), 0) FROM journal WHERE debit = a.name)"
        )
        assert recounted == []
        ends = "event IN ('completed', 'returned', 'rejected')"
        twice = self.rows(f"SELECT uetr FROM journal WHERE {ends} GROUP BY uetr HAVING count(*) > 1")
        assert twice == []
        loose = self.rows(
            "SELECT uetr FROM transfer t WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.key = t.msg_id)"
        )
        assert loose == []
