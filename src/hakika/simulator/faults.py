"""What can go wrong on a link, as data: its mode, and the faults that hit single messages by chance.

A mode concerns every message while it lasts; a fault is drawn for each message from a seeded source, always in
the same order, so that one seed gives one sequence per connection. Nothing here touches a socket: `proxy.py`
carries out what is drawn.
"""

import hashlib
import random
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from hakika import clock

DELAY_MS_MAX = 60_000
SHARE_MAX = 1.0


class Mode(StrEnum):
    """What a link does with everything on it."""

    OPEN = "open"
    BLACKHOLE = "blackhole"  # acknowledges and reads every byte, forwards none, never answers
    DEAF = "deaf"  # requests pass, answers do not: the far side acts, nobody hears of it
    REFUSE = "refuse"  # connections are refused, those that stand are reset
    BUSY = "busy"  # an overloaded front: every request is answered 503 at once and never reaches the far side
    SLOW = "slow"  # of a database's link alone: everything works, and takes many times as long


class Chances(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Probabilities per message of one direction; what is absent does not happen."""

    delay: float = 0.0
    delay_ms: tuple[int, int] = (0, 0)
    drop: float = 0.0  # lost, the connection stays open and is never answered
    cut: float = 0.0  # lost, the connection is reset
    double: float = 0.0  # a request is forwarded twice, on two connections; the first answer counts
    reorder: float = 0.0  # held back until a later message of the same direction has passed
    truncate: float = 0.0  # the first part passes, then the connection is reset
    busy: float = 0.0  # a request is answered 503 at once and not forwarded
    bytes_per_s: int = 0  # 0: as fast as it goes


class Noise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Faults of both directions of a link."""

    request: Chances = msgspec.field(default_factory=Chances)
    answer: Chances = msgspec.field(default_factory=Chances)


QUIET = Noise()


class FaultsRefused(ValueError):
    """A probability or range that cannot be meant; the message names the field and the rule."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What happens to one message."""

    delay_s: float = 0.0
    drop: bool = False
    cut: bool = False
    double: bool = False
    reorder: bool = False
    busy: bool = False
    kept_share: float | None = None  # truncated to this share of its bytes
    bytes_per_s: int = 0
    names: tuple[str, ...] = field(default=())


def checked(noise: Noise) -> Noise:
    """The same noise, or FaultsRefused."""
    for side, chances in (("request", noise.request), ("answer", noise.answer)):
        for name in ("delay", "drop", "cut", "double", "reorder", "truncate", "busy"):
            if not 0.0 <= getattr(chances, name) <= SHARE_MAX:
                raise FaultsRefused(f"{side}.{name}: a probability is 0 to 1")
        low, high = chances.delay_ms
        if not 0 <= low <= high <= DELAY_MS_MAX:
            raise FaultsRefused(f"{side}.delay_ms: two numbers, rising, 0 to {DELAY_MS_MAX}")
        if chances.bytes_per_s < 0:
            raise FaultsRefused(f"{side}.bytes_per_s: not negative")
    if noise.answer.double:
        raise FaultsRefused("answer.double: one request has one answer in HTTP/1.1; double the request")
    if noise.answer.busy:
        raise FaultsRefused("answer.busy: it is the request that is refused")
    return noise


def dice_for(seed: int, link: str, connection: int) -> random.Random:
    """The source of one connection's faults: follows from the seed, the link's name and the number alone."""
    digest = hashlib.sha256(f"{seed}/{link}/{connection}".encode()).digest()
    return clock.seeded(int.from_bytes(digest[:8], "big"))


def draw(chances: Chances, dice: random.Random) -> Drawn:
    """One message's fate. Eight numbers are drawn whatever the chances are, so that sequences stay aligned."""
    rolls = [dice.random() for _ in range(8)]
    delay, drop, cut, double, reorder, truncate, share, busy = rolls
    names: list[str] = []
    low, high = chances.delay_ms
    delay_s = 0.0
    if delay < chances.delay:
        delay_s = (low + (high - low) * share) / 1000
        names.append("delay")
    hits = {
        "drop": drop < chances.drop,
        "cut": cut < chances.cut,
        "double": double < chances.double,
        "reorder": reorder < chances.reorder,
        "truncate": truncate < chances.truncate,
        "busy": busy < chances.busy,
    }
    names += [name for name, hit in hits.items() if hit]
    return Drawn(
        delay_s=delay_s,
        drop=hits["drop"],
        cut=hits["cut"],
        double=hits["double"],
        reorder=hits["reorder"],
        busy=hits["busy"],
        kept_share=share if hits["truncate"] else None,
        bytes_per_s=chances.bytes_per_s,
        names=tuple(names),
    )
