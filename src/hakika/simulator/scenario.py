"""A scenario file: the timeline of one outage, the demand on it, and the noise on every link.

Times are real seconds from the start of demand; `starts` is the wall clock of that instant in the story, and the
story's clock runs `scale` times faster, unless `[[clock]]` pins it elsewhere. The file fixes what customers want,
whatever the system answers, and which incidents an honest watcher would open. What may stand in a file is checked by
`scenario_rules.py`; docs/reference/scenarios.md lists every field.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, TypeVar

import msgspec

from hakika.simulator.faults import Mode, Noise

S = TypeVar("S", bound=msgspec.Struct)


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of the story, from `from_s` to the next phase's."""

    name: str
    title: str
    from_s: float


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something happens at `at_s`: exactly one of the verbs is given."""

    at_s: float
    note: str  # for people, in the terminal and the report
    break_: str | None = msgspec.field(default=None, name="break")
    how: Literal["blackhole", "deaf", "refuse", "busy"] = "blackhole"
    mend: str | None = None  # a link, or `all`
    kill: str | None = None  # a process: core, gateway, bank-a, core-postgres ...
    dead_s: float = 0.0  # how long it stays dead; 0: the supervisor starts it again at once
    noise: str | None = None  # the name of a [noise.<name>] table
    on: str = "*"  # the link that gets it; every one unless said
    slow: str | None = None  # a database's link
    storm: str | None = None  # a bank that asks for statuses `times` as often as its manners allow; 1 ends it
    times: float = 1.0  # of slow and storm


class Demand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What customers of one bank want: transfers a second, in straight lines between the given points."""

    bank: str
    per_s: list[tuple[float, float]]  # (second, rate)


class Creditors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of transfers whose creditor cannot be credited; the rest goes to open wallets."""

    unknown: float = 0.0
    blocked: float = 0.0
    closed: float = 0.0


class Amounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whole units of the currency, drawn evenly on a logarithmic scale."""

    least: int
    most: int


class Bank(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bank of the story."""

    id: str
    name: str
    style: Literal["asks_first", "sends_throughout"]
    rule_pack: str
    customers: int = 200


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The story's clock shows `story` at second `at_s`; between two pins it runs evenly."""

    at_s: float
    story: datetime


class Maintenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Planned work, announced to health at `announced_s`; what is broken meanwhile is in the events."""

    from_s: float
    to_s: float
    components: list[str]
    words: dict[str, str]  # by language, for people
    announced_s: float = 0.0


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An incident that has to be open: something was broken from `from_s` to `to_s`.

    `components` have to be named, `may` are not wrong to be named as well, nothing else is right; `causes` are the
    kinds of cause that are right (none given: any). A `relapse` is no incident of its own: the one before it is
    opened again. What is not `required` is too short or too slight to demand that it is seen; an incident about it
    is not false.
    """

    from_s: float
    to_s: float
    components: list[str]
    may: list[str] = msgspec.field(default_factory=list)
    causes: list[str] = msgspec.field(default_factory=list)
    relapse: bool = False
    required: bool = True


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file."""

    name: str
    title: str
    place: str
    starts: datetime
    seed: int
    scale: float
    demand_until_s: float
    drain_s: float  # after demand ends, everything has to be final within this
    outage: tuple[float, float]  # shown as the shaded band
    relapses: list[tuple[float, float]] = msgspec.field(default_factory=list)  # and these
    zone: str = "EAT"  # name of the offset of `starts`, for people
    quick_speed: float = 1.0  # with --quick the story runs so many times faster; 1: a tenth of the demand instead
    main_link: str = "gateway-core"
    wallets: int = 400
    tracking_per_s: float = 12.0
    banks: list[Bank]
    creditors: Creditors = msgspec.field(default_factory=Creditors)
    amounts: Amounts
    phases: list[Phase]
    events: list[Event]
    demand: list[Demand]
    noise: dict[str, Noise] = msgspec.field(default_factory=dict)
    clock: list[Pin] = msgspec.field(default_factory=list)
    maintenance: list[Maintenance] = msgspec.field(default_factory=list)
    expected: list[Expected] = msgspec.field(default_factory=list)

    def story_time(self, at_s: float) -> datetime:
        """The story's clock at a real second: through the pins, beyond them at the scale's speed."""
        pins = [Pin(0.0, self.starts), *self.clock]
        for before, after in pairwise(pins):
            if before.at_s <= at_s < after.at_s:
                share = (at_s - before.at_s) / (after.at_s - before.at_s)
                return before.story + (after.story - before.story) * share
        anchor = pins[-1] if at_s >= 0 else pins[0]
        return anchor.story + timedelta(seconds=(at_s - anchor.at_s) * self.scale)

    def second_of(self, story: datetime) -> float:
        """The real second at which the story's clock shows an instant."""
        pins = [Pin(0.0, self.starts), *self.clock]
        for before, after in pairwise(pins):
            if before.story <= story < after.story:
                return before.at_s + (after.at_s - before.at_s) * (
                    (story - before.story) / (after.story - before.story)
                )
        anchor = pins[-1] if story >= self.starts else pins[0]
        return anchor.at_s + (story - anchor.story).total_seconds() / self.scale

    @property
    def outages(self) -> list[tuple[float, float]]:
        """Every shaded band."""
        return [self.outage, *self.relapses]

    def phase_at(self, at_s: float) -> Phase:
        """The phase in force."""
        return [phase for phase in self.phases if phase.from_s <= at_s][-1] if at_s >= 0 else self.phases[0]


def faster(scenario: Scenario, times: float) -> Scenario:
    """The same story in a fraction of the time: all seconds divided, policies too, demand a second as it was."""

    def less(at_s: float) -> float:
        return at_s / times

    return msgspec.structs.replace(
        scenario,
        scale=scenario.scale * times,
        demand_until_s=less(scenario.demand_until_s),
        outage=(less(scenario.outage[0]), less(scenario.outage[1])),
        relapses=[(less(since), less(until)) for since, until in scenario.relapses],
        phases=[_each(phase, less, "from_s") for phase in scenario.phases],
        events=[_each(event, less, "at_s", "dead_s") for event in scenario.events],
        demand=[Demand(one.bank, [(less(at_s), rate) for at_s, rate in one.per_s]) for one in scenario.demand],
        clock=[_each(pin, less, "at_s") for pin in scenario.clock],
        maintenance=[_each(one, less, "from_s", "to_s", "announced_s") for one in scenario.maintenance],
        expected=[_each(one, less, "from_s", "to_s") for one in scenario.expected],
    )


def _each(struct: S, change: Callable[[float], float], *names: str) -> S:
    return msgspec.structs.replace(struct, **{name: change(getattr(struct, name)) for name in names})


def mode_of(event: Event) -> Mode:
    """The link mode that a breaking event asks for."""
    return Mode(event.how)
