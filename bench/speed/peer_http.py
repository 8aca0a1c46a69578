"""A caller over HTTP/1.1 that costs little: one kept connection, one request at a time, status and body of the answer.

It reads what the servers measured here send: Content-Length, or chunks. A connection that ends early raises.
"""

import asyncio
import socket
import subprocess
import time
from typing import Self

from bench.speed.peer import PeerFailed
from hakika import clock

HOST = "127.0.0.1"
POLL_S = 0.05


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        bound: int = probe.getsockname()[1]
        return bound


def reachable(port: int, within_s: float, process: "subprocess.Popen[bytes] | None" = None) -> bool:
    """Whether somebody comes to listen on the port in time; False at once when `process` has ended."""
    ends_s = clock.monotonic_s() + within_s
    while clock.monotonic_s() < ends_s and (process is None or process.poll() is None):
        try:
            socket.create_connection((HOST, port), timeout=within_s).close()
        except OSError:
            time.sleep(POLL_S)
        else:
            return True
    return False


class Caller:
    """One connection to a port on this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int) -> Self:
        """A fresh connection."""
        return cls(*await asyncio.open_connection(HOST, port))

    async def post(self, path: str, body: bytes, headers: str = "") -> tuple[int, bytes]:
        """Status and body of the answer; `headers` are whole lines, each with its line end."""
        head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n{headers}"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(answer[9:12])
        _, found, rest = answer.partition(b"\r\ncontent-length:")
        if found:
            return status, await self._reader.readexactly(int(rest[: rest.index(b"\r\n")]))
        if b"\r\ntransfer-encoding: chunked" in answer:
            return status, await self._chunks()
        if status == 204:
            return status, b""
        raise PeerFailed(f"an answer {status} of unknown length")

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readline()
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
