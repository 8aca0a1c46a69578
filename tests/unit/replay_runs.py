"""An invented run of a small outage, so that judgement, pictures and page can be tested without processes."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from uuid import UUID

import msgspec

from hakika import clock
from hakika.domain.money import decimal_text
from hakika.simulator.demand import Order
from hakika.simulator.detection import Detection
from hakika.simulator.driver import Told
from hakika.simulator.faults import Mode
from hakika.simulator.links import Change, Links, link_specs
from hakika.simulator.lives import AttemptRow, Booked, Life
from hakika.simulator.reckoning import Evidence, Reckoning, reckon
from hakika.simulator.record import Mark, Record
from hakika.simulator.scenario import Amounts, Bank, Demand, Event, Expected, Phase, Scenario
from hakika.simulator.tracking import HOLDERS, STATUSES, Checked, Sample, check, stage_at

BEGAN_MS = 1_690_448_400_000
EAT = timezone(timedelta(hours=3))
PROMISE_MS = 80_000


def scenario() -> Scenario:
    """Twenty seconds of quiet, two minutes of outage."""
    return Scenario(
        name="2023-07-27",
        title="27 July 2023: bank to wallet, down for hours",
        place="Nairobi",
        starts=datetime(2023, 7, 27, 12, tzinfo=EAT),
        seed=7,
        scale=180.0,
        demand_until_s=172,
        drain_s=40,
        outage=(20.0, 140.0),
        banks=[
            Bank("bank-a", "Mlima Bank", "asks_first", "house-8h"),
            Bank("bank-b", "Rift Trust Bank", "sends_throughout", "house-4h"),
        ],
        amounts=Amounts(50, 9000),
        phases=[Phase("quiet", "Everything works", 0), Phase("outage", "Nothing reaches the core", 20)],
        events=[Event(20, "the link swallows everything", break_="gateway-core"), Event(140, "mended", mend="all")],
        demand=[Demand("bank-b", [(0, 20), (172, 20)])],
    )


@dataclass
class Run:
    """The recorded facts, to be bent by tests before they are judged."""

    lives: dict[str, Life] = field(default_factory=dict)
    booked: dict[str, Booked] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    posted: set[str] = field(default_factory=set)
    crossed: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    links: Links = field(default_factory=lambda: Links(link_specs(("bank-a", "bank-b")), seed=1))
    books: dict[str, int | None] = field(
        default_factory=lambda: {"core_sum_minor": 0, "bank_vs_gateway_minor": 0, "gateway_vs_core_minor": 0}
    )
    findings: list[str] = field(default_factory=list)
    relapses: list[tuple[float, float]] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    detection: Detection | None = None

    def evidence(self) -> Evidence:
        """What the judgement sees."""
        checked: Checked = check(self.samples, self.lives)
        return Evidence(
            told=self.told,
            lives=self.lives,
            booked=self.booked,
            posted=self.posted,
            crossed=self.crossed,
            swallowed={},
            links=self.links,
            tracking=checked,
            books=self.books,
            findings=self.findings,
            verify_ok=not self.findings,
            judged_ms=BEGAN_MS + 210_000,
        )

    def judged(self) -> Reckoning:
        """The verdict."""
        return reckon(self.evidence(), scenario="2023-07-27", seed=7, scale=180.0, main_link="gateway-core")

    def record(self) -> Record:
        """What the report is made from."""
        kills = [
            (36, "gateway", "the gateway is killed (SIGKILL)", 2.1),
            (46, "gateway-postgres", "the gateway's database is killed (SIGKILL)", 1.2),
            (54, "core", "the core is killed and stays dead for a while", 9.8),
            (56, "core-postgres", "the core's database is killed and stays dead for a while", 9.1),
            (143, "core", "the core is killed in the middle of the drain", 1.9),
        ]
        marks = [Mark(ms(20), "break", "gateway-core", "the link swallows everything")]
        marks += [Mark(ms(at), "kill", target, note, ms(at + back)) for at, target, note, back in kills]
        marks.append(Mark(ms(140), "mend", "all", "the link is mended, the backlog drains"))
        marks.sort(key=lambda mark: mark.at_ms)
        judged = self.judged()
        judged.figures |= {} if self.detection is None else self.detection.figures()
        played = msgspec.structs.replace(scenario(), relapses=self.relapses, expected=self.expected)
        return Record(
            played, 7, BEGAN_MS, ms(190), marks, self.lives, self.booked, self.samples, judged,
            {"machine": "2 cores"}, self.detection,
        )  # fmt: skip


def ms(at_s: float) -> int:
    """The instant of a second of the run."""
    return BEGAN_MS + round(at_s * 1000)


def add(
    run: Run,
    at_s: float,
    attempts: list[tuple[float, float | None, str | None]],
    *,
    back_s: float | None = None,
    confirmed_s: float | None = None,
    reason: str | None = None,
) -> Life:
    """One transfer accepted at `at_s`, with its attempts (sent, closed, outcome) and its return."""
    number = len(run.told) + 1
    uetr = UUID(int=number, version=4).hex
    rows = []
    for count, (sent_s, closed_s, outcome) in enumerate(attempts):
        identifier = UUID(int=number * 100 + count).hex
        rows.append(AttemptRow(identifier, ms(sent_s), None if closed_s is None else ms(closed_s), outcome))
        if outcome != "not_sent":
            run.crossed[identifier] = ms(sent_s) + 1
        if outcome == "posted":
            run.posted.add(identifier)
    posted = next((row for row in rows if row.outcome == "posted"), None)
    status, status_ms = "RECEIVED", ms(at_s)
    if posted is not None and posted.closed_ms is not None:
        status, status_ms = "COMPLETED", posted.closed_ms
    elif back_s is not None:
        status, status_ms = "RETURNED", ms(back_s)
    elif rows and rows[-1].closed_ms is None:
        status = "IN_FLIGHT"
    amount = 125_000 + number * 100
    order = Order(number, at_s - 0.1, "bank-b", number % 200 + 1, "254712345678", "Wanjiru Kamau", "open", amount)
    run.told.append(Told(order, ms(at_s - 0.1), uetr=uetr, asks=1))
    life = Life(
        uetr, "bank-b", status, status_ms, reason, amount, "KES", 1000, "254712345678", "Wanjiru Kamau",
        "Otieno Odhiambo", ms(at_s), ms(at_s) + PROMISE_MS, rows,
        None if back_s is None else ms(back_s), None if confirmed_s is None else ms(confirmed_s),
    )  # fmt: skip
    run.lives[uetr] = life
    state = {"COMPLETED": "completed", "RETURNED": "returned"}.get(status, "accepted")
    if state == "returned" and confirmed_s is None:
        state = "accepted"
    final = None if state == "accepted" else status_ms + 40
    run.booked[uetr] = Booked(
        uetr, "bank-b", order.request_id, order.customer, state, ms(at_s - 0.05), ms(at_s) + 20,
        life.deadline_ms, final, reason,
    )  # fmt: skip
    return life


def ordinary() -> Run:
    """Twenty a second through the outage: quiet ones arrive at once, early ones come back, late ones arrive."""
    run = Run()
    dice = clock.seeded(3)
    at_s = 0.5
    while at_s < 172:
        if 20 <= at_s < 21.5:  # sent as the link broke, without an answer until it was back
            add(run, at_s, [(at_s + 0.02, 140.3, "posted")])
        elif 21.5 <= at_s < 62:
            back = at_s + 78.7
            add(run, at_s, [], back_s=back, confirmed_s=back + dice.uniform(0.1, 1), reason="deadline_passed")
        elif 62 <= at_s < 140:
            drained = 140.5 + (at_s - 62) * 0.2
            add(run, at_s, [(drained, drained + 0.05, "posted")])
        elif dice.random() < 0.01:
            refused = at_s + 0.06
            add(run, at_s, [(at_s + 0.02, refused, "refused")], back_s=refused, confirmed_s=refused + 0.2,
                reason="wallet_unknown")  # fmt: skip
        else:
            add(run, at_s, [(at_s + 0.02, at_s + 0.06 + dice.random() * 0.3, "posted")])
        at_s += dice.expovariate(20)
    run.links.history += [
        Change(ms(20), "gateway-core", Mode.BLACKHOLE),
        Change(ms(140), "gateway-core", Mode.OPEN),
    ]
    for uetr, life in list(run.lives.items())[::7]:
        for look_s in (2.0, 40.0, 78.8):
            run.samples.append(page(uetr, life, life.received_ms + round(look_s * 1000)))
    return run


def watched(seen: Detection) -> Run:
    """The ordinary run with a relapse, and health that watched it."""
    run = ordinary()
    run.relapses = [(150.0, 165.0)]
    run.expected = [
        Expected(20, 140, ["role:core"], may=["product:bank-to-wallet"]),
        Expected(150, 165, ["role:core"], relapse=True),
    ]
    run.detection = seen
    return run


def page(uetr: str, life: Life, at_ms: int, **changed: object) -> Sample:
    """What a truthful page says at an instant, with some members changed."""
    stage = stage_at(life, at_ms)
    body: dict[str, object] = {
        "stage": stage,
        "holder": HOLDERS[stage],
        "as_of": iso(at_ms),
        "amount": decimal_text(life.amount_minor, life.currency),
        "currency": life.currency,
        "status": STATUSES[stage],
        "received": iso(life.received_ms),
        "deadline": iso(life.deadline_ms),
        "ended": iso(life.decided_ms or life.final_ms),
        "return_confirmed": iso(life.acknowledged_ms),
        "creditor": {"name": "Wan**** K****", "msisdn": "2547** *** 678"},
    }
    dead = ms(54) <= at_ms <= ms(63)
    name = "quiet" if at_ms < ms(20) else "outage"
    return Sample(uetr, at_ms - 3, name, dead, 200, {**body, **changed})


def iso(at_ms: int | None) -> str | None:
    """An instant as a page writes it."""
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, EAT).isoformat(timespec="milliseconds")
