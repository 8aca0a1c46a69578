"""A closed loop over many connections that costs little: one process, epoll, requests made before the clock starts.

Each connection has one request under way; when its answer is whole, the time it took is kept and the next request
goes out. There is no HTTP library here because a comfortable one costs more than the ledger does: this loop sends
and takes an answer in about 10 microseconds, and says at the end how much of a core it has used.
"""

import itertools
import select
import socket
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

READ = 65_536
STALL_S = 30.0


class LoadFailed(Exception):
    """The far side closed, stalled, or answered what it should not; the message has what it said."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a loop did within its window: answers, seconds, each wait (s), and the share of a core it used."""

    count: int
    seconds: float
    waits_s: "array[float]"
    cpu_share: float
    cpu_s: float  # processor time that it used
    answered: int  # all that were answered, those after the window too: what the books must hold


def post(path: str, body: bytes, headers: str) -> bytes:
    """One request as it goes over the wire. `headers` are whole lines, each with CRLF at its end."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def answer(buffer: bytes) -> tuple[int, bytes] | None:
    """Status and body once the answer is whole, else None."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    at = buffer.find(b"ontent-length: ", 0, end)
    if at < 0:
        at = buffer.find(b"ontent-Length: ", 0, end)
    stop = buffer.find(b"\r\n", at, end)
    length = 0 if at < 0 else int(buffer[at + 15 : end if stop < 0 else stop])
    if len(buffer) - end - 4 < length:
        return None
    return int(buffer[9:12]), buffer[end + 4 : end + 4 + length]


class Connections:
    """Sockets to some addresses, in turn, watched by one epoll."""

    def __init__(self, addresses: Sequence[tuple[str, int]], count: int) -> None:
        self.poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.partial: dict[int, bytes] = {}
        self._addresses = itertools.cycle(addresses)
        for _ in range(count):
            self._open()

    def anew(self, number: int) -> int:
        """Connect again, to the next address, where the far side closes; the number of the new connection."""
        self.poll.unregister(number)
        self.sockets.pop(number).close()
        return self._open()

    def _open(self) -> int:
        one = socket.create_connection(next(self._addresses))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets[one.fileno()] = one
        self.poll.register(one.fileno(), select.EPOLLIN)
        return one.fileno()

    def close(self) -> None:
        """Close every socket."""
        self.poll.close()
        for one in self.sockets.values():
            one.close()

    def received(self, number: int) -> tuple[int, bytes] | None:
        """The answer on connection `number` once it is whole. Raises LoadFailed where the far side has gone."""
        chunk = self.sockets[number].recv(READ)
        if not chunk:
            raise LoadFailed(f"closed in the middle: {self.partial.get(number, b'')[:200]!r}")
        whole = self.partial.pop(number, b"") + chunk
        found = answer(whole)
        if found is None:
            self.partial[number] = whole
        return found


def closed_loop(
    address: tuple[str, int],
    requests: Iterator[bytes],
    *,
    connections: int,
    seconds: float,
    accept: Callable[[int, bytes], bool],
) -> Outcome:
    """Send until `seconds` have passed or requests run out, then await what is under way.

    Only what was answered within the window is counted. Raises LoadFailed for an answer that `accept` does not take.
    """
    there = Connections([address], connections)
    sent_at: dict[int, float] = {}
    waits: array[float] = array("d")
    begun_cpu, begun = time.process_time(), time.perf_counter()
    ends = begun + seconds
    try:
        for number, one in there.sockets.items():
            sent_at[number] = time.perf_counter()
            one.sendall(next(requests))
        counted = answered = 0
        while sent_at:
            events = there.poll.poll(STALL_S)
            if not events:
                raise LoadFailed(f"no answer for {STALL_S:g} s, {len(sent_at)} requests under way")
            for number, _ in events:
                found = there.received(number)
                if found is None:
                    continue
                now = time.perf_counter()
                if not accept(*found):
                    raise LoadFailed(f"answered {found[0]} {found[1][:300]!r}")
                wait = now - sent_at.pop(number)
                answered += 1
                if now > ends:
                    continue
                counted += 1
                waits.append(wait)
                request = next(requests, None)
                if request is None:
                    ends = min(ends, now)
                    continue
                sent_at[number] = now
                there.sockets[number].sendall(request)
    finally:
        there.close()
    window = min(time.perf_counter(), ends) - begun
    cpu_s = time.process_time() - begun_cpu
    return Outcome(counted, window, waits, cpu_s / (time.perf_counter() - begun), cpu_s, answered)
