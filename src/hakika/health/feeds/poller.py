"""Asks every connector once a minute, sorts what people wrote, and counts who says that something does not work.

Nothing of a post is kept: its author is hashed as a person and counts once a component and hour, a feed for a bounded
number of persons. A post of long ago says nothing about now; one of the future, one without author or date, and what
stands beyond POSTS_MAX are counted and not looked at. A connector that fails is asked again; no connector waits for
another.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from typing import Any

from hakika import clock
from hakika.health.feeds.connector import Connector
from hakika.health.feeds.posts import Post, PostsUnreachable, PostsUnreadable
from hakika.health.sorting import Vocabulary, component_of
from hakika.services.health.evidence import Evidence, Refused, Source
from hakika.store.lane import StoreFault

log = logging.getLogger(__name__)

EVERY_S = 60.0
POSTS_MAX = 500
SEEN_MAX = 5_000  # of a connector: more than can be fresh
OLD_MS = 600_000
AHEAD_MS = 60_000
BATCH = 50  # posts sorted before others have their turn


class FeedPoller:
    """A part of health: one loop for each connector."""

    def __init__(self, evidence: Evidence, connectors: Sequence[Connector], vocabulary: Vocabulary) -> None:
        self._evidence = evidence
        self._connectors = tuple(connectors)
        self._vocabulary = vocabulary
        self._seen: dict[str, OrderedDict[int, None]] = {one.name: OrderedDict() for one in connectors}
        self._unstored: dict[str, list[tuple[str, bytes]]] = {}  # a connector may say a thing once

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """A loop for each connector."""
        return [self._follow(connector) for connector in self._connectors]

    def routes(self) -> list[Any]:
        """None: nobody asks it."""
        return []

    async def _follow(self, connector: Connector) -> None:
        while True:
            try:
                await self.poll(connector)
            except StoreFault as fault:
                log.warning("reports of %s are not stored: %s", connector.name, fault)
            except Exception:
                log.exception("polling %s failed", connector.name)
            await asyncio.sleep(clock.jitter(EVERY_S))

    async def poll(self, connector: Connector) -> int:
        """One fetch and what comes of it; how many persons were newly counted. Raises StoreFault."""
        try:
            posts = await connector.fetch(clock.now_ms() - OLD_MS)
        except PostsUnreachable as error:
            return self._nothing(connector, Refused.FEED_UNREACHABLE, error)
        except PostsUnreadable as error:
            return self._nothing(connector, Refused.FEED_FORM, error)
        self._evidence.refuse(Refused.FEED_ENTRIES, len(posts) - POSTS_MAX)
        now_ms = clock.now_ms()
        said: list[tuple[str, bytes]] = self._unstored.pop(connector.name, [])
        for number, post in enumerate(posts[:POSTS_MAX], start=1):
            if number % BATCH == 0:
                await asyncio.sleep(0)
            if not self._new(connector, post):
                continue
            why, component = self._sorted(post, now_ms)
            if why is not None:
                self._evidence.refuse(why)
            elif component is not None:
                said.append((component, self._evidence.author(connector.name, post.author)))
        if not said:
            return 0
        self._unstored[connector.name] = said[:POSTS_MAX]
        origin = self._evidence.of_feed(connector.name)
        taken = await self._evidence.take_reports(Source.FEED, origin, said[:POSTS_MAX])
        del self._unstored[connector.name]
        return taken.stored

    def _new(self, connector: Connector, post: Post) -> bool:
        """Whether this post has not been looked at; feeds show the same ones again, late ones among them."""
        seen = self._seen[connector.name]
        key = hash(post)  # texts of strangers are not kept, here either
        if key in seen:
            return False
        seen[key] = None
        if len(seen) > SEEN_MAX:
            seen.popitem(last=False)
        return True

    def _sorted(self, post: Post, now_ms: int) -> tuple[Refused | None, str | None]:
        """Why a post does not count, or the component that it is about."""
        if not post.author or post.published_ms is None:
            return Refused.FEED_POST, None
        if post.published_ms > now_ms + AHEAD_MS:
            return Refused.FEED_FUTURE, None
        if post.published_ms < now_ms - OLD_MS:
            return Refused.FEED_OLD, None
        component = component_of(post.text, self._vocabulary)
        return (None, component) if component is not None else (Refused.FEED_OTHER, None)

    def _nothing(self, connector: Connector, why: Refused, error: Exception) -> int:
        self._evidence.refuse(why)
        log.info("%s: %s", connector.name, error)
        return 0
