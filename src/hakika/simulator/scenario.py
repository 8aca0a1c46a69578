"""A scenario file: the timeline of one outage, the demand on it, and the noise on every link.

Times are real seconds from the start of demand; `starts` is the wall clock of that instant in the story, and the
story's clock runs `scale` times faster. The file fixes what customers want, whatever the system answers. Errors
name the table and the rule; unknown keys are refused.
"""

import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from hakika.simulator.faults import FaultsRefused, Mode, Noise, checked

SCALE_MAX = 10_000
PER_S_MAX = 2_000


class ScenarioRefused(ValueError):
    """The file cannot be played; the message names place and rule."""


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
    how: Literal["blackhole", "deaf", "refuse"] = "blackhole"
    mend: str | None = None  # a link, or `all`
    kill: str | None = None  # a process: core, gateway, bank-a, core-postgres ...
    dead_s: float = 0.0  # how long it stays dead; 0: the supervisor starts it again at once
    noise: str | None = None  # the name of a [noise.<name>] table, put on every link


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

    def story_time(self, at_s: float) -> datetime:
        """The story's clock at a real second."""
        return self.starts + timedelta(seconds=at_s * self.scale)

    def phase_at(self, at_s: float) -> Phase:
        """The phase in force."""
        return [phase for phase in self.phases if phase.from_s <= at_s][-1] if at_s >= 0 else self.phases[0]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a scenario."""

    place: str
    rule: str


def load(file: Path) -> Scenario:
    """Read and check a scenario; ScenarioRefused names everything that is wrong."""
    try:
        content = tomllib.loads(file.read_text("utf-8"))
        scenario = msgspec.convert(content, Scenario)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ScenarioRefused(f"{file}: {error}") from error
    problems = [*_shape(scenario), *_events(scenario), *_demand(scenario)]
    if problems:
        raise ScenarioRefused(f"{file}: " + "; ".join(f"{p.place}: {p.rule}" for p in problems))
    return scenario


def _shape(scenario: Scenario) -> list[Problem]:
    found = []
    if not 1 <= scenario.scale <= SCALE_MAX:
        found.append(Problem("scale", f"1 to {SCALE_MAX}"))
    if scenario.starts.tzinfo is None:
        found.append(Problem("starts", "an instant with its offset, such as 2023-07-27T12:00:00+03:00"))
    starts = [phase.from_s for phase in scenario.phases]
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        found.append(Problem("phases", "the first begins at 0, each later one after the one before"))
    if not 0 <= scenario.outage[0] < scenario.outage[1]:
        found.append(Problem("outage", "two seconds, rising"))
    if not 1 <= scenario.amounts.least <= scenario.amounts.most:
        found.append(Problem("amounts", "least is 1 or more and not above most"))
    bad = scenario.creditors
    if min(bad.unknown, bad.blocked, bad.closed) < 0 or bad.unknown + bad.blocked + bad.closed > 1:
        found.append(Problem("creditors", "shares from 0 that add up to at most 1"))
    for name, noise in scenario.noise.items():
        try:
            checked(noise)
        except FaultsRefused as error:
            found.append(Problem(f"noise.{name}", str(error)))
    return found


def _events(scenario: Scenario) -> list[Problem]:
    banks = [bank.id for bank in scenario.banks]
    links = {"gateway-core", *(f"{bank}-gateway" for bank in banks), *(f"gateway-{bank}" for bank in banks)}
    processes = {"core", "gateway", "core-postgres", "gateway-postgres", *banks}
    found = []
    for number, event in enumerate(scenario.events, start=1):
        place = f"events[{number}]"
        verbs = [event.break_, event.mend, event.kill, event.noise]
        if sum(verb is not None for verb in verbs) != 1:
            found.append(Problem(place, "exactly one of break, mend, kill, noise"))
        if event.break_ is not None and event.break_ not in links:
            found.append(Problem(f"{place}.break", f"one of {', '.join(sorted(links))}"))
        if event.mend is not None and event.mend not in {*links, "all"}:
            found.append(Problem(f"{place}.mend", f"all, or one of {', '.join(sorted(links))}"))
        if event.kill is not None and event.kill not in processes:
            found.append(Problem(f"{place}.kill", f"one of {', '.join(sorted(processes))}"))
        if event.noise is not None and event.noise not in scenario.noise:
            found.append(Problem(f"{place}.noise", "a table of [noise]"))
        if event.at_s < 0 or event.dead_s < 0:
            found.append(Problem(place, "seconds are not negative"))
    return found


def _demand(scenario: Scenario) -> list[Problem]:
    banks = {bank.id for bank in scenario.banks}
    found = []
    for demand in scenario.demand:
        place = f"demand {demand.bank}"
        seconds = [at_s for at_s, _ in demand.per_s]
        if demand.bank not in banks:
            found.append(Problem(place, f"one of {', '.join(sorted(banks))}"))
        if len(seconds) < 2 or seconds != sorted(set(seconds)) or seconds[0] < 0:
            found.append(Problem(place, "two points or more, seconds rising from 0"))
        if any(not 0 <= rate <= PER_S_MAX for _, rate in demand.per_s):
            found.append(Problem(place, f"rates are 0 to {PER_S_MAX} a second"))
    return found


def mode_of(event: Event) -> Mode:
    """The link mode that a breaking event asks for."""
    return Mode(event.how)
