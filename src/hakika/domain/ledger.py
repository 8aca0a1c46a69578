"""The ledger's rules: what a batch of commands does to accounts, decided one command after the other.

Every entry moves an amount from one account (debited) to another (credited), so that books balance by form.
An account has four balances, each only ever a sum of entries: debits and credits, pending and posted. Money is
reserved by a pending entry and later posted (whole or in part) or voided, once. Entries that belong together
form a linked set, all or nothing, known by the id of its head. A burn takes an id out of use for ever.

One order of precedence: the id is looked up before every other check, and a known id gets its stored answer
whatever else is true now; then the form; then the state. A refusal by form is not stored. A refusal by state
is stored and kills its id, so that a late resend surprises nobody. `Code` lists them in that order.
`decide` reads no clock and does no I/O; the store has locked what it is given, and writes what it returns.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from hakika.domain.money import AMOUNT_MINOR_MAX

BALANCE_MAX = 2**62  # far below bigint, far above all money


class Kind(StrEnum):
    """What a stored row is."""

    POSTED = "posted"  # moved at once
    PENDING = "pending"  # reserved
    POST = "post"  # a pending entry made final, in whole or in part
    VOID = "void"  # a pending entry released
    BURN = "burn"  # an id that can never move money


class Code(StrEnum):
    """What became of one entry, in order of precedence."""

    # 1. The id is known: the stored answer, nothing new is written
    ID_BURNT = "id_burnt"
    EXISTS_WITH_DIFFERENT_CONTENT = "exists_with_different_content"  # the instruction's own content
    ID_ALREADY_REFUSED = "id_already_refused"  # the stored row has the reason
    EXISTS_WITH_DIFFERENT_SET = "exists_with_different_set"  # another head, place or number of members
    EXISTS_WITH_DIFFERENT_KIND = "exists_with_different_kind"
    EXISTS_WITH_DIFFERENT_PENDING_ID = "exists_with_different_pending_id"
    EXISTS_WITH_DIFFERENT_DEBIT = "exists_with_different_debit"
    EXISTS_WITH_DIFFERENT_CREDIT = "exists_with_different_credit"
    EXISTS_WITH_DIFFERENT_AMOUNT = "exists_with_different_amount"
    EXISTS_WITH_DIFFERENT_CURRENCY = "exists_with_different_currency"
    EXISTS_WITH_DIFFERENT_EXPIRY = "exists_with_different_expiry"
    EXISTS = "exists"
    # 2. Malformed: not stored
    IDS_REPEAT = "ids_repeat"  # one id twice in a set
    KIND_NOT_ALLOWED = "kind_not_allowed"
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    AMOUNT_TOO_LARGE = "amount_too_large"
    ACCOUNTS_MUST_DIFFER = "accounts_must_differ"
    PENDING_ID_MISSING = "pending_id_missing"
    PENDING_ID_NOT_ALLOWED = "pending_id_not_allowed"
    EXPIRY_NOT_ALLOWED = "expiry_not_allowed"  # only a pending entry expires
    # 3. Refused by state: stored, the id is dead
    LINKED_SET_REFUSED = "linked_set_refused"  # another member of the set was refused
    ID_TAKEN = "id_taken"  # a member of a new set bears a known id
    PENDING_NOT_FOUND = "pending_not_found"
    PENDING_NOT_PENDING = "pending_not_pending"
    PENDING_HAS_DIFFERENT_DEBIT = "pending_has_different_debit"
    PENDING_HAS_DIFFERENT_CREDIT = "pending_has_different_credit"
    PENDING_HAS_DIFFERENT_CURRENCY = "pending_has_different_currency"
    EXCEEDS_PENDING_AMOUNT = "exceeds_pending_amount"
    PENDING_HAS_DIFFERENT_AMOUNT = "pending_has_different_amount"  # a void releases the whole
    PENDING_ALREADY_POSTED = "pending_already_posted"
    PENDING_ALREADY_VOIDED = "pending_already_voided"
    PENDING_EXPIRED = "pending_expired"  # can be voided only
    EXPIRY_PASSED = "expiry_passed"  # a new pending entry that has expired already
    DEBIT_ACCOUNT_NOT_FOUND = "debit_account_not_found"
    CREDIT_ACCOUNT_NOT_FOUND = "credit_account_not_found"
    CURRENCY_DIFFERS = "currency_differs"  # from that of either account
    BALANCE_TOO_LARGE = "balance_too_large"
    EXCEEDS_CREDITS = "exceeds_credits"  # debit account: debits_must_not_exceed_credits
    EXCEEDS_DEBITS = "exceeds_debits"  # credit account: credits_must_not_exceed_debits
    EXCEEDS_CEILING = "exceeds_ceiling"  # credit account: may not hold that much
    # 4. New and stored
    POSTED = "posted"  # a pending entry too: it is in the books
    BURNT = "burnt"


MALFORMED = frozenset(list(Code)[list(Code).index(Code.IDS_REPEAT) : list(Code).index(Code.LINKED_SET_REFUSED)])
CONFLICTS = frozenset(code for code in Code if code.startswith("exists_with_different_"))


class Account(NamedTuple):
    """One account as locked: balances in minor units, limits, and the last entry that touched it."""

    debits_pending: int
    credits_pending: int
    debits_posted: int
    credits_posted: int
    last: bytes | None
    debits_must_not_exceed_credits: bool
    credits_must_not_exceed_debits: bool
    ceiling: int | None  # credits (pending too) less posted debits stay at or below it
    currency: str


class Entry(NamedTuple):
    """One entry as asked for; account 0 stands for one that could not be named."""

    id: bytes
    kind: Kind
    debit: int
    credit: int
    amount: int
    currency: str
    pending_id: bytes | None = None
    expires_ms: int | None = None


class Set(NamedTuple):
    """Entries posted together; the first is the head."""

    entries: tuple[Entry, ...]
    content: bytes | None = None  # hash by which a resend is compared instead of field by field
    refusal: str | None = None  # decided already from what the caller knows; applies to an unknown id only
    fee: int = 0  # told with the head's answer
    stores_refusal: bool = True  # False: a refusal leaves the id free (re-drive after a restore)
    reasons: Mapping[str, str] = MappingProxyType({})  # the caller's own words for refusals by state


class Burn(NamedTuple):
    """Make sure that `id` never moves money, or learn that it has."""

    id: bytes


Command = Set | Burn


# All four balances (debits pending, credits pending, debits posted, credits posted) of the debited account,
# then of the credited one
Balances = tuple[int, int, int, int, int, int, int, int]


class Row(NamedTuple):
    """What is stored under one id."""

    id: bytes
    head: bytes
    member: int
    members: int
    kind: Kind
    refusal: str | None
    debit: int  # 0: none
    credit: int
    amount: int
    currency: str
    pending_id: bytes | None
    expires_ms: int | None
    content: bytes | None
    fee: int
    after: Balances | None = None  # of a posted row only
    previous: tuple[bytes | None, bytes | None] = (None, None)  # each account's entry before this one


class Outcome(NamedTuple):
    """What became of one id; `row` is what is stored under it, None for a refusal that was not stored."""

    code: str  # a Code, or the refusal given with the set
    row: Row | None


class Decision(NamedTuple):
    """A batch decided: outcomes for each command, rows to insert in order, accounts to update."""

    outcomes: list[list[Outcome]]
    rows: list[Row]
    accounts: dict[int, Account]
    former: dict[int, bytes | None]  # of each of these accounts, its last entry before; in the same order


def decide(
    batch: Sequence[Command],
    accounts: Mapping[int, Account],
    known: Mapping[bytes, Row],
    resolved: Mapping[bytes, Kind],
    now_ms: int,
) -> Decision:
    """What the batch does, exactly as if its commands came one by one in this order.

    `known` has what is stored under every id of the batch, members and pending ids included; `resolved` tells
    which pending entries are posted or voided already. Total: every input has an outcome.
    """
    return Books(accounts, known, resolved, now_ms).decide(batch)


_CODE_POSTED = Code.POSTED
_POSTED, _PENDING, _POST, _VOID, _BURN = Kind.POSTED, Kind.PENDING, Kind.POST, Kind.VOID, Kind.BURN
_NEW_TUPLE = tuple.__new__  # a named tuple without its own __new__: a third of the time, on the hottest path there is

# An account while a batch is decided: the fields of Account, in their order, the first five of them changing.
_Working = list[Any]


class Books:
    """The working state while a batch is decided, whole or in parts: accounts as they become, rows as they come."""

    def __init__(
        self,
        accounts: Mapping[int, Account],
        known: Mapping[bytes, Row],
        resolved: Mapping[bytes, Kind],
        now_ms: int,
    ) -> None:
        self._given = accounts
        self._accounts: dict[int, _Working] = {}  # those that this part has looked at
        self._rows: list[Row] = []
        self._known = dict(known)
        self._resolved = dict(resolved)
        self._now_ms = now_ms

    def decide(self, part: Sequence[Command]) -> Decision:
        """What the next part of the batch does, after the parts before it; only its own rows and changes are told."""
        outcomes = [self.burn(command) if isinstance(command, Burn) else self.post(command) for command in part]
        given, rows = self._given, self._rows
        # Those of an undone set are as they were.
        changed = {n: _NEW_TUPLE(Account, now) for n, now in self._accounts.items() if now[4] is not given[n][4]}
        former = {number: given[number][4] for number in changed}
        self._given, self._accounts, self._rows = {**given, **changed}, {}, []
        return Decision(outcomes, rows, changed, former)

    def burn(self, command: Burn) -> list[Outcome]:
        """The stored answer, or a new burn."""
        stored = self._known.get(command.id)
        if stored is not None:
            return [Outcome(Code.ID_BURNT if stored.kind == _BURN else Code.EXISTS, stored)]
        row = Row(command.id, command.id, 0, 1, _BURN, None, 0, 0, 0, "", None, None, None, 0)
        self._keep(row)
        return [Outcome(Code.BURNT, row)]

    def post(self, command: Set) -> list[Outcome]:
        """All entries of the set, or none of them."""
        entries = command.entries
        stored = self._known.get(entries[0].id)
        if stored is not None:
            return self._stored_answer(command, stored)
        if command.refusal is not None:
            return self._refuse(command, 0, command.refusal)
        code = _malformed(entries)
        if code is not None:
            return [Outcome(code, None)] * len(entries)
        if len(entries) > 1:
            return self._post_linked(command)
        entered = self._enter(command, 0)
        if isinstance(entered, Row):
            return [_NEW_TUPLE(Outcome, (_CODE_POSTED, entered))]
        return self._refuse(command, 0, entered)

    def _post_linked(self, command: Set) -> list[Outcome]:
        touched = {number for entry in command.entries for number in (entry.debit, entry.credit)}
        before = {number: [*account] for number in touched if (account := self._at(number)) is not None}
        for number, entry in enumerate(command.entries):
            entered = Code.ID_TAKEN if entry.id in self._known else self._enter(command, number)
            if not isinstance(entered, Row):
                self._undo(command.entries[:number], before)
                return self._refuse(command, number, entered)
        return [Outcome(_CODE_POSTED, self._known[entry.id]) for entry in command.entries]

    def _undo(self, applied: tuple[Entry, ...], before: dict[int, _Working]) -> None:
        """Take back the first members of a set of which a later one was refused."""
        self._accounts.update(before)
        for entry in reversed(applied):
            self._rows.pop()
            del self._known[entry.id]
            if entry.pending_id is not None:
                del self._resolved[entry.pending_id]

    def _keep(self, row: Row) -> None:
        self._rows.append(row)
        self._known[row.id] = row

    def _at(self, number: int) -> _Working | None:
        """The account as this batch has made it so far; None where there is no such account."""
        account = self._accounts.get(number)
        if account is None and (given := self._given.get(number)) is not None:
            account = self._accounts[number] = [*given]
        return account

    def _stored_answer(self, command: Set, head: Row) -> list[Outcome]:
        """What is stored under a known head; nothing new is written, whatever the other members are."""
        if head.kind == _BURN:
            return [Outcome(Code.ID_BURNT, head)] * len(command.entries)
        if command.content is not None or head.content is not None:
            same = command.content == head.content
            code = Code.ID_ALREADY_REFUSED if head.refusal is not None else Code.EXISTS
            return [Outcome(code if same else Code.EXISTS_WITH_DIFFERENT_CONTENT, head)] * len(command.entries)
        answers = []
        for number, entry in enumerate(command.entries):
            row = self._known.get(entry.id)
            place = (head.id, number, len(command.entries))
            code = Code.EXISTS_WITH_DIFFERENT_SET if row is None else _compare(entry, place, row)
            answers.append(Outcome(code, row))
        return answers

    def _refuse(self, command: Set, culprit: int, reason: str) -> list[Outcome]:
        """Store the refusal under every free id of the set. The head speaks for the set: it has the reason too."""
        answers = []
        reason = command.reasons.get(reason, reason)
        for number, entry in enumerate(command.entries):
            told = reason if number in (0, culprit) else Code.LINKED_SET_REFUSED
            stored = self._known.get(entry.id)
            if stored is None and command.stores_refusal:
                row = self._refused_row(command, number, told)
                self._keep(row)
                answers.append(Outcome(told, row))
            else:
                answers.append(Outcome(told, None))
        return answers

    def _refused_row(self, command: Set, number: int, refusal: str) -> Row:
        """The row of one refused member; accounts that do not exist are left out of it."""
        entry = command.entries[number]
        return Row(
            entry.id,
            command.entries[0].id,
            number,
            len(command.entries),
            entry.kind,
            refusal,
            entry.debit if entry.debit in self._given else 0,
            entry.credit if entry.credit in self._given else 0,
            entry.amount,
            entry.currency,
            entry.pending_id,
            entry.expires_ms,
            command.content if number == 0 else None,
            0,
        )

    def _enter(self, command: Set, number: int) -> Row | Code:
        """Post one member and keep its row; or the first rung of the ladder of what the state forbids."""
        entry = command.entries[number]
        _, kind, debit_number, credit_number, amount, currency, pending_id, expires_ms = entry
        if pending_id is not None:
            refusal = self._resolution_refusal(entry, pending_id)
            if refusal is not None:
                return refusal
        elif expires_ms is not None and expires_ms <= self._now_ms:
            return Code.EXPIRY_PASSED
        debit = self._at(debit_number)
        if debit is None:
            return Code.DEBIT_ACCOUNT_NOT_FOUND
        credit = self._at(credit_number)
        if credit is None:
            return Code.CREDIT_ACCOUNT_NOT_FOUND
        if pending_id is not None:
            pending = -self._known[pending_id].amount
            posted = amount if kind == _POST else 0
            self._resolved[pending_id] = kind
            return self._apply(command, number, debit, credit, pending, posted)
        debits_pending, _, debits_posted, covered, _, limited, _, _, debit_currency = debit
        _, credits_pending, drawn, credits_posted, _, _, over_limited, ceiling, credit_currency = credit
        if currency != debit_currency or currency != credit_currency:
            return Code.CURRENCY_DIFFERS
        debits = debits_pending + debits_posted + amount
        credits = credits_pending + credits_posted + amount
        if debits > BALANCE_MAX or credits > BALANCE_MAX:
            return Code.BALANCE_TOO_LARGE
        if limited and debits > covered:
            return Code.EXCEEDS_CREDITS
        if over_limited and credits > drawn:
            return Code.EXCEEDS_DEBITS
        if ceiling is not None and credits - drawn > ceiling:
            return Code.EXCEEDS_CEILING
        if kind == _POSTED:
            return self._apply(command, number, debit, credit, 0, amount)
        return self._apply(command, number, debit, credit, amount, 0)

    def _resolution_refusal(self, entry: Entry, pending_id: bytes) -> Code | None:
        """The ladder for a post or void. Limits need no check: the reserved amount has passed them."""
        pending = self._known.get(pending_id)
        if pending is None:
            return Code.PENDING_NOT_FOUND
        if pending.kind != _PENDING or pending.refusal is not None:
            return Code.PENDING_NOT_PENDING
        if entry.debit != pending.debit:
            return Code.PENDING_HAS_DIFFERENT_DEBIT
        if entry.credit != pending.credit:
            return Code.PENDING_HAS_DIFFERENT_CREDIT
        if entry.currency != pending.currency:
            return Code.PENDING_HAS_DIFFERENT_CURRENCY
        if entry.amount > pending.amount:
            return Code.EXCEEDS_PENDING_AMOUNT
        if entry.kind == _VOID and entry.amount != pending.amount:
            return Code.PENDING_HAS_DIFFERENT_AMOUNT
        resolution = self._resolved.get(pending_id)
        if resolution is not None:
            return Code.PENDING_ALREADY_POSTED if resolution == _POST else Code.PENDING_ALREADY_VOIDED
        expired = pending.expires_ms is not None and pending.expires_ms <= self._now_ms
        if entry.kind == _POST and expired:
            return Code.PENDING_EXPIRED
        return None

    def _apply(self, command: Set, number: int, debit: _Working, credit: _Working, pending: int, posted: int) -> Row:
        """Change both accounts and keep the row; the entry has passed every check."""
        entries = command.entries
        entry_id, kind, debit_number, credit_number, amount, currency, pending_id, expires_ms = entries[number]
        debit[0] += pending
        debit[2] += posted
        credit[1] += pending
        credit[3] += posted
        previous = (debit[4], credit[4])
        debit[4] = credit[4] = entry_id
        head = number == 0
        fields = (
            entry_id, entries[0].id, number, len(entries), kind, None, debit_number, credit_number, amount, currency,
            pending_id, expires_ms, command.content if head else None, command.fee if head else 0,
            (*debit[:4], *credit[:4]), previous,
        )  # fmt: skip
        row: Row = _NEW_TUPLE(Row, fields)
        self._rows.append(row)
        self._known[entry_id] = row
        return row


def _malformed(entries: tuple[Entry, ...]) -> Code | None:
    """The first rule of form that any member breaks; such a set is not stored."""
    if len(entries) > 1 and len({entry.id for entry in entries}) < len(entries):
        return Code.IDS_REPEAT
    for entry in entries:
        _, kind, debit, credit, amount, _, pending_id, expires_ms = entry
        if kind == _BURN:
            return Code.KIND_NOT_ALLOWED
        if amount <= 0:
            return Code.AMOUNT_NOT_POSITIVE
        if amount > AMOUNT_MINOR_MAX:
            return Code.AMOUNT_TOO_LARGE
        if debit == credit:
            return Code.ACCOUNTS_MUST_DIFFER
        if kind is _POSTED and pending_id is None and expires_ms is None:
            continue  # most of them
        resolves = kind in (_POST, _VOID)
        if resolves and pending_id is None:
            return Code.PENDING_ID_MISSING
        if not resolves and pending_id is not None:
            return Code.PENDING_ID_NOT_ALLOWED
        if expires_ms is not None and kind != _PENDING:
            return Code.EXPIRY_NOT_ALLOWED
    return None


def _compare(entry: Entry, place: tuple[bytes, int, int], row: Row) -> Code:
    """A resent entry against what is stored under its id, field by field."""
    if row.kind == Kind.BURN:
        return Code.ID_BURNT
    if row.refusal is not None:
        return Code.ID_ALREADY_REFUSED
    checks = (
        (place, (row.head, row.member, row.members), Code.EXISTS_WITH_DIFFERENT_SET),
        (entry.kind, row.kind, Code.EXISTS_WITH_DIFFERENT_KIND),
        (entry.pending_id, row.pending_id, Code.EXISTS_WITH_DIFFERENT_PENDING_ID),
        (entry.debit, row.debit, Code.EXISTS_WITH_DIFFERENT_DEBIT),
        (entry.credit, row.credit, Code.EXISTS_WITH_DIFFERENT_CREDIT),
        (entry.amount, row.amount, Code.EXISTS_WITH_DIFFERENT_AMOUNT),
        (entry.currency, row.currency, Code.EXISTS_WITH_DIFFERENT_CURRENCY),
        (entry.expires_ms, row.expires_ms, Code.EXISTS_WITH_DIFFERENT_EXPIRY),
    )
    return next((code for asked, stored, code in checks if asked != stored), Code.EXISTS)
