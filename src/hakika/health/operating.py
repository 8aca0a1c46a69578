"""What an operator may do about incidents: add words, correct, merge, say resolved, open one by hand, announce work.

Each act is one form with an id of its own. It is decided on the incident as it stands under lock, by the same rules as
everything else, and stored in one commit; the same form sent twice, or again after a lost reply, counts once. A refusal
is returned, never an exception. Nothing here can close an incident: an operator's "resolved" is an opinion, which the
evidence either lets become the end or makes a public dispute.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from hakika import clock
from hakika.health import assessment as plain
from hakika.health.assessment import DEGRADED, UNAVAILABLE, Assessment
from hakika.health.deciding import Act
from hakika.health.incident import Incident, Refusal, decide
from hakika.health.incident_events import (
    Acknowledged,
    Event,
    Grew,
    Merged,
    OpenedByHand,
    OperatorCorrected,
    OperatorSaidResolved,
    OperatorWrote,
)
from hakika.health.records import Connection, incidents_of, row_of
from hakika.ids import derived
from hakika.store.health import incidents as rows
from hakika.store.health import judging
from hakika.store.health.incidents import WindowRow
from hakika.store.lane import Lanes, NoAnswer

log = logging.getLogger(__name__)

ACT_S = 5.0
TRIES = 4
PAUSE_S = 0.2
WORDS_MAX = 600  # characters of each language, as the page shows them
WINDOW_MS_MAX = 14 * 86_400_000


@dataclass(frozen=True, slots=True)
class Form:
    """Who sent it, and under which id it counts once."""

    act: UUID
    operator: str


@dataclass(frozen=True, slots=True)
class Done:
    """It is stored; `incident` is the one to look at now."""

    incident: UUID


Outcome = Done | Refusal


class Operating:
    """Every act of an operator. Each raises StoreFault or NoAnswer when it is not known what became of it."""

    def __init__(self, lanes: Lanes, on_change: Callable[[], None]) -> None:
        """`on_change` wakes the publisher; it must return at once."""
        self._lanes = lanes
        self._on_change = on_change

    async def acknowledge(self, incident: UUID, form: Form) -> Outcome:
        """A person has seen it."""
        return await self._one(incident, form, lambda seen, one: Acknowledged())

    async def write(self, incident: UUID, words: Mapping[str, str], form: Form) -> Outcome:
        """Words for the public, by language."""
        return await self._one(incident, form, lambda seen, one: OperatorWrote(_cut(words)))

    async def correct(
        self, incident: UUID, form: Form, *, start_ms: int | None, components: Sequence[str] | None
    ) -> Outcome:
        """Another start, another scope; None leaves what was there."""
        scope = None if components is None else tuple(sorted(components))
        return await self._one(incident, form, lambda seen, one: OperatorCorrected(start_ms, scope))

    async def say_resolved(self, incident: UUID, form: Form) -> Outcome:
        """The operator's opinion, beside what is measured at this moment."""

        def event(seen: Assessment, one: Incident) -> Event:
            conditions = seen.conditions_of(one.components)
            return OperatorSaidResolved(conditions, seen.failed_percent(one.components))

        return await self._one(incident, form, event)

    async def merge(self, incident: UUID, into: UUID, form: Form) -> Outcome:
        """The same cause: the first ends in the second."""

        async def work(conn: Connection) -> Outcome:
            one, other = await _incident(conn, incident), await _incident(conn, into)
            if one is None or other is None:
                return Refusal.NO_INCIDENT
            if not other.open:
                return Refusal.NOT_OPEN
            now_ms = clock.now_ms()
            merged = decide(one, Merged(into), at_ms=now_ms, actor=form.operator)
            grown_by = Grew(one.components, one.start_ms, one.worst, (incident,))
            grown = decide(other, grown_by, at_ms=now_ms, actor=form.operator)
            if isinstance(merged, Refusal):
                return merged
            if isinstance(grown, Refusal):
                return grown
            await rows.add(conn, [row_of(Act(incident, merged.events[-1]), form=form.act)])
            await rows.add(conn, [row_of(Act(into, grown.events[-1]))])
            return Done(into)

        return await self._settle(form, work)

    async def open_by_hand(
        self, components: Sequence[str], words: Mapping[str, str], form: Form, *, start_ms: int, out: bool
    ) -> Outcome:
        """An incident that nothing has measured yet."""
        chosen = tuple(sorted(components))
        cause = chosen[0] if len(chosen) == 1 else f"hand:{','.join(chosen)}"
        id_ = derived(b"incident by hand", form.act.bytes)

        async def work(conn: Connection) -> Outcome:
            known = incidents_of(await rows.current(conn, since_ms=2**53))
            if any(one.cause == cause for one in known):
                return Refusal.KNOWN
            event = OpenedByHand(cause, chosen, start_ms, UNAVAILABLE if out else DEGRADED, _cut(words))
            opened = decide(Incident(id_), event, at_ms=clock.now_ms(), actor=form.operator)
            if isinstance(opened, Refusal):
                return opened
            await rows.add(conn, [row_of(Act(id_, opened.events[-1]), form=form.act)])
            return Done(id_)

        return await self._settle(form, work)

    async def announce(
        self, components: Sequence[str], words: Mapping[str, str], form: Form, *, from_ms: int, to_ms: int
    ) -> Outcome:
        """Planned work; its id is the form's."""
        now_ms = clock.now_ms()
        if not components:
            return Refusal.NO_COMPONENTS
        if not now_ms < to_ms or not 0 < to_ms - from_ms <= WINDOW_MS_MAX:
            return Refusal.NOT_A_WINDOW
        kept = {code: text for code, text in _cut(words).items() if text.strip()}
        row = WindowRow(form.act, from_ms, to_ms, sorted(components), kept, now_ms, form.operator, None)

        async def work(conn: Connection) -> Outcome:
            await rows.announce(conn, row)
            return Done(row.id)

        return await self._settle(form, work)

    async def cancel(self, window: UUID, form: Form) -> Outcome:
        """Planned work does not take place, or is over before its time."""

        async def work(conn: Connection) -> Outcome:
            return Done(window) if await rows.cancel(conn, window, clock.now_ms()) else Refusal.NOTHING_NEW

        return await self._settle(form, work)

    async def _one(self, incident: UUID, form: Form, event: Callable[[Assessment, Incident], Event]) -> Outcome:
        async def work(conn: Connection) -> Outcome:
            one = await _incident(conn, incident)
            if one is None:
                return Refusal.NO_INCIDENT
            standing = await judging.standing(conn)
            seen = plain.from_body(standing.assessment) if standing else Assessment(0)
            after = decide(one, event(seen, one), at_ms=clock.now_ms(), actor=form.operator)
            if isinstance(after, Refusal):
                return after
            await rows.add(conn, [row_of(Act(incident, after.events[-1]), form=form.act)])
            return Done(incident)

        return await self._settle(form, work)

    async def _settle(self, form: Form, work: Callable[[Connection], Awaitable[Outcome]]) -> Outcome:
        """One commit; a lost reply is settled by doing the same again under the same id."""

        async def once(conn: Connection) -> Outcome:
            async with conn.transaction():
                await rows.lock(conn)
                before = await rows.by_act(conn, form.act)
                return Done(before[0].incident) if before else await work(conn)

        tries = 1
        while True:
            try:
                outcome = await self._lanes.run(once, deadline_s=ACT_S)
            except NoAnswer as fault:
                if tries == TRIES:
                    raise
                log.warning("an operator's act is not known to be stored, it is repeated: %s", fault)
                tries += 1
                await asyncio.sleep(clock.jitter(PAUSE_S))
                continue
            if isinstance(outcome, Done):
                self._on_change()
            return outcome


async def _incident(conn: Connection, incident: UUID) -> Incident | None:
    found = incidents_of(await rows.of(conn, incident))
    return found[0] if found else None


def _cut(words: Mapping[str, str]) -> dict[str, str]:
    """At most WORDS_MAX characters of each language; languages without words are left out."""
    return {code: text.strip()[:WORDS_MAX] for code, text in words.items() if text.strip()}
