"""Waits under one limit: each has its own time, however many there are; other cancellations pass through."""

import asyncio

import pytest

from hakika.channels.time_limit import TimeLimit
from hakika.domain.reasons import InvariantBroken

LIMIT_S = 0.4


async def test_each_wait_has_the_whole_limit() -> None:
    limit, loop = TimeLimit(LIMIT_S), asyncio.get_running_loop()

    async def late() -> float:
        begun = loop.time()
        with pytest.raises(TimeoutError):
            await limit.wait(loop.create_future())
        return loop.time() - begun

    tasks = []
    for _ in range(10):
        tasks.append(asyncio.create_task(late()))
        assert await limit.wait(asyncio.sleep(0.01, "in time")) == "in time"
    for took in await asyncio.gather(*tasks):
        assert LIMIT_S <= took < 1.5 * LIMIT_S
    assert await limit.wait(asyncio.sleep(0, "afterwards")) == "afterwards"


async def test_a_task_that_was_late_once_goes_on() -> None:
    limit = TimeLimit(0.01)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await limit.wait(asyncio.Event().wait())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_cancels_a_task_is_not_taken_for_lateness() -> None:
    limit = TimeLimit(LIMIT_S)
    task = asyncio.create_task(limit.wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_passes_through() -> None:
    async def broken() -> None:
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        await TimeLimit(LIMIT_S).wait(broken())


async def test_a_wait_inside_a_wait_is_refused() -> None:
    limit = TimeLimit(LIMIT_S)

    async def inner() -> None:
        await limit.wait(asyncio.get_running_loop().create_future())

    with pytest.raises(InvariantBroken):
        await limit.wait(inner())
