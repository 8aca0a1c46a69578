"""The banks of H1 and KILL: an even rate for an hour, through whatever breaks, as a bank's own queue would send.

A message is sent until it is taken: after a broken connection, a 503 or silence the same bytes go again, with a fresh
signature once the last one has grown old. Finals are taken as often as they come and counted once. Nothing is kept of
what has ended but counts by second, so an hour needs no more memory than a minute.
"""

import asyncio
import itertools
import re
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.speed.load_transfers import Message, addresses, written
from bench.speed.loader import tell
from bench.speed.loop import Outcome
from hakika import clock
from hakika.wire.jws import load_public_key, verify_detached

TRY_S = 5.0
PAUSE_S = 0.2
OWED_S = 10.0  # seconds of the rate that a bank may have to make up for after a break
LAST_S = 90.0  # for what is under way at the end
_LENGTH = re.compile(rb"content-length: ?(\d+)", re.IGNORECASE)
_SIGNATURE = re.compile(rb"x-jws-signature: ?(\S+)", re.IGNORECASE)
_CLOSE = re.compile(rb"connection: ?close", re.IGNORECASE)
_ITEM = re.compile(rb"<OrgnlUETR>([0-9a-f-]{36})</OrgnlUETR>.*?<TxSts>([A-Z]+)</TxSts>", re.DOTALL)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def prepare(settings: dict[str, Any]) -> Callable[[], None]:
    """Nothing is written beforehand: signatures would be too old before the hour is over."""

    def run() -> None:
        outcome, more = asyncio.run(_Banks(settings).run())
        tell(outcome, settings["waits_file"], **more)

    return run


class _Banks:
    """Workers that send, a server that is called back, and counts by second."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._per_s, self._seconds = float(settings["per_s"]), float(settings["seconds"])
        self._key = load_public_key(Path(settings["gateway_key_file"]))
        self._addresses = itertools.cycle(addresses(settings))  # one that was killed is left for the next
        self._messages = written(settings, int(self._per_s * self._seconds), 1)
        self._due: asyncio.Queue[None] = asyncio.Queue(int(self._per_s * OWED_S))
        self._under_way: dict[bytes, float] = {}
        self._begun = 0.0
        self._finals: list[int] = []
        self._taken = self._ended = self._odd = self._left_out = self._again = 0
        self._waits: array[float] = array("d")

    async def run(self) -> tuple[Outcome, dict[str, Any]]:
        """The whole time, and then until what was taken has ended."""
        listening = await asyncio.start_server(self._called, "127.0.0.1", self._settings["listen"])
        self._begun, begun_cpu = time.perf_counter(), time.process_time()
        workers = [asyncio.create_task(self._work()) for _ in range(self._settings["connections"])]
        await self._pace()
        await self._due.join()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        ends = time.perf_counter() + LAST_S
        while self._under_way and time.perf_counter() < ends:  # noqa: ASYNC110 - looked at seldom
            await asyncio.sleep(0.1)
        listening.close()
        whole, cpu_s = time.perf_counter() - self._begun, time.process_time() - begun_cpu
        outcome = Outcome(sum(self._finals), self._seconds, self._waits, cpu_s / whole, cpu_s, self._ended)
        more = {"accepted": self._taken, "by_second": self._finals, "odd": self._odd}
        return outcome, {**more, "left_out": self._left_out, "again": self._again}

    async def _pace(self) -> None:
        """Permission to send, evenly; what nobody could take for OWED_S is left out and counted."""
        for number in range(int(self._per_s * self._seconds)):
            wait_s = self._begun + number / self._per_s - time.perf_counter()
            if wait_s > 0.001:
                await asyncio.sleep(wait_s)
            if self._due.full():
                self._left_out += 1
            else:
                self._due.put_nowait(None)

    async def _work(self) -> None:
        streams: Streams | None = None
        while True:
            await self._due.get()
            message = next(self._messages)
            now = time.perf_counter()
            self._under_way.update(dict.fromkeys(message[1], now))
            while True:
                try:
                    async with asyncio.timeout(TRY_S):
                        streams = streams or await self._connected()
                        taken, kept = await self._tried(streams, message)
                        if not kept:
                            streams[1].close()
                            streams = None
                        if taken:
                            break
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    if streams is not None:
                        streams[1].close()
                    streams = None
                self._again += 1
                await asyncio.sleep(PAUSE_S)
            self._taken += 1
            self._due.task_done()

    async def _connected(self) -> Streams:
        return await asyncio.open_connection(*next(self._addresses))

    async def _tried(self, streams: Streams, message: Message) -> tuple[bool, bool]:
        """One try: whether it was taken, and whether the connection is kept."""
        reader, writer = streams
        writer.write(message[0])
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        return head.startswith(b"HTTP/1.1 202"), _CLOSE.search(head) is None

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The gateway pushes messages on this connection: verify, answer, count what is final and was not before."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length, signature = _LENGTH.search(head), _SIGNATURE.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                value = signature[1].decode() if signature else None
                verify_detached(value, body, lambda _: self._key, clock.now_ms() // 1000)
                writer.write(NO_CONTENT)
                self._count(body)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # the last: the hour is over
            writer.close()

    def _count(self, body: bytes) -> None:
        now = time.perf_counter()
        for uetr, status in _ITEM.findall(body):
            sent = self._under_way.pop(uetr, None)
            if sent is None:
                continue  # told before
            self._ended += 1
            self._odd += status != b"ACCC"
            second = int(now - self._begun)
            if second < self._seconds:
                self._finals.extend([0] * (second + 1 - len(self._finals)))
                self._finals[second] += 1
                self._waits.append(now - sent)
