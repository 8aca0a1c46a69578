"""The gateway's attempts against the core's ledger, id by id: what each says of the other, and the money between.

Both are read sorted by id and walked side by side. On a live platform the gateway is read, then the core, then
the gateway again: what the first reading calls COMPLETED must be posted in the core, and what the core has
posted must have an attempt in the second. A posting whose attempt is still open is in doubt, not wrong. What a
declared restore of the core has lost is counted apart: the gateway re-drove it under the next incarnation. What a
restore of the gateway has lost is handed to `checker_restore.py`; what came back after one has all its ids dead.
"""

import hashlib
from collections import Counter
from typing import NamedTuple
from uuid import UUID

from hakika.simulator.checker_findings import Tally
from hakika.simulator.checker_restore import NUMBERS_MAX, Credit, Forgotten, attempt_id
from hakika.simulator.checker_snapshots import DatabaseSnapshot, merged

ORPHANS_NAMED_MAX = 1000  # postings without an attempt whose transfer is searched for
NUMBERS_BEYOND = 8  # attempt numbers tried beyond those recorded

# Every attempt; for a transfer that went back without one the id that must never move money; and for one that was
# older than a restore and went back, each id that it can have and that no attempt names.
ATTEMPTS = """
SELECT uuid_send(a.id) AS id, t.bank, t.uetr::text, a.number, coalesce(a.outcome, 'open'), a.reason, t.amount_minor,
    t.currency, t.creditor_msisdn, t.status, t.fee_minor, n.times, a.core_incarnation, a.chain_slot, a.chain_seq
FROM attempt a JOIN transfer t ON t.id = a.transfer
JOIN (SELECT transfer, count(*)::int AS times FROM attempt GROUP BY transfer) n ON n.transfer = a.transfer
UNION ALL
SELECT set_byte(set_byte(substr(digest, 1, 16), 6, get_byte(digest, 6) & 15 | 128), 8, get_byte(digest, 8) & 63 | 128),
    bank, uetr::text, 1, CASE WHEN burn_due THEN 'burn_due' ELSE 'burn_done' END, NULL, amount_minor, currency,
    creditor_msisdn, status, fee_minor, 0, NULL, NULL, NULL
FROM (SELECT t.*, r.burn_due, sha256(int4send(7) || 'attempt'::bytea
        || int4send(octet_length(convert_to(t.bank, 'UTF8'))) || convert_to(t.bank, 'UTF8')
        || int4send(16) || uuid_send(t.uetr) || int4send(4) || int4send(1)) AS digest
    FROM payment_return r JOIN transfer t ON t.id = r.transfer
    LEFT JOIN (SELECT DISTINCT transfer FROM attempt) a ON a.transfer = r.transfer
    WHERE a.transfer IS NULL AND NOT t.burn_first) AS unsent
UNION ALL
SELECT set_byte(set_byte(substr(digest, 1, 16), 6, get_byte(digest, 6) & 15 | 128), 8, get_byte(digest, 8) & 63 | 128),
    bank, uetr::text, number, 'all_dead', NULL, amount_minor, currency, creditor_msisdn, status, fee_minor, 0, NULL,
    NULL, NULL
FROM (SELECT t.*, n.number, sha256(int4send(7) || 'attempt'::bytea
        || int4send(octet_length(convert_to(t.bank, 'UTF8'))) || convert_to(t.bank, 'UTF8')
        || int4send(16) || uuid_send(t.uetr) || int4send(4) || int4send(n.number)) AS digest
    FROM transfer t CROSS JOIN generate_series(1, 64) AS n (number)
    LEFT JOIN attempt a ON a.transfer = t.id AND a.number = n.number
    WHERE t.burn_first AND t.status = 'RETURNED' AND a.id IS NULL) AS lost
ORDER BY 1
"""
HEADS = """
SELECT uuid_send(e.id), e.kind, e.refusal, e.content, e.fee_minor,
    (e.amount_minor + coalesce(x.amount_minor, 0))::bigint,
    e.currency, p.bank, w.msisdn, e.slot, e.seq
FROM entry e
LEFT JOIN bank_position p ON p.account = e.debit LEFT JOIN wallet_account w ON w.account = e.credit
LEFT JOIN (SELECT head, sum(amount_minor) AS amount_minor FROM entry
    WHERE member > 0 AND refusal IS NULL GROUP BY head) x ON x.head = e.id
WHERE e.member = 0 ORDER BY e.id
"""
COMPLETED = (
    "SELECT bank, sum(amount_minor)::bigint FROM transfer WHERE status = 'COMPLETED' GROUP BY bank ORDER BY bank"
)
TOLD_HEADS = """
SELECT chain_slot * 4294967296 + chain_seq, chain_head, max(core_incarnation), count(*)::int, min(id::text)
FROM attempt WHERE num_nulls(chain_slot, chain_seq, chain_head, core_incarnation) = 0 GROUP BY 1, 2 ORDER BY 1, 2
"""
KEPT_HEADS = "SELECT slot * 4294967296 + seq, hash FROM batch ORDER BY slot, seq"
INCARNATION = "SELECT max(number) FROM incarnation"
TRANSFERS = """
SELECT t.bank, t.uetr::text, t.status, coalesce(n.times, 0), t.burn_first FROM transfer t
LEFT JOIN (SELECT transfer, count(*)::int AS times FROM attempt GROUP BY transfer) n ON n.transfer = t.id
WHERE t.bank = ANY (%s::text[])
"""


BATCHES = """
SELECT slot * 4294967296 + seq, at_ms FROM batch WHERE slot * 4294967296 + seq = ANY (%s::bigint[])
"""


class Asked(NamedTuple):
    """An attempt as the gateway has it; outcome `burn_due` or `burn_done` for an id that was never sent,
    `all_dead` for one of a transfer that came back after a restore of the gateway."""

    id: bytes
    bank: str
    uetr: str
    number: int
    outcome: str
    reason: str | None
    amount_minor: int
    currency: str
    msisdn: str
    status: str
    fee_minor: int | None
    attempts: int
    incarnation: int | None
    slot: int | None
    seq: int | None


class Stored(NamedTuple):
    """What the core has under an id; amount is that of the whole set."""

    id: bytes
    kind: str
    refusal: str | None
    content: bytes | None
    fee_minor: int
    amount_minor: int | None
    currency: str | None
    bank: str | None
    msisdn: str | None
    slot: int
    seq: int

    @property
    def posted(self) -> bool:
        """Money has moved under this id."""
        return self.kind != "burn" and self.refusal is None

    @property
    def of_a_bank(self) -> bool:
        """An instruction's set, or any other entry that takes a bank's prefunded money to a wallet."""
        return self.content is not None or (self.posted and self.bank is not None and self.msisdn is not None)

    def words(self) -> str:
        """What the core says about the id."""
        if self.kind == "burn":
            return "burnt"
        return "posted" if self.refusal is None else f"refused ({self.refusal})"


class Owner(NamedTuple):
    """The transfer from which an id was derived that no attempt has."""

    bank: str
    uetr: str
    status: str
    number: int
    unended: bool  # older than a restore and not resolved yet


class Crossing:
    """The comparison of one moment of the core with one, or two, of the gateway."""

    def __init__(self, tally: Tally, incarnation: int) -> None:
        self._tally = tally
        self._incarnation = incarnation  # the core's present one
        self._posted: Counter[str] = Counter()
        self._in_doubt: Counter[str] = Counter()
        self._credited: set[tuple[str, str]] = set()  # of transfers with several attempts
        self._orphans: list[Stored] = []

    def compare(self, asked: Asked | None, stored: Stored | None, later: Asked | None) -> None:
        """Everything known about one id, by the gateway first, the core then, the gateway last."""
        if stored is None:
            if asked is not None:
                self._missing(asked)
            return
        told = asked if asked is not None and asked.outcome != "open" else later or asked
        if told is None:
            if stored.of_a_bank:
                self._orphans.append(stored)
            return
        if stored.posted and stored.of_a_bank and stored.bank is not None and stored.amount_minor is not None:
            self._posted[stored.bank] += stored.amount_minor
            first_posted = asked is not None and asked.outcome == "posted"
            if told.outcome in ("posted", "open") and not first_posted:
                self._in_doubt[stored.bank] += stored.amount_minor
                self._tally.counts["posted_in_doubt"] += told.outcome == "open"
        if stored.posted:
            self._count_credit(told)
        match told.outcome:
            case "posted":
                self._compare_credit(told, stored)
            case "open":
                pass
            case "refused" if stored.refusal == told.reason and not stored.posted and stored.kind != "burn":
                self._compare_place(told, stored)
            case "burnt" if stored.kind == "burn":
                self._compare_place(told, stored)
            case "not_sent" | "burn_due" | "burn_done" if stored.kind == "burn":
                pass
            case "all_dead" if not stored.posted:
                pass
            case outcome:
                said = f"{outcome} ({told.reason})" if told.reason else outcome
                self._find("I20", told, f"is {said} here, and {stored.words()} in the core")

    def differences(self, completed: dict[str, int]) -> dict[str, int]:
        """For each bank, COMPLETED less what the core has posted and the gateway is not in doubt about."""
        banks = sorted({*completed, *self._posted})
        return {bank: completed.get(bank, 0) - self._posted[bank] + self._in_doubt[bank] for bank in banks}

    def name_orphans(self, gateway: DatabaseSnapshot, core: DatabaseSnapshot, forgotten: Forgotten) -> None:
        """I19: postings and refusals that no attempt carries, with the transfer whose id they were derived from.

        After a restore of the gateway: not yet recorded where the transfer has no end, forgotten where there is none.
        """
        if not self._orphans:
            return
        owners = self._owners(gateway, self._orphans if forgotten.declared else self._orphans[:ORPHANS_NAMED_MAX])
        places = [orphan.slot * 2**32 + orphan.seq for orphan in self._orphans] if forgotten.declared else []
        instants: dict[int, int] = dict(core.rows(BATCHES, (places,)))
        for orphan in self._orphans:
            owner = owners.get(orphan.id)
            lost = forgotten.covers(instants.get(orphan.slot * 2**32 + orphan.seq))
            if lost and owner is not None and owner.unended:
                self._tally.counts["answers_not_recorded_yet"] += 1
            elif lost and owner is None:
                if orphan.posted and orphan.bank is not None and orphan.amount_minor is not None:
                    credit = (orphan.id, orphan.bank, orphan.msisdn, orphan.amount_minor, orphan.currency)
                    forgotten.add(Credit(*credit))
            else:
                if orphan.posted and orphan.bank is not None and orphan.amount_minor is not None:
                    self._posted[orphan.bank] += orphan.amount_minor
                self._name_orphan(orphan, owner)

    def _owners(self, gateway: DatabaseSnapshot, orphans: list[Stored]) -> dict[bytes, Owner]:
        wanted = {orphan.id for orphan in orphans}
        owners: dict[bytes, Owner] = {}
        banks = sorted({orphan.bank for orphan in orphans if orphan.bank is not None})
        for bank, uetr, status, times, burn_first in gateway.rows(TRANSFERS, (banks,)):
            beyond = NUMBERS_MAX if burn_first else times + NUMBERS_BEYOND
            for number in range(1, beyond + 1):
                made = attempt_id(bank, uetr, number)
                if made in wanted:
                    unended = burn_first and status in ("RECEIVED", "IN_FLIGHT")
                    owners[made] = Owner(bank, uetr, status, number, unended)
        return owners

    def _name_orphan(self, orphan: Stored, owner: Owner | None) -> None:
        what = f"{orphan.amount_minor} {orphan.currency} from {orphan.bank} to wallet {orphan.msisdn}: {orphan.words()}"
        if owner is None:
            self._tally.find(
                "I19", f"set {UUID(bytes=orphan.id)}", f"{what}, and no attempt of any transfer has this id"
            )
            return
        bank, uetr, status, number, _ = owner
        self._tally.find("I19", f"{bank} {uetr}", f"{what} under attempt {number}, which was never recorded")
        if orphan.posted and status in ("COMPLETED", "RETURNED"):
            self._tally.double(bank, uetr, f"{status}, and credited by the unrecorded attempt {number} as well")

    def _missing(self, asked: Asked) -> None:
        lost = asked.incarnation is not None and asked.incarnation < self._incarnation
        match asked.outcome:
            case "posted":
                self._find("I18", asked, f"is {asked.status} here, and the core has nothing posted under its id")
            case "refused" | "burnt" if lost:
                self._tally.counts["answers_lost_in_restore"] += 1
            case "all_dead" if self._incarnation > 1:
                self._tally.counts["answers_lost_in_restore"] += 1  # perhaps: nothing tells which life burnt it
            case "refused" | "burnt" | "burn_done" | "all_dead":
                self._find("I20", asked, f"is {asked.outcome} here, and the core knows nothing of the id")

    def _count_credit(self, told: Asked) -> None:
        """I22: money arrived under one id; under another too, or back at the bank as well, is once too often."""
        key = (told.bank, told.uetr)
        if told.status == "RETURNED":
            self._tally.double(*key, f"is returned to its bank, and attempt {told.number} is posted in the core")
        elif told.attempts > 1:
            if key in self._credited:
                self._tally.double(*key, "two of its attempts are posted in the core")
            self._credited.add(key)

    def _compare_credit(self, told: Asked, stored: Stored) -> None:
        """I18: what was credited is what the bank ordered, to the wallet and from the position that it named."""
        if not stored.posted:
            self._find("I18", told, f"is {told.status} here, and {stored.words()} in the core")
            return
        ordered = (told.bank, told.msisdn, told.amount_minor, told.currency)
        credited = (stored.bank, stored.msisdn, stored.amount_minor, stored.currency)
        if ordered != credited:
            self._find("I18", told, f"was ordered as {_words(ordered)}, and posted as {_words(credited)}")
        text = f"hakika-credit-1|{told.bank}|{told.msisdn}|{told.amount_minor}|{told.currency}"
        if stored.content != hashlib.sha256(text.encode()).digest():
            self._find("I18", told, "was posted for an instruction with other content")
        if told.status == "COMPLETED" and (told.fee_minor or 0) != stored.fee_minor:
            self._find("I18", told, f"has a fee of {told.fee_minor or 0} here, of {stored.fee_minor} in the core")
        self._compare_place(told, stored)

    def _compare_place(self, told: Asked, stored: Stored) -> None:
        if (told.slot, told.seq) != (stored.slot, stored.seq) and (told.incarnation or 0) >= self._incarnation:
            place = f"{stored.slot}/{stored.seq}"
            self._find("I21", told, f"was answered from batch {told.slot}/{told.seq}, and is stored in batch {place}")

    def _find(self, code: str, asked: Asked, text: str) -> None:
        match code:
            case "I18" | "I20" | "I21":
                self._tally.find(code, f"{asked.bank} {asked.uetr}", f"attempt {asked.number} {text}")


def cross(
    before: DatabaseSnapshot,
    core: DatabaseSnapshot,
    after: DatabaseSnapshot | None,
    tally: Tally,
    forgotten: Forgotten,
) -> dict[str, int]:
    """Compare gateway and core (I18 to I22); the difference in minor units for each bank.

    `after` is a second moment of the gateway, later than the core's, on a live platform. What only a restore of
    the gateway explains goes into `forgotten` and into no difference.
    """
    incarnation: int = core.one(INCARNATION)[0] or 0
    tally.counts["posted_in_doubt"] += 0
    crossing = Crossing(tally, incarnation)
    streams = [before.rows(ATTEMPTS), core.rows(HEADS), *([after.rows(ATTEMPTS)] if after is not None else [])]
    for _, rows in merged(*streams):
        asked = Asked(*rows[0]) if rows[0] is not None else None
        stored = Stored(*rows[1]) if rows[1] is not None else None
        later = (Asked(*rows[2]) if rows[2] is not None else None) if after is not None else asked
        crossing.compare(asked, stored, later)
    crossing.name_orphans(after or before, core, forgotten)
    forgotten.complete = True
    _compare_heads(before, core, incarnation, tally)
    return crossing.differences(dict(before.rows(COMPLETED)))


def _compare_heads(gateway: DatabaseSnapshot, core: DatabaseSnapshot, incarnation: int, tally: Tally) -> None:
    """I21: every head that the core ever told is still in its chain, unless a restore was declared since."""
    for place, (told, kept) in merged(gateway.rows(TOLD_HEADS), core.rows(KEPT_HEADS)):
        if told is None:
            continue
        _, head, told_in, times, example = told
        slot, seq = divmod(place, 2**32)
        if told_in > incarnation:
            text = f"was told in incarnation {told_in}, the core is in {incarnation}: it was put back undeclared"
            tally.find("I21", f"batch {slot}/{seq}", text)
        elif kept is None or kept[1] != head:
            if told_in < incarnation:
                tally.counts["heads_lost_in_restore"] += 1
                continue
            fate = "is gone: the chain was cut" if kept is None else "has another hash: the chain was rewritten"
            text = f"{fate}; {times} answers came from it, attempt {example} among them"
            tally.find("I21", f"batch {slot}/{seq}", text)


def _words(credit: tuple[str | None, str | None, int | None, str | None]) -> str:
    bank, msisdn, amount_minor, currency = credit
    return f"{amount_minor} {currency} from {bank} to {msisdn}"
