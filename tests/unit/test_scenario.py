"""Scenario files: the shipped one plays, mistakes are named, and demand follows from file and seed alone."""

from collections import Counter
from pathlib import Path

import pytest

from hakika.simulator.demand import orders_of, rate_at
from hakika.simulator.plan import demo_wallets
from hakika.simulator.replay import plan_of
from hakika.simulator.scenario import Scenario
from hakika.simulator.scenario_rules import ScenarioRefused, load

SHIPPED = Path(__file__).parents[2] / "outages" / "2023-07-27.toml"


@pytest.fixture(scope="module")
def shipped() -> Scenario:
    return load(SHIPPED)


def test_the_shipped_scenario_has_the_shape_of_that_day(shipped: Scenario) -> None:
    assert shipped.name == SHIPPED.stem
    since, until = shipped.outage
    assert 110 <= until - since <= 130  # about two minutes
    assert (until - since) * shipped.scale == pytest.approx(6 * 3600)
    killed = {event.kill for event in shipped.events if event.kill}
    assert {"core", "gateway", "core-postgres", "gateway-postgres"} <= killed
    modes = {event.how for event in shipped.events if event.break_ == "gateway-core"}
    assert modes == {"deaf", "blackhole"}
    assert "FACTS" in SHIPPED.read_text() and "CHOSEN" in SHIPPED.read_text()


def test_demand_is_large_enough_and_nobody_can_change_it(shipped: Scenario) -> None:
    plan = plan_of(shipped, shipped.seed)
    orders = orders_of(shipped, plan, seed=shipped.seed)
    assert orders == orders_of(shipped, plan, seed=shipped.seed)
    assert orders != orders_of(shipped, plan, seed=shipped.seed + 1)
    assert len(orders) >= 13_000
    assert sum(1 for order in orders if order.bank == "bank-b") >= 9_000
    assert [order.at_s for order in orders] == sorted(order.at_s for order in orders)
    assert len({order.request_id for order in orders}) == len(orders)
    kinds = Counter(order.creditor_kind for order in orders)
    assert set(kinds) == {"open", "unknown", "blocked", "closed"}
    assert kinds["open"] > 0.98 * len(orders)
    amounts = [order.amount_minor for order in orders]
    assert min(amounts) >= shipped.amounts.least * 100
    assert max(amounts) <= shipped.amounts.most * 100


def test_a_wallet_never_gets_more_than_it_may_hold(shipped: Scenario) -> None:
    plan = plan_of(shipped, shipped.seed)
    held: Counter[str] = Counter()
    for order in orders_of(shipped, plan, seed=shipped.seed):
        held[order.creditor_msisdn] += order.amount_minor
    assert max(held.values()) < 500_000_00


def test_wrong_numbers_have_no_wallet_and_others_do(shipped: Scenario) -> None:
    plan = plan_of(shipped, shipped.seed)
    status = {wallet.msisdn: wallet.status for wallet in demo_wallets(plan)}
    assert len(status) == plan.wallets + 5
    for order in orders_of(shipped, plan, seed=shipped.seed):
        assert status.get(order.creditor_msisdn, "unknown") == order.creditor_kind


def test_a_quick_look_is_a_tenth(shipped: Scenario) -> None:
    plan = plan_of(shipped, shipped.seed)
    full = len(orders_of(shipped, plan, seed=1))
    tenth = len(orders_of(shipped, plan, seed=1, share=0.1))
    assert 0.08 * full < tenth < 0.12 * full


def test_rates_are_straight_lines(shipped: Scenario) -> None:
    demand = next(demand for demand in shipped.demand if demand.bank == "bank-b")
    (first_s, low), (second_s, high) = demand.per_s[:2]
    assert rate_at(demand, (first_s + second_s) / 2) == pytest.approx((low + high) / 2)
    assert rate_at(demand, 1e6) == 0


def test_the_story_s_clock(shipped: Scenario) -> None:
    since, until = shipped.outage
    assert f"{shipped.story_time(since):%H:%M}" == "13:00"
    assert f"{shipped.story_time(until):%H:%M}" == "19:00"
    assert shipped.phase_at(-1).name == shipped.phases[0].name
    assert shipped.phase_at(1e6).name == shipped.phases[-1].name


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("scale = 180", "scale = 0.5", "scale: 1 to"),
        ('kill = "gateway"\n', 'kill = "health"\n', "kill: one of"),
        ('mend = "all"', 'mend = "everything"', "mend: all, or one of"),
        ("double = 0.006", "double = 6", "noise.weather"),
        ('break = "gateway-core"', 'break = "gateway-moon"', "break: one of"),
        ('name = "2023-07-27"', 'name = "2023-07-27"\ncolour = "red"', "colour"),
        ("outage = [20.0, 140.0]", "outage = [140.0, 20.0]", "outage: two seconds"),
        ('bank = "bank-b"\nper_s', 'bank = "bank-z"\nper_s', "demand bank-z"),
        ("from_s = 0\n", "from_s = 3\n", "phases: the first begins at 0"),
        ("starts = 2023-07-27T12:00:00+03:00", "starts = 2023-07-27T12:00:00", "starts: an instant"),
        ('noise = "weather"', 'noise = "weather"\nmend = "all"', "exactly one of"),
        ('name = "2023-07-27"', "name = ", "Invalid"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = SHIPPED.read_text()
    assert old in text
    file = tmp_path / "bent.toml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ScenarioRefused, match=said.replace("[", r"\[")):
        load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioRefused, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")
