"""What a declared restore of the gateway has lost, told apart from what is wrong.

A gateway that was put back to a copy has forgotten transfers which the core and the banks remember. A posting of
before the raise without a transfer is such a loss if its bank has that very transfer as completed, amount and wallet
alike; an end in a bank's books without a transfer is one if the core agrees with it. Everything else, and everything
of after the raise, is a finding as always. Where a bank's books are not at hand, its part is counted and not judged.
"""

import hashlib
from collections import Counter
from typing import NamedTuple
from uuid import UUID

from hakika.simulator.checker_findings import Tally
from hakika.simulator.checker_snapshots import DatabaseSnapshot

INCARNATION = "SELECT number, raised_ms FROM incarnation ORDER BY number DESC LIMIT 1"
CLOCKS_MS = 300_000  # the clocks of gateway, core and banks may differ by so much
NUMBERS_MAX = 64  # attempts that a transfer can have


def attempt_id(bank: str, uetr: str, number: int) -> bytes:
    """The documented derivation: a UUID version 8 over 'attempt', bank, UETR and number, each with its length."""
    parts = (b"attempt", bank.encode(), UUID(uetr).bytes, number.to_bytes(4, "big"))
    digest = bytearray(hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


class Credit(NamedTuple):
    """Money that the core has moved from a bank's position to a wallet."""

    id: bytes
    bank: str
    msisdn: str | None
    amount_minor: int
    currency: str | None


def raised_ms(gateway: DatabaseSnapshot) -> int | None:
    """When the gateway's database was last declared as restored; None for never."""
    number, at_ms = gateway.one(INCARNATION)
    return at_ms if number > 1 else None


class Forgotten:
    """Credits of before a restore of the gateway that none of its transfers explains."""

    def __init__(self, raised: int | None) -> None:
        """`raised` is the instant of the raise, None where there was none: then nothing is explained here."""
        self._raised_ms = raised
        self._credits: dict[bytes, Credit] = {}
        self.complete = False  # the core was read whole, so that a credit which is not here does not exist

    def covers(self, at_ms: int | None) -> bool:
        """True for what happened early enough to be lost."""
        return self._raised_ms is not None and at_ms is not None and at_ms <= self._raised_ms + CLOCKS_MS

    @property
    def declared(self) -> bool:
        """True where the gateway says that it was restored."""
        return self._raised_ms is not None

    def add(self, credit: Credit) -> None:
        """A posting without a transfer."""
        self._credits[credit.id] = credit

    def take(self, bank: str, uetr: str) -> list[Credit]:
        """The credits under any id that a transfer can have; each is given once."""
        if not self._credits:
            return []
        ids = (attempt_id(bank, uetr, number) for number in range(1, NUMBERS_MAX + 1))
        return [self._credits.pop(one) for one in ids if one in self._credits]

    def name_left(self, compared: list[str], tally: Tally) -> None:
        """I19: credits that nobody can explain, of banks whose books were compared; of the others a count."""
        counts: Counter[str] = Counter()
        for credit in self._credits.values():
            if credit.bank not in compared:
                counts["credits_forgotten_in_restore"] += 1
                continue
            what = f"{credit.amount_minor} {credit.currency} from {credit.bank} to wallet {credit.msisdn}: posted"
            text = f"{what} before the gateway was restored, and its bank knows no transfer with this id either"
            tally.find("I19", f"set {UUID(bytes=credit.id)}", text)
        tally.counts.update(counts)
