"""What a bank is told, for every condition; and what the bank does with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika import clock
from hakika.counterparties.statements import Statements
from hakika.health.statements import RAMP, Condition, CorridorFacts, decision_of, statement_of
from hakika.wire.statements import EXPIRES_MS, HEARTBEAT_MS, Statement

SINCE_MS = 1_000_000


@pytest.mark.parametrize(
    ("condition", "after_s", "expected"),
    [
        (Condition.WELL, 0, ("OPEN", 100)),
        (Condition.SLOW, 0, ("SLOW", 100)),
        (Condition.BROKEN, 0, ("HOLD", 0)),
        (Condition.BROKEN, 10_000, ("HOLD", 0)),
        (Condition.RECOVERING, 0, ("TRICKLE", 5)),
        (Condition.RECOVERING, 59.9, ("TRICKLE", 5)),
        (Condition.RECOVERING, 60, ("TRICKLE", 25)),
        (Condition.RECOVERING, 179.9, ("TRICKLE", 25)),
        (Condition.RECOVERING, 180, ("SLOW", 100)),
        (Condition.RECOVERING, -5, ("TRICKLE", 5)),  # a clock that was set back
    ],
)
def test_decisions(condition: Condition, after_s: float, expected: tuple[str, int]) -> None:
    facts = CorridorFacts("bank-a", condition, SINCE_MS)
    assert decision_of(facts, SINCE_MS + int(after_s * 1000), 1.0) == expected
    assert decision_of(facts, SINCE_MS + int(after_s * 100), 10.0) == expected  # policies are scaled


@given(st.sampled_from(Condition), st.integers(-(10**6), 10**9))
def test_more_may_pass_only_as_time_passes(condition: Condition, waited_ms: int) -> None:
    facts = CorridorFacts("bank-a", condition, SINCE_MS)
    _, before = decision_of(facts, SINCE_MS + waited_ms, 1.0)
    _, after = decision_of(facts, SINCE_MS + waited_ms + 1_000, 1.0)
    assert 0 <= before <= after <= 100
    assert (before == 0) == (condition is Condition.BROKEN)
    assert {share for _, share in RAMP} == {5, 25, 100}


def said(condition: Condition, seq: int = 1, *, since_ms: int | None = None) -> Statement:
    """A statement of now."""
    now_ms = clock.now_ms()
    facts = CorridorFacts("bank-a", condition, now_ms if since_ms is None else since_ms)
    return statement_of(facts, operator="demo", seq=seq, now_ms=now_ms, scale=1.0)


def test_a_statement_is_fresh_for_thirty_seconds_and_renewed_every_ten() -> None:
    statement = said(Condition.WELL)
    assert statement.expires_at_ms - statement.issued_at_ms == EXPIRES_MS == 3 * HEARTBEAT_MS
    assert statement.next_update_by_ms - statement.issued_at_ms == HEARTBEAT_MS


def test_a_bank_debits_by_the_statement_while_it_is_fresh() -> None:
    bank = Statements("bank-a", [])
    assert bank.may_debit(1) is None
    bank.last = said(Condition.WELL)
    assert bank.may_debit(1) is True
    bank.last = said(Condition.BROKEN)
    assert [bank.may_debit(customer) for customer in range(50)] == [False] * 50
    now_ms = clock.now_ms()
    old = CorridorFacts("bank-a", Condition.BROKEN, now_ms)
    bank.last = statement_of(old, operator="demo", seq=9, now_ms=now_ms - EXPIRES_MS, scale=1.0)
    assert bank.may_debit(1) is None  # expired: the bank is on its own


def test_the_trickle_lets_the_same_customers_through_and_about_as_many_as_said() -> None:
    bank = Statements("bank-a", [])
    shares = []
    for waited_s in (0, 70):
        bank.last = said(Condition.RECOVERING, since_ms=clock.now_ms() - waited_s * 1000)
        chosen = {customer for customer in range(4000) if bank.may_debit(customer)}
        assert chosen == {customer for customer in range(4000) if bank.may_debit(customer)}
        shares.append(chosen)
    assert shares[0] < shares[1]
    assert 0.03 < len(shares[0]) / 4000 < 0.08
    assert 0.21 < len(shares[1]) / 4000 < 0.30
