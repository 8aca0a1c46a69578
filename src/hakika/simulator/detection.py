"""Whether an outage was seen, said, named and closed as it was: judged from plain rows, by the scenario's expectation.

Health's own account is not believed: the instant from which delay counts is that of the first order that customers
gave after something broke, as the driver sent it; what was broken, and until when, is the scenario's. An incident
that matches nothing expected is a false one, and so is an all-clear while something is broken. Everything is in
milliseconds of the wall clock until it becomes seconds in the figures. Pure; `health_rows.py` reads the incidents,
`page_reader.py` the page.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

OPENING = frozenset({"opened", "opened_by_hand", "overran", "relapsed"})
ENDING = frozenset({"closed", "merged"})
LATE_MS = 30_000  # an incident that opens so soon after the end still speaks of it: its backlog is there


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of an incident (32 hex digits), as it is stored; components and cause as far as it names any."""

    incident: str
    number: int
    at_ms: int
    kind: str
    components: tuple[str, ...] = ()
    cause: str = ""
    into: str = ""  # of a merged one: the incident that goes on


@dataclass(frozen=True, slots=True)
class PageRow:
    """What a reader of the status page saw at an instant: of each incident, how often it has opened."""

    at_ms: int
    shows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Fault:
    """What was really broken: since the first order that it could hit, until it was mended."""

    first_ms: int
    until_ms: int
    components: frozenset[str]
    may: frozenset[str] = frozenset()
    relapse: bool = False
    causes: frozenset[str] = frozenset()  # kinds of cause that are right; empty: none is wrong
    required: bool = True  # False: it need not be seen, and an incident about it is not false
    since_ms: int | None = None  # when it began, where that is before the first order: seen meanwhile is seen at once

    @property
    def began_ms(self) -> int:
        """Nothing was broken before."""
        return self.first_ms if self.since_ms is None else self.since_ms


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one fault; delays in real seconds from its first affected order, None for never."""

    detected_ms: int | None = None
    published_ms: int | None = None
    closed_ms: int | None = None
    detected_after_s: float | None = None
    published_after_s: float | None = None
    named: tuple[str, ...] = ()
    named_right: bool = False
    closed_right: bool = False
    why: tuple[str, ...] = ()  # what was not right, in words


@dataclass(frozen=True, slots=True)
class Detection:
    """The judgement of a run."""

    seen: tuple[Seen, ...]
    false_incidents: int
    false_words: tuple[str, ...] = ()

    def figures(self) -> dict[str, object]:
        """The keys of report.json; of several faults the worst counts."""
        return {
            "detected_after_s": _worst([one.detected_after_s for one in self.seen]),
            "published_after_s": _worst([one.published_after_s for one in self.seen]),
            "named_right": all(one.named_right for one in self.seen),
            "closed_right": all(one.closed_right for one in self.seen),
            "false_incidents": self.false_incidents,
        }


@dataclass(slots=True)
class _Story:
    """One incident, folded."""

    id: str
    events: list[EventRow] = field(default_factory=list)

    def spans(self) -> list[tuple[EventRow, int | None]]:
        """Each time that it was open: by which event, and until when."""
        found: list[tuple[EventRow, int | None]] = []
        for event in self.events:
            is_open = bool(found) and found[-1][1] is None
            if event.kind in OPENING and not is_open:
                found.append((event, None))
            elif event.kind in ENDING and is_open:
                found[-1] = (found[-1][0], event.at_ms)
        return found

    def openings(self, number: int) -> int:
        """How often it had opened with event `number`: once, and once for each relapse."""
        return 1 + sum(event.kind == "relapsed" for event in self.events if event.number <= number)

    def named(self, by_ms: int) -> frozenset[str]:
        """The components that it has named by an instant; a correction replaces them."""
        names: frozenset[str] = frozenset()
        for event in self.events:
            if event.at_ms <= by_ms and event.components:
                names = frozenset(event.components) | (frozenset() if event.kind == "corrected" else names)
        return names

    def cause(self, by_ms: int) -> str:
        """The kind of the cause that it names last by an instant; empty where it names none, or speaks no more."""
        if any(event.kind == "merged" and event.at_ms <= by_ms for event in self.events):
            return ""  # whoever reads it is led to the one that goes on
        causes = [event.cause for event in self.events if event.at_ms <= by_ms and event.cause]
        return causes[-1].partition(":")[0] if causes else ""

    def open_at(self, at_ms: int) -> bool:
        return any(since.at_ms <= at_ms and (until is None or until > at_ms) for since, until in self.spans())


def judge(faults: Sequence[Fault], events: Iterable[EventRow], pages: Iterable[PageRow], *, ended_ms: int) -> Detection:
    """Hold what was said against what was broken; a `Seen` for each required fault, in their order."""
    stories = _stories(events)
    read = sorted(pages, key=lambda page: page.at_ms)
    seen: list[Seen] = []
    required = [fault for fault in faults if fault.required]
    for number, fault in enumerate(required):
        following = required[number + 1] if number + 1 < len(required) else None
        until_ms = ended_ms if following is None else following.first_ms
        before = seen[-1] if seen and fault.relapse else None
        seen.append(_seen(fault, stories, read, until_ms=until_ms, relapses=following is not None, before=before))
    wrong = _false(faults, stories)
    return Detection(tuple(seen), len(wrong), tuple(wrong))


def _stories(events: Iterable[EventRow]) -> dict[str, _Story]:
    found: dict[str, _Story] = {}
    for event in sorted(events, key=lambda one: (one.incident, one.number)):
        found.setdefault(event.incident, _Story(event.incident)).events.append(event)
    return found


def _of(fault: Fault, stories: Mapping[str, _Story]) -> list[tuple[_Story, EventRow, int | None]]:
    """Every opening that speaks of this fault, earliest first: in its time, and naming something of it."""
    found = []
    for story in stories.values():
        for since, until in story.spans():
            in_time = fault.began_ms <= since.at_ms <= fault.until_ms + LATE_MS
            through = fault.relapse and since.at_ms < fault.began_ms and (until is None or until > fault.began_ms)
            named = story.named(until if until is not None else fault.until_ms + LATE_MS)
            if (in_time or through) and named & (fault.components | fault.may):
                found.append((story, since, until))
    return sorted(found, key=lambda one: (one[1].at_ms, one[0].id))


def _seen(
    fault: Fault,
    stories: Mapping[str, _Story],
    pages: Sequence[PageRow],
    *,
    until_ms: int,
    relapses: bool,
    before: Seen | None,
) -> Seen:
    """One fault. `until_ms` is the run's end or the next fault; `relapses` says that a next one follows."""
    found = _of(fault, stories)
    if not found:
        return Seen(why=("no incident was opened",))
    story, since, _ = found[0]
    # Never closed since the fault before: nobody was told that it was over, so nothing had to be seen again.
    again = next((e for e in story.events if e.kind == "relapsed" and e.at_ms >= fault.began_ms), None)
    opening = again if since.at_ms < fault.began_ms and again is not None else since
    detected_ms = max(opening.at_ms, fault.first_ms)
    times = story.openings(opening.number)
    page = next((p for p in pages if p.at_ms >= opening.at_ms and p.shows.get(story.id, 0) >= times), None)
    published_ms = None if page is None else max(page.at_ms, fault.first_ms)
    named, names_wrong = _named(fault, found, stories, since, before)
    closed_ms, close_wrong = _closed(fault, found, until_ms, relapses=relapses)
    why = [*names_wrong, *close_wrong]
    if page is None:
        why.append("no version of the page shows it")
    return Seen(
        detected_ms=detected_ms,
        published_ms=published_ms,
        closed_ms=closed_ms,
        detected_after_s=(detected_ms - fault.first_ms) / 1000,
        published_after_s=None if published_ms is None else (published_ms - fault.first_ms) / 1000,
        named=tuple(sorted(named)),
        named_right=not names_wrong,
        closed_right=not close_wrong,
        why=tuple(why),
    )


def _named(
    fault: Fault,
    found: Sequence[tuple[_Story, EventRow, int | None]],
    stories: Mapping[str, _Story],
    since: EventRow,
    before: Seen | None,
) -> tuple[frozenset[str], list[str]]:
    """What the incidents of a fault name together by its end, and what is wrong with that."""
    last = max(event.at_ms for story, _, _ in found for event in story.events)
    by_ms = fault.until_ms if any(story.named(fault.until_ms) for story, _, _ in found) else last
    named = frozenset[str]().union(*(story.named(by_ms) for story, _, _ in found))
    wrong = [f"{name} is not named" for name in sorted(fault.components - named)]
    wrong += [f"{name} is named and was well" for name in sorted(named - fault.components - fault.may)]
    if fault.causes:
        said = {story.cause(by_ms) for story, _, _ in found} - {""}
        wrong += [f"the cause is said to be {cause}" for cause in sorted(said - fault.causes)]
        wrong += ["no cause is named"] * (not said)
    fresh = since.kind != "relapsed" and since.at_ms >= fault.began_ms
    if before is not None and before.detected_ms is not None and fresh:
        wrong.append("the relapse was opened as another incident")
    return named, wrong


def _closed(
    fault: Fault, found: Sequence[tuple[_Story, EventRow, int | None]], until_ms: int, *, relapses: bool
) -> tuple[int | None, list[str]]:
    """When the last incident of a fault ended, and what is wrong with that."""
    ids = {story.id: story for story, _, _ in found}
    ends = [
        event
        for story in ids.values()
        for event in story.events
        if event.kind == "closed" and fault.began_ms <= event.at_ms <= until_ms
    ]
    wrong = [
        f"closed {(fault.until_ms - event.at_ms) / 1000:.1f} s before it was mended"
        for event in ends
        if event.at_ms < fault.until_ms
    ]
    right = [event.at_ms for event in ends if event.at_ms >= fault.until_ms]
    still = [story for story in ids.values() if story.open_at(until_ms)]
    if still and not relapses:
        wrong.append("still open when the run ended")
    return max(right, default=None), wrong


def _false(faults: Sequence[Fault], stories: Mapping[str, _Story]) -> list[str]:
    """Openings that speak of nothing that was broken; an incident that ended in a right one is right."""
    right = {(story.id, since.number) for fault in faults for story, since, _ in _of(fault, stories)}
    wrong = []
    for story in stories.values():
        heir = next((event.into for event in story.events if event.kind == "merged"), "")
        if heir in {identifier for identifier, _ in right}:
            continue
        for since, _ in story.spans():
            if (story.id, since.number) not in right and since.kind != "opened_by_hand":
                names = ", ".join(sorted(story.named(since.at_ms))) or since.cause or "nothing"
                wrong.append(f"{since.kind} about {names}, which was well")
    return wrong


def _worst(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(max(known), 3) if known and len(known) == len(values) else None
