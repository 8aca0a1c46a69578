"""The one door to non-determinism: time, fresh ids and randomness.

Everything outside this module receives time and ids as values, so a simulator can hand it others.
Two clocks, never mixed: the wall clock for what is promised to people (deadlines, receipts), in integer
milliseconds since 1970 UTC, and the monotonic clock for how long we wait (timeouts, leases held in memory).
Fresh ids are UUID version 7 (RFC 9562, 5.7): time-ordered, so that an index grows at one end.
"""

import os
import random
import secrets
import time
from uuid import UUID

UUID_VERSION_7 = 0x7
UUID_VARIANT_RFC = 0b10


def now_ms() -> int:
    """Wall clock, milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Monotonic clock in seconds; only differences mean anything."""
    return time.monotonic()


def new_id() -> UUID:
    """A fresh UUIDv7: 48 bits of milliseconds, 74 random bits."""
    millis = now_ms() & (2**48 - 1)
    noise = int.from_bytes(os.urandom(10), "big")
    high = noise >> 68  # 12 bits
    low = noise & (2**62 - 1)
    return UUID(int=(millis << 80) | (UUID_VERSION_7 << 76) | (high << 64) | (UUID_VARIANT_RFC << 62) | low)


def new_uetr() -> UUID:
    """A fresh UETR: ISO 20022 UUIDv4Identifier requires version 4."""
    return UUID(bytes=os.urandom(16), version=4)


def secret_bytes(count: int) -> bytes:
    """Unpredictable bytes, for keys and tracking references."""
    return secrets.token_bytes(count)


def seeded(seed: int) -> random.Random:
    """A repeatable source of choices for simulators and demo banks; never for secrets."""
    return random.Random(seed)  # noqa: S311 - repeatability is the point


def jitter(base_s: float, share: float = 0.2) -> float:
    """`base_s` spread evenly by +-`share`, so that crowds do not retry in step."""
    return base_s * (1 + share * (2 * random.random() - 1))  # noqa: S311 - not a secret
