"""The limiter: nobody gets more than burst and rate allow, memory is bounded, whatever the clock does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika.channels.web.limiter import Limiter, client_key
from hakika.domain.reasons import InvariantBroken

STEPS = st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abc")), max_size=200)


@given(rate=st.floats(0.1, 50), burst=st.integers(1, 30), steps=STEPS)
def test_never_more_than_the_burst_and_what_has_flowed_in(
    rate: float, burst: int, steps: list[tuple[float, str]]
) -> None:
    limiter = Limiter(rate, burst, 3)
    now, granted = 0.0, dict.fromkeys("abc", 0)
    for passed, client in steps:
        now += passed
        if limiter.take(client, now) == 0.0:
            granted[client] += 1
        assert granted[client] <= burst + rate * now + 1e-6


@given(rate=st.floats(0.1, 50), burst=st.integers(1, 30))
def test_who_waits_as_told_is_served(rate: float, burst: int) -> None:
    limiter = Limiter(rate, burst, 3)
    for _ in range(burst):
        assert limiter.take("a", 0.0) == 0.0
    wait_s = limiter.take("a", 0.0)
    assert 0 < wait_s <= 1 / rate + 1e-9
    assert limiter.take("a", wait_s * (1 + 1e-9) + 1e-9) == 0.0


@given(st.lists(st.text(max_size=8), max_size=300), st.integers(1, 20))
def test_memory_is_bounded_and_the_least_recent_goes_first(clients: list[str], most: int) -> None:
    limiter = Limiter(1, 1, most)
    for client in clients:
        limiter.take(client, 0.0)
        assert limiter.remembered <= most
    recent = list(dict.fromkeys(reversed(clients)))[:most]
    assert all(limiter.take(client, 0.0) > 0 for client in reversed(recent))


@given(st.lists(st.floats(-1e6, 1e6), max_size=50))
def test_a_clock_that_jumps_gives_no_more_than_the_burst_at_any_instant(instants: list[float]) -> None:
    limiter = Limiter(1.0, 5, 10)
    high, granted = 0.0, 0
    limiter.take("a", 0.0)
    for now in instants:
        high = max(high, now)
        granted += limiter.take("a", now) == 0.0
        assert granted <= 5 + high


def test_one_client_does_not_use_up_another() -> None:
    limiter = Limiter(1, 1, 10)
    assert limiter.take("a", 0) == 0.0
    assert limiter.take("a", 0) == 1.0
    assert limiter.take("b", 0) == 0.0


@pytest.mark.parametrize(("rate", "burst", "most"), [(0, 1, 1), (1, 0.5, 1), (1, 1, 0)])
def test_a_limiter_that_could_never_grant_is_a_bug(rate: float, burst: float, most: int) -> None:
    with pytest.raises(InvariantBroken):
        Limiter(rate, burst, most)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:ffff::1]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix", "unix"),
        ("x" * 500, "x" * 64),
    ],
)
def test_an_address_counts_as_one_customer(address: str, key: str) -> None:
    assert client_key(address) == key
