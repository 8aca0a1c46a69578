"""A vantage: when it tries, what it keeps while health is away, and what it lets go of."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from hakika import clock
from hakika.channels.door import Door, Request, Response, Route, serve
from hakika.health.vantage import process
from hakika.health.vantage.probing import Outcome
from hakika.health.vantage.process import Vantage
from hakika.outbound.probing import ResultsClient
from hakika.wire.health_api import PROBES_A_MESSAGE, ProbeReports, ProbesTaken
from hakika.wire.jws import new_key_pair, verify_detached

PRIVATE, PUBLIC = new_key_pair()


@dataclass
class Health:
    """Takes results as health does: signature first."""

    url: str = ""
    status: int = 200
    closer: list[str] = field(default_factory=list)
    asked: int = 0  # messages without a result
    taken: list[ProbeReports] = field(default_factory=list)

    async def probes(self, request: Request) -> Response:
        header = request.headers.get("x-jws-signature")
        verify_detached(header, request.body, {"probe-1-1": PUBLIC}.get, clock.now_ms() // 1000, 60)
        if self.status != 200:
            return Response(self.status)
        message = msgspec.json.decode(request.body, type=ProbeReports)
        if message.results:
            self.taken.append(message)
        else:
            self.asked += 1
        return Response(200, msgspec.json.encode(ProbesTaken(len(message.results), 0, self.closer)))


@dataclass
class Way:
    """A test with outcomes given beforehand; an exception is a bug of the test itself."""

    outcomes: list[Any]
    name: str = "way"
    component: str = "channel:way"
    runs: int = 0

    async def run(self) -> Outcome | None:
        self.runs += 1
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome(True)
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is None or isinstance(outcome, Outcome)
        return outcome


@pytest.fixture
async def health() -> AsyncIterator[Health]:
    health = Health()
    running = await serve(Door([Route("POST", "/probes", health.probes)], concurrency_max=10), "127.0.0.1", 0)
    health.url = running.url
    yield health
    await running.stop()


@pytest.fixture
async def results(health: Health) -> AsyncIterator[ResultsClient]:
    client = ResultsClient(health.url)
    yield client
    await client.close()


def vantage(results: ResultsClient, *ways: Way, number: int = 1, every_s: float = 30.0) -> Vantage:
    return Vantage("probe-1", "probe-1-1", PRIVATE, results, ways, number=number, of=3, every_s=every_s)


async def test_a_result_is_signed_and_carries_its_own_time(health: Health, results: ResultsClient) -> None:
    way = Way([Outcome(False, "held"), None])
    one = vantage(results, way)
    before_ms = clock.now_ms()
    made = await one.try_once(way)
    assert await one.try_once(way) is None
    assert await one.send_some()
    assert made is not None
    assert health.taken == [ProbeReports("probe-1", [made])]
    (sent,) = health.taken[0].results
    assert (sent.probe, sent.component, sent.ok, sent.detail) == ("way", "channel:way", False, "held")
    assert before_ms <= sent.at_ms <= clock.now_ms()
    assert one.waiting == 0


@pytest.mark.parametrize("trouble", [500, 503, 429, 401, "away"])
async def test_while_health_is_away_results_wait_with_their_ids(
    health: Health, results: ResultsClient, trouble: Any
) -> None:
    way = Way([])
    one = vantage(results, way)
    made = [await one.try_once(way) for _ in range(3)]
    if trouble == "away":
        one.results = ResultsClient("http://127.0.0.1:1")
    else:
        health.status = trouble
    assert not await one.send_some()
    assert one.waiting == 3
    if trouble == "away":
        await one.results.close()
    one.results, health.status = results, 200
    assert await one.send_some()
    assert health.taken[0].results == made


async def test_what_health_refuses_for_good_is_let_go(health: Health, results: ResultsClient) -> None:
    way = Way([])
    one = vantage(results, way)
    await one.try_once(way)
    health.status = 400
    assert await one.send_some()
    assert one.waiting == 0


async def test_what_waits_is_bounded_by_number_and_age(
    health: Health, results: ResultsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WAITING_MAX", 5)
    way = Way([])
    one = vantage(results, way)
    for _ in range(8):
        await one.try_once(way)
    assert (one.waiting, one.dropped) == (5, 3)
    later_ms = clock.now_ms() + process.AGE_MAX_MS + 1_000
    monkeypatch.setattr(process, "clock", SimpleNamespace(**{**vars(clock), "now_ms": lambda: later_ms}))
    await one.try_once(way)
    assert (one.waiting, one.dropped) == (1, 8)


async def test_many_results_go_in_bounded_messages(health: Health, results: ResultsClient) -> None:
    way = Way([])
    one = vantage(results, way)
    for _ in range(PROBES_A_MESSAGE + 7):
        await one.try_once(way)
    delivering = asyncio.create_task(one._deliver())
    async with asyncio.timeout(10):
        while one.waiting:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    delivering.cancel()
    assert [len(message.results) for message in health.taken] == [PROBES_A_MESSAGE, 7]


async def test_a_bug_of_a_test_is_no_result_and_ends_nothing(health: Health, results: ResultsClient) -> None:
    way = Way([ValueError("a bug"), Outcome(False, "held")])
    one = vantage(results, way, every_s=3.0)
    tasks = [asyncio.create_task(loop) for loop in one.workers()]
    async with asyncio.timeout(20):
        while not health.taken:  # noqa: ASYNC110 - nor does the peer
            await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    assert [result.detail for result in health.taken[0].results] == ["held"]


async def test_what_health_doubts_is_tested_more_often(
    health: Health, results: ResultsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "ASK_S", 0.2)
    monkeypatch.setattr(process, "CLOSER_KEPT_S", 1.0)
    doubted, other = Way([], component="corridor:bank-a"), Way([], component="corridor:bank-b")
    one = vantage(results, doubted, other, every_s=3.0)
    tasks = [asyncio.create_task(loop) for loop in one.workers()]

    async def passes(seconds: float) -> tuple[int, int]:
        # Counted where they are made: while health is away their results wait, and come later than they were made.
        before = doubted.runs, other.runs
        await asyncio.sleep(seconds)
        return doubted.runs - before[0], other.runs - before[1]

    health.closer = ["corridor:bank-a"]
    await asyncio.sleep(0.5)
    assert health.asked >= 1
    many, few = await passes(3.0)
    assert many >= 5
    assert few <= 2
    health.status = 503  # says nothing any more: what it said last is forgotten
    await asyncio.sleep(1.5)
    many, few = await passes(1.5)
    assert many <= 2
    assert few <= 2
    health.status, health.closer = 200, []
    async with asyncio.timeout(10):
        while one.waiting:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
    many, few = await passes(3.0)
    assert many <= 2
    assert few <= 2
    for task in tasks:
        task.cancel()


async def test_a_test_that_takes_long_does_not_keep_the_next_ones_waiting(
    health: Health, results: ResultsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "ASK_S", 0.1)
    running = most = 0

    class Slow(Way):
        async def run(self) -> Outcome | None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(60)
            return Outcome(True)

    health.closer = ["corridor:bank-a"]
    one = vantage(results, Slow([], component="corridor:bank-a"), every_s=1.2)
    looking, delivering = asyncio.create_task(one._look_closer()), asyncio.create_task(one._deliver())
    await asyncio.sleep(2.5)
    assert most == process.CLOSER_AT_ONCE
    for task in (looking, delivering):
        task.cancel()


def test_vantages_take_turns_by_the_clock() -> None:
    unused = SimpleNamespace()
    for number, begins_s in ((1, 0), (2, 10), (3, 20)):
        one = Vantage("v", "k", PRIVATE, unused, [], number=number, of=3)  # type: ignore[arg-type]
        for now_s in range(0, 120, 7):
            next_s = now_s + one.pause_s(now_s * 1000)
            off_s = (next_s - begins_s + 15) % 30 - 15
            assert abs(off_s) <= process.JITTER_S + 1e-6
            assert now_s < next_s <= now_s + 30 + 3 * process.JITTER_S
