"""Health's question to a role: what have you counted since interval N? One HTTP exchange, an answer or none.

Refused connections, silence, other statuses than 200 and answers that are too large or cannot be read are one thing:
no answer. At the deadline the connection is closed.
"""

import asyncio

import httpx2
import msgspec

from hakika.wire.health_api import Signals

ASK_S = 2.0
ANSWER_MAX = 4_000_000  # bytes


class NoAnswer(Exception):
    """The role did not say what it has counted; the text says how."""


class SignalsClient:
    """One connection to one process of a role, authenticated by a bearer token."""

    def __init__(self, base_url: str, token: str) -> None:
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx2.Timeout(ASK_S),
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def since(self, after: int) -> Signals:
        """Closed intervals with numbers above `after`, within ASK_S. Raises NoAnswer."""
        try:
            async with (
                asyncio.timeout(ASK_S),
                self._http.stream("GET", "/internal/signals", params={"after": after}) as response,
            ):
                if response.status_code != 200:
                    raise NoAnswer(f"HTTP {response.status_code}")
                body = bytearray()
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_MAX:
                        raise NoAnswer(f"more than {ANSWER_MAX} bytes")
        except (TimeoutError, httpx2.HTTPError) as error:
            raise NoAnswer(type(error).__name__) from error
        try:
            return msgspec.json.decode(bytes(body), type=Signals)
        except msgspec.MsgspecError as error:
            raise NoAnswer(f"unreadable: {error}") from error
