"""How many messages may be under way, and when a message goes out again: pure arithmetic.

At the first doubt the window halves and a pause begins; each answer widens it again. So a bank that sends
throughout neither drowns a sick gateway nor leaves a healthy one waiting: when answers come back, everything
that waits is due at once.
"""

from dataclasses import dataclass

WINDOW_MIN = 2
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 1.0
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0


def backoff_s(tries: int) -> float:
    """How long one message rests after its `tries`-th sending without an answer (from 1), before jitter."""
    return float(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(tries - 1, 10)))


@dataclass(slots=True)
class Window:
    """The bound on messages under way, shrinking with silence and widening with answers."""

    size_max: int
    size: int = 0
    paused_until_s: float = 0.0
    doubts: int = 0  # silences in a row

    def __post_init__(self) -> None:
        self.size = self.size_max

    def answered(self) -> bool:
        """The gateway answers; True when this ends a silence."""
        ended = self.doubts > 0
        self.doubts = 0
        self.paused_until_s = 0.0
        self.size = min(self.size_max, self.size * 2 if ended else self.size + 1)
        return ended

    def unanswered(self, now_s: float, retry_after_s: float | None) -> None:
        """Silence, or busy; `retry_after_s` is obeyed where the gateway named it."""
        self.doubts += 1
        self.size = max(min(WINDOW_MIN, self.size_max), self.size // 2)
        pause_s = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2 ** min(self.doubts - 1, 8))
        until_s = now_s + (pause_s if retry_after_s is None else retry_after_s)
        self.paused_until_s = max(self.paused_until_s, until_s)
