"""Pushes to a bank's callback URL: one signed message, one answer or none.

Any 2xx means that the bank has committed it; everything else means that it is sent again, same bytes under a
fresh signature. A body in the answer is not read.
"""

import asyncio

import httpx2

PUSH_S = 2.5
CONNECTIONS = 16


class BankClient:
    """Connections to one bank; a bank that hangs keeps nobody else's connections."""

    def __init__(self, callback_url: str) -> None:
        self.callback_url = callback_url
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(PUSH_S), limits=limits, trust_env=False, follow_redirects=False
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def push(self, body: bytes, signature: str) -> bool:
        """True when the bank has taken the message; False when there was no answer or another one."""
        headers = {"Content-Type": "application/xml", "X-JWS-Signature": signature}
        try:
            async with asyncio.timeout(PUSH_S):
                response = await self._http.post(self.callback_url, content=body, headers=headers)
        except (TimeoutError, httpx2.HTTPError):
            return False
        return 200 <= response.status_code < 300
