"""The bank's line to the gateway: one signed POST, one verified answer or none.

Every call has a deadline of its own, answers are bounded, and an answer counts only with the gateway's signature
over its body. What an answer says is read by `answers.py`; here "no answer" is one exception, whatever the cause.
Each sending of the same body gets a fresh signature, because a signature carries the time it was made.
"""

import asyncio
import hashlib
from collections import Counter
from dataclasses import dataclass

import httpx2
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hakika import clock
from hakika.counterparties.bookings import Evidence
from hakika.counterparties.faults import Faults
from hakika.wire import jws
from hakika.wire.bank_api import QuoteAnswer, QuoteRequest

DEADLINE_S = 5.0
QUOTE_DEADLINE_S = 2.0
ANSWER_BYTES_MAX = 2_000_000
CONNECTIONS_SPARE = 16  # beside the messages under way: quotes and inquiries
RETRY_AFTER_S_MAX = 60.0
XML = "application/xml"
JSON = "application/json"
SIGNATURE = "x-jws-signature"
RECEIPT = "x-custody-receipt"


class NoAnswer(Exception):
    """Nothing that counts came back: what was sent may have arrived or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, not yet verified."""

    status: int
    body: bytes
    signature: str | None
    receipt: str | None
    retry_after_s: float | None


class Gateway:
    """A client of one gateway."""

    def __init__(
        self,
        url: str,
        *,
        signing_key: Ed25519PrivateKey,
        kid: str,
        gateway_kid: str,
        gateway_key: Ed25519PublicKey,
        faults: Faults,
        sends_max: int,
    ) -> None:
        self._url = url.rstrip("/")
        self._signing_key = signing_key
        self._kid = kid
        self._gateway_kid = gateway_kid
        self._gateway_key = gateway_key
        self._faults = faults
        connections = 2 * sends_max + CONNECTIONS_SPARE  # a copy beside each message, when told to send twice
        self._client = httpx2.AsyncClient(
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            timeout=httpx2.Timeout(DEADLINE_S),
            verify=self._url.startswith("https:"),  # a plain URL needs no certificates, nor the time to load them
            trust_env=False,
        )
        self.outcomes: Counter[str] = Counter()  # HTTP status or `none`, by the path's last word

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.aclose()

    def key(self, kid: str) -> Ed25519PublicKey | None:
        """The gateway's public key under the one kid that we know."""
        return self._gateway_key if kid == self._gateway_kid else None

    async def post(self, path: str, body: bytes, content_type: str, deadline_s: float = DEADLINE_S) -> Answer:
        """Send `body` signed now; NoAnswer when nothing whole came back before the deadline."""
        if self._faults.unreachable_for_s():
            raise NoAnswer("cut off as commanded")
        iat_s = clock.now_ms() // 1000
        headers = {
            "content-type": content_type,
            SIGNATURE: jws.sign_detached(body, self._signing_key, self._kid, iat_s),
        }
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._exchange(path, body, headers)
        except (httpx2.HTTPError, TimeoutError, OSError) as error:
            self.outcomes[f"{path[1:]}_none"] += 1
            raise NoAnswer(str(error) or type(error).__name__) from error
        self.outcomes[f"{path[1:]}_{answer.status}"] += 1
        if self._faults.unreachable_for_s():
            raise NoAnswer("cut off as commanded before the answer came")
        return answer

    async def _exchange(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        async with self._client.stream("POST", self._url + path, content=body, headers=headers) as response:
            content = bytearray()
            async for part in response.aiter_raw():
                content += part
                if len(content) > ANSWER_BYTES_MAX:
                    raise NoAnswer(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            return Answer(
                response.status_code,
                bytes(content),
                response.headers.get(SIGNATURE),
                response.headers.get(RECEIPT),
                _retry_after_s(response.headers.get("retry-after")),
            )

    def verified(self, body: bytes, signature: str | None) -> Evidence:
        """The message as evidence; jws.SignatureRefused when the gateway did not sign exactly these bytes."""
        jws.verify_detached(signature, body, self.key, clock.now_ms() // 1000)
        return Evidence(hashlib.sha256(body).hexdigest(), signature or "", body)

    def receipt_payload(self, receipt: str | None) -> bytes:
        """The verified payload of a custody receipt; jws.SignatureRefused otherwise."""
        return jws.verify_compact(receipt, self.key)[1]

    async def quote(self, creditor_msisdn: str, amount_minor: int, currency: str) -> QuoteAnswer:
        """Ask before the debit; NoAnswer unless a signed answer comes in time."""
        body = msgspec.json.encode(QuoteRequest(creditor_msisdn, amount_minor, currency))
        answer = await self.post("/quote", body, JSON, QUOTE_DEADLINE_S)
        if answer.status != 200:
            raise NoAnswer(f"the gateway answered {answer.status} to a quote")
        try:
            self.verified(answer.body, answer.signature)
            return msgspec.json.decode(answer.body, type=QuoteAnswer)
        except (jws.SignatureRefused, msgspec.DecodeError) as error:
            raise NoAnswer(f"an answer that cannot be relied on: {error}") from error


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of Retry-After, bounded; None for its date form, which the gateway does not use."""
    if value is None or not value.isascii() or not value.isdecimal():
        return None
    return min(float(value), RETRY_AFTER_S_MAX)
