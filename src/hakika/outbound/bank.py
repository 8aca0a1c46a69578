"""Pushes to a bank's callback URL: one signed message, one answer or none.

Any 2xx means that the bank has committed it; everything else means that it is sent again, same bytes under a
fresh signature. A body in the answer says nothing.
"""

from hakika.outbound.lean import LeanClient, NothingWritten, Unanswered

PUSH_S = 2.5
CONNECTIONS = 16


class BankClient:
    """Connections to one bank; a bank that hangs keeps nobody else's connections."""

    def __init__(self, callback_url: str) -> None:
        self.callback_url = callback_url
        self._http = LeanClient(callback_url, connections=CONNECTIONS, headers=(("Content-Type", "application/xml"),))

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def push(self, body: bytes, signature: str) -> bool:
        """True when the bank has taken the message; False when there was no answer or another one."""
        headers = (("X-JWS-Signature", signature),)
        try:
            answer = await self._http.exchange("POST", "", body, deadline_s=PUSH_S, headers=headers)
        except (NothingWritten, Unanswered):
            return False
        return 200 <= answer.status < 300
