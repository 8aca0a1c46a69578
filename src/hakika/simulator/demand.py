"""What customers want, drawn once from the scenario and its seed: who pays whom how much, and when.

Open loop: the list is made before the first transfer is sent and nothing that the system does changes it.
Rates are straight lines between the scenario's points; within them customers come by chance (a Poisson process).
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from hakika import clock
from hakika.simulator.plan import CURRENCY, Plan, demo_wallets, unknown_msisdns
from hakika.simulator.scenario import Demand, Scenario

MINOR = 100
UNKNOWN_NUMBERS = 20


@dataclass(frozen=True, slots=True)
class Order:
    """One customer's wish."""

    number: int
    at_s: float
    bank: str
    customer: int
    creditor_msisdn: str
    creditor_name: str
    creditor_kind: str  # open, unknown, blocked, closed
    amount_minor: int

    @property
    def request_id(self) -> str:
        """The customer's app asks under this id until it knows."""
        return f"order-{self.number:06d}"

    def body(self) -> dict[str, str | int]:
        """What the app sends to its bank."""
        return {
            "request_id": self.request_id,
            "creditor_msisdn": self.creditor_msisdn,
            "creditor_name": self.creditor_name,
            "amount_minor": self.amount_minor,
            "currency": CURRENCY,
        }


def orders_of(scenario: Scenario, plan: Plan, *, seed: int, share: float = 1.0) -> list[Order]:
    """Every order of the scenario, earliest first; `share` thins demand for a quick look."""
    wallets = demo_wallets(plan)
    creditors = {
        status: [(wallet.msisdn, wallet.name) for wallet in wallets if wallet.status == status]
        for status in ("open", "blocked", "closed")
    }
    creditors["unknown"] = [(msisdn, "Wrong Number") for msisdn in unknown_msisdns(plan, UNKNOWN_NUMBERS)]
    wanted: list[tuple[float, Order]] = []
    for place, demand in enumerate(scenario.demand):
        dice = clock.seeded(seed * 1_000_003 + place)
        customers = next(bank.customers for bank in scenario.banks if bank.id == demand.bank)
        for at_s in _arrivals(demand, share, dice):
            kind = _kind(scenario, dice.random())
            msisdn, name = dice.choice(creditors[kind])
            amount = _amount(scenario, dice)
            customer = dice.randint(1, customers)
            wanted.append((at_s, Order(0, at_s, demand.bank, customer, msisdn, name, kind, amount)))
    wanted.sort(key=lambda pair: (pair[0], pair[1].bank))
    return [_numbered(order, number) for number, (_, order) in enumerate(wanted, start=1)]


def _numbered(order: Order, number: int) -> Order:
    return Order(
        number, order.at_s, order.bank, order.customer, order.creditor_msisdn, order.creditor_name,
        order.creditor_kind, order.amount_minor,
    )  # fmt: skip


def _arrivals(demand: Demand, share: float, dice: random.Random) -> Iterator[float]:
    """Instants of a Poisson process whose rate follows the points, by thinning one of the highest rate."""
    highest = max(rate for _, rate in demand.per_s) * share
    at_s, end_s = demand.per_s[0][0], demand.per_s[-1][0]
    while highest > 0:
        at_s += dice.expovariate(highest)
        if at_s >= end_s:
            return
        if dice.random() * highest < rate_at(demand, at_s) * share:
            yield at_s


def rate_at(demand: Demand, at_s: float) -> float:
    """Transfers a second that are wanted at an instant."""
    for (from_s, low), (to_s, high) in zip(demand.per_s, demand.per_s[1:], strict=False):
        if from_s <= at_s <= to_s:
            return low + (high - low) * (at_s - from_s) / (to_s - from_s)
    return 0.0


def _kind(scenario: Scenario, roll: float) -> str:
    bad = scenario.creditors
    for kind, chance in (("unknown", bad.unknown), ("blocked", bad.blocked), ("closed", bad.closed)):
        if roll < chance:
            return kind
        roll -= chance
    return "open"


def _amount(scenario: Scenario, dice: random.Random) -> int:
    """Minor units; small amounts are as frequent as large ones on a logarithmic scale."""
    low, high = math.log(scenario.amounts.least), math.log(scenario.amounts.most)
    whole = round(math.exp(low + (high - low) * dice.random()))
    if whole >= 200:
        whole = round(whole / 10) * 10
    return max(scenario.amounts.least, min(whole, scenario.amounts.most)) * MINOR
