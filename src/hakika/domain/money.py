"""Money as an integer of minor units plus an ISO 4217 code; never a float.

The decimal form on the wire is parsed here and nowhere else: `int()` and `Decimal()` take underscores,
exponents and Arabic digits, a payment may not. `parse(print(x)) == x`, and nothing else parses.
"""

import re
from dataclasses import dataclass

from hakika.domain.reasons import InvariantBroken

# Decimal places by ISO 4217; the currencies this release can hold.
MINOR_DIGITS = {"KES": 2, "UGX": 0, "TZS": 2, "RWF": 0, "NGN": 2, "INR": 2, "EUR": 2, "USD": 2}
AMOUNT_MINOR_MAX = 10**15  # below 2**53, so that JSON readers that use floats stay exact

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,5}))?", re.ASCII)


class AmountRefused(ValueError):
    """The text is not an amount in the accepted form; the message names the rule."""


@dataclass(frozen=True, slots=True)
class Money:
    """`amount_minor` units of `currency`; negative only as a difference in a report."""

    amount_minor: int
    currency: str

    def __str__(self) -> str:
        return f"{self.currency} {decimal_text(self.amount_minor, self.currency)}"


def minor_digits(currency: str) -> int:
    """Decimal places of a known currency; AmountRefused for any other."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        raise AmountRefused(f"currency {currency!r} is not served here; served: {', '.join(MINOR_DIGITS)}")
    return digits


def parse_amount(text: str, currency: str) -> int:
    """Minor units of a positive decimal such as `1500.50`; raises AmountRefused naming the rule."""
    digits = minor_digits(currency)
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise AmountRefused("an amount is ASCII digits and at most one point: no sign, exponent or leading zero")
    whole, fraction = match.group(1), match.group(2) or ""
    if len(fraction) > digits:
        raise AmountRefused(f"{currency} has {digits} decimal places, the amount has {len(fraction)}")
    minor: int = int(whole) * 10**digits + (int(fraction.ljust(digits, "0")) if digits else 0)
    if minor == 0:
        raise AmountRefused("an amount is greater than zero")
    if minor > AMOUNT_MINOR_MAX:
        raise AmountRefused(f"an amount is at most {decimal_text(AMOUNT_MINOR_MAX, currency)}")
    return minor


def decimal_text(amount_minor: int, currency: str) -> str:
    """The wire form with every decimal place of the currency: `1500.50`."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        raise InvariantBroken(f"amount in unknown currency {currency!r}")
    sign = "-" if amount_minor < 0 else ""
    whole, fraction = divmod(abs(amount_minor), 10**digits)
    return f"{sign}{whole}.{fraction:0{digits}d}" if digits else f"{sign}{whole}"
