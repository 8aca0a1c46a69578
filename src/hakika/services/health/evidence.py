"""What arrives as evidence and what of it counts: results of synthetic tests, and persons who report.

A result counts once by its id, while it is fresh and about a component that we have. A person counts once a
component and hour, a network, desk or feed for a bounded number of persons; nothing that anybody wrote is kept, a
person is a keyed hash. Everything else ends as a count by kind, gathered in memory and added every few seconds.
Who may send is for the channels, what follows from evidence is for the judge.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from hakika import clock
from hakika.domain.reasons import InvariantBroken
from hakika.store.health import incoming
from hakika.store.health.incoming import HOUR_MS, ProbeRow, ReportRow, Taken
from hakika.store.lane import Lanes, NoAnswer, StoreFault
from hakika.wire.health_api import DETAIL_MAX, ProbeReport

log = logging.getLogger(__name__)

STORE_S = 3.0
FRESH_MS = 600_000  # older results say nothing about now
AHEAD_MS = 5_000  # how far a vantage's clock may run before ours
LATENCY_MAX_MS = 600_000
NETWORK_PERSONS_MAX = 50  # of one network, component and hour
DESK_PERSONS_MAX = 1_000
FEED_PERSONS_MAX = 100
KEY_BYTES_MIN = 16
FLUSH_EVERY_S = 5.0
PRUNE_EVERY_S = 3600.0
ORIGINS_KEPT_MS = 24 * HOUR_MS
_WORD = re.compile(r"[a-z0-9_]*", re.ASCII)
_PROBE = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Refused(StrEnum):
    """Why something was not taken as evidence; the key of its count."""

    PROBE_SIGNATURE = "probe_signature"  # not signed by a registered vantage, or not just now
    PROBE_VANTAGE = "probe_vantage"  # signed by one vantage in another's name
    PROBE_FORM = "probe_form"  # cannot be read
    PROBE_FLOOD = "probe_flood"  # a vantage sends more than it can have tested
    PROBE_OLD = "probe_old"
    PROBE_FUTURE = "probe_future"
    PROBE_COMPONENT = "probe_component"
    PROBE_AGAIN = "probe_again"  # stored already
    REPORT_FORM = "report_form"
    REPORT_COMPONENT = "report_component"
    REPORT_FLOOD = "report_flood"  # too many from one address
    REPORT_AGAIN = "report_again"  # this person counted already in this hour
    REPORT_NETWORK = "report_network"  # the bound of its network was reached
    DESK_TOKEN = "desk_token"  # noqa: S105 - a word for what was wrong
    DESK_FORM = "desk_form"
    DESK_OLD = "desk_old"
    DESK_COMPONENT = "desk_component"
    DESK_AGAIN = "desk_again"
    DESK_BOUND = "desk_bound"
    FEED_UNREACHABLE = "feed_unreachable"
    FEED_FORM = "feed_form"  # not a feed that we read
    FEED_ENTRIES = "feed_entries"  # more entries than are looked at
    FEED_POST = "feed_post"  # a post without author or date
    FEED_OLD = "feed_old"
    FEED_FUTURE = "feed_future"
    FEED_OTHER = "feed_other"  # about something else
    FEED_AGAIN = "feed_again"
    FEED_BOUND = "feed_bound"


class Source(StrEnum):
    """Where a report came from."""

    STATUS_PAGE = "status_page"
    TRACKING_PAGE = "tracking_page"
    DESK = "desk"
    FEED = "feed"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a batch of reports comes from, hashed; `persons_max` bounds it a component and hour."""

    key: bytes
    persons_max: int
    again: Refused
    over: Refused


class Evidence:
    """The one way in which evidence from outside reaches the database."""

    def __init__(self, lanes: Lanes, *, person_key: str, components: Iterable[str]) -> None:
        """`person_key` is the secret under which persons are hashed; `components` are those that we have."""
        if len(person_key.encode()) < KEY_BYTES_MIN:
            raise InvariantBroken(f"the key of persons has at least {KEY_BYTES_MIN} bytes")
        self._lanes = lanes
        self._key = person_key.encode()
        self.components = tuple(dict.fromkeys(components))
        self._refused: Counter[str] = Counter()

    # --- who

    def by_address(self, address: str) -> tuple[bytes, Origin]:
        """The person behind an address as it is counted, and the network that it belongs to."""
        network = Origin(
            self._hash("network", _network(address)),
            NETWORK_PERSONS_MAX,
            Refused.REPORT_AGAIN,
            Refused.REPORT_NETWORK,
        )
        return self._hash("address", address), network

    def of_desk(self, bank: str) -> Origin:
        """A bank's help desk."""
        return Origin(self._hash("desk", bank), DESK_PERSONS_MAX, Refused.DESK_AGAIN, Refused.DESK_BOUND)

    def of_feed(self, feed: str) -> Origin:
        """A public feed."""
        return Origin(self._hash("feed", feed), FEED_PERSONS_MAX, Refused.FEED_AGAIN, Refused.FEED_BOUND)

    def customer(self, bank: str, word: str) -> bytes:
        """A customer as a desk names them."""
        return self._hash("customer", bank, word)

    def author(self, feed: str, name: str) -> bytes:
        """The author of a post."""
        return self._hash("author", feed, name)

    def _hash(self, *parts: str) -> bytes:
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()

    # --- what counts

    async def take_probes(self, vantage: str, results: Sequence[ProbeReport]) -> tuple[int, int]:
        """Store a vantage's results; how many were new and how many do not count. Raises StoreFault."""
        now_ms = clock.now_ms()
        refusals: Counter[str] = Counter()
        rows: dict[UUID, ProbeRow] = {}
        for result in results:
            why = refusal_of(result, now_ms, self.components)
            if why is not None:
                refusals[why] += 1
                continue
            identifier = UUID(hex=result.id)
            rows.setdefault(
                identifier,
                ProbeRow(
                    identifier, vantage, result.probe, result.component, result.at_ms, now_ms, result.ok,
                    result.latency_ms, result.detail,
                ),
            )  # fmt: skip
        stored = 0
        if rows:
            new = list(rows.values())
            stored = await self._lanes.run(lambda conn: incoming.add_probes(conn, new), deadline_s=STORE_S)
        again = len(results) - refusals.total() - stored
        if again:
            refusals[Refused.PROBE_AGAIN] += again
        self._refused += refusals
        return stored, refusals.total()

    async def take_reports(self, source: Source, origin: Origin, said: Iterable[tuple[str, bytes]]) -> Taken:
        """Count persons who report: pairs of component and person. Raises StoreFault.

        The instant of a report is that of its arrival: whoever judges has no other that it can trust.
        """
        rows = [ReportRow(clock.new_id(), component, person) for component, person in said]
        if unknown := {row.component for row in rows} - set(self.components):
            raise InvariantBroken(f"reports about {', '.join(sorted(unknown))}, which we do not have")
        at_ms = clock.now_ms()
        day = (_EPOCH + timedelta(milliseconds=at_ms)).date()
        taken = await self._lanes.run(
            lambda conn: incoming.add_reports(
                conn, rows, source=source, origin=origin.key, origin_max=origin.persons_max, at_ms=at_ms, day=day
            ),
            deadline_s=STORE_S,
        )
        self.refuse(origin.again, taken.again)
        self.refuse(origin.over, taken.over)
        return taken

    # --- what does not

    def refuse(self, why: Refused, times: int = 1) -> None:
        """Count something that was not taken."""
        if times > 0:
            self._refused[why] += times

    async def flush(self) -> None:
        """Add the gathered counts to the database. Raises StoreFault; what was not sent is kept for the next time."""
        counts, self._refused = self._refused, Counter()
        if not counts:
            return
        hour_ms = clock.now_ms() // HOUR_MS * HOUR_MS
        try:
            await self._lanes.run(lambda conn: incoming.count_refused(conn, counts, hour_ms), deadline_s=STORE_S)
        except NoAnswer:
            raise  # perhaps counted: a count too low is better than one that grows by itself
        except StoreFault:
            self._refused += counts
            raise

    async def run(self) -> None:
        """Add counts every FLUSH_EVERY_S, and forget old origins every hour, until cancelled."""
        prune_s = clock.monotonic_s()
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self.flush()
                if clock.monotonic_s() >= prune_s:
                    await self._lanes.run(_forget_origins, deadline_s=STORE_S)
                    prune_s = clock.monotonic_s() + PRUNE_EVERY_S
            except StoreFault as fault:
                log.warning("counts of refused input wait: %s", fault)


async def _forget_origins(conn: incoming.Connection) -> int:
    return await incoming.prune_origins(conn, clock.now_ms() - ORIGINS_KEPT_MS)


def refusal_of(result: ProbeReport, now_ms: int, components: Sequence[str]) -> Refused | None:
    """Why a result does not count, or None."""
    if not _readable(result):
        return Refused.PROBE_FORM
    if result.component not in components:
        return Refused.PROBE_COMPONENT
    if result.at_ms > now_ms + AHEAD_MS:
        return Refused.PROBE_FUTURE
    return Refused.PROBE_OLD if result.at_ms < now_ms - FRESH_MS else None


def _readable(result: ProbeReport) -> bool:
    try:
        UUID(hex=result.id)
    except ValueError:
        return False
    return (
        _PROBE.fullmatch(result.probe) is not None
        and _WORD.fullmatch(result.detail) is not None
        and len(result.detail) <= DETAIL_MAX
        and 0 <= result.latency_ms <= LATENCY_MAX_MS
    )


def _network(address: str) -> str:
    """The network of an address as it is counted: IPv4 by /24, IPv6 by /48."""
    host = address.partition("/")[0]
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(ipaddress.IPv4Network((int(parsed), 24), strict=False))
    return str(ipaddress.IPv6Network((int(parsed), 48), strict=False))
