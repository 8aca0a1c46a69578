"""Every refusal of ours as an ISO 20022 reason code and one plain English sentence.

The table is total over `domain.reasons.Reason`; a test walks it. Codes are from the external code sets for status
and return reasons. Where the set has one code for two of ours, the sentence tells them apart: it travels as
AddtlInf, led by our own name for the reason.
"""

from dataclasses import dataclass

from hakika.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class IsoReason:
    """`code` for StsRsnInf/Rsn/Cd and RtrRsnInf/Rsn/Cd; `english` for people."""

    code: str
    english: str


ISO_REASON: dict[Reason, IsoReason] = {
    Reason.WALLET_UNKNOWN: IsoReason("AC03", "There is no wallet under this number."),
    Reason.WALLET_CLOSED: IsoReason("AC04", "The wallet has been closed."),
    Reason.WALLET_BLOCKED: IsoReason("AC06", "The wallet is blocked and takes no credits."),
    Reason.BALANCE_LIMIT: IsoReason("AM02", "The wallet may not hold that much."),
    Reason.AMOUNT_LIMIT: IsoReason("AM02", "The amount is outside what one transfer may carry."),
    Reason.POSITION_SHORT: IsoReason("AM04", "The bank's position with us does not cover the amount."),
    Reason.VALIDITY_PASSED: IsoReason("AB05", "It reached the ledger after it had stopped being valid."),
    Reason.CURRENCY_MISMATCH: IsoReason("AM03", "The wallet is kept in another currency."),
    Reason.BANK_UNKNOWN: IsoReason("RC01", "The bank has no position with us in this currency."),
    Reason.DEADLINE_PASSED: IsoReason("AB05", "It could not be completed by its deadline."),
    Reason.RECALLED_BY_BANK: IsoReason("FOCR", "The bank recalled it."),
    Reason.RECALLED_BY_CUSTOMER: IsoReason("CUST", "The customer recalled it."),
    Reason.GATEWAY_RESTORED: IsoReason("MS03", "Our log was restored from a copy; the wallet had not been credited."),
    Reason.CURRENCY_NOT_SERVED: IsoReason("AM03", "IntrBkSttlmAmt/@Ccy: not served here when it arrived."),
    Reason.TOMBSTONED: IsoReason("FOCR", "It had been recalled before it arrived."),
}


def iso_code(reason: Reason) -> str:
    """The ISO reason code, e.g. `AC03`."""
    return ISO_REASON[reason].code


def iso_detail(reason: Reason) -> str:
    """The AddtlInf text: our name for the reason, then the sentence."""
    return f"{reason.value}: {ISO_REASON[reason].english}"
