"""Fees by band, limits, and rounding by name."""

import pytest

from hakika.domain.money import AMOUNT_MINOR_MAX
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.domain.tariff import (
    BANK_TO_WALLET_KES,
    Band,
    Rounding,
    Tariff,
    amount_refusal,
    fee_minor,
    tariff_for,
)


@pytest.mark.parametrize(
    ("amount_minor", "fee"),
    [
        (1, 0),
        (100_00, 0),
        (100_01, 5_00),
        (1_000_00, 5_00),
        (1_000_01, 10_00),
        (10_000_00, 10_00),
        (10_000_01, 20_00),
        (250_000_00, 20_00),
    ],
)
def test_the_demo_tariff_at_the_edges_of_its_bands(amount_minor: int, fee: int) -> None:
    assert fee_minor(BANK_TO_WALLET_KES, amount_minor) == fee


def test_limits() -> None:
    assert amount_refusal(BANK_TO_WALLET_KES, 250_000_00) is None
    assert amount_refusal(BANK_TO_WALLET_KES, 250_000_01) is Reason.AMOUNT_LIMIT
    assert BANK_TO_WALLET_KES.balance_limit_minor == 500_000_00


def test_a_fee_that_eats_the_amount_is_refused() -> None:
    dear = Tariff("dear", "KES", 1000, 1000, (Band(1000, 5),))
    assert amount_refusal(dear, 5) is Reason.AMOUNT_LIMIT
    assert amount_refusal(dear, 6) is None


@pytest.mark.parametrize(
    ("rounding", "fees"), [("half_even", [0, 0, 1, 2, 2]), ("down", [0, 0, 0, 1, 2]), ("up", [0, 1, 1, 2, 3])]
)
def test_a_rate_is_rounded_as_its_band_says(rounding: Rounding, fees: list[int]) -> None:
    """Half a percent of 0, 100, 150, 300 and 500: 0, 0.5, 0.75, 1.5 and 2.5."""
    band = Tariff("rate", "KES", 10**6, 10**6, (Band(10**6, 0, rate_ppm=5_000, rounding=rounding),))
    assert [fee_minor(band, amount) for amount in (0, 100, 150, 300, 500)] == fees


def test_a_currency_without_a_tariff_is_free_and_bounded() -> None:
    assert fee_minor(tariff_for("UGX"), AMOUNT_MINOR_MAX) == 0
    assert amount_refusal(tariff_for("UGX"), AMOUNT_MINOR_MAX + 1) is Reason.AMOUNT_LIMIT
    with pytest.raises(InvariantBroken):
        fee_minor(tariff_for("UGX"), AMOUNT_MINOR_MAX + 1)
