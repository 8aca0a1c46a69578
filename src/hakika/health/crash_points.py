"""Where a process may be made to end at once, as by a power cut, between two steps of the judge or the publisher.

A point does nothing unless HAKIKA_CRASH_AT names it (`name`, or `name:n` for the nth time it is reached); only tests
set it. Between any two points there is one step, so that killing at each of them is killing between all; the points
after a judgement and an event are reached only when one was written.
"""

import os
from collections.abc import Callable

VARIABLE = "HAKIKA_CRASH_AT"
EXIT_CODE = 99
POINTS = (
    "before_read",
    "after_read",
    "after_assessment",
    "after_claim",
    "after_states",
    "after_judgement",
    "after_event",
    "after_commit",
    "before_publish",
    "after_publish",
    "after_publication",
)

CrashPoint = Callable[[str], None]


class CrashPointRefused(ValueError):
    """HAKIKA_CRASH_AT names no crash point."""


def no_crash(name: str) -> None:
    """The crash point of every process that no test has armed."""


def armed(text: str | None) -> CrashPoint:
    """What HAKIKA_CRASH_AT asks for; nothing happens without it."""
    if not text:
        return no_crash
    name, _, nth = text.partition(":")
    if name not in POINTS or (nth and not nth.isdecimal()):
        raise CrashPointRefused(f"{VARIABLE}: name or name:n, the name one of {', '.join(POINTS)}")
    left = [int(nth or 1)]

    def crash(reached: str) -> None:
        if reached != name:
            return
        left[0] -= 1
        if left[0] <= 0:
            os._exit(EXIT_CODE)

    return crash
