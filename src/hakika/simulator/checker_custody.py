"""A bank's transfers against the gateway's, UETR by UETR: who has custody, what was ordered, how it ended.

The bank's money in transit must be, transfer by transfer, what it has not handed over yet, what the gateway
holds, what is on its way back and what is completed but not yet booked. On a live platform the gateway is read
before and after the bank: what the first reading knows must have been debited, and what the bank has a
receipt for must be in the second. A transfer with a receipt that the gateway does not know is the worst
finding there is: custody was lost; unless it had ended before a declared restore lost it (`checker_restore.py`).
"""

from typing import NamedTuple

from hakika.simulator.checker_findings import Code, Tally
from hakika.simulator.checker_restore import Credit, Forgotten
from hakika.simulator.checker_snapshots import BooksSnapshot, DatabaseSnapshot, merged

HELD = """
SELECT t.uetr::text, t.status, t.amount_minor, t.currency, t.creditor_msisdn, t.end_to_end_id, t.deadline_ms,
    t.tracking, r.return_id, r.acknowledged_ms IS NOT NULL, f.transfer IS NOT NULL
FROM transfer t LEFT JOIN payment_return r ON r.transfer = t.id
LEFT JOIN (SELECT DISTINCT o.transfer FROM outbox o JOIN outgoing_message m ON m.msg_id = o.msg_id
    WHERE o.kind = 'final' AND m.settled_ms IS NOT NULL) f ON f.transfer = t.id
WHERE t.bank = %s ORDER BY t.uetr
"""
BOOKED = """
SELECT uetr, state, amount_minor, currency, creditor_msisdn, end_to_end_id, deadline_ms, tracking, return_id,
    receipt IS NOT NULL, final_ms
FROM transfer ORDER BY uetr
"""
IN_TRANSIT = "SELECT coalesce(sum(balance_minor), 0) FROM account WHERE name = 'in_transit'"
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


class Held(NamedTuple):
    """A transfer as the gateway has it."""

    uetr: str
    status: str
    amount_minor: int | None
    currency: str | None
    msisdn: str | None
    end_to_end_id: str | None
    deadline_ms: int | None
    tracking: bytes | None
    return_id: str | None
    acknowledged: bool
    told: bool  # the final pacs.002 had its 2xx


class Booked(NamedTuple):
    """A transfer as its bank has it."""

    uetr: str
    state: str
    amount_minor: int
    currency: str
    msisdn: str
    end_to_end_id: str
    deadline_ms: int | None
    tracking: str | None
    return_id: str | None
    receipt: bool
    final_ms: int | None

    @property
    def in_transit(self) -> bool:
        """Neither completed nor given back."""
        return self.state in ("debited", "accepted")


class Custody:
    """The comparison of one bank with the gateway."""

    def __init__(self, bank: str, tally: Tally, forgotten: Forgotten, *, settled: bool) -> None:
        self._bank = bank
        self._forgotten = forgotten
        self._tally = tally
        self._settled = settled
        self.expected_minor = 0  # what should be in transit at the bank

    def compare(self, before: Held | None, booked: Booked | None, after: Held | None) -> None:
        """Everything known about one UETR: by the gateway, then the bank, then the gateway."""
        if booked is None:
            if before is not None and before.status != "REJECTED":
                self._never_debited(before)
            return
        if after is None:
            self._unknown_to_gateway(booked)
            return
        if after.status == "REJECTED":
            self._refused_by_gateway(booked)
            return
        self._compare_orders(booked, after)
        self._compare_ends(booked, after)
        if before is not None:
            self._compare_confirmed(booked, before)
        self._expect(booked, after, acknowledged=before is not None and before.acknowledged)

    def _expect(self, booked: Booked, after: Held, *, acknowledged: bool) -> None:
        """What of this transfer should still be in transit: all of it until the bank has booked its end."""
        unbooked = booked.in_transit and not (acknowledged and after.status == "RETURNED")
        if after.status in ("RECEIVED", "IN_FLIGHT") or unbooked:
            self.expected_minor += after.amount_minor or 0
        if after.status == "COMPLETED" and booked.in_transit:
            self._tally.counts["completions_unbooked"] += 1
            if self._settled:
                self._find("I28", booked.uetr, "is COMPLETED, and its bank has not booked that")
        if after.status == "RETURNED" and booked.in_transit:
            self._tally.counts["returns_unbooked"] += 1

    def _never_debited(self, held: Held) -> None:
        self._find("I25", held.uetr, f"is {held.status} at the gateway, and its bank never debited anybody for it")
        if held.status != "RETURNED" or not held.acknowledged:
            self.expected_minor += held.amount_minor or 0

    def _unknown_to_gateway(self, booked: Booked) -> None:
        credits = self._forgotten.take(self._bank, booked.uetr)
        if self._ended_before_a_restore(booked, credits):
            self._tally.counts["ends_forgotten_in_restore"] += 1
            return
        if booked.receipt or booked.state in ("accepted", "completed", "returned"):
            text = f"is {booked.state} at its bank, and the gateway does not know it: custody was lost"
            self._find("I24", booked.uetr, text)
        elif booked.in_transit:
            self._unsent(booked)

    def _ended_before_a_restore(self, booked: Booked, credits: list[Credit]) -> bool:
        """What the gateway has forgotten is no loss where bank and core agree on how it ended."""
        if len(credits) > 1:
            self._tally.double(self._bank, booked.uetr, "two of its ids are posted in the core")
        elif credits and booked.state in ("returned", "rejected"):
            self._tally.double(self._bank, booked.uetr, f"is {booked.state} at its bank, and posted in the core")
        if not self._forgotten.covers(booked.final_ms) or booked.state not in ("completed", "returned"):
            return False
        ordered = (self._bank, booked.msisdn, booked.amount_minor, booked.currency)
        credited = [tuple(credit)[1:] for credit in credits]
        return not self._forgotten.complete or credited == ([ordered] if booked.state == "completed" else [])

    def _unsent(self, booked: Booked) -> None:
        self.expected_minor += booked.amount_minor
        self._tally.counts["debited_not_accepted"] += 1
        if self._settled:
            self._find("I28", booked.uetr, "was debited, and is not in custody")

    def _refused_by_gateway(self, booked: Booked) -> None:
        """A stored refusal, or a tombstone: the bank gives the money back, and can have no receipt."""
        if booked.receipt or booked.state in ("accepted", "completed", "returned"):
            self._find("I26", booked.uetr, f"is {booked.state} at its bank, and REJECTED at the gateway")
        elif booked.in_transit:
            self._unsent(booked)

    def _compare_orders(self, booked: Booked, held: Held) -> None:
        """I25 and I24: the gateway holds what the customer ordered, under the promise that the bank was given."""
        debited = (booked.amount_minor, booked.currency, booked.msisdn, booked.end_to_end_id)
        ordered = (held.amount_minor, held.currency, held.msisdn, held.end_to_end_id)
        if debited != ordered:
            self._find("I25", booked.uetr, f"was debited as {_words(debited)}, and is in custody as {_words(ordered)}")
        if booked.deadline_ms is not None and booked.deadline_ms != held.deadline_ms:
            text = f"its bank was promised {booked.deadline_ms}, the gateway has {held.deadline_ms} as its deadline"
            self._find("I24", booked.uetr, text)
        if booked.tracking is not None and booked.tracking != _reference(held.tracking):
            self._find("I24", booked.uetr, "its bank has another tracking reference than the gateway")

    def _compare_ends(self, booked: Booked, held: Held) -> None:
        """I26: the bank books an end when the gateway has decided it; I22: it gives nothing back that was credited."""
        right = {"completed": "COMPLETED", "returned": "RETURNED"}.get(booked.state)
        if right is not None and held.status != right:
            self._find("I26", booked.uetr, f"is {booked.state} at its bank, and {held.status} at the gateway")
        if booked.state == "rejected":
            text = f"was given back as rejected, though the gateway had taken custody and has it as {held.status}"
            self._find("I26", booked.uetr, text)
        if booked.state == "returned" and held.status == "RETURNED" and booked.return_id != held.return_id:
            self._find("I26", booked.uetr, f"was given back by return {booked.return_id}, not by {held.return_id}")
        if booked.state in ("returned", "rejected") and held.status == "COMPLETED":
            text = "was credited to its wallet, and given back to its debtor"
            self._tally.double(self._bank, booked.uetr, text)

    def _compare_confirmed(self, booked: Booked, before: Held) -> None:
        """I26: what the bank has confirmed to the gateway is in its books."""
        if before.acknowledged and booked.state != "returned":
            self._find("I26", booked.uetr, f"its bank acknowledged the return, and has it as {booked.state}")
        if before.told and before.status == "COMPLETED" and booked.state != "completed":
            self._find("I26", booked.uetr, f"its bank took the final status, and has it as {booked.state}")

    def _find(self, code: Code, uetr: str, text: str) -> None:
        self._tally.find(code, f"{self._bank} {uetr}", text)


def compare_custody(
    before: DatabaseSnapshot,
    books: BooksSnapshot,
    after: DatabaseSnapshot | None,
    tally: Tally,
    forgotten: Forgotten,
    *,
    settled: bool,
) -> int:
    """Compare one bank with the gateway (I22, I24 to I28): its money in transit less what should be there.

    `after` is a second moment of the gateway, later than the bank's, on a live platform.
    """
    custody = Custody(books.bank, tally, forgotten, settled=settled)
    for name in ("completions_unbooked", "returns_unbooked", "debited_not_accepted"):
        tally.counts[name] += 0
    of_bank = (books.bank,)
    streams = [before.rows(HELD, of_bank), books.rows(BOOKED)]
    if after is not None:
        streams.append(after.rows(HELD, of_bank))
    for _, rows in merged(*streams):
        first = Held(*rows[0]) if rows[0] is not None else None
        booked = Booked(*rows[1]) if rows[1] is not None else None
        last = (Held(*rows[2]) if rows[2] is not None else None) if after is not None else first
        custody.compare(first, booked, last)
    in_transit: int = books.one(IN_TRANSIT)[0]
    difference = in_transit - custody.expected_minor
    if difference:
        text = (
            f"has {in_transit} in transit; unsent, held, returning and unbooked transfers make {custody.expected_minor}"
        )
        tally.find("I27", books.bank, text)
    return difference


def _words(order: tuple[int | None, str | None, str | None, str | None]) -> str:
    amount_minor, currency, msisdn, end_to_end_id = order
    return f"{amount_minor} {currency} to {msisdn} ({end_to_end_id})"


def _reference(tracking: bytes | None) -> str | None:
    """128 bits as 26 characters of lower-case base32 without padding (RFC 4648)."""
    if tracking is None:
        return None
    bits = int.from_bytes(tracking, "big") << 2
    return "".join(BASE32[bits >> shift & 31] for shift in range(125, -1, -5))
