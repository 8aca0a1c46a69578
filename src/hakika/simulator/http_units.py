"""HTTP/1.1 messages as units of bytes: where one ends and the next begins, and nothing more.

Framing is Content-Length (RFC 9112, 6.3); messages without a body are known by status or by its absence in a
request. Chunked bodies are refused: nobody on our links sends them. Heads and bodies are forwarded as they came.
"""

import asyncio
import re
from dataclasses import dataclass

HEAD_MAX = 64 * 1024
BODY_MAX = 64 * 1024 * 1024

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)


class FramingBroken(Exception):
    """The bytes are not a message that can be passed on as a unit."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One message, as it came."""

    head: bytes  # start line and fields, with the empty line
    body: bytes

    @property
    def raw(self) -> bytes:
        """All of it."""
        return self.head + self.body

    @property
    def start(self) -> tuple[str, str]:
        """First two words of the start line: method and path, or version and status."""
        words = self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        return words[0], words[1] if len(words) > 1 else ""

    @property
    def closes(self) -> bool:
        """The sender closes the connection after it."""
        return _CLOSE.search(self.head) is not None


async def read_request(reader: asyncio.StreamReader) -> Unit | None:
    """The next request; None where the connection ends between two. Raises FramingBroken."""
    head = await _head(reader)
    return None if head is None else Unit(head, await _body(reader, head))


async def read_answer(reader: asyncio.StreamReader) -> Unit:
    """The next answer to a request that is not HEAD. Raises FramingBroken, also for a connection that ended."""
    head = await _head(reader)
    if head is None:
        raise FramingBroken("no answer before the connection ended")
    status = head.split(b" ", 2)[1] if head.count(b" ") else b""
    if status[:1] == b"1":
        return await read_answer(reader)
    return Unit(head, b"" if status in (b"204", b"304") else await _body(reader, head))


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise FramingBroken("the connection ended within a head") from error
    except asyncio.LimitOverrunError as error:
        raise FramingBroken(f"a head of more than {HEAD_MAX} bytes") from error


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if _CHUNKED.search(head):
        raise FramingBroken("chunked bodies are not passed on")
    found = _LENGTH.search(head)
    length = int(found.group(1)) if found else 0
    if length > BODY_MAX:
        raise FramingBroken(f"a body of more than {BODY_MAX} bytes")
    try:
        return await reader.readexactly(length) if length else b""
    except asyncio.IncompleteReadError as error:
        raise FramingBroken("the connection ended within a body") from error
