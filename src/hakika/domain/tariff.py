"""Tariffs as data: what a credit costs, and how much one transfer and one wallet may carry.

A tariff is a ladder of bands; the first band that an amount fits into tells its fee. Money is integers of minor
units, and where a rate gives a fraction, the band names the rounding. Figures here are a demonstration
tariff; the limits are those that M-PESA publishes in Kenya.
"""

from dataclasses import dataclass
from typing import Literal

from hakika.domain.money import AMOUNT_MINOR_MAX
from hakika.domain.reasons import InvariantBroken, Reason

MILLION = 1_000_000
Rounding = Literal["half_even", "up", "down"]


@dataclass(frozen=True, slots=True)
class Band:
    """Amounts up to and including `up_to_minor` cost `flat_minor` plus a rate in millionths of the amount."""

    up_to_minor: int
    flat_minor: int
    rate_ppm: int = 0
    rounding: Rounding = "half_even"


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a transfer from a bank to a wallet costs in one currency; the creditor gets the amount less the fee."""

    name: str
    currency: str
    amount_limit_minor: int  # of one transfer
    balance_limit_minor: int  # of one wallet
    bands: tuple[Band, ...]


BANK_TO_WALLET_KES = Tariff(
    name="demo-bank-to-wallet-kes",
    currency="KES",
    amount_limit_minor=250_000_00,
    balance_limit_minor=500_000_00,
    bands=(
        Band(up_to_minor=100_00, flat_minor=0),
        Band(up_to_minor=1_000_00, flat_minor=5_00),
        Band(up_to_minor=10_000_00, flat_minor=10_00),
        Band(up_to_minor=AMOUNT_MINOR_MAX, flat_minor=20_00),
    ),
)
TARIFFS = {tariff.currency: tariff for tariff in (BANK_TO_WALLET_KES,)}


def tariff_for(currency: str) -> Tariff:
    """The tariff of a currency; one that is free and bounded by the largest amount where none was agreed."""
    known = TARIFFS.get(currency)
    if known is not None:
        return known
    return Tariff(f"free-{currency}", currency, AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX, (Band(AMOUNT_MINOR_MAX, 0),))


def fee_minor(tariff: Tariff, amount_minor: int) -> int:
    """The fee of one transfer of a positive amount, in minor units."""
    for band in tariff.bands:
        if amount_minor <= band.up_to_minor:
            return band.flat_minor + _rated(amount_minor * band.rate_ppm, band.rounding)
    raise InvariantBroken(f"tariff {tariff.name} has no band for {amount_minor}")


def amount_refusal(tariff: Tariff, amount_minor: int) -> Reason | None:
    """AMOUNT_LIMIT when one transfer may not carry the amount, or when the fee would eat it whole."""
    if amount_minor > tariff.amount_limit_minor or fee_minor(tariff, amount_minor) >= amount_minor:
        return Reason.AMOUNT_LIMIT
    return None


def _rated(millionths: int, rounding: Rounding) -> int:
    whole, rest = divmod(millionths, MILLION)
    match rounding:
        case "down":
            return whole
        case "up":
            return whole + (rest > 0)
        case "half_even":
            return whole + (2 * rest > MILLION or (2 * rest == MILLION and whole % 2 == 1))
