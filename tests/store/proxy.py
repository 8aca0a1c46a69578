"""A small TCP proxy for the store's tests: passes bytes, or swallows, withholds, stops reading, resets."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

Mode = Literal["pass", "swallow", "withhold", "stall", "refuse"]
CHUNK = 65_536
LOOK_S = 0.01


class Proxy:
    """Stands before a server on 127.0.0.1. `mode` may change at any time and counts for open connections too.

    swallow: what the caller sends is acknowledged and lost; withhold: the server gets it, its answers are lost;
    stall: nothing is read from the caller at all; refuse: new connections are reset.
    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self.mode: Mode = "pass"
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The target's URL, through the proxy."""
        if self._server is None:
            raise RuntimeError("not started")
        port = self._server.sockets[0].getsockname()[1]
        user, _, _ = self._target.netloc.rpartition("@")
        return urlunsplit(self._target._replace(netloc=f"{user}@127.0.0.1:{port}"))

    def reset_all(self) -> None:
        """Send RST on every open connection, both ways."""
        for writer in tuple(self._writers):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.mode == "refuse":
            _reset(writer)
            return
        host, port = self._target.hostname, self._target.port
        far_reader, far_writer = await asyncio.open_connection(host, port, limit=CHUNK)
        self._writers |= {writer, far_writer}
        up = asyncio.create_task(self._pump(reader, far_writer, lost="swallow"))
        down = asyncio.create_task(self._pump(far_reader, writer, lost="withhold"))
        self._tasks |= {up, down}
        await asyncio.gather(up, down, return_exceptions=True)
        for each in (writer, far_writer):
            each.close()
            self._writers.discard(each)
        self._tasks -= {up, down}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, lost: Mode) -> None:
        with suppress(OSError):
            while True:
                data = await reader.read(CHUNK)
                if not data:
                    break
                while self.mode == "stall":  # noqa: ASYNC110 - a test may take its time
                    await asyncio.sleep(LOOK_S)
                if self.mode != lost:
                    writer.write(data)
                    await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    handle = writer.get_extra_info("socket")
    if handle is not None:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
