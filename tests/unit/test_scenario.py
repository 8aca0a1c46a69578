"""Scenario files: the shipped one plays, mistakes are named, and demand follows from file and seed alone."""

from collections import Counter
from pathlib import Path

import pytest

from hakika.simulator.demand import orders_of, rate_at
from hakika.simulator.plan import demo_wallets
from hakika.simulator.replay import plan_of
from hakika.simulator.scenario import Scenario, faster
from hakika.simulator.scenario_rules import ScenarioRefused, load

OUTAGES = Path(__file__).parents[2] / "outages"
SHIPPED = OUTAGES / "2023-07-27.toml"
OTHERS = sorted(file for file in OUTAGES.glob("*.toml") if file != SHIPPED)
JUDGED_S = 300.0  # an outage has to last so long where detection is judged


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


def test_the_other_outages_are_there() -> None:
    assert [file.stem for file in OTHERS] == ["2013-09-21", "2018-12-08", "2021-10-07", "2024-01-09", "upi-2025-04-12"]


@pytest.fixture(params=OTHERS, ids=lambda file: file.stem)
def other(request: pytest.FixtureRequest) -> Scenario:
    scenario = load(request.param)
    assert scenario.name == request.param.stem
    text = request.param.read_text()
    assert "# FACTS" in text and "# CHOSEN" in text
    return scenario


def test_outages_and_relapses_last_long_enough_to_be_judged(other: Scenario) -> None:
    assert all(until - since >= JUDGED_S for since, until in other.outages)
    assert all(one.to_s - one.from_s >= JUDGED_S for one in other.expected)
    assert other.expected and other.expected[-1].to_s + 120 <= other.demand_until_s  # time to see that it is over
    assert other.demand_until_s <= 16 * 60
    assert sum(one.relapse for one in other.expected) == len(other.relapses)


def test_what_is_expected_is_on_the_platform(other: Scenario) -> None:
    banks = {f"corridor:{bank.id}" for bank in other.banks}
    known = banks | {"role:core", "role:gateway", "product:bank-to-wallet"}
    known |= {f"channel:{name}" for name in ("bank-api", "core-api", "tracking")}
    for one in other.expected:
        assert {*one.components, *one.may} <= known
        assert not set(one.components) & set(one.may)
    assert all(set(one.components) <= known for one in other.maintenance)


def test_no_wallet_of_the_others_gets_more_than_it_may_hold(other: Scenario) -> None:
    held: Counter[str] = Counter()
    for order in orders_of(other, plan_of(other, other.seed), seed=other.seed):
        held[order.creditor_msisdn] += order.amount_minor
    assert max(held.values()) < 500_000_00


def test_each_breaks_what_its_report_says() -> None:
    found = {file.stem: load(file) for file in OTHERS}
    slow = found["2018-12-08"]
    assert [(e.slow, e.times) for e in slow.events if e.slow] == [("core-postgres", 50)] * 2
    assert plan_of(slow, 1).database_links == ("core-postgres",)
    assert [f"{slow.story_time(at_s):%d %H:%M}" for band in slow.outages for at_s in band] == [
        "08 19:04", "08 22:52", "09 07:19", "09 07:53",
    ]  # fmt: skip
    lost = found["2021-10-07"]
    assert {e.break_ for e in lost.events if e.how == "deaf"} == {"bank-b-gateway", "bank-c-gateway"}
    assert {e.how for e in found["2024-01-09"].events if e.break_} == {"busy"}
    planned = found["2013-09-21"]
    window = planned.maintenance[0]
    assert [f"{planned.story_time(at_s):%H:%M}" for at_s in (window.from_s, window.to_s)] == ["00:00", "04:00"]
    assert f"{planned.story_time(planned.outage[1]):%H:%M}" == "17:30"
    assert planned.expected[0].from_s == window.to_s
    flood = found["upi-2025-04-12"]
    assert [e.times for e in flood.events if e.storm] == [50, 1]
    assert [flood.noise[e.noise].request.busy for e in flood.events if e.noise][1:3] == [0.5, 0.2]


def test_the_quick_way_is_the_same_story_faster(other: Scenario) -> None:
    quick = faster(other, other.quick_speed)
    assert quick.demand_until_s <= 130
    assert len(quick.events) == len(other.events)
    for at_s in (0.0, other.outage[0], other.outage[1], other.demand_until_s):
        drift = quick.story_time(at_s / other.quick_speed) - other.story_time(at_s)
        assert abs(drift.total_seconds()) < 1
    assert rate_at(quick.demand[0], 5) == pytest.approx(rate_at(other.demand[0], 5 * other.quick_speed))
    assert [one.components for one in quick.expected] == [one.components for one in other.expected]


def test_the_clock_goes_through_its_pins_and_back() -> None:
    scenario = load(OUTAGES / "2018-12-08.toml")
    seconds = [-10.0, 0.0, 60.0, 439.0, 440.0, 445.0, 450.0, 460.0, 500.0, 760.0, 920.0]
    moments = [scenario.story_time(at_s) for at_s in seconds]
    assert moments == sorted(moments)
    for at_s, moment in zip(seconds, moments, strict=True):
        assert scenario.second_of(moment) == pytest.approx(at_s, abs=0.01)
    for pin in scenario.clock:
        assert scenario.story_time(pin.at_s) == pin.story


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("2018-12-08", 'slow = "core-postgres"', 'slow = "gateway-core"', r"slow: one of core-postgres"),
        ("2018-12-08", "times = 50", "times = 1", r"times: more than 1"),
        ("2018-12-08", "relapses = [[460.0, 760.0]]", "relapses = [[260.0, 760.0]]", "relapses: two seconds each"),
        ("2018-12-08", "at_s = 450\nstory", "at_s = 430\nstory", "clock: seconds and"),
        ("2018-12-08", "T07:53:00+03:00", "T07:53:00", "clock: instants with"),
        ("2018-12-08", "quick_speed = 8", "quick_speed = 0.5", "quick_speed: 1 to"),
        ("2018-12-08", 'rule_pack = "house-4h"', 'rule_pack = "house-1h"', "rule_pack is one of"),
        ("2013-09-21", 'on = "gateway-core"', 'on = "gateway-moon"', r"on: one of"),
        ("2013-09-21", "announced_s = 30", "announced_s = 90", "announced_s, from_s, to_s"),
        ("2013-09-21", 'en = "Upgrade of the core."', 'en = ""', "words in English"),
        ("2013-09-21", 'components = ["corridor:bank-a"', 'components = ["the core"', "a component is corridor"),
        ("upi-2025-04-12", 'storm = "bank-b"', 'storm = "bank-z"', r"storm: one of bank-a"),
        ("upi-2025-04-12", "times = 50", "times = 5000", r"times: 1 to 1000; 1 ends it"),
        ("2024-01-09", 'how = "busy"', 'how = "busy"\ntimes = 2', "belongs to slow and storm"),
        ("2024-01-09", 'how = "busy"', 'how = "busy"\non = "gateway-core"', "on: belongs to noise"),
        (
            "2024-01-09",
            'components = ["corridor:bank-a", "corridor:bank-b"]',
            "components = []",
            "one component or more",
        ),
        (
            "2024-01-09",
            "components = [",
            "relapse = true\ncomponents = [",
            "a relapse follows an incident, and is required",
        ),
    ],
)
def test_a_mistake_in_the_other_tables_is_named(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    text = (OUTAGES / f"{file}.toml").read_text()
    assert old in text
    bent = tmp_path / "bent.toml"
    bent.write_text(text.replace(old, new, 1))
    with pytest.raises(ScenarioRefused, match=said):
        load(bent)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioRefused, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")
