"""Plain HTTP/1.1 calls on loopback, cheap enough that thousands of customers fit beside the links in one process.

One exchange per call, an explicit deadline, kept connections. Whatever goes wrong is one exception: the caller
asks again under the same id or counts a silence. Only for the simulator's own questions; the platform speaks
through real clients.
"""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from hakika.simulator.http_units import HEAD_MAX, FramingBroken, read_answer

KEPT_MAX = 64


class NoReply(Exception):
    """No whole answer within the deadline."""


class Caller:
    """Connections to one origin."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str, deadline_s: float) -> tuple[int, Any]:
        """Status and decoded JSON (None where it is none). NoReply."""
        return await self._call("GET", path, b"", deadline_s)

    async def post(self, path: str, content: object, deadline_s: float, *, token: str = "") -> tuple[int, Any]:
        """The same, with a JSON body, as the bearer of `token` where there is one. NoReply."""
        return await self._call("POST", path, json.dumps(content).encode(), deadline_s, token)

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _call(self, method: str, path: str, body: bytes, deadline_s: float, token: str = "") -> tuple[int, Any]:
        kind = "Content-Type: application/json\r\n" if body else ""
        kind += f"Authorization: Bearer {token}\r\n" if token else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
        )
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(deadline_s):
                reader, writer = await self._connection()
                writer.write(head.encode("ascii") + body)
                answer = await read_answer(reader)
        except (OSError, TimeoutError, FramingBroken) as error:
            raise NoReply(f"{method} {path}: {type(error).__name__}") from error
        else:
            if not answer.closes and len(self._idle) < KEPT_MAX:
                self._idle.append((reader, writer))
                writer = None
        finally:
            if writer is not None:
                writer.transport.abort()
        return int(answer.start[1]), _decoded(answer.body)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port, limit=HEAD_MAX)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
