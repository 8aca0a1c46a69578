"""First attempts recorded with the custody itself: what is begun, what is not, and that all of it ends once."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from gateway_desk_kit import HOLDER, Gateway, credit
from gateway_workers_kit import ENDED, OddCore, Works, many, reconciled, shorten

from hakika import clock
from hakika.services.gateway import first_attempts
from hakika.store.embedded import RoleAccess
from hakika.workers import delivery
from hakika.workers.delivery import CoreLink, Delivery

STATUSES = "SELECT status, count(*)::integer FROM transfer GROUP BY status"


@pytest.fixture
async def gateway(gateway_database: RoleAccess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    shorten(monkeypatch)
    async with Gateway.open(gateway_database) as running:
        yield running


@dataclass
class Way:
    """A link with room for so many."""

    room: int
    in_flight: int = 0
    short: list[str] = field(default_factory=list)

    def free(self) -> int:
        return self.room - self.in_flight

    def short_banks(self) -> list[str]:
        return self.short


def calm(gateway: Gateway, room: int, *short: str) -> Way:
    """The gateway's way to the core is free, and nothing waits."""
    way = Way(room, short=list(short))
    gateway.first.way, gateway.first.keeps_up = way, True
    return way


async def test_custody_and_first_attempt_are_one_commit(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_attempts, "SEND_BY_MS", 60_000)  # a busy machine is slow to look
    way = calm(gateway, 10)
    await gateway.custody(*many(3))
    rows = await gateway.rows(
        "SELECT t.status, a.number, a.outcome, a.lease_token, a.xmin = t.xmin AND t.xmin = m.xmin FROM transfer t"
        " JOIN attempt a ON a.transfer = t.id JOIN message m ON m.msg_id = t.msg_id"
    )
    assert rows == [("IN_FLIGHT", 1, None, 1, True)] * 3
    assert way.in_flight == 3
    timely, late = gateway.first.take(10)
    assert (len(timely), late) == (3, [])
    assert {one.id for one in timely} == {key for (key,) in await gateway.rows("SELECT id FROM attempt")}


async def test_where_the_window_has_no_room_for_all_that_is_fresh_all_of_it_waits(gateway: Gateway) -> None:
    way = calm(gateway, 4)
    await gateway.custody(*many(5))
    assert dict(await gateway.rows(STATUSES)) == {"RECEIVED": 5}
    assert not gateway.first.keeps_up
    await gateway.custody(credit())  # behind those that wait
    assert dict(await gateway.rows(STATUSES)) == {"RECEIVED": 6}
    assert way.in_flight == 0


@pytest.mark.parametrize("drain_s", [0.5, 60.0])
async def test_a_backlog_is_known_by_its_age_or_by_an_outage(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, drain_s: float
) -> None:
    """And expected from the moment on at which nothing can be sent: nobody is refused before the first look."""
    monkeypatch.setattr(delivery, "DRAIN_S", drain_s)
    await gateway.custody(*many(3))
    core = OddCore(trouble=lambda: "unreachable")
    async with Works.running(gateway, core) as works:
        await asyncio.sleep(1.0)
        assert gateway.first.drains
        seen: list[bool] = []
        monkeypatch.setattr(type(gateway.desk), "apply_all", _remembering(gateway, seen, gateway.desk.apply_all))
        core.trouble = lambda: ""
        await works.until(ENDED, 3)
        assert seen[0]
        await asyncio.sleep(0.5)
        assert not gateway.first.drains


async def test_what_another_round_is_claiming_is_still_a_backlog(gateway: Gateway) -> None:
    """It is locked, so a round beside it sees nothing; alone, it would have seen that nothing waits."""
    await gateway.custody(*many(3))
    core: Any = OddCore()
    works = Delivery(gateway.desk, gateway.lanes, CoreLink(core), holder=HOLDER, scale=1.0, first=gateway.first)

    async def seen_from_beside(conn: Any) -> tuple[bool, bool]:
        async with conn.transaction():
            await conn.execute("SELECT FROM transfer FOR NO KEY UPDATE")
            gateway.first.drains = True
            works._claiming = {0}
            assert await works._claim(4) == (0, [])
            beside = gateway.first.drains
            works._claiming = set()
            assert await works._claim(4) == (0, [])
            return beside, gateway.first.drains

    assert await gateway.lanes.run(seen_from_beside, deadline_s=10.0) == (True, False)


async def test_rounds_that_look_at_once_and_find_nothing_end_the_backlog(gateway: Gateway) -> None:
    core: Any = OddCore()
    works = Delivery(gateway.desk, gateway.lanes, CoreLink(core), holder=HOLDER, scale=1.0, first=gateway.first)
    for _ in range(20):
        gateway.first.drains = True
        looks = await asyncio.gather(works._claim(4), works._claim(4))
        assert all(chosen == 0 for chosen, _ in looks)
        assert not gateway.first.drains


async def test_a_backlog_is_known_where_one_place_is_free(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever turn it is, the oldest or the newest, that has the place."""
    monkeypatch.setattr(delivery, "DRAIN_S", 0.5)
    await gateway.custody(*many(3))
    await asyncio.sleep(0.6)
    await gateway.custody(*many(3))
    core: Any = OddCore()
    works = Delivery(gateway.desk, gateway.lanes, CoreLink(core), holder=HOLDER, scale=1.0, first=gateway.first)
    for _ in range(4):
        gateway.first.drains = False
        assert (await works._claim(1))[0] == 1
        assert gateway.first.drains


def _remembering(gateway: Gateway, seen: list[bool], apply_all: Any) -> Any:
    """The desk's own, noting whether a backlog was known when it was called."""

    async def noted(desk: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(gateway.first.drains)
        return await apply_all(*args, **kwargs)

    return noted


async def test_what_may_not_be_sent_is_not_begun(gateway: Gateway) -> None:
    calm(gateway, 10, "bank-b")
    await gateway.custody(credit(), sender="bank-b")
    await gateway.custody(credit(currency="USD"))
    assert dict(await gateway.rows(STATUSES)) == {"RECEIVED": 1, "REJECTED": 1}
    assert await gateway.number("SELECT count(*) FROM attempt") == 0


async def test_what_may_be_older_than_a_restore_is_not_begun(
    gateway_database: RoleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch)
    async with Gateway.open(gateway_database, restored_ms=clock.now_ms()) as gateway:
        calm(gateway, 10)
        await gateway.custody(credit())
        assert await gateway.rows("SELECT status, burn_first FROM transfer") == [("RECEIVED", True)]


async def test_a_message_sent_again_begins_nothing(gateway: Gateway) -> None:
    way = calm(gateway, 10)
    one = credit()
    await gateway.custody(one)
    await gateway.custody(one)
    assert await gateway.number("SELECT count(*) FROM attempt") == 1
    assert way.in_flight == 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_transfer_ends_once_through_troubles(gateway: Gateway, seed: int) -> None:
    """I-GW-1, I-GW-3, I-GW-5: arrivals go on while requests and answers are lost and connections refused."""
    chance = random.Random(seed)
    core = OddCore()
    async with Works.running(gateway, core) as works:
        await gateway.custody(credit())
        await works.until(ENDED, 1)
        troubles = ["", "", "", "", "lost", "answer lost", "unreachable"]
        for number in range(60):
            core.trouble = (lambda: chance.choice(troubles)) if number % 3 else (lambda: "")
            await gateway.custody(*many(2))
            await asyncio.sleep(0.02)
        core.trouble = lambda: ""
        await works.until(ENDED, 121)
        await reconciled(works)
        await _until_nothing_is_reserved(works)
    begun = "SELECT count(*) FROM attempt a JOIN transfer t ON t.id = a.transfer WHERE a.recorded_ms <= t.received_ms"
    assert await gateway.number(begun) > 0


async def test_a_lost_commit_reply_leaves_the_attempt_to_recovery(gateway: Gateway) -> None:
    core = OddCore()
    async with Works.running(gateway, core) as works:
        await gateway.custody(credit())
        await works.until(ENDED, 1)
        await _until_it_keeps_up(gateway, works)
        gateway.intake_lane.lose = 1
        await gateway.custody(*many(4))
        assert gateway.intake_lane.lost == 1
        assert await gateway.number("SELECT count(*) FROM attempt") == 5
        await works.until(ENDED, 5)
        await reconciled(works)
        await _until_nothing_is_reserved(works)


async def test_what_waited_for_too_long_is_voided_and_sent_under_the_next_number(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer to it might outlast its lease."""
    core = OddCore()
    async with Works.running(gateway, core) as works:
        await gateway.custody(credit())
        await works.until(ENDED, 1)
        await _until_it_keeps_up(gateway, works)
        monkeypatch.setattr(first_attempts, "SEND_BY_MS", -1)
        await gateway.custody(*many(3))
        await works.until(ENDED, 4)
        found = "SELECT number, outcome, count(*)::integer FROM attempt GROUP BY 1, 2 ORDER BY 1, 2"
        assert await gateway.rows(found) == [(1, "not_sent", 3), (1, "posted", 1), (2, "posted", 3)]
        await reconciled(works)


async def test_what_was_recorded_before_the_core_fell_silent_is_not_sent(gateway: Gateway) -> None:
    core = OddCore()
    async with Works.running(gateway, core) as works:
        await gateway.custody(credit())
        await works.until(ENDED, 1)
        await _until_it_keeps_up(gateway, works)
        core.trouble = lambda: "unreachable"
        taken = asyncio.create_task(gateway.custody(*many(3)))
        works.link.breaker.silent(clock.monotonic_s())
        await taken
        await works.until("SELECT count(*) FROM attempt WHERE outcome IS NULL", 0)
        assert len(core.credits) == 1
        core.trouble = lambda: ""
        await works.until(ENDED, 4)
        await reconciled(works)


@dataclass
class Roomy:
    """A link whose window always has room: a round that looks for work just then reserves nothing of it."""

    link: CoreLink

    @property
    def in_flight(self) -> int:
        return self.link.in_flight

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self.link.in_flight = count

    def free(self) -> int:
        return 100

    def short_banks(self) -> list[str]:
        return []


async def _until_it_keeps_up(gateway: Gateway, works: Works) -> None:
    gateway.first.way = Roomy(works.link)
    async with asyncio.timeout(5):
        while not gateway.first.keeps_up:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


async def _until_nothing_is_reserved(works: Works) -> None:
    """A round holds places while it looks for work, and gives them back: nothing of them may be lost."""
    async with asyncio.timeout(5):
        while works.link.in_flight:  # noqa: ASYNC110 - it tells nobody either
            await asyncio.sleep(0.001)
