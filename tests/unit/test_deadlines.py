"""Promises as instants: always in order, never shorter than the pack says, the same whenever they are computed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika.domain.deadlines import HOUSE_4H, PACKS, Deadlines, RulePack, deadlines_for

NOW_MS = 1_690_437_600_000  # 27 July 2023, 06:00 UTC
INSTANTS = st.integers(0, 4_102_444_800_000)
SCALES = st.floats(1, 1_000, allow_nan=False)


@given(st.sampled_from(sorted(PACKS)), INSTANTS, SCALES)
def test_the_order_of_the_instants(name: str, received_ms: int, scale: float) -> None:
    """PostgreSQL holds the same order by a CHECK of table transfer."""
    found = deadlines_for(PACKS[name], received_ms, scale)
    assert received_ms < found.valid_until_ms < found.return_at_ms < found.deadline_ms


@given(st.sampled_from(sorted(PACKS)), INSTANTS, st.integers(0, 10**9), SCALES)
def test_later_is_never_earlier(name: str, received_ms: int, wait_ms: int, scale: float) -> None:
    first = deadlines_for(PACKS[name], received_ms, scale)
    later = deadlines_for(PACKS[name], received_ms + wait_ms, scale)
    assert later.deadline_ms - first.deadline_ms == wait_ms
    assert later.return_at_ms - first.return_at_ms == wait_ms
    assert later.valid_until_ms - first.valid_until_ms == wait_ms


def test_house_promise() -> None:
    minute = 60_000
    assert deadlines_for(HOUSE_4H, NOW_MS) == Deadlines(
        valid_until_ms=NOW_MS + 195 * minute, return_at_ms=NOW_MS + 210 * minute, deadline_ms=NOW_MS + 240 * minute
    )


def test_scale_divides_policies() -> None:
    assert deadlines_for(HOUSE_4H, NOW_MS, 240.0) == Deadlines(
        valid_until_ms=NOW_MS + 48_750, return_at_ms=NOW_MS + 52_500, deadline_ms=NOW_MS + 60_000
    )


@pytest.mark.parametrize("pack", PACKS.values(), ids=lambda pack: pack.name)
def test_packs_leave_room(pack: RulePack) -> None:
    """Time to learn an answer after validity, and to tell the bank before the deadline."""
    assert pack.promise_s > pack.validity_margin_s > pack.return_lead_s > 0
    assert pack.validity_margin_s - pack.return_lead_s >= 300
    assert pack.return_lead_s >= 1800  # at a scenario's scale of 180: 10 s, more than two lost messages
    assert pack.source
    assert PACKS[pack.name] is pack
