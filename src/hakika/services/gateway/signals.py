"""What the gateway tells health: every transfer as exactly one outcome of its corridor, and the state of its doors.

A transfer's outcome is the first that is learnt: its end, or a technical failure before its end (no answer to an
attempt, or older than its corridor's usual p99.9: `stuck`). What comes later adds nothing, so that failures are a
share of transfers. Reasons name what failed: `timeout`, `busy`, `senseless`, `unreachable` and `stuck` are about the
way to the core; `bank_unreachable` is about the bank's own side and counts pushes, not transfers.

Transfers to test wallets are never counted. All of it is in memory, bounded, without a database and without waiting;
several processes may share a database: what another one ended is dropped here by `ended_elsewhere`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from hakika.domain.blame import TECHNICAL
from hakika.domain.reasons import Reason
from hakika.services.flusher import Busy
from hakika.services.gateway.patience import Patience
from hakika.services.signals import Counts, Tally

PRODUCT = "product:bank-to-wallet"
OPEN_MAX = 100_000  # transfers followed one by one; beyond that they are only counted
ASK_BEFORE_MS = 2_500  # a transfer is looked up so long before it would count as stuck
STUCK = "stuck"
BANK_UNREACHABLE = "bank_unreachable"


@dataclass(slots=True)
class _Corridor:
    """Open transfers of one bank by id, each with its arrival (ms), in the order of arrival."""

    tally: Tally
    waiting: OrderedDict[int, int] = field(default_factory=OrderedDict)  # no outcome yet
    counted: OrderedDict[int, int] = field(default_factory=OrderedDict)  # failed already, not ended
    aside: dict[int, int] = field(default_factory=dict)  # held on purpose
    beyond: int = 0  # arrived while OPEN_MAX were followed
    asked_upto_ms: int = 0
    turn: list[int] = field(default_factory=list)  # of `counted`, those still to be looked up in this round
    patience: Patience = field(default_factory=Patience)

    def forget(self, key: int) -> bool:
        """No longer followed; False when it was not."""
        return any(group.pop(key, None) is not None for group in (self.waiting, self.counted, self.aside))


class GatewaySignals:
    """The counts of one process of the gateway."""

    def __init__(self, test_wallets: Iterable[str] = (), *, time: Callable[[], int] | None = None) -> None:
        self.counts = Counts(time=time, before_close=self._before_close)
        self.bank_api = self.counts.tally("channel:bank-api")
        self.tracking = self.counts.tally("channel:tracking")
        self.role = self.counts.tally("role:gateway")
        self._product = self.counts.tally(PRODUCT)
        self._test_wallets = frozenset(test_wallets)
        self._test_bytes = tuple(wallet.encode() for wallet in sorted(self._test_wallets))
        self._corridors: dict[str, _Corridor] = {}
        self._followed = 0

    def is_test(self, msisdn: str | None) -> bool:
        """The creditor's wallet belongs to synthetic tests."""
        return msisdn in self._test_wallets

    def names_test(self, body: bytes) -> bool:
        """The bytes of a message name a wallet of synthetic tests; such messages are never mixed with others."""
        return any(wallet in body for wallet in self._test_bytes)

    def known_bank(self, bank: str) -> None:
        """Count this bank's corridor from now on, also while it sends nothing."""
        self._corridor(bank)

    # --- transfers

    def arrived(self, transfer: UUID, bank: str, msisdn: str) -> None:
        """A new transfer is in custody."""
        now_ms = self.counts.now_ms()
        if msisdn in self._test_wallets:
            return
        corridor = self._corridor(bank)
        corridor.tally.arrived += 1
        self._product.arrived += 1
        if not self._follow(corridor.waiting, transfer, now_ms):
            corridor.beyond += 1

    def refused(self, bank: str, msisdn: str, reason: Reason) -> None:
        """Refused for good as it arrived."""
        self.counts.now_ms()
        if msisdn not in self._test_wallets:
            corridor = self._corridor(bank)
            corridor.tally.arrived += 1
            self._product.arrived += 1
            self._outcome(corridor, reason)

    def ended(self, transfer: UUID, bank: str, msisdn: str | None, reason: Reason | None) -> None:
        """COMPLETED (without a reason) or RETURNED has just been stored."""
        now_ms = self.counts.now_ms()
        if msisdn in self._test_wallets:
            return
        corridor, key = self._corridor(bank), transfer.int
        began_ms = corridor.waiting.pop(key, None)
        if began_ms is not None:
            corridor.patience.took(now_ms - began_ms)
        elif (began_ms := corridor.counted.pop(key, None)) is not None:
            corridor.patience.took(now_ms - began_ms)
            self._followed -= 1
            return
        elif corridor.aside.pop(key, None) is None:
            corridor.beyond = max(0, corridor.beyond - 1)
            self._outcome(corridor, reason)
            return
        self._followed -= 1
        self._outcome(corridor, reason)

    def ended_already(self, transfer: UUID, bank: str, msisdn: str | None, reason: Reason | None) -> None:
        """An event met a transfer that had ended: counts only where its end was missed (a lost commit reply)."""
        corridor = self._corridor(bank)
        if transfer.int in corridor.waiting:
            self.ended(transfer, bank, msisdn, reason)
        else:
            self._followed -= corridor.forget(transfer.int)

    def attempt_failed(self, transfer: UUID, bank: str, reason: str) -> None:
        """An attempt was not sent, or came back without evidence: counts for a transfer that we follow, once.

        One that another process took in becomes stuck there.
        """
        self.counts.now_ms()
        corridor, key = self._corridor(bank), transfer.int
        began_ms = corridor.waiting.pop(key, None)
        if began_ms is None:
            began_ms = corridor.aside.pop(key, None)
        if began_ms is not None:
            corridor.counted[key] = began_ms
            self._fail(corridor, reason)

    def set_aside(self, transfer: UUID, bank: str) -> None:
        """Held on purpose (the bank has prefunded too little, people must look): no backlog until attempted again."""
        corridor, key = self._corridor(bank), transfer.int
        began_ms = corridor.waiting.pop(key, None)
        if began_ms is None:
            began_ms = corridor.counted.pop(key, None)
        if began_ms is not None:
            corridor.aside[key] = began_ms

    def attempted(self, transfer: UUID, bank: str) -> None:
        """A new attempt of what was set aside: its time begins again."""
        corridor = self._corridor(bank)
        if corridor.aside and corridor.aside.pop(transfer.int, None) is not None:
            corridor.waiting[transfer.int] = self.counts.now_ms()

    def pushed(self, bank: str, *, taken: bool) -> None:
        """A message was pushed to the bank. What it took is no news; what it did not is a failure of its side."""
        if not taken:
            self.counts.now_ms()
            self._corridor(bank).tally.fail(BANK_UNREACHABLE)

    # --- tracking pages

    def page(self, outcome: str, msisdn: str | None = None) -> None:
        """A tracking page was `served`, or there is none under the reference (`unknown`), or it failed by a reason."""
        self.counts.now_ms()
        if msisdn is not None and msisdn in self._test_wallets:
            return
        self.tracking.arrived += 1
        if outcome == "served":
            self.tracking.good()
        elif outcome == "unknown":
            self.tracking.own_error()
        else:
            self.tracking.fail(outcome)

    # --- after a start, and beside other processes

    def found_open(self, transfer: UUID, bank: str, msisdn: str | None, received_ms: int, *, aside: bool) -> None:
        """Open since before this process began. What was old by then is backlog, and is not counted again as stuck."""
        if msisdn in self._test_wallets:
            return
        corridor = self._corridor(bank)
        old = received_ms <= self.counts.now_ms() - corridor.patience.limit_ms
        group = corridor.aside if aside else corridor.counted if old else corridor.waiting
        if not self._follow(group, transfer, received_ms):
            corridor.beyond += 1

    def uncertain(self, limit: int) -> list[UUID]:
        """Transfers that may have ended elsewhere: those about to count as stuck, then in turn those that did."""
        now_ms = self.counts.now_ms()
        keys: list[int] = []
        for corridor in self._corridors.values():
            keys += self._about_to_be_stuck(corridor, now_ms, limit - len(keys))
        for corridor in self._corridors.values():
            corridor.turn = corridor.turn or list(corridor.counted)
            part = max(0, limit - len(keys))
            keys += corridor.turn[:part]
            del corridor.turn[:part]
        return [UUID(int=key) for key in keys]

    def ended_elsewhere(self, transfers: Iterable[UUID]) -> None:
        """These have ended by another process, which has counted their end."""
        for transfer in transfers:
            self._followed -= any(corridor.forget(transfer.int) for corridor in self._corridors.values())

    # --- our own database

    def stored(self, count: int) -> None:
        """So many commands were committed."""
        self.counts.now_ms()
        self.role.arrived += count
        self.role.ended += count

    def not_stored(self, fault: Exception) -> None:
        """A command was not taken, or got no answer."""
        self.counts.now_ms()
        self.role.arrived += 1
        self.role.fail("busy" if isinstance(fault, Busy) else "store_fault")

    # --- inside

    def _corridor(self, bank: str) -> _Corridor:
        found = self._corridors.get(bank)
        if found is None:
            found = self._corridors[bank] = _Corridor(self.counts.tally(f"corridor:{bank}"))
        return found

    def _follow(self, group: dict[int, int], transfer: UUID, began_ms: int) -> bool:
        if self._followed >= OPEN_MAX:
            return False
        group[transfer.int] = began_ms
        self._followed += 1
        return True

    def _outcome(self, corridor: _Corridor, reason: Reason | None) -> None:
        if reason is None:
            corridor.tally.good()
            self._product.good()
        elif TECHNICAL[reason]:
            self._fail(corridor, reason.value)
        else:
            corridor.tally.own_error()
            self._product.own_error()

    def _fail(self, corridor: _Corridor, reason: str, count: int = 1) -> None:
        corridor.tally.fail(reason, count)
        self._product.fail(reason, count)

    def _before_close(self, ends_ms: int) -> None:
        """Whatever has become too old by the interval's end fails in it; then the backlog as it is at that end."""
        for corridor in self._corridors.values():
            self._sweep(corridor, ends_ms - corridor.patience.limit_ms)
            corridor.patience.close(quiet=not corridor.tally.failed.keys() - {STUCK, BANK_UNREACHABLE})
            corridor.tally.open_count = len(corridor.waiting) + len(corridor.counted) + corridor.beyond
            began_ms = [next(iter(group.values())) for group in (corridor.waiting, corridor.counted) if group]
            corridor.tally.oldest_ms = max(0, ends_ms - min(began_ms, default=ends_ms))
        tallies = [corridor.tally for corridor in self._corridors.values()]
        self._product.open_count = sum(tally.open_count for tally in tallies)
        self._product.oldest_ms = max((tally.oldest_ms for tally in tallies), default=0)

    def _about_to_be_stuck(self, corridor: _Corridor, now_ms: int, limit: int) -> list[int]:
        """Each is found here once, shortly before its time; from the front, as far as that."""
        upto_ms = now_ms - corridor.patience.limit_ms + ASK_BEFORE_MS
        found: list[int] = []
        for key, began_ms in corridor.waiting.items():
            if began_ms > upto_ms or len(found) >= limit:
                break
            if began_ms > corridor.asked_upto_ms:
                found.append(key)
        if found:
            corridor.asked_upto_ms = corridor.waiting[found[-1]]
        return found

    def _sweep(self, corridor: _Corridor, upto_ms: int) -> None:
        """From the front of the queue, as far as it is too old: what is younger is not looked at."""
        waiting, crossed = corridor.waiting, 0
        while waiting:
            key = next(iter(waiting))
            if waiting[key] > upto_ms:
                break
            corridor.counted[key] = waiting.pop(key)
            crossed += 1
        if crossed:
            self._fail(corridor, STUCK, crossed)
