"""A credit as a linked set: what speaks against it by name, in one order, and what is posted otherwise."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hakika.domain.ledger import Account, Kind
from hakika.domain.reasons import Reason
from hakika.services.core.commands import AWAITING_REDRIVE, Credit, as_set, content_of, fee_member
from hakika.store.core.batches import Looked, WalletAccount

NOW_MS = 1_000
POSITION, WALLET, FEE = 1, 2, 3
ACCOUNT = Account(0, 0, 0, 10**9, None, True, False, None, "KES")
LOOKED = Looked(
    accounts={POSITION: ACCOUNT, WALLET: ACCOUNT, FEE: ACCOUNT},
    wallets={"254700000001": {"KES": WalletAccount(WALLET, "open")}},
    positions={("bank-a", "KES"): POSITION},
    stored={},
    resolved={},
    incarnation=1,
    redriven=True,
)
CREDIT = Credit(b"i" * 16, "bank-a", "254700000001", 1_000_00, "KES", NOW_MS)
Case = tuple[Credit, Looked]


def status(looked: Looked, text: str) -> Looked:
    return replace(looked, wallets={"254700000001": {"KES": WalletAccount(WALLET, text)}})


FAULTS: list[tuple[str, Callable[[Case], Case]]] = [
    (AWAITING_REDRIVE, lambda c: (c[0], replace(c[1], redriven=False))),
    (Reason.VALIDITY_PASSED, lambda c: (c[0]._replace(valid_until_ms=NOW_MS - 1), c[1])),
    (Reason.BANK_UNKNOWN, lambda c: (c[0]._replace(bank="bank-z"), c[1])),
    (Reason.WALLET_UNKNOWN, lambda c: (c[0]._replace(msisdn="254700000009"), c[1])),
    (Reason.CURRENCY_MISMATCH, lambda c: (c[0]._replace(currency="UGX"), c[1])),
    (Reason.WALLET_CLOSED, lambda c: (c[0], status(c[1], "closed"))),
    (Reason.AMOUNT_LIMIT, lambda c: (c[0]._replace(amount=250_000_01), c[1])),
]


def refusal(case: Case) -> str | None:
    return as_set(case[0], case[1], {"KES": FEE}, NOW_MS).refusal


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_the_first_that_speaks_against_it_names_the_refusal(number: int) -> None:
    name, fault = FAULTS[number]
    case: Case = (CREDIT, LOOKED)
    assert refusal(case) is None
    assert refusal(fault(case)) == name, "alone"
    for _, also in reversed(FAULTS[number:]):
        case = also(case)
    assert refusal(case) == name, "with everything below it"


def test_a_blocked_wallet_is_refused_before_the_amount() -> None:
    blocked = (CREDIT._replace(amount=250_000_01), status(LOOKED, "blocked"))
    assert refusal(blocked) == Reason.WALLET_BLOCKED


def test_the_fee_is_taken_from_the_amount() -> None:
    head, fee = as_set(CREDIT, LOOKED, {"KES": FEE}, NOW_MS).entries
    assert (head.debit, head.credit, head.amount) == (POSITION, WALLET, 995_00)
    assert (fee.debit, fee.credit, fee.amount) == (POSITION, FEE, 5_00)
    assert (head.id, fee.id) == (CREDIT.id, fee_member(CREDIT.id))
    assert head.kind == fee.kind == Kind.POSTED


def test_a_credit_without_a_fee_is_one_entry() -> None:
    (head,) = as_set(CREDIT._replace(amount=100_00), LOOKED, {"KES": FEE}, NOW_MS).entries
    assert head.amount == 100_00


def test_a_redrive_passes_by_age_status_and_limit_and_stores_no_refusal() -> None:
    old = CREDIT._replace(valid_until_ms=0, amount=250_000_01, redrive=True)
    closed = status(replace(LOOKED, redriven=False), "closed")
    redriven = as_set(old, closed, {"KES": FEE}, NOW_MS)
    assert redriven.refusal is None
    unknown = as_set(old._replace(msisdn="254700000009"), closed, {"KES": FEE}, NOW_MS)
    assert (unknown.refusal, unknown.stores_refusal) == (Reason.WALLET_UNKNOWN, False)


@pytest.mark.parametrize(
    "changed",
    [{"bank": "bank-b"}, {"msisdn": "254700000002"}, {"amount": 1}, {"currency": "UGX"}],
)
def test_content_is_bank_creditor_amount_and_currency(changed: dict[str, str | int]) -> None:
    assert content_of(CREDIT._replace(**changed)) != content_of(CREDIT)  # type: ignore[arg-type]
    assert content_of(CREDIT._replace(valid_until_ms=5, redrive=True)) == content_of(CREDIT)
