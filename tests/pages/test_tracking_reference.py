"""A reference has one spelling: 26 characters for 16 bytes, and nothing else decodes."""

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika.channels.web.reference import decode_reference, encode_reference
from hakika.domain.reasons import InvariantBroken

ALPHABET = string.ascii_lowercase + "234567"


@given(st.binary(min_size=16, max_size=16))
def test_there_and_back(raw: bytes) -> None:
    text = encode_reference(raw)
    assert len(text) == 26 and set(text) <= set(ALPHABET)
    assert decode_reference(text) == raw


@given(st.text(alphabet=ALPHABET, min_size=26, max_size=26))
def test_what_decodes_encodes_to_itself(text: str) -> None:
    raw = decode_reference(text)
    assert raw is None or encode_reference(raw) == text


@given(st.text(max_size=40))
def test_other_text_is_no_reference(text: str) -> None:
    raw = decode_reference(text)
    assert raw is None or encode_reference(raw) == text


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.upper(), lambda t: t[:-1], lambda t: t + "a", lambda t: t + "======", lambda t: " " + t[1:],
        lambda t: t + "\n", lambda t: t[:-1] + "b", lambda t: "1" + t[1:], lambda t: "é" + t[1:],
        lambda t: t.replace("a", "\uff41", 1), lambda t: "", lambda t: t[:13] + "-" + t[13:],
    ],
)  # fmt: skip
def test_near_misses_are_no_reference(change: Callable[[str], str]) -> None:
    good = encode_reference(bytes(16))
    assert decode_reference(good) == bytes(16)
    assert decode_reference(change(good)) is None


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_only_sixteen_bytes_are_encoded(size: int) -> None:
    with pytest.raises(InvariantBroken):
        encode_reference(bytes(size))
