"""The processes of a measurement: servers and callers, told when to begin, and gone at the end whatever happens.

Each is started afresh (spawned, not forked) and speaks with the one who started it over a pipe: it says when it is
ready, is told the window, says its tally, and ends when the pipe closes. So nothing secret is on a command line, and a
process whose starter was killed ends by itself. The window is in seconds of the monotonic clock, which all share.
"""

import asyncio
import faulthandler
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from random import Random
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from bench.speed.peer import PeerFailed, Tally, together
from bench.speed.peer_books import ACCOUNTS
from hakika import clock

READY = "ready"
START_S = 120.0
DRAIN_S = 30.0
END_S = 10.0
SEEDS_APART = 1000  # between the processes of a crew, more than one of them has callers

Post = Connection


@dataclass(frozen=True, slots=True)
class Window:
    """What is acknowledged from `opens_s` until `closes_s` counts; nothing is begun after `closes_s`."""

    opens_s: float
    closes_s: float


@dataclass(frozen=True, slots=True)
class Member:
    """One process and the pipe to it."""

    process: BaseProcess
    post: Post

    def says(self, within_s: float) -> Any:
        """The next thing it says. Raises PeerFailed when it ends first or says nothing in time."""
        try:
            if self.post.poll(within_s):
                return self.post.recv()
        except (EOFError, OSError) as error:
            raise PeerFailed(f"{self.process.name} ended early; what it printed says why") from error
        if self.process.pid is not None:
            os.kill(self.process.pid, signal.SIGABRT)  # it prints where it was
        raise PeerFailed(f"{self.process.name} said nothing for {within_s:g} s")


class Crew:
    """All processes of one measurement."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._spawning = multiprocessing.get_context("spawn")

    def __enter__(self) -> Self:
        return self

    def hire(self, work: Callable[..., None], *arguments: object) -> tuple[Member, Any]:
        """Start `work(post, *arguments)`; the member, and what it said when it was ready."""
        ours, theirs = self._spawning.Pipe()
        process = self._spawning.Process(
            target=_be, args=(work, theirs, *arguments), name=f"{work.__module__} {work.__name__}", daemon=True
        )
        process.start()
        theirs.close()
        member = Member(process, ours)
        self._members.append(member)
        return member, member.says(START_S)

    def measure(self, callers: list[Member], *, seconds: float, warmup_s: float) -> Tally:
        """Let the callers work through a warm-up and a window; their tallies as one, with nothing in flight."""
        now_s = clock.monotonic_s()
        window = Window(now_s + warmup_s, now_s + warmup_s + seconds)
        for caller in callers:
            caller.post.send(window)
        return together([caller.says(warmup_s + seconds + DRAIN_S) for caller in callers])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._members:
            member.post.close()
        ends_s = clock.monotonic_s() + END_S
        for member in self._members:
            member.process.join(max(0.0, ends_s - clock.monotonic_s()))
            if member.process.is_alive():
                member.process.kill()
                member.process.join()


def _be(work: Callable[..., None], post: Post, *arguments: object) -> None:
    """What a member is; the starter's end is no fault of its own."""
    faulthandler.enable()
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        work(post, *arguments)


@dataclass(frozen=True, slots=True)
class Order:
    """One saga that somebody asks for: from which account to which."""

    saga: UUID
    payer: int
    payee: int


def orders(seed: int, *, hot: bool = False) -> Callable[[], Order]:
    """Where the next order comes from: any two accounts, or with `hot` any account to account 0."""
    chance = clock.seeded(seed)
    return lambda: _order(chance, hot)


def _order(chance: Random, hot: bool) -> Order:
    payer = chance.randrange(1, ACCOUNTS)
    payee = 0 if hot else (payer + chance.randrange(1, ACCOUNTS)) % ACCOUNTS
    return Order(clock.new_id(), payer, payee)


def ask_on_threads(
    asked: Sequence[Callable[[Order], object]], seed: int, window: Window, *, hot: bool = False
) -> Tally:
    """One caller for each of `asked`, on threads of their own. What one of them raises is raised."""
    with ThreadPoolExecutor(len(asked)) as threads:
        work = [threads.submit(_ask, do, orders(seed + number, hot=hot), window) for number, do in enumerate(asked)]
        return together([one.result() for one in work])


def _ask(do: Callable[[Order], object], order: Callable[[], Order], window: Window) -> Tally:
    """Ask, wait for the answer, ask again, until the window closes."""
    tally = Tally()
    while (begun_s := clock.monotonic_s()) < window.closes_s:
        do(order())
        _count(tally, begun_s, window)
    return tally


async def ask_on_loop(
    asked: Sequence[Callable[[Order], Awaitable[object]]], seed: int, window: Window, *, hot: bool = False
) -> Tally:
    """The same on an event loop."""
    work = [_ask_async(do, orders(seed + number, hot=hot), window) for number, do in enumerate(asked)]
    return together(await asyncio.gather(*work))


async def _ask_async(do: Callable[[Order], Awaitable[object]], order: Callable[[], Order], window: Window) -> Tally:
    tally = Tally()
    while (begun_s := clock.monotonic_s()) < window.closes_s:
        await do(order())
        _count(tally, begun_s, window)
    return tally


def _count(tally: Tally, begun_s: float, window: Window) -> None:
    now_s = clock.monotonic_s()
    tally.acknowledged += 1
    if window.opens_s <= now_s < window.closes_s:
        tally.latencies_ms.append((now_s - begun_s) * 1000)


async def told(post: Post) -> Any:
    """What the other side says next, without holding the event loop up."""
    return await asyncio.to_thread(post.recv)


def until_closed(post: Post) -> None:
    """Return when the other side closes the pipe."""
    with suppress(EOFError, OSError):
        while True:
            post.recv()
