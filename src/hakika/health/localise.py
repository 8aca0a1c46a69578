"""What is broken, from where evidence is and where it is not; one cause for each group of what broke together.

A cause is a claim about series: that those it covers fail and nobody else does. A claim is dropped when a series it
covers is known to be well. Of the claims left, the one that covers most of what is bad is taken, what it explains is
set aside, and the rest is explained the same way. So all corridors bad over several banks that can be reached is the
far side (the core); all of one direction, while the other works, is that direction; one corridor is that corridor.
Series that nobody knows about support no claim; where they are most of a claim, its members are named one by one.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum

WIDE_SHARE = 0.5  # of the series a wide cause covers, those known to be bad


class Health(StrEnum):
    """What is known of one series."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What a cause may be, the widest first: of claims that explain as much, the first is taken."""

    LINKS = "links"  # between us and all banks
    CORE = "core"
    FRONT = "front"  # what all customer channels share
    DIRECTION = "direction"
    BANK = "bank"
    PRODUCT = "product"
    CORRIDOR = "corridor"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """What a series is about: a corridor (of one product, or of all where `product` is empty), or a channel."""

    bank: str = ""
    direction: str = ""
    product: str = ""
    channel: str = ""

    @property
    def name(self) -> str:
        """As people read it."""
        if self.channel:
            return self.channel
        corridor = f"{self.bank} {self.direction}".strip()
        return f"{corridor} ({self.product})" if self.product and corridor else corridor or self.product

    @property
    def kind(self) -> "Kind":
        """What a cause is that explains this series and no other."""
        if self.channel:
            return Kind.CHANNEL
        return Kind.CORRIDOR if self.bank else Kind.PRODUCT


@dataclass(frozen=True, slots=True)
class Finding:
    """What the detectors say of one series, and since when it is bad (unix seconds)."""

    health: Health
    start_s: float | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is broken: its kind, its name (empty where there is only one), and what it explains."""

    kind: Kind
    name: str
    explains: tuple[Series, ...]
    start_s: float | None


@dataclass(frozen=True, slots=True)
class _Claim:
    kind: Kind
    name: str
    covers: Callable[[Series], bool]  # must be bad
    touches: Callable[[Series], bool]  # may be bad because of it
    banks_min: int = 1
    series_min: int = 1


def causes(findings: Mapping[Series, Finding], reachable: Mapping[str, bool] | None = None) -> tuple[Cause, ...]:
    """The causes that explain every bad series, the widest first; `reachable` says which banks answer us."""
    left = dict(findings)
    answers = reachable or {}
    found: list[Cause] = []
    for claims in (_unreachable(answers), _claims(findings)):
        while claims:
            bad = {series for series, finding in left.items() if finding.health is Health.BAD}
            best = max(claims, key=lambda claim: _worth(claim, bad, left))
            if not _worth(best, bad, left)[0]:
                break
            explained = {series for series in bad if best.covers(series) or best.touches(series)}
            found.append(Cause(best.kind, best.name, tuple(sorted(explained)), _start_s(explained, left)))
            left = {series: finding for series, finding in left.items() if series not in explained}
    return tuple(found)


def continues(before: Cause, now: Cause) -> bool:
    """The two explain a common series: the same incident, better understood."""
    return (before.kind, before.name) == (now.kind, now.name) or bool(set(before.explains) & set(now.explains))


def _worth(claim: _Claim, bad: Set[Series], findings: Mapping[Series, Finding]) -> tuple[int, int]:
    """How many bad series a claim covers (0 where it does not hold), then by kind."""
    covered = [series for series in findings if claim.covers(series)]
    guilty = [series for series in covered if series in bad]
    holds = (
        len(guilty) >= claim.series_min
        and len({series.bank for series in guilty}) >= claim.banks_min
        and not any(findings[series].health is Health.GOOD for series in covered)
        and len(guilty) >= WIDE_SHARE * len(covered)
    )
    return (len(guilty), -list(Kind).index(claim.kind)) if holds else (0, 0)


def _unreachable(answers: Mapping[str, bool]) -> list[_Claim]:
    """A bank that does not answer explains its corridors; all of them together are our own links."""
    cut_off = {bank for bank, answered in answers.items() if not answered}
    if len(cut_off) > 1 and cut_off == set(answers):
        return [_Claim(Kind.LINKS, "", lambda series: series.bank in cut_off, _never)]
    return [_Claim(Kind.BANK, bank, _of_bank(bank), _never) for bank in sorted(cut_off)]


def _claims(findings: Iterable[Series]) -> list[_Claim]:
    series = sorted(findings)
    corridors = [one for one in series if one.bank]
    claims = [
        _Claim(Kind.CORE, "", lambda one: bool(one.bank), lambda one: True, banks_min=2, series_min=2),
        _Claim(Kind.FRONT, "", lambda one: bool(one.channel), _never, series_min=2),
    ]
    for direction in sorted({one.direction for one in corridors}):
        claims.append(_Claim(Kind.DIRECTION, direction, _of_direction(direction), _never, banks_min=2))
    for bank in sorted({one.bank for one in corridors}):
        both = len({one.direction for one in corridors if one.bank == bank}) > 1
        if both:
            claims.append(_Claim(Kind.BANK, bank, _of_bank(bank), _never, series_min=2))
    for product in sorted({one.product for one in series if one.product}):
        claims.append(_Claim(Kind.PRODUCT, product, _of_product(product), _all_products))
    for bank, direction in sorted({(one.bank, one.direction) for one in corridors}):
        claims.append(_Claim(Kind.CORRIDOR, f"{bank} {direction}", _of_corridor(bank, direction), _never))
    return claims + [_Claim(one.kind, one.name, _only(one), _never) for one in series]


def _only(one: Series) -> Callable[[Series], bool]:
    return lambda series: series == one


def _never(_: Series) -> bool:
    return False


def _all_products(series: Series) -> bool:
    return bool(series.bank) and not series.product


def _of_direction(direction: str) -> Callable[[Series], bool]:
    return lambda series: bool(series.bank) and series.direction == direction


def _of_bank(bank: str) -> Callable[[Series], bool]:
    return lambda series: series.bank == bank


def _of_product(product: str) -> Callable[[Series], bool]:
    return lambda series: series.product == product


def _of_corridor(bank: str, direction: str) -> Callable[[Series], bool]:
    return lambda series: (series.bank, series.direction) == (bank, direction)


def _start_s(explained: Iterable[Series], findings: Mapping[Series, Finding]) -> float | None:
    starts = [start for series in explained if (start := findings[series].start_s) is not None]
    return min(starts) if starts else None
