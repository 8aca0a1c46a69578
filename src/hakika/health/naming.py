"""How components of the settings are called in public: by a name agreed with a bank, else by a mere letter.

Series names are ours (`corridor:bank-a`); the page needs ids that may be names of files, and a name that it has in
every language. What it has no name for is left out of the page, and said in the log once, at the start.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hakika.health.page.model import Direction, Kind, Name

log = logging.getLogger(__name__)

NAMES = {
    "channel:tracking": Name.TRACKING_PAGE,
    "channel:bank-api": Name.BANK_API,
    "channel:core-api": Name.CORE_API,
    "channel:ussd": Name.USSD,
    "channel:app": Name.APP,
    "channel:sms": Name.SMS,
    "product:bank-to-wallet": Name.BANK_TRANSFERS,
    "product:wallet-to-wallet": Name.WALLET_TRANSFERS,
    "product:bills": Name.BILLS,
    "product:cash": Name.CASH,
}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class PublicName:
    """One component as the page knows it."""

    id: str
    kind: Kind
    name: Name | None = None
    direction: Direction | None = None
    public_name: str | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Configured:
    """One component of the settings: `instead` names series that may work where it does not."""

    series: str
    kind: str
    public_name: str = ""
    instead: Sequence[str] = ()


class Named:
    """Every configured component, and those of them that the page can name."""

    def __init__(self, components: Iterable[Configured]) -> None:
        self._configured = {one.series: one for one in components}
        self.public: dict[str, PublicName] = {}
        unnamed = 0
        for one in self._configured.values():
            letter = ""
            if one.kind == "corridor" and not one.public_name:
                letter = _letter(unnamed)
                unnamed += 1
            found = _public(one, letter)
            if found is not None:
                self.public[one.series] = found
            elif one.kind != "role":
                log.warning("component %s is not on the status page: it has no name there", one.series)

    @property
    def all(self) -> tuple[str, ...]:
        """Every configured series."""
        return tuple(self._configured)

    @property
    def banks(self) -> tuple[str, ...]:
        """The banks that have a corridor."""
        return tuple(series.partition(":")[2] for series, one in self._configured.items() if one.kind == "corridor")

    def ids(self, components: Iterable[str]) -> tuple[str, ...]:
        """The page's ids of those that it can name, in the order of the settings."""
        wanted = frozenset(components)
        return tuple(named.id for series, named in self.public.items() if series in wanted)

    def instead(self, series: str) -> Sequence[str]:
        """What may work where this does not."""
        found = self._configured.get(series)
        return found.instead if found is not None else ()

    def operators_name(self, series: str) -> str:
        """As the operator's own screens call it: every bank by its name."""
        found = self._configured.get(series)
        return found.public_name if found is not None and found.public_name else series.partition(":")[2] or series


def _public(one: Configured, letter: str) -> PublicName | None:
    id_ = re.sub(r"[^A-Za-z0-9_-]", "-", one.series)[:64]
    if one.kind == "corridor":
        return PublicName(
            id_, Kind.CORRIDOR, direction=Direction.BANK_TO_WALLET, public_name=one.public_name or None, label=letter
        )
    name = NAMES.get(one.series)
    if name is None or one.kind not in ("channel", "product"):
        return None
    return PublicName(id_, Kind(one.kind), name=name)


def _letter(place: int) -> str:
    """A, B, ... Z, A1, B1, ..."""
    turn, rest = divmod(place, len(LETTERS))
    return LETTERS[rest] + (str(turn) if turn else "")
