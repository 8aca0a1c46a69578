"""What may stand in a scenario file: it is read, checked whole, and everything that is wrong is named at once.

A scenario that loads can be played: its links, processes, banks and databases exist, its seconds rise, its chances
are chances, and every policy divided by its scale still leaves time between the instants of a promise.
"""

import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from hakika.counterparties.faults import POLLS_TIMES_MAX
from hakika.domain.deadlines import PACKS, scale_refusal
from hakika.simulator.faults import FaultsRefused, checked
from hakika.simulator.links import DATABASE_LINKS, GATEWAY_CORE
from hakika.simulator.relay import TIMES_MAX
from hakika.simulator.scenario import Event, Scenario

SCALE_MAX = 10_000
PER_S_MAX = 2_000
QUICK_MAX = 60
VERBS = ("break_", "mend", "kill", "noise", "slow", "storm")
COMPONENT_KINDS = ("corridor", "channel", "product", "role")


class ScenarioRefused(ValueError):
    """The file cannot be played; the message names place and rule."""


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
    problems = [*_shape(scenario), *_clock(scenario), *_events(scenario), *_demand(scenario), *_health(scenario)]
    if problems:
        raise ScenarioRefused(f"{file}: " + "; ".join(f"{p.place}: {p.rule}" for p in problems))
    return scenario


def _shape(scenario: Scenario) -> list[Problem]:
    found = []
    if not 1 <= scenario.scale <= SCALE_MAX:
        found.append(Problem("scale", f"1 to {SCALE_MAX}"))
    elif (why := scale_refusal(scenario.scale)) is not None:
        found.append(Problem("scale", why))
    if not 1 <= scenario.quick_speed <= QUICK_MAX or scale_refusal(scenario.scale * scenario.quick_speed):
        found.append(Problem("quick_speed", f"1 to {QUICK_MAX}, and promises keep their order"))
    found += [
        Problem(f"bank {bank.id}", f"rule_pack is one of {', '.join(PACKS)}")
        for bank in scenario.banks
        if bank.rule_pack not in PACKS
    ]
    if scenario.starts.tzinfo is None:
        found.append(Problem("starts", "an instant with its offset, such as 2023-07-27T12:00:00+03:00"))
    starts = [phase.from_s for phase in scenario.phases]
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        found.append(Problem("phases", "the first begins at 0, each later one after the one before"))
    if not 0 <= scenario.outage[0] < scenario.outage[1]:
        found.append(Problem("outage", "two seconds, rising"))
    if any(since >= until or since <= before[1] for before, (since, until) in pairwise(scenario.outages)):
        found.append(Problem("relapses", "two seconds each, rising, each after the one before"))
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


def _clock(scenario: Scenario) -> list[Problem]:
    """Pins, in the order in which they are passed."""
    if any(pin.story.tzinfo is None for pin in scenario.clock) or scenario.starts.tzinfo is None:
        return [Problem("clock", "instants with their offset")] if scenario.clock else []
    seconds = [0.0, *(pin.at_s for pin in scenario.clock)]
    story = [scenario.starts, *(pin.story for pin in scenario.clock)]
    rising = all(one < two for one, two in pairwise(seconds)) and all(one < two for one, two in pairwise(story))
    return [] if rising else [Problem("clock", "seconds and the story's instants rise from pin to pin")]


def _events(scenario: Scenario) -> list[Problem]:
    found = []
    for number, event in enumerate(scenario.events, start=1):
        place = f"events[{number}]"
        named = {verb: name for verb in VERBS if (name := getattr(event, verb)) is not None}
        if len(named) != 1:
            found.append(Problem(place, "exactly one of break, mend, kill, noise, slow, storm"))
        found += [
            Problem(f"{place}.{verb.rstrip('_')}", f"{'all, or ' if verb == 'mend' else ''}{_one_of(known)}")
            for verb, known in _names(scenario).items()
            if verb in named and named[verb] not in known
        ]
        if event.at_s < 0 or event.dead_s < 0:
            found.append(Problem(place, "seconds are not negative"))
        found += _parts(scenario, event, place)
    return found


def _names(scenario: Scenario) -> dict[str, set[str]]:
    """What each verb may be about."""
    banks = {bank.id for bank in scenario.banks}
    links = {GATEWAY_CORE, *(f"{bank}-gateway" for bank in banks), *(f"gateway-{bank}" for bank in banks)}
    return {
        "break_": links,
        "mend": {*links, *DATABASE_LINKS, "all"},
        "kill": {"core", "gateway", *DATABASE_LINKS, *banks},
        "noise": set(scenario.noise),
        "slow": set(DATABASE_LINKS),
        "storm": {bank.id for bank in scenario.banks if bank.style == "sends_throughout"},
        "on": {*links, "*"},
    }


def _one_of(names: set[str]) -> str:
    return f"one of {', '.join(sorted(names - {'all'}))}"


def _parts(scenario: Scenario, event: Event, place: str) -> list[Problem]:
    """What belongs to one verb and to no other."""
    found = []
    if event.slow is not None and not 1 < event.times <= TIMES_MAX:
        found.append(Problem(f"{place}.times", f"more than 1, up to {TIMES_MAX:g}"))
    if event.storm is not None and not 1 <= event.times <= POLLS_TIMES_MAX:
        found.append(Problem(f"{place}.times", f"1 to {POLLS_TIMES_MAX:g}; 1 ends it"))
    if event.times != 1 and event.slow is None and event.storm is None:
        found.append(Problem(f"{place}.times", "belongs to slow and storm"))
    if event.on != "*" and event.noise is None:
        found.append(Problem(f"{place}.on", "belongs to noise"))
    if event.on not in (known := _names(scenario)["on"]):
        found.append(Problem(f"{place}.on", f"one of {', '.join(sorted(known))}"))
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


def _health(scenario: Scenario) -> list[Problem]:
    """Planned work, and the incidents that have to be open."""
    found = []
    for number, one in enumerate(scenario.maintenance, start=1):
        place = f"maintenance[{number}]"
        if not 0 <= one.announced_s <= one.from_s < one.to_s:
            found.append(Problem(place, "announced_s, from_s, to_s in this order"))
        if not one.components or not one.words.get("en"):
            found.append(Problem(place, "components, and words in English at least"))
        found += _components(place, one.components)
    for number, expected in enumerate(scenario.expected, start=1):
        place = f"expected[{number}]"
        if not 0 <= expected.from_s < expected.to_s:
            found.append(Problem(place, "from_s, to_s, rising"))
        if not expected.components:
            found.append(Problem(place, "names one component or more"))
        if expected.relapse and (number == 1 or not expected.required):
            found.append(Problem(place, "a relapse follows an incident, and is required"))
        found += _components(place, [*expected.components, *expected.may])
    spans = [(one.from_s, one.to_s) for one in scenario.expected if one.required]
    if any(since < before[1] for before, (since, _) in pairwise(spans)):
        found.append(Problem("expected", "each begins after the one before has ended"))
    return found


def _components(place: str, names: list[str]) -> list[Problem]:
    kinds = ", ".join(f"{kind}:..." for kind in COMPONENT_KINDS)
    wrong = [name for name in names if name.partition(":")[0] not in COMPONENT_KINDS or not name.partition(":")[2]]
    return [Problem(place, f"{name}: a component is {kinds}") for name in wrong]
