"""Small values of ISO 20022 messages, read and written: instants, telephone numbers, exact sums.

Reading raises FieldRefused with the field's path; writing takes values of ours and gives the standard's form.
A telephone number is E.164 digits with us; the standard parts country code and number by a hyphen.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from hakika.domain.reasons import InvariantBroken
from hakika.wire.iso20022.guard import FieldRefused

E164_DIGITS_MIN = 7
E164_DIGITS_MAX = 15
SUM_DECIMALS = 17  # the most that DecimalNumber has

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LANGUAGE = re.compile(r"[a-z]{2,3}", re.ASCII)
_E164 = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
# E.164 country codes of one and two digits (ITU-T list); every other code has three.
_ONE_DIGIT = frozenset("17")
_TWO_DIGITS = frozenset(
    str(code)
    for code in (
        *(20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58),
        *(60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98),
    )
)


def read_instant(text: str, field: str) -> int:
    """Milliseconds since 1970 UTC of an ISO 8601 date and time; without a zone it is UTC."""
    try:
        when = datetime.fromisoformat(text.strip(" \t\r\n"))
        aware = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return (aware - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise FieldRefused(
            "DT01", field, "must be a date and time with seconds, such as 2023-07-27T09:15:30Z"
        ) from None


@lru_cache(maxsize=1024)  # one instant stands in several places, and in many rows of one batch
def instant_text(instant_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds: `2023-07-27T09:15:30.000Z`."""
    seconds, millis = divmod(instant_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{millis:03d}Z"


def read_phone(text: str, field: str) -> str:
    """E.164 digits of `+254-712345678`; hyphens inside the number are dropped."""
    digits = text.replace("-", "").removeprefix("+")
    if not E164_DIGITS_MIN <= len(digits) <= E164_DIGITS_MAX:
        rule = f"must be a number of {E164_DIGITS_MIN} to {E164_DIGITS_MAX} digits with its country code"
        raise FieldRefused("FF01", field, rule)
    return digits


def phone_text(digits: str) -> str:
    """`254712345678` as PhoneNumber of the standard: `+254-712345678`."""
    if _E164.fullmatch(digits) is None:
        raise InvariantBroken("a telephone number is E.164 digits without +")
    code = 1 if digits[0] in _ONE_DIGIT else 2 if digits[:2] in _TWO_DIGITS else 3
    return f"+{digits[:code]}-{digits[code:]}"


def read_language(text: str, field: str) -> str:
    """An ISO 639 code, as the customer's language is carried."""
    if _LANGUAGE.fullmatch(text) is None:
        raise FieldRefused("FF01", field, "a language is an ISO 639 code in lower case, such as en, sw or fr")
    return text


def scaled(text: str) -> int:
    """A decimal of ASCII digits as an exact integer of 10**-SUM_DECIMALS; the guideline has checked its form."""
    whole, _, fraction = text.strip(" \t\r\n").partition(".")
    digits = whole + fraction.ljust(SUM_DECIMALS, "0")
    return int(digits)
