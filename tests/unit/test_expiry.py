"""Waits under one limit and one timer: each that does not end is told once, when its own time is over."""

import asyncio

from hakika.expiry import Expiry

LIMIT_S = 0.2


async def test_each_is_told_once_when_its_own_time_is_over() -> None:
    loop = asyncio.get_running_loop()
    told: dict[int, float] = {}
    begun: dict[int, float] = {}

    def late(key: int) -> None:
        assert key not in told
        told[key] = loop.time() - begun[key]

    expiry = Expiry(LIMIT_S, late)
    for key in range(10):
        begun[key] = loop.time()
        expiry.begin(key)
        if key % 3 == 0:
            expiry.end(key)
        await asyncio.sleep(0.03)
    async with asyncio.timeout(10):
        while len(told) < 6:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    await asyncio.sleep(2 * LIMIT_S)
    assert sorted(told) == [1, 2, 4, 5, 7, 8]
    assert all(LIMIT_S - 0.01 <= took < 2 * LIMIT_S for took in told.values()), told


async def test_the_same_key_may_begin_again() -> None:
    told: list[str] = []
    expiry = Expiry(LIMIT_S / 4, told.append)
    for times in (1, 2):
        expiry.begin("again")
        async with asyncio.timeout(10):
            while len(told) < times:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        expiry.end("again")
    expiry.begin("again")
    expiry.end("again")
    await asyncio.sleep(LIMIT_S)
    assert told == ["again", "again"]


async def test_what_ends_because_another_was_late_is_not_told() -> None:
    told: list[int] = []

    def late(key: int) -> None:
        told.append(key)
        expiry.end(2)

    expiry = Expiry(LIMIT_S / 4, late)
    for key in (1, 2, 3):
        expiry.begin(key)
    await asyncio.sleep(LIMIT_S)
    assert told == [1, 3]
