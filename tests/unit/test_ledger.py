"""The ledger's ladder: every refusal by name, in one order of precedence, and what each leaves behind.

Each row of a table breaks one rule. Row by row, the rule is broken together with all that stand below it, and
the answer must be the first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hakika.domain.ledger import (
    BALANCE_MAX,
    CONFLICTS,
    MALFORMED,
    Account,
    Burn,
    Code,
    Decision,
    Entry,
    Kind,
    Outcome,
    Row,
    Set,
    decide,
)
from hakika.domain.money import AMOUNT_MINOR_MAX

NOW_MS = 1_000_000
BANK, WALLET, FEE, MINT, NOBODY = 1, 2, 3, 4, 99
OPEN = Account(0, 0, 0, 0, None, False, False, None, "KES")


def an_id(name: str) -> bytes:
    return name.encode().ljust(16, b".")


def stored(entry: Entry, **changes: Any) -> Row:
    """A row as it was posted earlier."""
    row = Row(entry.id, entry.id, 0, 1, entry.kind, None, *entry[2:8], None, 0, (0,) * 8)
    return row._replace(**changes)


ASKED = Entry(an_id("new"), Kind.POSTED, BANK, WALLET, 100, "KES")


@dataclass(frozen=True)
class World:
    """One entry to post, and everything that speaks for or against it."""

    entry: Entry = ASKED
    accounts: dict[int, Account] = field(
        default_factory=lambda: {
            BANK: OPEN._replace(credits_posted=1000, debits_must_not_exceed_credits=True),
            WALLET: OPEN._replace(debits_must_not_exceed_credits=True, ceiling=500),
            FEE: OPEN,
            MINT: OPEN._replace(debits_posted=5000, credits_must_not_exceed_debits=True),
        }
    )
    known: dict[bytes, Row] = field(default_factory=dict)
    resolved: dict[bytes, Kind] = field(default_factory=dict)

    def ask(self, **changes: Any) -> "World":
        """Another entry."""
        return replace(self, entry=self.entry._replace(**changes))

    def account(self, number: int, **changes: Any) -> "World":
        """Another state of one account."""
        return replace(self, accounts={**self.accounts, number: self.accounts[number]._replace(**changes)})

    def knows(self, row: Row) -> "World":
        return replace(self, known={**self.known, row.id: row})

    def decide(self, *more: Entry) -> tuple[list[Outcome], Decision]:
        sets = [Set((self.entry, *more))]
        decision = decide(sets, self.accounts, self.known, self.resolved, NOW_MS)
        return decision.outcomes[0], decision

    def code(self) -> str:
        return self.decide()[0][0].code


PENDING = Entry(an_id("pending"), Kind.PENDING, BANK, WALLET, 100, "KES", None, NOW_MS + 1)


def without(world: World, number: int) -> World:
    return replace(world, accounts={key: account for key, account in world.accounts.items() if key != number})


Fault = tuple[Code, Callable[[World], World]]

# A new posting: broken in every way that its state allows
NEW: list[Fault] = [
    (Code.EXPIRY_PASSED, lambda w: w.ask(kind=Kind.PENDING, expires_ms=NOW_MS)),
    (Code.DEBIT_ACCOUNT_NOT_FOUND, lambda w: without(w, BANK)),
    (Code.CREDIT_ACCOUNT_NOT_FOUND, lambda w: without(w, WALLET)),
    (Code.CURRENCY_DIFFERS, lambda w: w.ask(currency="UGX")),
    (Code.BALANCE_TOO_LARGE, lambda w: w.account(WALLET, credits_posted=BALANCE_MAX, debits_posted=BALANCE_MAX)),
    (Code.EXCEEDS_CREDITS, lambda w: w.account(BANK, credits_posted=99)),
    (Code.EXCEEDS_DEBITS, lambda w: w.account(WALLET, credits_must_not_exceed_debits=True)),
    (Code.EXCEEDS_CEILING, lambda w: w.account(WALLET, ceiling=99)),
]
# A post or void of a pending entry
RESOLUTION: list[Fault] = [
    (Code.PENDING_NOT_FOUND, lambda w: replace(w, known={})),
    (Code.PENDING_NOT_PENDING, lambda w: w.knows(stored(PENDING, kind=Kind.POSTED))),
    (Code.PENDING_HAS_DIFFERENT_DEBIT, lambda w: w.ask(debit=FEE)),
    (Code.PENDING_HAS_DIFFERENT_CREDIT, lambda w: w.ask(credit=MINT)),
    (Code.PENDING_HAS_DIFFERENT_CURRENCY, lambda w: w.ask(currency="UGX")),
    (Code.EXCEEDS_PENDING_AMOUNT, lambda w: w.ask(amount=101)),
    (Code.PENDING_ALREADY_POSTED, lambda w: replace(w, resolved={PENDING.id: Kind.POST})),
    (Code.PENDING_EXPIRED, lambda w: w.knows(stored(PENDING, expires_ms=NOW_MS))),
]
# The form
FORM: list[Fault] = [
    (Code.KIND_NOT_ALLOWED, lambda w: w.ask(kind=Kind.BURN)),
    (Code.AMOUNT_NOT_POSITIVE, lambda w: w.ask(amount=0)),
    (Code.ACCOUNTS_MUST_DIFFER, lambda w: w.ask(credit=BANK)),
    (Code.PENDING_ID_NOT_ALLOWED, lambda w: w.ask(pending_id=an_id("x"))),
    (Code.EXPIRY_NOT_ALLOWED, lambda w: w.ask(expires_ms=1)),
    (Code.DEBIT_ACCOUNT_NOT_FOUND, lambda w: without(w, BANK)),
]
# A known id, different in every field
KNOWN: list[Fault] = [
    (Code.EXISTS_WITH_DIFFERENT_SET, lambda w: w.knows(_known(w)._replace(members=2))),
    (Code.EXISTS_WITH_DIFFERENT_KIND, lambda w: w.ask(kind=Kind.PENDING)),
    (Code.EXISTS_WITH_DIFFERENT_PENDING_ID, lambda w: w.ask(pending_id=an_id("x"))),
    (Code.EXISTS_WITH_DIFFERENT_DEBIT, lambda w: w.ask(debit=FEE)),
    (Code.EXISTS_WITH_DIFFERENT_CREDIT, lambda w: w.ask(credit=MINT)),
    (Code.EXISTS_WITH_DIFFERENT_AMOUNT, lambda w: w.ask(amount=-1)),
    (Code.EXISTS_WITH_DIFFERENT_CURRENCY, lambda w: w.ask(currency="UGX")),
    (Code.EXISTS_WITH_DIFFERENT_EXPIRY, lambda w: w.ask(expires_ms=0)),
    (Code.EXISTS, lambda w: replace(w, accounts={})),
]


def _known(world: World) -> Row:
    return world.known[ASKED.id]


def resolving() -> World:
    world = World().ask(kind=Kind.POST, pending_id=PENDING.id).knows(stored(PENDING))
    return world.account(BANK, debits_pending=100).account(WALLET, credits_pending=100)


LADDERS = {
    "new": (World(), NEW),
    "resolution": (resolving(), RESOLUTION),
    "form": (World(), FORM),
    "known": (World().knows(stored(ASKED)), KNOWN),
}


@pytest.mark.parametrize("ladder", LADDERS)
def test_what_breaks_nothing_is_posted(ladder: str) -> None:
    world, _ = LADDERS[ladder]
    assert world.code() == (Code.EXISTS if ladder == "known" else Code.POSTED)


@pytest.mark.parametrize(
    ("ladder", "number"), [(name, n) for name, (_, faults) in LADDERS.items() for n in range(len(faults))]
)
def test_the_first_broken_rule_names_the_refusal(ladder: str, number: int) -> None:
    world, faults = LADDERS[ladder]
    code, fault = faults[number]
    assert fault(world).code() == code, "alone"
    for _, also in reversed(faults[number:]):
        world = also(world)
    assert world.code() == code, "with every rule below it broken too"


@pytest.mark.parametrize("ladder", LADDERS)
def test_the_ladders_follow_the_order_of_the_list(ladder: str) -> None:
    order = list(Code)
    places = [order.index(code) for code, _ in LADDERS[ladder][1]]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("world", "code"),
    [
        (World().knows(stored(ASKED, kind=Kind.BURN)).ask(amount=7), Code.ID_BURNT),
        (World().knows(stored(ASKED, refusal="exceeds_credits")).ask(amount=7), Code.ID_ALREADY_REFUSED),
        (World().ask(amount=AMOUNT_MINOR_MAX + 1), Code.AMOUNT_TOO_LARGE),
        (World().ask(kind=Kind.POST), Code.PENDING_ID_MISSING),
        (resolving().ask(kind=Kind.VOID, amount=99), Code.PENDING_HAS_DIFFERENT_AMOUNT),
        (replace(resolving(), resolved={PENDING.id: Kind.VOID}), Code.PENDING_ALREADY_VOIDED),
        (resolving().knows(stored(PENDING, refusal="exceeds_credits")), Code.PENDING_NOT_PENDING),
        (resolving().knows(stored(PENDING, expires_ms=NOW_MS)).ask(kind=Kind.VOID), Code.POSTED),
        (resolving().ask(amount=1), Code.POSTED),
    ],
)
def test_rules_that_exclude_those_in_the_ladders(world: World, code: Code) -> None:
    assert world.code() == code


def test_every_code_is_reached() -> None:
    """The tables above and the tests below name every member of Code."""
    named = {code for _, faults in LADDERS.values() for code, _ in faults}
    elsewhere = {
        Code.ID_BURNT, Code.ID_ALREADY_REFUSED, Code.AMOUNT_TOO_LARGE, Code.PENDING_ID_MISSING,
        Code.PENDING_HAS_DIFFERENT_AMOUNT, Code.PENDING_ALREADY_VOIDED, Code.POSTED, Code.BURNT, Code.IDS_REPEAT,
        Code.LINKED_SET_REFUSED, Code.ID_TAKEN, Code.EXISTS_WITH_DIFFERENT_CONTENT,
    }  # fmt: skip
    assert named | elsewhere == set(Code)


@pytest.mark.parametrize("code", [code for _, faults in LADDERS.values() for code, _ in faults])
def test_refused_by_state_is_stored_and_malformed_is_not(code: Code) -> None:
    world, faults = next(pair for pair in LADDERS.values() if code in [named for named, _ in pair[1]])
    fault = next(broken for named, broken in faults if named == code)
    outcomes, decision = fault(world).decide()
    if code in MALFORMED:
        assert (outcomes[0].row, decision.rows) == (None, [])
    elif code in CONFLICTS or code == Code.EXISTS:
        assert decision.rows == []
    else:
        assert [row.refusal for row in decision.rows] == [code]
        assert outcomes[0].row == decision.rows[0]
    assert decision.accounts == {}


def test_a_posting_states_all_eight_balances_after_it() -> None:
    outcomes, decision = World().account(BANK, last=an_id("old")).decide()
    row = outcomes[0].row
    assert row is not None
    assert row.after == (0, 0, 100, 1000, 0, 0, 0, 100)
    assert row.previous == (an_id("old"), None)
    assert decision.accounts[BANK][:5] == (0, 0, 100, 1000, row.id)
    assert decision.accounts[WALLET][:5] == (0, 0, 0, 100, row.id)


def test_a_partial_post_releases_the_rest() -> None:
    _, decision = resolving().ask(amount=30).decide()
    assert decision.accounts[BANK][:4] == (0, 0, 30, 1000)
    assert decision.accounts[WALLET][:4] == (0, 0, 0, 30)


def test_a_void_releases_the_whole() -> None:
    _, decision = resolving().ask(kind=Kind.VOID).decide()
    assert decision.accounts[BANK][:4] == (0, 0, 0, 1000)
    assert decision.accounts[WALLET][:4] == (0, 0, 0, 0)


def test_pending_money_is_not_spent_twice_nor_held_above_the_ceiling() -> None:
    reserve = World().ask(kind=Kind.PENDING, amount=450)
    both = decide(
        [Set((reserve.entry,)), Set((reserve.entry._replace(id=an_id("2"), amount=51),))], reserve.accounts, {}, {}, 0
    )
    assert [answer[0].code for answer in both.outcomes] == [Code.POSTED, Code.EXCEEDS_CEILING]
    spend = World().account(WALLET, ceiling=None).account(BANK, debits_pending=901)
    assert spend.code() == Code.EXCEEDS_CREDITS
    received = World().account(WALLET, credits_pending=100).ask(debit=WALLET, credit=FEE, amount=1)
    assert received.code() == Code.EXCEEDS_CREDITS, "what is only reserved for a wallet cannot be spent"


def linked(*amounts: int) -> tuple[Entry, ...]:
    """A set from the bank to the wallet, one entry an amount; the first is the head."""
    return tuple(Entry(an_id(f"m{n}"), Kind.POSTED, BANK, WALLET, amount, "KES") for n, amount in enumerate(amounts))


def test_a_linked_set_is_all_or_nothing() -> None:
    world = World()
    decision = decide([Set(linked(100, 200)), Set((ASKED,))], world.accounts, {}, {}, NOW_MS)
    assert [row.after for row in decision.rows[:2] if row.after] == [
        (0, 0, 100, 1000, 0, 0, 0, 100),
        (0, 0, 300, 1000, 0, 0, 0, 300),
    ]
    assert [(row.head, row.member, row.members) for row in decision.rows[:2]] == [
        (an_id("m0"), 0, 2),
        (an_id("m0"), 1, 2),
    ]
    refused = decide([Set(linked(100, 200, 300)), Set((ASKED,))], world.accounts, {}, {}, NOW_MS)
    codes = [answer.code for answer in refused.outcomes[0]]
    assert codes == [Code.EXCEEDS_CEILING, Code.LINKED_SET_REFUSED, Code.EXCEEDS_CEILING]
    assert [row.refusal for row in refused.rows[:3]] == codes, "the head has the reason, every member is stored"
    assert refused.outcomes[1][0].code == Code.POSTED
    assert refused.accounts[BANK].debits_posted == 100, "nothing of the refused set is left"


def test_a_refused_set_changes_no_account() -> None:
    assert decide([Set(linked(100, 10_000))], World().accounts, {}, {}, NOW_MS).accounts == {}


def test_a_set_is_undone_with_the_pending_entries_it_resolved() -> None:
    pending = linked(100)[0]._replace(kind=Kind.PENDING)
    post = pending._replace(id=an_id("post"), kind=Kind.POST, pending_id=pending.id)
    too_much = linked(100)[0]._replace(id=an_id("more"), amount=10_000)
    alone = post._replace(id=an_id("alone"))
    decision = decide([Set((pending,)), Set((post, too_much)), Set((alone,))], World().accounts, {}, {}, NOW_MS)
    assert [answer[0].code for answer in decision.outcomes] == [Code.POSTED, Code.EXCEEDS_CREDITS, Code.POSTED]


def test_an_id_twice_in_a_set_is_malformed() -> None:
    first, second = linked(1, 2)
    decision = decide([Set((first, second._replace(id=first.id)))], World().accounts, {}, {}, NOW_MS)
    assert [answer.code for answer in decision.outcomes[0]] == [Code.IDS_REPEAT] * 2
    assert decision.rows == []


def test_a_member_with_a_known_id_refuses_the_set() -> None:
    known = stored(linked(1, 2)[1])
    decision = decide([Set(linked(1, 2))], World().accounts, {known.id: known}, {}, NOW_MS)
    assert [answer.code for answer in decision.outcomes[0]] == [Code.ID_TAKEN] * 2
    assert [row.id for row in decision.rows] == [an_id("m0")], "the known row stays as it is"


def test_a_known_set_is_answered_member_by_member() -> None:
    first = decide([Set(linked(1, 2))], World().accounts, {}, {}, NOW_MS)
    known = {row.id: row for row in first.rows}
    again = decide([Set(linked(1, 3)), Set(linked(1, 2, 3)), Set(linked(1, 2))], {}, known, {}, NOW_MS)
    assert [[answer.code for answer in answers] for answers in again.outcomes] == [
        [Code.EXISTS, Code.EXISTS_WITH_DIFFERENT_AMOUNT],
        [Code.EXISTS_WITH_DIFFERENT_SET] * 3,
        [Code.EXISTS] * 2,
    ]
    assert again.rows == []


def test_burning_the_head_refuses_the_set_for_ever() -> None:
    decision = decide([Burn(an_id("m0")), Set(linked(1, 2)), Burn(an_id("m0"))], World().accounts, {}, {}, NOW_MS)
    assert [[answer.code for answer in answers] for answers in decision.outcomes] == [
        [Code.BURNT],
        [Code.ID_BURNT] * 2,
        [Code.ID_BURNT],
    ]
    assert len(decision.rows) == 1


def test_burning_what_is_posted_or_refused_tells_so_and_changes_nothing() -> None:
    refused = Set((ASKED._replace(id=an_id("r"), amount=10_000),))
    decision = decide([Set((ASKED,)), Burn(ASKED.id), refused, Burn(an_id("r"))], World().accounts, {}, {}, NOW_MS)
    posted, dead = decision.outcomes[1][0], decision.outcomes[3][0]
    assert (posted.code, posted.row and posted.row.refusal) == (Code.EXISTS, None)
    assert (dead.code, dead.row and dead.row.refusal) == (Code.EXISTS, Code.EXCEEDS_CREDITS)
    assert len(decision.rows) == 2


CONTENT, OTHER = b"c" * 32, b"o" * 32


def test_a_resend_is_compared_by_its_content_where_it_has_one() -> None:
    first = Set((ASKED,), content=CONTENT, fee=5)
    resent = Set((ASKED._replace(amount=1),), content=CONTENT, refusal="validity_passed", fee=9)
    other = Set((ASKED,), content=OTHER)
    plain = Set((ASKED,))
    decision = decide([first, resent, other, plain], World().accounts, {}, {}, NOW_MS)
    assert [answer[0].code for answer in decision.outcomes] == [
        Code.POSTED,
        Code.EXISTS,
        Code.EXISTS_WITH_DIFFERENT_CONTENT,
        Code.EXISTS_WITH_DIFFERENT_CONTENT,
    ]
    assert decision.rows[0].fee == 5


def test_a_refusal_given_with_the_set_applies_to_an_unknown_id_only() -> None:
    late = Set((ASKED,), content=CONTENT, refusal="validity_passed")
    fresh = decide([late, late._replace(refusal=None)], World().accounts, {}, {}, NOW_MS)
    assert [answer[0].code for answer in fresh.outcomes] == ["validity_passed", Code.ID_ALREADY_REFUSED]
    assert [row.refusal for row in fresh.rows] == ["validity_passed"]


def test_a_refusal_that_is_not_to_be_stored_leaves_the_id_free() -> None:
    short = Set((ASKED._replace(amount=10_000),), content=CONTENT, stores_refusal=False)
    decision = decide([short, Set((ASKED,), content=CONTENT)], World().accounts, {}, {}, NOW_MS)
    assert [answer[0].code for answer in decision.outcomes] == [Code.EXCEEDS_CREDITS, Code.POSTED]


def test_the_caller_may_name_refusals_by_state_in_its_own_words() -> None:
    short = Set((ASKED._replace(amount=10_000),), reasons={Code.EXCEEDS_CREDITS: "position_short"})
    decision = decide([short], World().accounts, {}, {}, NOW_MS)
    assert decision.rows[0].refusal == "position_short"


def test_what_is_handed_in_is_left_alone() -> None:
    world = resolving()
    accounts, known, resolved = dict(world.accounts), dict(world.known), dict(world.resolved)
    world.decide()
    assert (world.accounts, world.known, world.resolved) == (accounts, known, resolved)
