"""A judge as a process of its own: judges evidence that is stored already, five seconds at a time, to a given second.

    python judge_life.py DATABASE_URL TO_SECOND SCALE

Begins after the last tick that is committed. HAKIKA_CRASH_AT ends it where a test wants.
"""

import asyncio
import os
import sys

from judge_kit import COMPONENTS, T0_MS, ZONE

from hakika.health.crash_points import VARIABLE, armed
from hakika.health.judge import Judge
from hakika.health.refitting import Refitting
from hakika.store.health import judging
from hakika.store.lane import Lanes


async def live(url: str, to_second: int, scale: float) -> None:
    """Judge until then."""
    lanes = Lanes(url, size=1, name="life")
    standing = await lanes.run(judging.standing, deadline_s=5)
    second = (standing.tick_ms - T0_MS) // 1000 if standing else 0
    home = Refitting(lanes, COMPONENTS, scale=scale)
    crash_point = armed(os.environ.get(VARIABLE))
    judge = Judge(lanes, home.wake_up, components=COMPONENTS, zone=ZONE, scale=scale, crash_point=crash_point)
    while second < to_second:
        second += 5
        await judge.tick(T0_MS + 1000 * second + 600)
    await lanes.close()


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
