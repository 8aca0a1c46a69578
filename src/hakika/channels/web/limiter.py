"""How much of us one client address may use: a token bucket each, in bounded memory, told the time.

A bucket holds up to `burst` tokens and fills at `rate_per_s`. Only the most recent `clients_max` addresses are
remembered: forgetting one refills its bucket, which is why misses are counted for everybody together as well.
Mobile carriers put thousands of people behind one address, so what an address may do must be generous.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field

from hakika.domain.reasons import InvariantBroken

IPV6_SITE_BITS = 64  # one customer's own network
CLIENT_CHARS_MAX = 64


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


@dataclass(slots=True)
class Limiter:
    """Token buckets by client; `now_s` is monotonic seconds."""

    rate_per_s: float
    burst: float
    clients_max: int
    _buckets: "OrderedDict[str, _Bucket]" = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        if not (self.rate_per_s > 0 and self.burst >= 1 and self.clients_max >= 1):
            raise InvariantBroken("a limiter needs a rate above zero, a burst and room for at least one")

    def take(self, client: str, now_s: float) -> float:
        """0.0 and one token less, or how many seconds until there is one."""
        bucket = self._bucket(client, now_s)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self.rate_per_s
        bucket.tokens -= 1
        return 0.0

    @property
    def remembered(self) -> int:
        """Addresses in memory, at most `clients_max`."""
        return len(self._buckets)

    def _bucket(self, client: str, now_s: float) -> _Bucket:
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = _Bucket(self.burst, now_s)
            if len(self._buckets) > self.clients_max:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(client)
        if now_s > bucket.at_s:  # a clock that steps back fills nothing
            bucket.tokens = min(self.burst, bucket.tokens + (now_s - bucket.at_s) * self.rate_per_s)
            bucket.at_s = now_s
        return bucket


def client_key(address: str) -> str:
    """An address as it is counted: IPv4 whole, IPv6 by its /64, anything else cut to a bounded length."""
    text = address.strip("[]").partition("%")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return text[:CLIENT_CHARS_MAX]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_SITE_BITS), strict=False))
