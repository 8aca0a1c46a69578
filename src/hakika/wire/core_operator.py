"""The operator's API of the core: wallets, positions, accounts and entries. JSON over HTTP, bearer token.

Accounts are `acc_` and a number, entry ids 32 hex digits chosen by the caller: a request repeated with the same
ids does nothing twice. Amounts are integers of minor units. Structs refuse unknown fields.
"""

from typing import Literal

import msgspec

SETS_MAX = 1000
SET_MAX = 20  # entries in one linked set


class OpenWallet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open a wallet, or another currency of one; harmless when it is there."""

    msisdn: str
    name: str
    currency: str


class WalletStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let a wallet be credited (`open`) or not."""

    status: Literal["open", "blocked", "closed"]


class OpenPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open the account of what a bank has prefunded; harmless when it is there."""

    bank: str
    currency: str


class Funding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bank has paid in: settlement -> position."""

    id: str
    amount_minor: int


class EntryOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a linked set; `amount_minor` of a post may be less than what is pending."""

    id: str
    kind: Literal["posted", "pending", "post", "void"]
    debit: str
    credit: str
    amount_minor: int
    currency: str
    pending_id: str | None = None
    expires_ms: int | None = None


class EntrySets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Linked sets, each all or nothing, posted in this order; the first entry of a set is its head."""

    sets: list[list[EntryOrder]]


class EntryResult(msgspec.Struct, frozen=True):
    """`posted` (now or before), `refused` (stored), `burnt`, `conflict` (known with other content), `malformed`."""

    id: str
    result: str
    code: str  # domain.ledger.Code, e.g. exists, exceeds_credits, exists_with_different_amount


class EntryResults(msgspec.Struct, frozen=True):
    """One result for each entry, in the shape of the request."""

    sets: list[list[EntryResult]]


class WalletView(msgspec.Struct, frozen=True):
    """One currency of a wallet. `available_minor` leaves out what is reserved."""

    account: str
    msisdn: str
    name: str
    currency: str
    status: str
    balance_minor: int
    available_minor: int


class PositionView(msgspec.Struct, frozen=True):
    """What a bank has left of what it prefunded."""

    account: str
    bank: str
    currency: str
    balance_minor: int
    available_minor: int


class AccountView(msgspec.Struct, frozen=True):
    """One account of the ledger with its four balances."""

    account: str
    role: str
    currency: str
    debits_pending: int
    credits_pending: int
    debits_posted: int
    credits_posted: int
    last_entry: str | None


class LineView(msgspec.Struct, frozen=True):
    """One entry on an account, with the account's balances after it."""

    id: str
    head: str
    kind: str
    debit: str
    credit: str
    amount_minor: int
    currency: str
    pending_id: str | None
    at_ms: int
    slot: int
    seq: int
    debits_pending: int
    credits_pending: int
    debits_posted: int
    credits_posted: int


class StatementView(msgspec.Struct, frozen=True):
    """A page of an account's entries, the latest first; `before` asks for the next page, null at the end."""

    entries: list[LineView]
    before: str | None
