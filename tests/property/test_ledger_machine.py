"""Random commands against the ledger and against an independent model of it, batch by batch.

Invariants: balances are sums of entries; debits equal credits; nothing pending is negative; a known id gets the
same answer for ever; a batch does exactly what its commands do one by one, and what its parts do one after another.
"""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from ledger_model import Limits, Model

from hakika.domain.ledger import (
    CONFLICTS,
    MALFORMED,
    Account,
    Books,
    Burn,
    Code,
    Command,
    Decision,
    Entry,
    Kind,
    Outcome,
    Row,
    Set,
    decide,
)

ACCOUNTS = {
    1: Limits(overdraft=True, mint=True, ceiling=None, currency="KES"),
    2: Limits(overdraft=False, mint=False, ceiling=None, currency="KES"),
    3: Limits(overdraft=False, mint=False, ceiling=300, currency="KES"),
    4: Limits(overdraft=False, mint=False, ceiling=None, currency="KES"),
    5: Limits(overdraft=True, mint=False, ceiling=None, currency="UGX"),
}
IDS = st.integers(1, 40).map(lambda number: number.to_bytes(16, "big"))
ENTRIES = st.builds(
    Entry,
    id=IDS,
    kind=st.sampled_from([Kind.POSTED, Kind.POSTED, Kind.POSTED, Kind.PENDING, Kind.POST, Kind.VOID, Kind.BURN]),
    debit=st.sampled_from([1, 1, 1, 2, 2, 3, 4, 5, 99]),
    credit=st.sampled_from([2, 2, 3, 3, 4, 1, 5, 99]),
    amount=st.sampled_from([100, 100, 100, 30, 250, 1, 0, -5, 10**15, 10**15 + 1]),
    currency=st.sampled_from(["KES", "KES", "KES", "KES", "UGX"]),
    pending_id=st.none(),
    expires_ms=st.sampled_from([None, None, None, 500, 1500]),
)
FINE = st.builds(
    Entry,
    id=IDS,
    kind=st.sampled_from([Kind.POSTED, Kind.PENDING]),
    debit=st.just(1),
    credit=st.sampled_from([2, 3, 4]),
    amount=st.integers(1, 200),
    currency=st.just("KES"),
)


class LedgerMachine(RuleBasedStateMachine):
    """Batches of commands; everything decided is kept and asked again."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(ACCOUNTS)
        self.accounts = {
            number: Account(0, 0, 0, 0, None, not limits.overdraft, limits.mint, limits.ceiling, limits.currency)
            for number, limits in ACCOUNTS.items()
        }
        self.known: dict[bytes, Row] = {}
        self.resolved: dict[bytes, Kind] = {}
        self.done: list[Command] = []
        self.now_ms = 0

    @rule(entries=st.lists(st.one_of(FINE, ENTRIES), min_size=1, max_size=4))
    def singles(self, entries: list[Entry]) -> None:
        self.run([Set((self.aimed(entry),)) for entry in entries])

    @rule(entries=st.lists(st.one_of(FINE, FINE, ENTRIES), min_size=2, max_size=4))
    def linked(self, entries: list[Entry]) -> None:
        self.run([Set(tuple(self.aimed(entry) for entry in entries))])

    @rule(ids=st.lists(IDS, min_size=1, max_size=3))
    def burns(self, ids: list[bytes]) -> None:
        self.run([Burn(entry_id) for entry_id in ids])

    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        """Post or void something pending, mostly in the right way."""
        pending = [row for row in self.known.values() if row.kind == Kind.PENDING]
        if not pending:
            return
        row = data.draw(st.sampled_from(pending))
        kind = data.draw(st.sampled_from([Kind.POST, Kind.VOID]))
        amount = data.draw(st.sampled_from([row.amount, row.amount, 1, row.amount + 1]))
        entry_id = data.draw(IDS)
        debit = data.draw(st.sampled_from([row.debit, row.debit, row.debit, 4]))
        entry = Entry(entry_id, kind, debit, row.credit, amount, row.currency, row.id)
        self.run([Set((entry,))])

    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        """What was asked before, again, as a batch in another order."""
        if self.done:
            again = data.draw(st.lists(st.sampled_from(self.done), min_size=1, max_size=6))
            self.run(again)

    @rule(data=st.data(), changes=st.sampled_from([{"amount": 77}, {"credit": 4}, {"currency": "UGX"}, {"debit": 3}]))
    def scramble(self, data: st.DataObject, changes: dict[str, Any]) -> None:
        """A known id with other content."""
        posted = [one for one in self.done if isinstance(one, Set)]
        if posted:
            command = data.draw(st.sampled_from(posted))
            first = command.entries[0]._replace(**changes)
            self.run([Set((first, *command.entries[1:]))])

    @rule()
    def time_passes(self) -> None:
        self.now_ms += 400

    def aimed(self, entry: Entry) -> Entry:
        """A post or void aims at something that is pending, where there is such a thing."""
        if entry.kind not in (Kind.POST, Kind.VOID):
            return entry
        pending = next((row for row in self.known.values() if row.kind == Kind.PENDING), None)
        return entry if pending is None else entry._replace(pending_id=pending.id)

    def run(self, batch: list[Command]) -> None:
        decision = decide(batch, self.accounts, self.known, self.resolved, self.now_ms)
        assert self.in_parts(batch, 2) == self.in_parts(batch, 3) == decision
        answers = self.one_by_one(batch)
        assert decision.outcomes == answers, "a batch is its commands one by one"
        for command, outcomes in zip(batch, decision.outcomes, strict=True):
            expected = self.model.expect(command, self.now_ms)
            assert class_of(outcomes[0]) == expected, (command, outcomes[0])
            assert same_id(command, outcomes)
        self.done.extend(batch)

    def in_parts(self, batch: list[Command], size: int) -> Decision:
        books, whole = Books(self.accounts, self.known, self.resolved, self.now_ms), Decision([], [], {}, {})
        for begin in range(0, len(batch), size):
            part = books.decide(batch[begin : begin + size])
            whole.outcomes.extend(part.outcomes)
            whole.rows.extend(part.rows)
            whole.former.update({number: last for number, last in part.former.items() if number not in whole.accounts})
            whole.accounts.update(part.accounts)
        return whole

    def one_by_one(self, batch: list[Command]) -> list[list[Outcome]]:
        answers = []
        for command in batch:
            decision = decide([command], self.accounts, self.known, self.resolved, self.now_ms)
            self.keep(decision)
            answers.extend(decision.outcomes)
        return answers

    def keep(self, decision: Decision) -> None:
        for row in decision.rows:
            assert row.id not in self.known, "an id is stored once"
            self.known[row.id] = row
            if row.pending_id is not None and row.refusal is None:
                assert row.pending_id not in self.resolved, "a pending entry is resolved once"
                self.resolved[row.pending_id] = row.kind
        posted = [row for row in decision.rows if row.after is not None]
        assert decision.former == {number: self.accounts[number].last for number in decision.accounts}
        assert list(decision.former) == list(decision.accounts)
        assert set(decision.accounts) == {number for row in posted for number in (row.debit, row.credit)}
        self.accounts.update(decision.accounts)

    @invariant()
    def balances_are_sums_of_entries(self) -> None:
        for number, account in self.accounts.items():
            assert account[:4] == (
                self.model.total(number, "debit", False),
                self.model.total(number, "credit", False),
                self.model.total(number, "debit", True),
                self.model.total(number, "credit", True),
            )

    @invariant()
    def money_is_neither_made_nor_lost(self) -> None:
        for account in self.accounts.values():
            assert min(account.debits_pending, account.credits_pending) >= 0
            assert min(account.debits_posted, account.credits_posted) >= 0
        assert sum(a.debits_posted - a.credits_posted for a in self.accounts.values()) == 0
        assert sum(a.debits_pending - a.credits_pending for a in self.accounts.values()) == 0

    @invariant()
    def limits_hold(self) -> None:
        for account in self.accounts.values():
            debits = account.debits_pending + account.debits_posted
            credits = account.credits_pending + account.credits_posted
            assert not account.debits_must_not_exceed_credits or debits <= account.credits_posted
            assert not account.credits_must_not_exceed_debits or credits <= account.debits_posted
            assert account.ceiling is None or credits - account.debits_posted <= account.ceiling

    @invariant()
    def every_id_lives_once(self) -> None:
        lives = {
            row.id: "burnt" if row.kind == Kind.BURN else "refused" if row.refusal is not None else "posted"
            for row in self.known.values()
        }
        assert lives == self.model.life


def class_of(outcome: Outcome) -> str:
    if outcome.code in (Code.POSTED, Code.BURNT):
        return str(outcome.code)
    if outcome.code in MALFORMED:
        return "malformed"
    known = outcome.code in CONFLICTS or outcome.code in (Code.EXISTS, Code.ID_BURNT, Code.ID_ALREADY_REFUSED)
    return "known" if known else "refused"


def same_id(command: Command, outcomes: list[Outcome]) -> bool:
    """The row told is the row of the id asked about."""
    asked = [command.id] if isinstance(command, Burn) else [entry.id for entry in command.entries]
    head_only = len({outcome.row.id for outcome in outcomes if outcome.row is not None}) <= 1
    return all(
        outcome.row is None or outcome.row.id == entry_id or (head_only and outcome.row.id == asked[0])
        for entry_id, outcome in zip(asked, outcomes, strict=True)
    )


LedgerMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedger = LedgerMachine.TestCase
