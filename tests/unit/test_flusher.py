"""Group commit: batches, deadlines, a full queue, lost replies executed again, a poisoned command alone."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from hakika.domain.reasons import InvariantBroken
from hakika.services.flusher import DEADLINES_KEPT, Busy, Flusher
from hakika.store.lane import NoAnswer, StoreFault

LONG_S = 5.0


class Work:
    """Doubles its numbers; told to hold, to lose replies, or to choke on one command."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.lost_replies = 0
        self.fault: type[StoreFault] = NoAnswer
        self.poison: int | None = None

    async def __call__(self, commands: list[int]) -> list[int]:
        self.batches.append(commands)
        await self.open.wait()
        if self.lost_replies:
            self.lost_replies -= 1
            raise self.fault("lost")
        if self.poison in commands:
            raise ValueError(f"poison {self.poison}")
        return [2 * number for number in commands]


Build = Callable[..., Flusher[int, int]]


@pytest.fixture
async def work() -> Work:
    return Work()


@pytest.fixture
async def build(work: Work) -> AsyncIterator[Build]:
    built: list[Flusher[int, int]] = []

    def make(
        batch_max: int = 100, queue_max: int = 1000, gather_s: float = 0.0, gather_from: int = 0
    ) -> Flusher[int, int]:
        flusher = Flusher(
            work,
            name="test",
            batch_max=batch_max,
            queue_max=queue_max,
            gather_s=gather_s,
            gather_from=gather_from,
        )
        flusher.start()
        built.append(flusher)
        return flusher

    yield make
    work.open.set()
    for flusher in built:
        await flusher.stop(drain_s=1.0)


async def soon(*awaited: Awaitable[int]) -> list[asyncio.Task[int]]:
    """The calls as tasks, begun in order."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    await asyncio.sleep(0)
    return tasks


async def test_each_caller_gets_its_own_result(build: Build) -> None:
    flusher = build()
    results = await asyncio.gather(*[flusher.submit(n, deadline_s=LONG_S) for n in range(50)])
    assert results == [2 * n for n in range(50)]


async def test_what_waits_goes_in_the_next_batch(work: Work, build: Build) -> None:
    flusher = build(batch_max=4)
    work.open.clear()
    first = await soon(flusher.submit(1, deadline_s=LONG_S))
    await asyncio.sleep(0.01)
    rest = await soon(*[flusher.submit(n, deadline_s=LONG_S) for n in range(2, 8)])
    work.open.set()
    await asyncio.gather(*first, *rest)
    assert work.batches == [[1], [2, 3, 4, 5], [6, 7]]


async def test_gathering_waits_for_company(work: Work, build: Build) -> None:
    flusher = build(gather_s=0.05)
    first = await soon(flusher.submit(1, deadline_s=LONG_S))
    await asyncio.sleep(0.01)
    second = await soon(flusher.submit(2, deadline_s=LONG_S))
    await asyncio.gather(*first, *second)
    assert work.batches == [[1, 2]]


async def test_a_full_queue_says_so_at_once(work: Work, build: Build) -> None:
    flusher = build(queue_max=2)
    work.open.clear()
    taken = await soon(flusher.submit(1, deadline_s=LONG_S))
    await asyncio.sleep(0.01)
    taken += await soon(flusher.submit(2, deadline_s=LONG_S), flusher.submit(3, deadline_s=LONG_S))
    with pytest.raises(Busy):
        await flusher.submit(4, deadline_s=LONG_S)
    work.open.set()
    assert await asyncio.gather(*taken) == [2, 4, 6]


async def test_no_caller_waits_past_its_deadline(work: Work, build: Build) -> None:
    flusher = build()
    work.open.clear()
    with pytest.raises(NoAnswer):
        await flusher.submit(1, deadline_s=0.05)


async def test_deadlines_that_nobody_waits_for_are_not_kept(work: Work, build: Build) -> None:
    flusher = build()
    for number in range(3 * DEADLINES_KEPT):
        assert await flusher.submit(1, deadline_s=LONG_S + number) == 2
    assert len(flusher._deadlines) <= DEADLINES_KEPT
    work.open.clear()
    waiting = await soon(*[flusher.submit(1, deadline_s=0.1 + n / 1000) for n in range(2 * DEADLINES_KEPT)])
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [NoAnswer] * 2 * DEADLINES_KEPT
    work.open.set()
    assert await flusher.submit(1, deadline_s=LONG_S) == 2
    assert len(flusher._deadlines) <= DEADLINES_KEPT


async def test_a_command_nobody_waits_for_is_not_executed(work: Work, build: Build) -> None:
    flusher = build()
    work.open.clear()
    first = await soon(flusher.submit(1, deadline_s=LONG_S))
    await asyncio.sleep(0.01)
    with pytest.raises(NoAnswer):
        await flusher.submit(2, deadline_s=0.02)
    (third,) = await soon(flusher.submit(3, deadline_s=LONG_S))
    await asyncio.sleep(0)
    third.cancel()
    work.open.set()
    assert await first[0] == 2
    assert await flusher.submit(4, deadline_s=LONG_S) == 8
    assert work.batches == [[1], [4]]


@pytest.mark.parametrize("fault", [NoAnswer, StoreFault])
async def test_a_lost_reply_is_settled_by_the_same_batch_again(
    work: Work, build: Build, fault: type[StoreFault]
) -> None:
    flusher = build()
    work.lost_replies, work.fault = 3, fault
    both = await soon(*[flusher.submit(n, deadline_s=LONG_S) for n in (1, 2)])
    assert await asyncio.gather(*both) == [2, 4]
    assert work.batches == [[1, 2]] * 4


async def test_a_store_that_never_answers_ends_with_the_deadlines(work: Work, build: Build) -> None:
    flusher = build()
    work.lost_replies = 10**6
    both = await soon(*[flusher.submit(n, deadline_s=0.2) for n in (1, 2)])
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert all(isinstance(outcome, NoAnswer) for outcome in outcomes)
    await asyncio.sleep(0.6)
    tries = len(work.batches)
    await asyncio.sleep(0.3)
    assert len(work.batches) == tries, "the batch is given up once nobody waits"


async def test_a_poisoned_command_fails_alone(work: Work, build: Build) -> None:
    flusher = build()
    work.poison = 5
    outcomes = await asyncio.gather(*[flusher.submit(n, deadline_s=LONG_S) for n in range(10)], return_exceptions=True)
    assert isinstance(outcomes[5], ValueError)
    assert [outcome for n, outcome in enumerate(outcomes) if n != 5] == [2 * n for n in range(10) if n != 5]


async def test_many_commands_of_one_caller_go_together(work: Work, build: Build) -> None:
    flusher = build(batch_max=100, queue_max=100)
    work.poison = 3
    results = await flusher.submit_all(range(10), deadline_s=LONG_S)
    assert isinstance(results[3], ValueError)
    assert [result for n, result in enumerate(results) if n != 3] == [2 * n for n in range(10) if n != 3]
    assert work.batches[0] == list(range(10))
    with pytest.raises(Busy):
        await flusher.submit_all(range(101), deadline_s=LONG_S)
    assert await flusher.submit_all([], deadline_s=LONG_S) == []


async def test_many_commands_share_one_deadline(work: Work, build: Build) -> None:
    flusher = build()
    work.open.clear()
    with pytest.raises(NoAnswer):
        await flusher.submit_all(range(10), deadline_s=0.05)


async def test_too_few_results_are_a_bug() -> None:
    async def short(commands: list[int]) -> list[int]:
        return commands[1:]

    flusher = Flusher(short, name="short", batch_max=10, queue_max=10)
    flusher.start()
    with pytest.raises(InvariantBroken):
        await flusher.submit(1, deadline_s=LONG_S)
    await flusher.stop()


async def test_only_where_much_arrives_the_first_waits_for_company(work: Work, build: Build) -> None:
    flusher = build(gather_s=0.05, gather_from=3)
    begun_s = asyncio.get_running_loop().time()
    for number in range(4):
        await flusher.submit(number, deadline_s=LONG_S)
    assert asyncio.get_running_loop().time() - begun_s < 0.05
    await asyncio.gather(*[flusher.submit(n, deadline_s=LONG_S) for n in range(3)])
    first = await soon(flusher.submit(7, deadline_s=LONG_S))
    await asyncio.sleep(0.01)
    await asyncio.gather(*first, flusher.submit(8, deadline_s=LONG_S))
    assert work.batches == [[0], [1], [2], [3], [0, 1, 2], [7, 8]]


async def test_stop_executes_what_waits_and_takes_no_more(work: Work, build: Build) -> None:
    flusher = build(batch_max=1)
    work.open.clear()
    taken = await soon(*[flusher.submit(n, deadline_s=LONG_S) for n in range(3)])
    stopping = asyncio.create_task(flusher.stop())
    await asyncio.sleep(0.01)
    with pytest.raises(Busy):
        await flusher.submit(9, deadline_s=LONG_S)
    work.open.set()
    await stopping
    assert await asyncio.gather(*taken) == [0, 2, 4]


async def test_stop_gives_up_after_its_own_limit(work: Work, build: Build) -> None:
    flusher = build(batch_max=1)
    work.open.clear()
    taken = await soon(*[flusher.submit(n, deadline_s=LONG_S) for n in range(3)])
    await flusher.stop(drain_s=0.05)
    outcomes = await asyncio.gather(*taken, return_exceptions=True)
    assert all(isinstance(outcome, NoAnswer) for outcome in outcomes)


async def test_the_next_batch_is_sent_before_the_callers_of_the_last_one_run() -> None:
    order: list[str] = []
    opened = asyncio.Event()

    async def exchange(commands: list[int]) -> list[int]:
        order.extend(f"sent {number}" for number in commands)
        await opened.wait()
        return commands

    async def on_a_task_of_its_own(commands: list[int]) -> list[int]:  # as a lane does
        return await asyncio.create_task(exchange(commands))

    async def call(number: int) -> None:
        await flusher.submit(number, deadline_s=LONG_S)
        order.append(f"told {number}")

    flusher = Flusher(on_a_task_of_its_own, name="test", batch_max=2, queue_max=10)
    flusher.start()
    async with asyncio.TaskGroup() as callers:
        for number in range(4):
            callers.create_task(call(number))
        while not order:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)
        opened.set()
    await flusher.stop()
    assert order == ["sent 0", "sent 1", "sent 2", "sent 3", "told 0", "told 1", "told 2", "told 3"]


async def test_the_database_is_heard_while_the_callers_of_a_large_batch_are_told() -> None:
    there, here = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=here)
    told: list[int] = []
    told_when_heard: list[int] = []

    async def exchange(commands: list[int]) -> list[int]:
        there.send(b"x")
        await reader.readexactly(1)
        told_when_heard.append(len(told))
        return commands

    async def call(number: int) -> None:
        told.append(await flusher.submit(number, deadline_s=LONG_S))

    flusher = Flusher(exchange, name="test", batch_max=200, queue_max=400)
    flusher.start()
    await asyncio.gather(*[call(number) for number in range(400)])
    await flusher.stop()
    there.close()
    writer.close()
    assert sorted(told) == list(range(400))
    assert told_when_heard[0] == 0
    assert told_when_heard[1] < 100, "of the 200 of the first batch"


async def test_all_that_was_committed_is_told_before_it_has_stopped(build: Build) -> None:
    flusher = build(batch_max=200)
    taken = [asyncio.create_task(flusher.submit(number, deadline_s=LONG_S)) for number in range(200)]
    await asyncio.sleep(0)
    await flusher.stop()
    await asyncio.sleep(0)
    assert [one.done() and one.result() for one in taken] == [2 * number for number in range(200)]
