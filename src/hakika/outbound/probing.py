"""Calls of a synthetic test, as a customer's program would make them; and the sending of its results to health.

A call ends as an answer (whatever its status) or as one word for why there is none. Bodies are read to a bound, without
decompression and without following redirects; at the deadline the connection is closed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec

from hakika.wire.health_api import ProbesTaken

BODY_MAX = 200_000
SEND_S = 5.0


@dataclass(frozen=True, slots=True)
class Answered:
    """Something answered; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty where it is none."""
        try:
            content = msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nothing that counts came back; `word` is `unreachable`, `no_answer`, `broken` or `too_large`."""

    word: str


class ProbingClient:
    """Connections of one vantage; none is kept, so that each test connects as a customer does who comes anew."""

    def __init__(self) -> None:
        self._http = httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity"},
            limits=httpx2.Limits(max_connections=20, max_keepalive_connections=0),
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        url: str,
        *,
        deadline_s: float,
        headers: Mapping[str, str] | None = None,
        content: object = None,
    ) -> Answered | Unanswered:
        """One exchange within `deadline_s` seconds; `content` goes as JSON."""
        sent = dict(headers or {})
        body = None
        if content is not None:
            body = msgspec.json.encode(content)
            sent["Content-Type"] = "application/json"
        try:
            async with (
                asyncio.timeout(deadline_s),
                self._http.stream(
                    method, url, headers=sent, content=body, timeout=httpx2.Timeout(deadline_s)
                ) as response,
            ):
                parts = bytearray()
                async for part in response.aiter_raw():
                    parts += part
                    if len(parts) > BODY_MAX:
                        return Unanswered("too_large")
                return Answered(response.status_code, _lower(response.headers), bytes(parts))
        except httpx2.ConnectError:
            return Unanswered("unreachable")
        except (TimeoutError, httpx2.TimeoutException):
            return Unanswered("no_answer")
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return Unanswered("broken")


class ResultsClient:
    """Health's door for results."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx2.AsyncClient(
            base_url=base_url, timeout=httpx2.Timeout(SEND_S), trust_env=False, follow_redirects=False
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def send(self, body: bytes, signature: str) -> ProbesTaken | int | str:
        """What health took; or the status with which it refused; or a word for why there is no answer."""
        headers = {"Content-Type": "application/json", "X-JWS-Signature": signature}
        try:
            async with asyncio.timeout(SEND_S):
                response = await self._http.post("/probes", content=body, headers=headers)
        except (TimeoutError, httpx2.HTTPError) as error:
            return type(error).__name__
        if response.status_code != 200:
            return response.status_code
        try:
            return msgspec.json.decode(response.content, type=ProbesTaken)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return "unreadable"


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
