"""What the core is asked to do to an id, and how a credit transfer becomes a linked set of entries.

A credit is one set: the bank's position pays the wallet the amount less the fee, and the operator's fee account
the fee. What speaks against it without looking at balances is found here, in one order, and handed to the
ledger as a refusal: the ledger applies it to an unknown id only, so that a known id gets its stored answer
even after its validity. Balances are the ledger's business; its refusals get the names that banks know.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from hakika import ids
from hakika.domain import ledger, tariff
from hakika.domain.ledger import Code, Entry, Kind, Set
from hakika.domain.reasons import Reason
from hakika.store.core.batches import Looked, WalletAccount

AWAITING_REDRIVE = "awaiting_redrive"  # not stored: after a restore nothing new is posted yet
REASONS: Mapping[str, str] = MappingProxyType(
    {
        Code.EXCEEDS_CREDITS: Reason.POSITION_SHORT,
        Code.EXCEEDS_CEILING: Reason.BALANCE_LIMIT,
        Code.BALANCE_TOO_LARGE: Reason.BALANCE_LIMIT,
    }
)


class Credit(NamedTuple):
    """Credit a wallet from a bank's position; `id` is the attempt's."""

    id: bytes
    bank: str
    msisdn: str
    amount: int
    currency: str
    valid_until_ms: int
    redrive: bool = False  # re-post what was completed before a restore: age and status no longer matter


class Post(NamedTuple):
    """Entries as the operator gives them; awaits the re-drive like everybody."""

    set: Set


class Inquire(NamedTuple):
    """What is stored under `id`."""

    id: bytes


Command = Credit | Post | ledger.Burn | Inquire


def content_of(credit: Credit) -> bytes:
    """SHA-256 of what a resend must repeat: bank, creditor, amount, currency.

    `valid_until_ms` is left out: it bounds when, not what, and the gateway may have to derive it again.
    """
    text = f"hakika-credit-1|{credit.bank}|{credit.msisdn}|{credit.amount}|{credit.currency}"
    return hashlib.sha256(text.encode()).digest()


def fee_member(head: bytes) -> bytes:
    """The id of the fee's entry in the set of `head`."""
    return ids.member_id(UUID(bytes=head), 1).bytes


def as_set(credit: Credit, looked: Looked, fee_accounts: Mapping[str, int], now_ms: int) -> Set:
    """The linked set of a credit, with the refusal that applies before any balance is looked at."""
    terms = tariff.tariff_for(credit.currency)
    fee = tariff.fee_minor(terms, credit.amount)
    position = looked.positions.get((credit.bank, credit.currency), 0)
    wallet = looked.wallets.get(credit.msisdn, {}).get(credit.currency)
    account = 0 if wallet is None else wallet.account
    refusal = _refusal(credit, looked, terms, wallet, now_ms)
    if refusal is not None:
        entries = [Entry(credit.id, Kind.POSTED, position, account, credit.amount, credit.currency)]
    else:
        entries = [Entry(credit.id, Kind.POSTED, position, account, credit.amount - fee, credit.currency)]
        if fee > 0:
            fees = fee_accounts[credit.currency]
            entries.append(Entry(fee_member(credit.id), Kind.POSTED, position, fees, fee, credit.currency))
    return Set(
        tuple(entries),
        content=content_of(credit),
        refusal=refusal,
        fee=fee,
        stores_refusal=not credit.redrive and refusal != AWAITING_REDRIVE,
        reasons=REASONS,
    )


def _refusal(
    credit: Credit, looked: Looked, terms: tariff.Tariff, wallet: WalletAccount | None, now_ms: int
) -> str | None:
    """The first that applies, in this order."""
    if not looked.redriven and not credit.redrive:
        return AWAITING_REDRIVE
    if now_ms > credit.valid_until_ms and not credit.redrive:
        return Reason.VALIDITY_PASSED
    currencies = [currency for bank, currency in looked.positions if bank == credit.bank]
    if not currencies:
        return Reason.BANK_UNKNOWN
    if credit.msisdn not in looked.wallets:
        return Reason.WALLET_UNKNOWN
    if wallet is None or credit.currency not in currencies:
        return Reason.CURRENCY_MISMATCH
    if wallet.status == "closed" and not credit.redrive:
        return Reason.WALLET_CLOSED
    if wallet.status == "blocked" and not credit.redrive:
        return Reason.WALLET_BLOCKED
    if credit.redrive and tariff.fee_minor(terms, credit.amount) < credit.amount:
        return None
    return tariff.amount_refusal(terms, credit.amount)
