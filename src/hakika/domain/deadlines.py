"""Deadlines from rule packs: when a transfer must be final, and the instants that follow from it.

A promise is data, not code: the house promises 4 hours, another country's rule says otherwise. A scenario
divides policies by its scale; clocks and machine timers run at true speed. Order, for every transfer:
received < valid_until < return_at < deadline. The lead between the last two is the bank's time to book a return,
so that the money is on the customer's account, and not merely decided, by what she was promised.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RulePack:
    """One corridor's promise, in unscaled seconds."""

    name: str
    promise_s: int  # from receipt to final
    validity_margin_s: int  # valid_until lies this much before the deadline
    return_lead_s: int  # a never-attempted transfer is returned this much before the deadline
    source: str


HOUSE_4H = RulePack("house-4h", 4 * 3600, 2700, 1800, "Hakika house rule")
HOUSE_8H = RulePack("house-8h", 8 * 3600, 4500, 3600, "Hakika house rule for banks with nightly batches")
INDIA_T1 = RulePack("india-t1", 24 * 3600, 5400, 3600, "RBI TAT harmonisation 2019: T+1, then INR 100 a day")
NIGERIA_24H = RulePack("nigeria-24h", 24 * 3600, 5400, 3600, "CBN: failed transfer reversed within 24 hours")
PACKS = {pack.name: pack for pack in (HOUSE_4H, HOUSE_8H, INDIA_T1, NIGERIA_24H)}


def scale_refusal(scale: float) -> str | None:
    """Why no rule pack can be divided by `scale`; None where all can."""
    try:
        for pack in PACKS.values():
            deadlines_for(pack, 0, scale)
    except ScaleRefused as refused:
        return str(refused)
    return None


class ScaleRefused(ValueError):
    """Policies were divided until two instants of a promise fell together."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The instants of one transfer, wall clock milliseconds."""

    valid_until_ms: int  # the core stores a refusal after this; never evidence for a return
    return_at_ms: int  # a transfer without any attempt is returned from here on
    deadline_ms: int  # promised to the customer


def deadlines_for(pack: RulePack, received_ms: int, scale: float = 1.0) -> Deadlines:
    """The instants for a transfer received at `received_ms`, policies divided by `scale` (>= 1).

    Raises ScaleRefused where the scale leaves no time between two of them.
    """
    deadline_ms = received_ms + int(pack.promise_s * 1000 / scale)
    valid_until_ms = deadline_ms - int(pack.validity_margin_s * 1000 / scale)
    return_at_ms = deadline_ms - int(pack.return_lead_s * 1000 / scale)
    if not received_ms < valid_until_ms < return_at_ms < deadline_ms:
        raise ScaleRefused(f"scale {scale:g} leaves no time between the instants of rule pack {pack.name}")
    return Deadlines(valid_until_ms, return_at_ms, deadline_ms)
