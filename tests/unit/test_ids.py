"""Derived ids: the same for ever, different for everything that differs, and shown with their prefix."""

import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hakika.ids import PREFIXES, attempt_id, derived, member_id, reference_text, shown

UETR = UUID("11111111-2222-4333-8444-555555555555")


def test_attempt_ids_are_the_same_for_ever() -> None:
    """After a restore every id that may have moved money is named again: these values never change."""
    assert attempt_id("bank-a", UETR, 1) == UUID("7d04546c-ef86-8e5c-aa2f-e0ae8335ab22")
    assert attempt_id("bank-a", UETR, 2) == UUID("6eef639f-e0a7-8817-9bc9-9fdda015caea")
    assert member_id(attempt_id("bank-a", UETR, 1), 1) == UUID("43534c59-9d55-84a6-a4d5-bee1bec29b65")


def test_everything_in_an_attempt_id_counts() -> None:
    base = attempt_id("bank-a", UETR, 1)
    others = [
        attempt_id("bank-b", UETR, 1),
        attempt_id("bank-a", UUID(int=UETR.int + 1), 1),
        attempt_id("bank-a", UETR, 2),
        member_id(base, 1),
        member_id(base, 2),
    ]
    assert len({base, *others}) == 6
    assert member_id(base, 0) == base


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_parts_cannot_run_into_each_other(left: list[bytes], right: list[bytes]) -> None:
    assert (derived(*left) == derived(*right)) == (left == right)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_derived_ids_are_version_8(parts: list[bytes]) -> None:
    found = derived(*parts)
    assert found.version == 8
    assert found.variant == "specified in RFC 4122"


@given(st.binary(min_size=16, max_size=16))
def test_reference_is_26_lower_case_characters(tracking: bytes) -> None:
    assert re.fullmatch(r"[a-z2-7]{26}", reference_text(tracking))


def test_references_differ_in_every_bit() -> None:
    zero = reference_text(bytes(16))
    flipped = {reference_text((1 << bit).to_bytes(16, "big")) for bit in range(128)}
    assert len(flipped | {zero}) == 129


def test_shown_ids_say_what_they_name() -> None:
    assert shown("attempt", UUID(int=10)) == "att_" + "0" * 31 + "a"
    assert len(set(PREFIXES.values())) == len(PREFIXES)
    assert all(re.fullmatch(r"[a-z]{3}_", prefix) for prefix in PREFIXES.values())
