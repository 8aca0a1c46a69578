"""What is broken, for every pattern of what is bad: named once, explained whole, and never against the evidence."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika.health.localise import Cause, Finding, Health, Kind, Series, causes, continues

IN, OUT = "bank_to_wallet", "wallet_to_bank"
A_IN, A_OUT = Series("bank-a", IN), Series("bank-a", OUT)
B_IN, B_OUT = Series("bank-b", IN), Series("bank-b", OUT)
CORRIDORS = (A_IN, A_OUT, B_IN, B_OUT)
USSD, APP = Series(channel="ussd"), Series(channel="app")
ALL = (*CORRIDORS, USSD, APP)


def findings(bad: "tuple[Series, ...]", good: "tuple[Series, ...]" = ALL) -> dict[Series, Finding]:
    """What is bad, since second 100 times its place; the rest of `good` is well."""
    known = {series: Finding(Health.GOOD) for series in good}
    return known | {series: Finding(Health.BAD, 100.0 * (place + 1)) for place, series in enumerate(bad)}


def named(found: "tuple[Cause, ...]") -> list[tuple[Kind, str]]:
    """Kind and name of each cause."""
    return [(cause.kind, cause.name) for cause in found]


TABLE = [
    ((), []),
    ((A_IN,), [(Kind.CORRIDOR, f"bank-a {IN}")]),
    ((B_OUT,), [(Kind.CORRIDOR, f"bank-b {OUT}")]),
    ((A_IN, A_OUT), [(Kind.BANK, "bank-a")]),
    ((A_IN, B_IN), [(Kind.DIRECTION, IN)]),
    ((A_IN, B_OUT), [(Kind.CORRIDOR, f"bank-a {IN}"), (Kind.CORRIDOR, f"bank-b {OUT}")]),
    ((A_IN, A_OUT, B_IN), [(Kind.DIRECTION, IN), (Kind.CORRIDOR, f"bank-a {OUT}")]),
    (CORRIDORS, [(Kind.CORE, "")]),
    ((*CORRIDORS, APP), [(Kind.CORE, "")]),
    (ALL, [(Kind.CORE, "")]),
    ((USSD,), [(Kind.CHANNEL, "ussd")]),
    ((USSD, APP), [(Kind.FRONT, "")]),
    ((A_IN, USSD), [(Kind.CORRIDOR, f"bank-a {IN}"), (Kind.CHANNEL, "ussd")]),
    ((A_IN, B_IN, APP), [(Kind.DIRECTION, IN), (Kind.CHANNEL, "app")]),
]


@pytest.mark.parametrize(("bad", "expected"), TABLE)
def test_the_table(bad: "tuple[Series, ...]", expected: "list[tuple[Kind, str]]") -> None:
    assert sorted(named(causes(findings(bad)))) == sorted(expected)  # which of two comes first is no rule


@pytest.mark.parametrize("states", list(product(Health, repeat=len(ALL))))
def test_every_pattern_is_explained_once_and_against_no_evidence(states: "tuple[Health, ...]") -> None:
    seen = {series: Finding(state, 5.0) for series, state in zip(ALL, states, strict=True)}
    found = causes(seen)
    explained = [series for cause in found for series in cause.explains]
    assert sorted(explained) == sorted(series for series in ALL if seen[series].health is Health.BAD)
    good = {series for series in ALL if seen[series].health is Health.GOOD}
    for cause in found:
        assert cause.start_s == 5.0
        if cause.kind is Kind.CORE:
            assert not good & set(CORRIDORS)
        if cause.kind is Kind.DIRECTION:
            assert not {series for series in good if series.direction == cause.name}
        if cause.kind is Kind.BANK:
            assert not {series for series in good if series.bank == cause.name}
        if cause.kind is Kind.FRONT:
            assert not good & {USSD, APP}


def test_one_direction_alone_on_the_platform_is_the_far_side() -> None:
    """Where only bank to wallet exists, all of it bad is the core and not a direction of it."""
    assert named(causes(findings((A_IN, B_IN), (A_IN, B_IN, USSD)))) == [(Kind.CORE, "")]


def test_one_bank_bad_on_a_platform_of_one_bank_is_its_corridor() -> None:
    assert named(causes(findings((A_IN,), (A_IN, USSD)))) == [(Kind.CORRIDOR, f"bank-a {IN}")]


def test_a_bank_that_cannot_be_reached_explains_its_corridors() -> None:
    reachable = {"bank-a": False, "bank-b": True}
    assert named(causes(findings((A_IN,), (B_IN, B_OUT)), reachable)) == [(Kind.BANK, "bank-a")]
    # Its other corridor works: whatever the reachability says, the bank as a whole is not down.
    assert named(causes(findings((A_IN,)), reachable)) == [(Kind.CORRIDOR, f"bank-a {IN}")]
    both = causes(findings((A_IN, A_OUT, B_IN, B_OUT)), reachable)
    assert both[0].kind is Kind.BANK
    assert named(both)[1:] == [(Kind.BANK, "bank-b")]
    ours = causes(findings(CORRIDORS), {"bank-a": False, "bank-b": False})
    assert named(ours) == [(Kind.LINKS, "")]


def test_a_product_over_all_corridors_is_the_product() -> None:
    cells = [Series(bank, IN, what) for bank in ("bank-a", "bank-b") for what in ("p2p", "paybill")]
    paybill = tuple(cell for cell in cells if cell.product == "paybill")
    p2p = tuple(cell for cell in cells if cell.product == "p2p")
    assert named(causes(findings(paybill, tuple(cells)))) == [(Kind.PRODUCT, "paybill")]
    # The corridors' own totals are bad because of it, and are explained by it.
    whole = causes(findings((*paybill, A_IN, B_IN), (*p2p, USSD)))
    assert named(whole) == [(Kind.PRODUCT, "paybill")]
    assert named(causes(findings((Series(product="paybill"),), (A_IN, B_IN)))) == [(Kind.PRODUCT, "paybill")]


def test_few_that_are_known_do_not_speak_for_many_that_are_not() -> None:
    unknown = {Series(f"bank-{number}", IN): Finding(Health.UNKNOWN) for number in range(8)}
    found = causes(unknown | findings((A_IN, B_IN), ()))
    assert {cause.kind for cause in found} == {Kind.CORRIDOR}


def test_a_cause_begins_with_the_first_it_explains() -> None:
    assert causes(findings((B_IN, A_IN, A_OUT, B_OUT)))[0].start_s == 100.0


@given(st.permutations(ALL), st.lists(st.sampled_from(ALL), unique=True))
def test_the_order_in_which_things_are_known_does_not_matter(order: list[Series], bad: list[Series]) -> None:
    seen = findings(tuple(bad))
    assert causes({series: seen[series] for series in order}) == causes(seen)


def test_an_incident_that_is_understood_better_stays_one() -> None:
    first, wider = causes(findings((A_IN,)))[0], causes(findings(CORRIDORS))[0]
    other = causes(findings((USSD,)))[0]
    assert continues(first, wider)
    assert not continues(first, other)
