"""The banks of G1 and G2 in one loop: send signed pacs.008, take the pushed pacs.002, count what is final.

The same process sends and is called back, as a bank is. A transfer is under way from the first byte of its message
until its final status has arrived; so many are under way at once, and not more. What the gateway pushes is verified,
each message, as a bank would; of the custody receipts every one has to be there and one in a hundred is verified.
"""

import gc
import json
import re
import select
import socket
import time
from array import array
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.speed.loader import tell
from bench.speed.loop import READ, STALL_S, Connections, LoadFailed, Outcome, post
from hakika import clock
from hakika.wire.iso20022.messages import Contact, CreditTransfer, CreditTransferMessage
from hakika.wire.iso20022.writing import write_credit_transfer
from hakika.wire.jws import load_private_key, load_public_key, verify_compact, verify_detached

RECEIPT_EVERY = 100
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_ITEM = re.compile(rb"<OrgnlUETR>([0-9a-f-]{36})</OrgnlUETR>.*?<TxSts>([A-Z]+)</TxSts>", re.DOTALL)
_LENGTH = re.compile(rb"content-length: ?(\d+)", re.IGNORECASE)
_SIGNATURE = re.compile(rb"x-jws-signature: ?(\S+)", re.IGNORECASE)
_RECEIPT = re.compile(rb"x-custody-receipt: ?(\S+)", re.IGNORECASE)

Message = tuple[bytes, tuple[bytes, ...]]  # a request and the UETRs that it carries


def prepare(settings: dict[str, Any]) -> Callable[[], None]:
    """Write and sign every message now; the returned function sends them."""
    messages = list(written(settings, settings["messages"], settings["per_message"]))
    gc.collect()
    gc.freeze()
    loop = BankLoop(settings, messages)

    def run() -> None:
        outcome, more = loop.run(settings["seconds"])
        tell(outcome, settings["waits_file"], **more)

    return run


def written(settings: dict[str, Any], count: int, per_message: int) -> Iterator[Message]:
    """So many signed messages, of each bank in turn."""
    chance = clock.seeded(settings["seed"])
    banks = [(bank["id"], bank["kid"], load_private_key(bank["key_file"])) for bank in settings["banks"]]
    for number in range(count):
        bank, kid, key = banks[number % len(banks)]
        transfers = tuple(_transfer(bank, settings, chance.randrange) for _ in range(per_message))
        body = write_credit_transfer(CreditTransferMessage(clock.new_id().hex, clock.now_ms(), transfers))
        headers = f"Content-Type: application/xml\r\nX-JWS-Signature: {_signed(body, key, kid)}\r\n"
        yield post("/iso20022", body, headers), tuple(str(t.uetr).encode() for t in transfers)


def _transfer(bank: str, settings: dict[str, Any], draw: Callable[[int], int]) -> CreditTransfer:
    msisdn = settings["first_msisdn"] + draw(settings["wallets"])
    return CreditTransfer(
        uetr=clock.new_uetr(),
        end_to_end_id=clock.new_id().hex,
        instruction_id=None,
        transaction_id=None,
        amount_minor=10_000 + draw(5_000),
        currency="KES",
        debtor_name="Wanjiku Njoroge",
        debtor_account="0100200300",
        debtor_agent=bank,
        creditor_name="Otieno Ouma",
        creditor_msisdn=str(msisdn),
        contact=Contact(phone="254711000000", language="sw"),
        remittance="Kodi ya nyumba",
    )


def _signed(body: bytes, key: Ed25519PrivateKey, kid: str) -> str:
    """A detached JWS (RFC 7797), made from its parts: the general library would take longer than the gateway."""
    members = {"alg": "EdDSA", "b64": False, "crit": ["b64"], "iat": clock.now_ms() // 1000, "kid": kid}
    protected = urlsafe_b64encode(json.dumps(members, separators=(",", ":")).encode()).rstrip(b"=")
    signature = urlsafe_b64encode(key.sign(protected + b"." + body)).rstrip(b"=")
    return f"{protected.decode()}..{signature.decode()}"


def addresses(settings: dict[str, Any]) -> list[tuple[str, int]]:
    """Every process of the gateway: a balancer in front of them would do as much."""
    return [(settings["host"], port) for port in settings["ports"]]


class BankLoop:
    """Everything of one run, single-threaded."""

    def __init__(self, settings: dict[str, Any], messages: Iterable[Message]) -> None:
        self._messages = iter(messages)
        self._limit = settings["in_flight"]
        self._per_message = settings["per_message"]
        self._key = load_public_key(Path(settings["gateway_key_file"]))
        self._listener = socket.create_server(("127.0.0.1", settings["listen"]), backlog=128, reuse_port=False)
        self._listener.setblocking(False)
        self._there = Connections(addresses(settings), settings["connections"])
        self._poll = self._there.poll
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._callers: dict[int, socket.socket] = {}
        self._parts: dict[int, bytes] = {}
        self._free = deque(self._there.sockets)
        self._answers = 0
        self._under_way: dict[bytes, float] = {}
        self._waits: array[float] = array("d")
        self._taken: array[float] = array("d")
        self._sent_at: dict[int, float] = {}
        self._ended = 0
        self._late = 0
        self._ends = 0.0

    def run(self, seconds: float) -> tuple[Outcome, dict[str, Any]]:
        """Send for so long, then wait for what is under way."""
        begun_cpu, begun = time.process_time(), time.perf_counter()
        self._ends = begun + seconds
        self._send()
        while self._under_way or self._sent_at:
            if not self._turn(STALL_S):
                raise LoadFailed(f"nothing for {STALL_S:g} s, {len(self._under_way)} transfers under way")
            self._send()
        whole = time.perf_counter() - begun
        window = min(whole, self._ends - begun)
        cpu_s = time.process_time() - begun_cpu
        self._close()
        outcome = Outcome(len(self._waits), window, self._waits, cpu_s / whole, cpu_s, self._ended)
        taken = sorted(self._taken)
        at = {name: 1000 * taken[int(len(taken) * part)] for name, part in (("p50", 0.5), ("p99", 0.99)) if taken}
        return outcome, {"custody_ms": at, "late": self._late}

    def _turn(self, patience_s: float) -> bool:
        """Handle what has arrived; False when nothing did."""
        events = self._poll.poll(patience_s)
        for number, _ in events:
            if number == self._listener.fileno():
                self._take_caller()
            elif number in self._callers:
                self._called(number)
            else:
                self._answered(number)
        return bool(events)

    def _send(self) -> None:
        while self._free and len(self._under_way) + self._per_message <= self._limit:
            now = time.perf_counter()
            message = next(self._messages, None) if now < self._ends else None
            if message is None:
                self._ends = min(self._ends, now)
                return
            self._put(message, now)

    def _put(self, message: Message, now: float) -> None:
        """Send one message on a free connection."""
        request, uetrs = message
        number = self._free.popleft()
        self._sent_at[number] = now
        self._under_way.update(dict.fromkeys(uetrs, now))
        self._there.sockets[number].sendall(request)

    def _answered(self, number: int) -> None:
        """Something has come on a connection."""
        chunk = self._there.sockets[number].recv(READ)
        whole = self._there.partial.pop(number, b"") + chunk
        if not chunk:
            raise LoadFailed(f"the gateway closed a connection: {whole[:300]!r}")
        self._taken_whole(number, whole)

    def _taken_whole(self, number: int, whole: bytes) -> bool:
        """The gateway's 202 with its receipt, once it is whole: custody."""
        end = whole.find(b"\r\n\r\n")
        length = _LENGTH.search(whole, 0, end) if end > 0 else None
        if length is None or len(whole) - end - 4 < int(length[1]):
            self._there.partial[number] = whole
            return False
        if not whole.startswith(b"HTTP/1.1 202"):
            raise LoadFailed(f"not taken: {whole[:800]!r}")
        self._taken.append(time.perf_counter() - self._sent_at.pop(number))
        self._answers += 1
        receipt = _RECEIPT.search(whole, 0, end)
        if receipt is None:
            raise LoadFailed("taken without a custody receipt")
        if self._answers % RECEIPT_EVERY == 0:
            verify_compact(receipt[1].decode(), lambda _: self._key)
        self._free.append(number)
        return True

    def _take_caller(self) -> None:
        caller, _ = self._listener.accept()
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._callers[caller.fileno()] = caller
        self._poll.register(caller.fileno(), select.EPOLLIN)

    def _called(self, number: int) -> None:
        """The gateway pushes a message: verify, answer, count what is final."""
        chunk = self._callers[number].recv(1 << 20)
        if not chunk:
            self._poll.unregister(number)
            self._callers.pop(number).close()
            return
        whole = self._parts.pop(number, b"") + chunk
        end = whole.find(b"\r\n\r\n")
        length = _LENGTH.search(whole, 0, end) if end > 0 else None
        if length is None or len(whole) - end - 4 < int(length[1]):
            self._parts[number] = whole
            return
        signature = _SIGNATURE.search(whole, 0, end)
        body = whole[end + 4 : end + 4 + int(length[1])]
        value = None if signature is None else signature[1].decode()
        verify_detached(value, body, lambda _: self._key, clock.now_ms() // 1000)
        self._callers[number].sendall(NO_CONTENT)
        now = time.perf_counter()
        for uetr, status in _ITEM.findall(body):
            if status != b"ACCC":
                raise LoadFailed(f"{uetr!r} is {status!r} and not completed")
            sent = self._under_way.pop(uetr, None)
            if sent is None:
                continue  # a message repeated: known already
            self._ended += 1
            self._final(uetr, now - sent)

    def _final(self, uetr: bytes, waited_s: float) -> None:
        """One transfer is final at its bank."""
        if time.perf_counter() <= self._ends:
            self._waits.append(waited_s)
        else:
            self._late += 1

    def _close(self) -> None:
        self._listener.close()
        for caller in self._callers.values():
            caller.close()
        self._there.close()
