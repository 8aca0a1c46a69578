"""The closed list of refusals, and the exception for a bug.

A refusal is expected: it is returned, stored where it closes an attempt, and mapped to words and wire codes
by a total table in each channel's codec. A fault of the outside world is an exception at the edge that
becomes "no answer". A broken invariant is a bug and stops the work that met it.
"""

from enum import StrEnum


class InvariantBroken(Exception):
    """A rule that the code itself guarantees does not hold: a bug, never the customer's fault."""


class Reason(StrEnum):
    """Why money was refused or sent back; each member has its ISO code in `wire/iso20022/reasons.py`."""

    # The ledger's answers to a credit transfer (stored, each kills its id)
    WALLET_UNKNOWN = "wallet_unknown"  # no wallet under this MSISDN
    WALLET_CLOSED = "wallet_closed"
    WALLET_BLOCKED = "wallet_blocked"
    BALANCE_LIMIT = "balance_limit"  # the wallet may not hold that much
    AMOUNT_LIMIT = "amount_limit"  # more than one transfer may carry, or less than its fee
    POSITION_SHORT = "position_short"  # the bank's prefunded position does not cover it
    VALIDITY_PASSED = "validity_passed"  # arrived after its valid_until
    CURRENCY_MISMATCH = "currency_mismatch"  # the wallet is kept in another currency
    BANK_UNKNOWN = "bank_unknown"  # no position under this bank
    # The gateway's own
    DEADLINE_PASSED = "deadline_passed"  # could not be completed in time
    RECALLED_BY_BANK = "recalled_by_bank"  # camt.056
    RECALLED_BY_CUSTOMER = "recalled_by_customer"
    TOMBSTONED = "tombstoned"  # recalled before it arrived
    GATEWAY_RESTORED = "gateway_restored"  # our log was put back to a copy, and the core had not credited it
    CURRENCY_NOT_SERVED = "currency_not_served"  # by this operator, when it arrived
