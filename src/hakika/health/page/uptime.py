"""The two published rules by which uptime is counted, so that the page's figure and its description are one thing.

A minute is good when fewer than 5 % of the outcomes learnt in it were technical failures (the rule that Revolut
publishes its figures by); uptime is good minutes among measured ones. An interface is down when five requests in
a row, from one caller or several, get no reply within 30 s, counted from the first of them until one is answered
(the rule of UK Open Banking). A minute without a measurement counts neither way and is shown as not known.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from hakika.health.page.model import Day

FAILED_SHARE_MAX = 0.05  # a minute below this is good
DOWN_AFTER_REQUESTS = 5
REPLY_WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class Uptime:
    """Days added up; minutes."""

    days: int  # on which anything was measured
    measured: int
    good: int
    down: int

    @property
    def percent(self) -> Decimal | None:
        """Good minutes of 100 measured, two decimals, never rounded up; None when nothing was measured."""
        if not self.measured:
            return None
        return (Decimal(100 * self.good) / self.measured).quantize(Decimal("0.01"), rounding=ROUND_FLOOR)


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an interface and whether its reply came within `REPLY_WITHIN_S`; milliseconds since 1970."""

    at_ms: int
    answered: bool


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant up to another, milliseconds since 1970."""

    from_ms: int
    to_ms: int


def good_minute(ended: int, failed: int) -> bool | None:
    """Whether a minute counts as good; None when no outcome was learnt in it."""
    return failed < FAILED_SHARE_MAX * ended if ended else None


def added_up(days: Iterable[Day]) -> Uptime:
    """The uptime of some days."""
    counted = [day for day in days if day.measured]
    return Uptime(
        len(counted),
        sum(day.measured for day in counted),
        sum(day.good for day in counted),
        sum(day.down for day in counted),
    )


def down_spans(requests: Iterable[Request], *, until_ms: int) -> list[Span]:
    """When an interface was down, from its requests in the order of time; one still down lasts until `until_ms`."""
    spans: list[Span] = []
    silent = 0
    first_ms = 0
    for request in requests:
        if not request.answered:
            first_ms = first_ms if silent else request.at_ms
            silent += 1
            continue
        if silent >= DOWN_AFTER_REQUESTS:
            spans.append(Span(first_ms, request.at_ms))
        silent = 0
    if silent >= DOWN_AFTER_REQUESTS:
        spans.append(Span(first_ms, until_ms))
    return spans
