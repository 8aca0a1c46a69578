"""What a connector gives: posts of people, or why there are none."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Post:
    """What one author wrote; `published_ms` is None where the post does not say when, `author` empty if it has none."""

    author: str
    text: str
    published_ms: int | None


class PostsUnreachable(Exception):
    """Nothing was received; the text says how."""


class PostsUnreadable(Exception):
    """Something was received, and it is not what this connector reads; the text names the rule."""
