"""Public posts sorted by keywords: a golden file in three languages, and that no text can cost much."""

import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika.health.sorting import TEXT_MAX, Vocabulary, component_of

POSTS = tomllib.loads((Path(__file__).parent / "golden" / "posts.toml").read_text("utf-8"))["post"]
COMPONENTS = {
    "corridor:bank-a": ("Mlima Bank", "mlima"),
    "corridor:bank-b": ("Rift Trust Bank", "rift trust", "RTB"),
    "channel:tracking": (),
    "product:bank-to-wallet": (),
}
OURS = Vocabulary(("Hakika",), COMPONENTS)


@pytest.mark.parametrize("post", POSTS, ids=lambda post: post["text"][:60])
def test_a_post_is_about(post: dict[str, str]) -> None:
    assert (component_of(post["text"], OURS) or "") == post["about"]


def test_the_golden_file_has_both_answers_in_each_language() -> None:
    assert len(POSTS) >= 90
    assert sum(bool(post["about"]) for post in POSTS) >= 30


def test_an_operator_called_like_another_is_itself() -> None:
    theirs = Vocabulary(("M-Pesa", "mpesa"), {"product:bank-to-wallet": ()})
    assert component_of("MPESA is down", theirs) == "product:bank-to-wallet"
    assert component_of("Airtel is down", theirs) is None


def test_without_a_product_a_general_complaint_is_about_nothing() -> None:
    assert component_of("Hakika is down", Vocabulary(("Hakika",), {"channel:tracking": ()})) is None


@given(st.text(max_size=400))
def test_any_text_is_sorted(text: str) -> None:
    assert component_of(text, OURS) in {None, *COMPONENTS}


@pytest.mark.parametrize(
    "text",
    [
        "is " * 700 + "down",
        "hakika " * 300,
        "a" * 1_000_000,
        "(" * 100_000,
        "not working " * 200,
        "'t" * 1_000,
        "é" * 9_999,
    ],
)
def test_no_text_costs_much(text: str) -> None:
    began = time.process_time()
    component_of(text, OURS)
    assert time.process_time() - began < 0.5
    assert TEXT_MAX < 10_000
