"""Whose error a refusal or a return is: the platform's, or one that says nothing against it. Pure and total.

An outage is detected on technical failures alone; customers' own errors (a wrong number, a full wallet) are a
steady share of all traffic and would drown it. A short position is the bank's own: it has not prefunded enough,
and it is told so. The table is printed in docs/reference/signals.md, and a test holds both equal.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hakika.domain.reasons import Reason

TECHNICAL: Mapping[Reason, bool] = MappingProxyType(
    {
        Reason.WALLET_UNKNOWN: False,
        Reason.WALLET_CLOSED: False,
        Reason.WALLET_BLOCKED: False,
        Reason.BALANCE_LIMIT: False,
        Reason.AMOUNT_LIMIT: False,
        Reason.POSITION_SHORT: False,
        Reason.VALIDITY_PASSED: True,
        Reason.CURRENCY_MISMATCH: False,
        Reason.BANK_UNKNOWN: True,  # the bank is registered here and has no position there: our own doing
        Reason.DEADLINE_PASSED: True,
        Reason.RECALLED_BY_BANK: False,
        Reason.RECALLED_BY_CUSTOMER: False,
        Reason.TOMBSTONED: False,
        Reason.GATEWAY_RESTORED: True,
        Reason.CURRENCY_NOT_SERVED: False,
    }
)
