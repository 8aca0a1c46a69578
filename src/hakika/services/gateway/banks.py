"""Who may instruct us: banks, their keys and their promises, held in memory and read again every few seconds.

A revoked key stops working within REFRESH_S. The registry survives the loss of the database with what it read
last: a signature can still be checked, and nothing can be taken into custody without the database anyway.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hakika.domain.deadlines import PACKS, RulePack
from hakika.store.gateway import banks as rows
from hakika.store.lane import Lanes

REFRESH_S = 10.0
READ_DEADLINE_S = 2.0


@dataclass(frozen=True, slots=True)
class Bank:
    """One institution as the gateway knows it."""

    id: str
    name: str
    callback_url: str
    pack: RulePack


class Banks:
    """Banks by id and by the key id under which they sign."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._banks: dict[str, Bank] = {}
        self._keys: dict[str, tuple[str, Ed25519PublicKey]] = {}

    async def refresh(self) -> None:
        """Read both tables again; raises StoreFault and keeps the last state when that fails."""
        banks, keys = await self._lanes.run(rows.read_all, deadline_s=READ_DEADLINE_S)
        self._banks = {row.id: Bank(row.id, row.name, row.callback_url, PACKS[row.rule_pack]) for row in banks}
        self._keys = {row.kid: (row.bank, Ed25519PublicKey.from_public_bytes(row.public_key)) for row in keys}

    def key(self, kid: str) -> Ed25519PublicKey | None:
        """The public key under a key id, None when unknown or revoked."""
        found = self._keys.get(kid)
        return found[1] if found else None

    def owner(self, kid: str) -> Bank:
        """The bank that signs with a known key."""
        return self._banks[self._keys[kid][0]]

    def bank(self, bank_id: str) -> Bank:
        """A known bank; KeyError otherwise."""
        return self._banks[bank_id]

    def all(self) -> tuple[Bank, ...]:
        """Every bank, in the order of their ids."""
        return tuple(self._banks[key] for key in sorted(self._banks))
