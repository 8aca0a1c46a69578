"""Public feeds over HTTP into a real database: who counts, and what a hostile feed can do: be counted."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from evidence_kit import Health, open_health

from hakika import clock
from hakika.channels.door import Door, Request, Response, Route, serve
from hakika.health.feeds.connector import FeedConnector
from hakika.health.feeds.poller import POSTS_MAX, FeedPoller
from hakika.health.feeds.posts import Post
from hakika.health.sorting import Vocabulary
from hakika.outbound.feeds import FeedClient
from hakika.services.health.evidence import FEED_PERSONS_MAX, Refused
from hakika.store.lane import NoAnswer
from hakika.store.server_roles import RoleAccess

WORDS = Vocabulary(("Hakika",), {"corridor:bank-a": ("Mlima Bank",), "product:bank-to-wallet": ()})
KIND = "application/feed+json"


@dataclass
class Town:
    """A server with one feed."""

    url: str = ""
    answer: Response = field(default_factory=lambda: Response(200, b"", KIND))
    wait_s: float = 0.0
    asked: list[dict[str, str]] = field(default_factory=list)

    async def feed(self, request: Request) -> Response:
        self.asked.append(dict(request.headers))
        await asyncio.sleep(self.wait_s)
        if request.headers.get("if-none-match") == '"same"':
            return Response(304)
        return self.answer

    def says(self, *items: dict[str, Any], headers: tuple[tuple[str, str], ...] = ()) -> None:
        content = {"version": "https://jsonfeed.org/version/1.1", "items": items}
        self.answer = Response(200, json.dumps(content).encode(), KIND, headers)


def ago(seconds: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=clock.now_ms() - seconds * 1000)
    return moment.isoformat()


def post(author: str, text: str = "Hakika is down", seconds_ago: float = 5) -> dict[str, Any]:
    return {"content_text": text, "authors": [{"name": author}], "date_published": ago(seconds_ago)}


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town()
    running = await serve(Door([Route("GET", "/feed", town.feed)], concurrency_max=10), "127.0.0.1", 0)
    town.url = running.url
    yield town
    await running.stop(drain_s=0.2)


@pytest.fixture
async def health(health_database: RoleAccess) -> AsyncIterator[Health]:
    async with open_health(health_database) as opened:
        yield opened


@pytest.fixture
async def connector(town: Town) -> AsyncIterator[FeedConnector]:
    made = FeedConnector("town", FeedClient(f"{town.url}/feed"))
    yield made
    await made.close()


def poller(health: Health, *connectors: Any) -> FeedPoller:
    return FeedPoller(health.evidence, connectors, WORDS)


async def reports(health: Health) -> list[tuple[Any, ...]]:
    return await health.rows("SELECT component, source, count(*)::int FROM report GROUP BY 1, 2 ORDER BY 1")


async def test_people_are_counted_about_what_they_say(health: Health, town: Town, connector: FeedConnector) -> None:
    town.says(
        post("amina"),
        post("amina", "Hakika still down"),
        post("baraka", "Mlima Bank to Hakika: debited but not credited"),
        post("chebet", "M-Pesa is down"),
        post("daudi", "Hakika works fine"),
    )
    assert await poller(health, connector).poll(connector) == 2
    assert await reports(health) == [("corridor:bank-a", "feed", 1), ("product:bank-to-wallet", "feed", 1)]
    assert await health.refused() == {Refused.FEED_OTHER: 2, Refused.FEED_AGAIN: 1}


async def test_a_post_is_looked_at_once(health: Health, town: Town, connector: FeedConnector) -> None:
    polling = poller(health, connector)
    town.says(post("amina"))
    assert [await polling.poll(connector) for _ in range(3)] == [1, 0, 0]
    assert await health.refused() == {}


async def test_a_post_that_appears_late_is_counted(health: Health, town: Town, connector: FeedConnector) -> None:
    polling = poller(health, connector)
    town.says(post("amina", seconds_ago=1))
    assert await polling.poll(connector) == 1
    town.says(post("baraka", seconds_ago=90), post("chebet", seconds_ago=1_000))
    assert await polling.poll(connector) == 1


async def test_what_has_not_changed_is_not_sent_again(health: Health, town: Town, connector: FeedConnector) -> None:
    polling = poller(health, connector)
    town.says(post("amina"), headers=(("etag", '"same"'), ("last-modified", "Mon, 23 Nov 2026 10:00:00 GMT")))
    assert [await polling.poll(connector) for _ in range(2)] == [1, 0]
    assert town.asked[1]["if-none-match"] == '"same"'
    assert town.asked[1]["if-modified-since"] == "Mon, 23 Nov 2026 10:00:00 GMT"
    assert town.asked[0]["accept-encoding"] == "identity"


async def test_injected_posts_have_no_effect_beyond_a_count(
    health: Health, town: Town, connector: FeedConnector
) -> None:
    town.says(
        post("future", seconds_ago=-3_600),
        post("past", seconds_ago=700),
        post(""),
        post("undated") | {"date_published": "soon"},
        post("<script>alert(1)</script>", "<script>alert(1)</script>"),
        *[post("amina", f"Hakika is down {n}") for n in range(300)],
    )
    assert await poller(health, connector).poll(connector) == 1
    assert await health.refused() == {
        Refused.FEED_FUTURE: 1,
        Refused.FEED_POST: 2,
        Refused.FEED_OTHER: 1,
        Refused.FEED_AGAIN: 299,
    }
    assert await health.rows("SELECT count(*) FROM report WHERE to_jsonb(report)::text LIKE '%%amina%%'") == [(0,)]


async def test_a_feed_speaks_for_a_bounded_number_of_persons(
    health: Health, town: Town, connector: FeedConnector
) -> None:
    town.says(*[post(f"author-{n}") for n in range(POSTS_MAX + 1_000)])
    assert await poller(health, connector).poll(connector) == FEED_PERSONS_MAX
    assert await reports(health) == [("product:bank-to-wallet", "feed", FEED_PERSONS_MAX)]
    assert await health.refused() == {
        Refused.FEED_ENTRIES: 1_000,
        Refused.FEED_BOUND: POSTS_MAX - FEED_PERSONS_MAX,
    }


LAUGHS = (
    b'<!DOCTYPE feed [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><feed xmlns="http://www.w3.org/2005/Atom">&b;</feed>'
)
BAD: list[tuple[Response, Refused]] = [
    (Response(500), Refused.FEED_UNREACHABLE),
    (Response(302, headers=(("location", "/feed"),)), Refused.FEED_UNREACHABLE),
    (Response(200, b"x" * 1_100_000), Refused.FEED_UNREACHABLE),
    (Response(200, b"\x1f\x8b", headers=(("content-encoding", "gzip"),)), Refused.FEED_UNREACHABLE),
    (Response(200, LAUGHS), Refused.FEED_FORM),
    (Response(200, b"<html></html>"), Refused.FEED_FORM),
    (Response(200, b"{" * 100_000), Refused.FEED_FORM),
    (Response(200, b""), Refused.FEED_FORM),
]


@pytest.mark.parametrize(("answer", "why"), BAD)
async def test_a_bad_feed_is_one_count(
    health: Health, town: Town, connector: FeedConnector, answer: Response, why: Refused
) -> None:
    town.answer = answer
    assert await poller(health, connector).poll(connector) == 0
    assert await health.refused() == {why: 1}
    assert len(town.asked) == 1, "a redirect is not followed"


async def test_a_silent_server_and_none_at_all(
    health: Health, town: Town, connector: FeedConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hakika.outbound.feeds.FETCH_S", 0.3)
    town.wait_s = 5.0
    began = asyncio.get_running_loop().time()
    assert await poller(health, connector).poll(connector) == 0
    assert asyncio.get_running_loop().time() - began < 1.0
    gone = FeedConnector("gone", FeedClient("http://127.0.0.1:1/feed"))
    assert await poller(health, gone).poll(gone) == 0
    await gone.close()
    assert await health.refused() == {Refused.FEED_UNREACHABLE: 2}


async def test_what_could_not_be_stored_is_stored_the_next_time(
    health: Health, town: Town, connector: FeedConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(work: Any, *, deadline_s: float) -> Any:
        raise NoAnswer("no answer")

    town.says(post("amina"), headers=(("etag", '"same"'),))
    polling = poller(health, connector)
    monkeypatch.setattr(health.evidence._lanes, "run", lose)
    with pytest.raises(NoAnswer):
        await polling.poll(connector)
    monkeypatch.undo()
    assert await polling.poll(connector) == 1


class Wild:
    """A connector of somebody else, with a bug."""

    name = "wild"

    def __init__(self) -> None:
        self.asked = 0

    async def fetch(self, since_ms: int) -> list[Post]:
        self.asked += 1
        if self.asked == 1:
            raise ZeroDivisionError("a bug")
        return [Post("x", "Hakika is down", clock.now_ms())]


async def test_a_connector_with_a_bug_stops_no_other(
    health: Health, town: Town, connector: FeedConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hakika.health.feeds.poller.EVERY_S", 0.1)
    town.says(post("amina"))
    wild = Wild()
    tasks = [asyncio.create_task(loop) for loop in poller(health, wild, connector).workers()]
    async with asyncio.timeout(10):
        while (await reports(health)) != [("product:bank-to-wallet", "feed", 2)]:  # noqa: ASYNC110 - a database
            await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
