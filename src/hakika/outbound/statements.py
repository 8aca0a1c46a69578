"""Pushes a signed statement to a bank: one POST, the number that the bank knows, or no answer."""

import asyncio

import httpx2
import msgspec

from hakika.wire.statements import Acknowledged, Signed

PUSH_S = 2.0
CONNECTIONS = 4


class StatementClient:
    """Connections to one bank; none is shared with another, so a bank that hangs holds up nobody else's."""

    def __init__(self, url: str) -> None:
        self.url = url
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=1)
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(PUSH_S), limits=limits, trust_env=False, follow_redirects=False
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def push(self, signed: Signed) -> int | None:
        """The bank's last number after a 2xx; None when there was no answer or another one."""
        try:
            async with asyncio.timeout(PUSH_S):
                response = await self._http.post(self.url, content=signed.body, headers=signed.headers)
        except (TimeoutError, httpx2.HTTPError):
            return None
        if not 200 <= response.status_code < 300:
            return None
        try:
            return msgspec.json.decode(response.content, type=Acknowledged).last_seq
        except msgspec.MsgspecError:
            return None
