"""The contract of a connector for public posts, and the sample that reads Atom and JSON Feed.

A connector gives what people wrote since an instant and decides nothing: who counts, what a post is about and how much
of a flood is looked at is for whoever polls it (`poller.py`), who trusts no connector. To add one, write a class with
`name` and `fetch` and give it to the poller.
"""

from typing import Protocol

from hakika.health.calling import call
from hakika.health.feeds.posts import Post, PostsUnreachable
from hakika.health.feeds.reading import read_feed
from hakika.outbound.feeds import FeedClient, FeedUnreachable, Unchanged


class Connector(Protocol):
    """A place where people write in public."""

    @property
    def name(self) -> str:
        """Tells places apart; one author in two places is two persons."""

    async def fetch(self, since_ms: int) -> list[Post]:
        """Posts published after `since_ms`, and posts without a date. Raises PostsUnreachable, PostsUnreadable."""


class FeedConnector:
    """A public feed, Atom (RFC 4287) or JSON Feed 1.1, at a fixed address."""

    def __init__(self, name: str, client: FeedClient) -> None:
        self.name = name
        self._client = client

    async def fetch(self, since_ms: int) -> list[Post]:
        """As the contract says; an unchanged feed has no posts."""
        try:
            got = await call(self._client.get())
        except FeedUnreachable as error:
            raise PostsUnreachable(str(error)) from error
        if isinstance(got, Unchanged):
            return []
        posts = read_feed(got.content)
        return [post for post in posts if post.published_ms is None or post.published_ms > since_ms]

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()
