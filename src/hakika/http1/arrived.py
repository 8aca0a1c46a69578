"""One request: handed over once its head is whole, so that it can be refused before its body is sent.

Most come whole, and then nothing is waited for.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

Headers = Sequence[tuple[str, str]]


class Line(Protocol):
    """What a request asks of its connection."""

    def wants_body(self, expected: bool) -> None:
        """The body is waited for; `expected` when its sender waits to be told so."""

    def answer(self, arrived: "Arrived", status: int, content_type: str, headers: Headers, body: bytes) -> None:
        """Write the answer to `arrived`."""


class Gone(Exception):
    """The caller left, or what it sent broke off in the middle."""


class Arrived:
    """One request: its head, its body when asked for, and its answer, given once.

    `path` is decoded once; `query` is not; header names are in lower case, repeated ones joined by a comma, and those
    whose value is not ASCII left out. `client` is the peer's address.
    """

    __slots__ = (
        "_connection",
        "_expects",
        "_keep",
        "_leaver",
        "_limit",
        "_parts",
        "_size",
        "_waiter",
        "answered",
        "client",
        "headers",
        "keep_alive",
        "left",
        "method",
        "path",
        "query",
        "whole",
    )

    def __init__(self, connection: Line, client: str) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._keep = self._limit = -1  # bytes, once somebody has asked
        self._waiter: asyncio.Future[None] | None = None
        self._leaver: asyncio.Future[None] | None = None
        self._expects = False
        self.method = self.path = self.query = ""
        self.headers: dict[str, str] = {}
        self.client = client
        self.whole = self.keep_alive = self.answered = self.left = False

    async def body(self, keep_max: int, pass_max: int) -> bytes | None:
        """The whole body, or None when it passes `keep_max` bytes. Raises Gone; to be asked for once.

        What comes after that is let pass up to `pass_max` bytes and not kept: a caller who is still writing when the
        connection closes would never see why.
        """
        if not self.whole and not self.left:
            self._keep, self._limit = keep_max, pass_max
            self._let_pass()
            if self._size <= pass_max:
                self._waiter = asyncio.get_running_loop().create_future()
                self._connection.wants_body(self._expects and not self._size)
                await self._waiter
        if self.left and not self.whole:
            raise Gone
        return b"".join(self._parts) if self._size <= keep_max else None

    async def hung_up(self) -> None:
        """Return when the caller has given up waiting."""
        if not self.left:
            self._leaver = asyncio.get_running_loop().create_future()
            await self._leaver

    def respond(self, status: int, content_type: str, headers: Headers, body: bytes) -> None:
        """Answer. Raises Gone where the caller is no longer there, ValueError for a header that cannot be sent."""
        if self.left and not self.whole:
            raise Gone
        self._connection.answer(self, status, content_type, headers, body)

    def expect(self) -> None:
        """The caller waits for 100 (Continue) before it sends the body (RFC 9110, 10.1.1)."""
        self._expects = True

    def more(self, part: bytes) -> None:
        """A part of the body has arrived."""
        self._size += len(part)
        self._parts.append(part)
        if self._keep >= 0:
            self._let_pass()
            if self._size > self._limit:
                self._wake()

    def end(self) -> None:
        """The body is whole."""
        self.whole = True
        self._wake()

    def leave(self) -> None:
        """The caller has left."""
        self.left = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Gone())
        if self._leaver is not None and not self._leaver.done():
            self._leaver.set_result(None)

    @property
    def unread(self) -> int:
        """Bytes of the body that are here and not asked for."""
        return 0 if self._keep >= 0 or self.answered else self._size

    def _let_pass(self) -> None:
        if self._size > self._keep:
            self._parts.clear()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
