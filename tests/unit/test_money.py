"""Amounts on the wire: `parse(print(x)) == x`, and nothing parses that is not plainly that amount in ASCII digits."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hakika.domain.money import (
    AMOUNT_MINOR_MAX,
    MINOR_DIGITS,
    AmountRefused,
    Money,
    decimal_text,
    minor_digits,
    parse_amount,
)
from hakika.domain.reasons import InvariantBroken

CURRENCIES = st.sampled_from(sorted(MINOR_DIGITS))
DIGITS_OF_THE_WORLD = "0123456789٠١٢٣٤٥٦٧٨٩۰۱۲३४५߀߁０１２𝟎𝟏𝟙①²⅓"
LOOKS_LIKE_AN_AMOUNT = st.text(
    alphabet=DIGITS_OF_THE_WORLD + "._,+-−eE '\n\t\u00a0\u200b\u066b\u066c\x00xX", max_size=24
)


@given(st.integers(1, AMOUNT_MINOR_MAX), CURRENCIES)
@example(1, "KES")
@example(AMOUNT_MINOR_MAX, "KES")
@example(AMOUNT_MINOR_MAX, "UGX")
def test_parse_of_print(amount_minor: int, currency: str) -> None:
    assert parse_amount(decimal_text(amount_minor, currency), currency) == amount_minor


@given(LOOKS_LIKE_AN_AMOUNT | st.text(max_size=30), CURRENCIES)
def test_nothing_else_parses(text: str, currency: str) -> None:
    """What parses is the canonical form of its value, up to trailing zeros that the currency has room for."""
    try:
        minor = parse_amount(text, currency)
    except AmountRefused:
        return
    assert text.isascii()
    assert 0 < minor <= AMOUNT_MINOR_MAX
    whole, _, fraction = text.partition(".")
    assert text == whole if not fraction else text == f"{whole}.{fraction}"
    assert whole.isdigit() and (not fraction or fraction.isdigit())
    assert whole == str(int(whole))
    assert len(fraction) <= MINOR_DIGITS[currency]
    assert Decimal(text).scaleb(MINOR_DIGITS[currency]) == minor
    canonical = decimal_text(minor, currency)
    assert canonical == text + ("." if not fraction and "." in canonical else "") + "0" * (
        MINOR_DIGITS[currency] - len(fraction)
    )


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1", "KES", 100),
        ("0.01", "KES", 1),
        ("0.1", "KES", 10),
        ("1500.5", "KES", 150_050),
        ("1500.50", "KES", 150_050),
        ("10000000000000", "KES", AMOUNT_MINOR_MAX),
        ("10000000000000.00", "KES", AMOUNT_MINOR_MAX),
        ("1000000000000000", "UGX", AMOUNT_MINOR_MAX),
        ("7", "UGX", 7),
    ],
)
def test_amounts(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


NOT_AMOUNTS = [
    "", " ", "0", "0.0", "0.00", "-1", "+1", "−1", "1e3", "1E3", "1e-2", "0x10", "1_000", "1,000", "1 000", " 1", "1 ",
    "1\n", "\n1", "1\r", "\t1", "1\x00", "01", "00", "00.10", "0001.00", ".5", "1.", "1.2.3", "..", ".", "1.234",
    "1.000", "1.000000", "١٢", "１２", "1٫50", "²", "①", "½", "𝟏", "1\u200b", "\ufeff1", "NaN", "nan", "inf",
    "Infinity", "True", "None", "1f", "10000000000000.01", "10000000000001", "9999999999999999", "99999999999999999",
    "1" * 400, "0." + "0" * 400 + "1",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_AMOUNTS, ids=lambda text: repr(text[:20]))
def test_refused_by_rule(text: str) -> None:
    with pytest.raises(AmountRefused) as refused:
        parse_amount(text, "KES")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", ["1.0", "1.00", "0.5", "1."])
def test_a_currency_without_decimals_has_none(text: str) -> None:
    with pytest.raises(AmountRefused):
        parse_amount(text, "UGX")


@pytest.mark.parametrize("currency", ["", "kes", "KE", "KESS", "XXX", "K€S", "KES ", "\u212aES"])
def test_unknown_currency(currency: str) -> None:
    with pytest.raises(AmountRefused, match="not served"):
        parse_amount("1.00", currency)
    with pytest.raises(AmountRefused):
        minor_digits(currency)
    with pytest.raises(InvariantBroken):
        decimal_text(100, currency)


def test_largest_amount_is_exact_as_a_float() -> None:
    """JSON readers that use floats stay exact (2**53)."""
    assert AMOUNT_MINOR_MAX < 2**53
    assert int(float(AMOUNT_MINOR_MAX)) == AMOUNT_MINOR_MAX


def test_differences_may_be_negative_in_a_report() -> None:
    assert str(Money(-5, "KES")) == "KES -0.05"
    assert str(Money(150_050, "KES")) == "KES 1500.50"
    assert str(Money(-7, "UGX")) == "UGX -7"
    with pytest.raises(AmountRefused):
        parse_amount(decimal_text(-5, "KES"), "KES")
