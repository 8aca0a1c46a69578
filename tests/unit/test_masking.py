"""What strangers see of a name and a number: enough to recognise, not enough to learn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika.domain.masking import NAME_SHOWN_MAX, mask_msisdn, mask_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Achieng Otieno", "ACHIENG O."),
        ("  achieng   otieno ", "ACHIENG O."),
        ("Wanjiru", "WANJIRU"),
        ("Jean-Pierre Ngugi wa Thiong'o", "JEAN-PIERRE N. W. T."),
        ("", ""),
        ("   ", ""),
        ("Ünal Ödegård", "ÜNAL Ö."),
    ],
)
def test_names(name: str, shown: str) -> None:
    assert mask_name(name) == shown


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=2, max_size=40), min_size=2, max_size=12))
def test_no_second_name_is_shown(words: list[str]) -> None:
    shown = mask_name(" ".join(words))
    assert len(shown) <= NAME_SHOWN_MAX + 8
    assert all(len(part.rstrip(".")) <= 1 or part.endswith(".") is False for part in shown.split()[1:])
    assert all(len(part) <= 2 for part in shown.split()[1:])


@pytest.mark.parametrize(
    ("msisdn", "shown"),
    [("254712345678", "0712 *** 678"), ("255712345678", "2557 *** 678"), ("4915112345678", "4915 *** 678")],
)
def test_numbers(msisdn: str, shown: str) -> None:
    assert mask_msisdn(msisdn) == shown


@given(st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True))
def test_a_number_is_never_whole(msisdn: str) -> None:
    """At least three digits stay hidden, whatever the country's length."""
    shown = mask_msisdn(msisdn)
    digits = "".join(character for character in shown if character.isdigit())
    national = "0" + msisdn[3:] if msisdn.startswith("254") else msisdn
    assert len(national) - len(digits) >= 3
    assert "***" in shown
