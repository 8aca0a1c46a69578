"""A second ledger, written another way: no balances are kept, everything is summed from a list of movements.

It shares no code with domain/ledger.py beyond the names of commands, and says only what class of answer a
command must get: posted, refused, known or malformed. The state machine compares.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hakika.domain.ledger import Burn, Command, Entry, Kind

LIMIT = 10**15


@dataclass(frozen=True)
class Limits:
    """What the model knows of an account."""

    overdraft: bool  # may its debits exceed its credits?
    mint: bool  # must its credits stay within its debits?
    ceiling: int | None
    currency: str


@dataclass
class Movement:
    """Money from one account to another: reserved or final."""

    debit: int
    credit: int
    amount: int
    final: bool


@dataclass
class Model:
    """Answers by recounting."""

    limits: dict[int, Limits]
    movements: list[Movement] = field(default_factory=list)
    life: dict[bytes, str] = field(default_factory=dict)  # id -> posted, refused, burnt
    reserved: dict[bytes, tuple[Entry, Movement]] = field(default_factory=dict)
    settled: set[bytes] = field(default_factory=set)

    def total(self, account: int, side: str, final: bool) -> int:
        """Sum of the movements on one side of an account."""
        return sum(m.amount for m in self.movements if getattr(m, side) == account and m.final == final)

    def expect(self, command: Command, now_ms: int) -> str:
        """The class of the answer about the command's first id, and the command's effect on the model."""
        if isinstance(command, Burn):
            return "known" if self.life.setdefault(command.id, "new") != "new" else self._set(command.id, "burnt")
        entries = command.entries
        if entries[0].id in self.life:
            return "known"
        if not well_formed(entries):
            return "malformed"
        before = (list(self.movements), dict(self.reserved), set(self.settled), dict(self.life))
        for entry in entries:
            if entry.id in self.life or not self._post(entry, now_ms):
                self.movements, self.reserved, self.settled, self.life = before
                for each in entries:
                    self.life.setdefault(each.id, "refused")
                return "refused"
            self.life[entry.id] = "posted"
        return "posted"

    def _set(self, entry_id: bytes, life: str) -> str:
        self.life[entry_id] = life
        return life

    def _post(self, entry: Entry, now_ms: int) -> bool:
        if entry.pending_id is not None:
            return self._settle(entry, now_ms)
        if entry.expires_ms is not None and entry.expires_ms <= now_ms:
            return False
        debit, credit = self.limits.get(entry.debit), self.limits.get(entry.credit)
        if debit is None or credit is None or not debit.currency == credit.currency == entry.currency:
            return False
        spent = self.total(entry.debit, "debit", True) + self.total(entry.debit, "debit", False)
        if not debit.overdraft and self.total(entry.debit, "credit", True) - spent < entry.amount:
            return False
        got = self.total(entry.credit, "credit", True) + self.total(entry.credit, "credit", False)
        room = self.total(entry.credit, "debit", True) - got - entry.amount
        if (credit.mint and room < 0) or (credit.ceiling is not None and -room > credit.ceiling):
            return False
        movement = Movement(entry.debit, entry.credit, entry.amount, entry.kind == Kind.POSTED)
        self.movements.append(movement)
        if entry.kind == Kind.PENDING:
            self.reserved[entry.id] = (entry, movement)
        return True

    def _settle(self, entry: Entry, now_ms: int) -> bool:
        if entry.pending_id not in self.reserved or entry.pending_id in self.settled:
            return False
        pending, movement = self.reserved[entry.pending_id]
        late = pending.expires_ms is not None and pending.expires_ms <= now_ms
        same = (entry.debit, entry.credit, entry.currency) == (pending.debit, pending.credit, pending.currency)
        fits = entry.amount == pending.amount or (entry.kind == Kind.POST and entry.amount < pending.amount)
        if not same or not fits or (late and entry.kind == Kind.POST):
            return False
        self.movements = [m for m in self.movements if m is not movement]
        if entry.kind == Kind.POST:
            self.movements.append(Movement(entry.debit, entry.credit, entry.amount, True))
        self.settled.add(pending.id)
        return True


def well_formed(entries: Sequence[Entry]) -> bool:
    """Whether the set could be posted in some state of the books."""
    ids = {entry.id for entry in entries}
    return len(ids) == len(entries) and all(
        0 < entry.amount <= LIMIT
        and entry.debit != entry.credit
        and entry.kind != Kind.BURN
        and (entry.kind in (Kind.POST, Kind.VOID)) == (entry.pending_id is not None)
        and (entry.kind == Kind.PENDING or entry.expires_ms is None)
        for entry in entries
    )
