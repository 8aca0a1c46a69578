"""Everything that the status page can show, as plain values; whoever judges fills it, nothing here decides.

A state that nobody measured is UNKNOWN, and no state has a default: green has to be said. Sentences are kept as
a template's key with its arguments, or as the operator's own words in each language, and become text only when a
page is written. The last word of an argument's name is its unit: `_ms` an instant, `_s` a duration, `_percent` a
share in whole per cent, `component` the id of one; other numbers are counts. Instants are milliseconds since 1970
UTC. What contradicts itself raises `InvariantBroken` here, so that no page has to cope with it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from hakika.domain.reasons import InvariantBroken

HISTORY_DAYS = 90
MINUTES_A_DAY_MAX = 25 * 60  # a day that clocks are set back
ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)  # ids become names of files


class Language(StrEnum):
    """Languages of the page, in the order in which they are offered."""

    EN = "en"
    SW = "sw"
    FR = "fr"


class State(StrEnum):
    """What is known of a component: GSMA's three, work that was announced, and nothing at all."""

    AVAILABLE = "available"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What sort of component it is; the page groups by it, in this order."""

    CORRIDOR = "corridor"
    CHANNEL = "channel"
    PRODUCT = "product"


class Name(StrEnum):
    """Channels and products that have a name in every language."""

    TRACKING_PAGE = "tracking_page"
    BANK_API = "bank_api"
    CORE_API = "core_api"
    USSD = "ussd"
    APP = "app"
    SMS = "sms"
    BANK_TRANSFERS = "bank_transfers"
    WALLET_TRANSFERS = "wallet_transfers"
    BILLS = "bills"
    CASH = "cash"


class Direction(StrEnum):
    """Which way money goes through a corridor."""

    BANK_TO_WALLET = "bank_to_wallet"
    WALLET_TO_BANK = "wallet_to_bank"


class Stage(StrEnum):
    """How far an incident is."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    RECOVERING = "recovering"
    RESOLVED = "resolved"
    DISPUTED = "disputed"  # the operator says resolved, the evidence disagrees
    MERGED = "merged"  # its story goes on in another incident


class Title(StrEnum):
    """What an incident or a maintenance window is called, by the rule that opened it."""

    COMPONENT_UNAVAILABLE = "component_unavailable"
    COMPONENT_DEGRADED = "component_degraded"
    COMPONENT_SILENT = "component_silent"
    CORRIDORS_UNAVAILABLE = "corridors_unavailable"
    CORRIDORS_DEGRADED = "corridors_degraded"
    WALLETS_UNAVAILABLE = "wallets_unavailable"
    SEVERAL_UNAVAILABLE = "several_unavailable"
    OVERRUN = "overrun"
    PLANNED = "planned"


class News(StrEnum):
    """What happened in an incident."""

    DETECTED = "detected"
    DETECTED_SILENT = "detected_silent"
    DETECTED_REPORTS = "detected_reports"
    LOCATED = "located"
    BANKS_TOLD = "banks_told"
    HELD = "held"
    NEW_PROMISE = "new_promise"
    RECOVERING = "recovering"
    RELAPSED = "relapsed"
    RESOLVED = "resolved"
    OVER = "over"  # the same where no transfer was counted
    DISPUTED = "disputed"
    OVERRUN = "overrun"
    MERGED = "merged"


class How(StrEnum):
    """How something that still works is used."""

    AS_ALWAYS = "as_always"
    DIAL = "dial"
    OPEN_APP = "open_app"
    OPEN_LINK = "open_link"
    OWN_BANK = "own_bank"
    AT_AGENT = "at_agent"


class Advice(StrEnum):
    """What a customer with money in flight should do."""

    DO_NOT_SEND_AGAIN = "do_not_send_again"
    WAIT = "wait"
    USE_WHAT_WORKS = "use_what_works"
    NOTHING = "nothing"


TITLE_ARGUMENTS: Mapping[Title, frozenset[str]] = {
    Title.COMPONENT_UNAVAILABLE: frozenset({"component"}),
    Title.COMPONENT_DEGRADED: frozenset({"component"}),
    Title.COMPONENT_SILENT: frozenset({"component"}),
    Title.CORRIDORS_UNAVAILABLE: frozenset({"count"}),
    Title.CORRIDORS_DEGRADED: frozenset({"count"}),
    Title.WALLETS_UNAVAILABLE: frozenset(),
    Title.SEVERAL_UNAVAILABLE: frozenset({"count"}),
    Title.OVERRUN: frozenset({"component"}),
    Title.PLANNED: frozenset({"component"}),
}
NEWS_ARGUMENTS: Mapping[News, frozenset[str]] = {
    News.DETECTED: frozenset({"component", "failed_percent"}),
    News.DETECTED_SILENT: frozenset({"component", "silent_s"}),
    News.DETECTED_REPORTS: frozenset({"component", "count"}),
    News.LOCATED: frozenset({"component"}),
    News.BANKS_TOLD: frozenset({"count"}),
    News.HELD: frozenset({"count", "promise_ms"}),
    News.NEW_PROMISE: frozenset({"promise_ms"}),
    News.RECOVERING: frozenset({"open_percent"}),
    News.RELAPSED: frozenset({"again_ms"}),
    News.RESOLVED: frozenset({"arrived", "returned"}),
    News.OVER: frozenset(),
    News.DISPUTED: frozenset({"said_ms", "failed_percent"}),
    News.OVERRUN: frozenset({"planned_ms"}),
    News.MERGED: frozenset(),
}
HOW_ARGUMENTS: Mapping[How, frozenset[str]] = {
    How.AS_ALWAYS: frozenset(),
    How.DIAL: frozenset({"code"}),
    How.OPEN_APP: frozenset(),
    How.OPEN_LINK: frozenset(),
    How.OWN_BANK: frozenset(),
    How.AT_AGENT: frozenset(),
}
TEXT_ARGUMENTS = frozenset({"component", "code"})


def arguments_of(key: Title | News | How) -> frozenset[str]:
    """The arguments that a template needs, all of them and no others."""
    match key:
        case Title():
            return TITLE_ARGUMENTS[key]
        case News():
            return NEWS_ARGUMENTS[key]
        case How():
            return HOW_ARGUMENTS[key]


@dataclass(frozen=True, slots=True)
class Template:
    """One of the catalogue's sentences with its arguments."""

    key: Title | News | How
    args: Mapping[str, int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = arguments_of(self.key)
        if set(self.args) != needed:
            raise InvariantBroken(f"template {self.key}: arguments {sorted(self.args)}, not {sorted(needed)}")
        for name, value in self.args.items():
            if isinstance(value, str) != (name in TEXT_ARGUMENTS):
                raise InvariantBroken(f"template {self.key}: argument {name} of the wrong type")


@dataclass(frozen=True, slots=True)
class OperatorWords:
    """What the operator wrote, in the languages in which it was written; a page names the language it shows."""

    by_language: Mapping[Language, str]

    def __post_init__(self) -> None:
        if not any(text.strip() for text in self.by_language.values()):
            raise InvariantBroken("operator's words: none in any language")


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a component in the page's zone; minutes by the rules of `uptime.py`."""

    day: date
    worst: State
    measured: int  # minutes in which anything was measured
    good: int  # of these, minutes with fewer than 5 % technical failures
    down: int  # minutes down by the rule of UK Open Banking

    def __post_init__(self) -> None:
        if not (0 <= self.good <= self.measured <= MINUTES_A_DAY_MAX and 0 <= self.down <= MINUTES_A_DAY_MAX):
            raise InvariantBroken(f"day {self.day}: minutes do not add up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A corridor, a channel or a product; `since_ms` is when its state began, None where nobody knows."""

    id: str
    kind: Kind
    state: State
    since_ms: int | None
    name: Name | None = None  # of a channel or product
    direction: Direction | None = None  # of a corridor
    public_name: str | None = None  # the bank's name, if the bank agreed to be named
    label: str = ""  # what stands for a bank that did not agree: a letter or number that says nothing
    delay_s: int | None = None  # how much longer transfers take while degraded
    history: tuple[Day, ...] = ()  # oldest first; days left out are unknown

    def __post_init__(self) -> None:
        _check_id(self.id)
        corridor = self.kind is Kind.CORRIDOR
        if corridor != (self.direction is not None) or corridor != (self.name is None):
            raise InvariantBroken(f"component {self.id}: a corridor has a direction, all others a name")
        if corridor and not (self.public_name or self.label):
            raise InvariantBroken(f"component {self.id}: a bank without a name needs a label")
        if self.delay_s is not None and (self.state is not State.DEGRADED or self.delay_s < 0):
            raise InvariantBroken(f"component {self.id}: a delay belongs to degraded")
        days = [day.day for day in self.history]
        if days != sorted(set(days)):
            raise InvariantBroken(f"component {self.id}: days out of order")


@dataclass(frozen=True, slots=True)
class StillWorks:
    """A component that can be used meanwhile, and how."""

    component: str
    how: Template | OperatorWords


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Transfers caught in an incident: still held, and ended; at least `late` promises were missed."""

    held: int
    promise_by_ms: int | None  # the latest promise among those held; each has its own
    advice: Advice
    arrived: int = 0
    returned: int = 0
    late: int = 0

    def __post_init__(self) -> None:
        if min(self.held, self.arrived, self.returned, self.late) < 0:
            raise InvariantBroken("money: a count below zero")
        if self.held and self.promise_by_ms is None:
            raise InvariantBroken("money: what is held has a promise")


@dataclass(frozen=True, slots=True)
class Update:
    """One thing said during an incident."""

    at_ms: int
    stage: Stage
    text: Template | OperatorWords


@dataclass(frozen=True, slots=True)
class SharePoint:
    """The share of transfers that failed technically from `at_ms` to the next point; None: nothing was measured."""

    at_ms: int
    failed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An outage as it is told in public; `started_ms` is an estimate, computed backwards."""

    id: str
    title: Template | OperatorWords
    stage: Stage
    worst: State  # the worst its components were
    started_ms: int
    detected_ms: int
    published_ms: int
    closed_ms: int | None
    components: tuple[str, ...]
    updates: tuple[Update, ...] = ()  # oldest first
    relapses_ms: tuple[int, ...] = ()  # each time that it came back after it had gone
    money: Money | None = None
    still_works: tuple[StillWorks, ...] = ()
    failed_share: tuple[SharePoint, ...] = ()  # oldest first
    merged_into: str | None = None  # the incident in which it goes on, itself not merged

    def __post_init__(self) -> None:
        _check_id(self.id)
        if (self.merged_into is not None) != (self.stage is Stage.MERGED) or self.merged_into == self.id:
            raise InvariantBroken(f"incident {self.id}: goes on in another when it is merged, and only then")
        if (self.closed_ms is not None) != (self.stage is Stage.RESOLVED):
            raise InvariantBroken(f"incident {self.id}: closed when it is resolved, and only then")
        if not self.started_ms <= self.detected_ms <= self.published_ms:
            raise InvariantBroken(f"incident {self.id}: started, detected, published in that order")

    @property
    def open(self) -> bool:
        """Not over, whoever says it is, and not told elsewhere."""
        return self.stage not in (Stage.RESOLVED, Stage.MERGED)


class Phase(StrEnum):
    """How far a maintenance window is."""

    PLANNED = "planned"
    RUNNING = "running"
    OVERRUN = "overrun"  # past its end and not over: an incident
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Work announced in advance; `sequence` rises with every change, as calendars want it."""

    id: str
    title: Template | OperatorWords
    phase: Phase
    starts_ms: int
    ends_ms: int
    announced_ms: int
    changed_ms: int  # the last change of this announcement
    sequence: int
    components: tuple[str, ...]
    incident: str | None = None  # the incident that an overrun became

    def __post_init__(self) -> None:
        _check_id(self.id)
        if self.starts_ms >= self.ends_ms or self.announced_ms > self.changed_ms or self.sequence < 0:
            raise InvariantBroken(f"maintenance {self.id}: it ends after it starts, and its changes are counted")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusModel:
    """All of the page as of one instant; the next page is written by `next_update_by_ms`, come what may."""

    as_of_ms: int
    next_update_by_ms: int
    operator: str
    components: tuple[Component, ...]
    incidents: tuple[Incident, ...] = ()  # open and past, in any order
    maintenance: tuple[Maintenance, ...] = ()
    still_works: tuple[StillWorks, ...] = ()

    def __post_init__(self) -> None:
        if self.next_update_by_ms <= self.as_of_ms:
            raise InvariantBroken("status: the next update is due before this one")
        ids = [component.id for component in self.components]
        for group in (ids, [one.id for one in self.incidents], [one.id for one in self.maintenance]):
            folded = {one.casefold() for one in group}  # names of files, on any file system
            if len(folded) != len(group):
                raise InvariantBroken("status: an id is there twice")
        told = {one.id for one in self.incidents if one.merged_into is None}
        for one in self.incidents:
            if one.merged_into is not None and one.merged_into not in told:
                raise InvariantBroken(f"status: incident {one.merged_into}, in which {one.id} goes on, is not told")
        known = set(ids)
        for mentioned in _mentioned(self):
            if mentioned not in known:
                raise InvariantBroken(f"status: component {mentioned} is not there")

    def component(self, id_: str) -> Component:
        """The component of that id."""
        return next(component for component in self.components if component.id == id_)

    def incident(self, id_: str) -> Incident:
        """The incident of that id."""
        return next(incident for incident in self.incidents if incident.id == id_)


def _mentioned(model: StatusModel) -> list[str]:
    """Every component id that an incident, a window or a sentence speaks of."""
    found: list[str] = []
    texts: list[Template | OperatorWords] = []
    for incident in model.incidents:
        found += incident.components
        found += (one.component for one in incident.still_works)
        texts += [incident.title, *(update.text for update in incident.updates)]
    for window in model.maintenance:
        found += window.components
        texts.append(window.title)
    found += (one.component for one in model.still_works)
    found += (str(t.args["component"]) for t in texts if isinstance(t, Template) and "component" in t.args)
    return found


def _check_id(text: str) -> None:
    if not ID_FORM.fullmatch(text):
        raise InvariantBroken(f"id {text!r}: letters, digits, - and _, at most 64, for it names a file")
