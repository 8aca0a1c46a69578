"""Ids that follow from other ids, and the prefixed text under which people meet them.

An attempt's id follows from bank, UETR and the attempt's number alone, so that after a restore every id that
may ever have moved money can be named again and burnt; and so does the id of a return, so that a bank that has
booked it knows it again. A linked set's members follow from its head.
"""

import base64
import hashlib
from functools import lru_cache
from uuid import UUID

PREFIXES = {"transfer": "trf_", "attempt": "att_", "account": "acc_", "entry": "ent_", "incident": "inc_"}


def derived(*parts: bytes) -> UUID:
    """A UUID version 8 (RFC 9562, 5.8) from SHA-256 over length-prefixed parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    raw = int.from_bytes(digest.digest()[:16], "big")
    raw &= ~(0xF << 76) & ~(0b11 << 62)
    return UUID(int=raw | (0x8 << 76) | (0b10 << 62))


@lru_cache(maxsize=8192)  # asked for when an attempt is recorded, sent and closed
def attempt_id(bank: str, uetr: UUID, number: int) -> UUID:
    """The id of attempt `number` (from 1) of one bank's transfer."""
    return derived(b"attempt", bank.encode(), uetr.bytes, number.to_bytes(4, "big"))


def return_id(bank: str, uetr: UUID) -> str:
    """The fixed RtrId of a transfer's one return: 35 characters, the same before and after any restore."""
    return "RTR" + hashlib.sha256(f"{bank}/{uetr}".encode()).hexdigest()[:32]


def member_id(head: UUID, number: int) -> UUID:
    """The id of member `number` of a linked set; number 0 is the head itself."""
    return head if number == 0 else derived(b"member", head.bytes, number.to_bytes(4, "big"))


def shown(kind: str, value: UUID) -> str:
    """The prefixed form for logs and pages: `att_5f0c...`."""
    return PREFIXES[kind] + value.hex


@lru_cache(maxsize=1024)  # the standard library encodes in Python, and an answer names each reference twice
def reference_text(tracking: bytes) -> str:
    """The reference under /t/: 128 random bits as 26 lower-case base32 characters (RFC 4648, no padding)."""
    return base64.b32encode(tracking).decode().rstrip("=").lower()
