"""What health's database refuses whoever writes: one row a refusal, spoken in SQL, with the guard that must refuse.

Each row tells lawful stories and tries the unlawful event. It is tried again with its guard out of the way, so that
it is known to be that guard which refuses.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from health_stories import JUDGE, MET, NOTHING, STAND, UNMET, A, B, Stories, by_hand, ended, grown, judged, opening
from psycopg import sql
from psycopg.types.json import Jsonb

from hakika.store.server_roles import RoleAccess

GUARD = "incident_event_guard"
RECOVERING = {"open_percent": 100}


@dataclass(frozen=True)
class Case:
    """Lawful facts, then what is refused, by which guard and under which SQLSTATE (a constraint's own, or HK)."""

    facts: Callable[[Stories], object]
    unlawful: Callable[[Stories], object]
    guard: str
    code: str
    table: LiteralString = "incident_event"


def one(stories: Stories) -> None:
    """An open incident of corridor A."""
    stories.tick((1, "opened", opening()))


def recovering(stories: Stories) -> None:
    """One that works again."""
    one(stories)
    stories.tick((1, "recovering", RECOVERING))


def over(stories: Stories) -> None:
    """One that has ended."""
    recovering(stories)
    stories.tick((1, "closed", ended()))


def over_and_open(stories: Stories) -> None:
    """One that has ended, and one that is open."""
    over(stories)
    stories.tick((2, "opened", opening(B)))


def between_ticks(stories: Stories) -> None:
    """An event by rule at an instant that nobody judged."""
    stories.at_ms += 1
    stories.write(1, "updated", {})


def two(stories: Stories) -> None:
    """Two open ones."""
    one(stories)
    stories.tick((2, "opened", opening(B)))


def merged(stories: Stories) -> None:
    """The second goes on in the first."""
    two(stories)
    stories.tick((2, "merged", into(1)), (1, "grew", grown(2)))


def seen_by_hand(stories: Stories) -> None:
    """One that only an operator saw, and that nothing contradicts."""
    stories.form(1, "opened_by_hand", by_hand())
    stories.tick((1, "recovering", RECOVERING))


def disputed(stories: Stories) -> None:
    """One of which an operator says that it is over."""
    one(stories)
    stories.form(1, "said_resolved", {"conditions": UNMET, "failed_percent": 40})


def relapsed(stories: Stories) -> None:
    """One that was recovering, and said to be over, and came back."""
    recovering(stories)
    stories.form(1, "said_resolved", {"conditions": MET, "failed_percent": 0})
    stories.tick((1, "relapsed", {"components": [A], "start_ms": 1, "worst": "degraded"}))


def into(which: int) -> dict[str, str]:
    """The body of a merger."""
    return {"into": str(UUID(int=which))}


def again(stories: Stories) -> None:
    """The same form once more."""
    act = stories.form(1, "words", {"words": {"en": "At work."}})
    stories.write(1, "words", {"words": {"en": "At work."}}, actor="amina", act=act)


def without(name: str) -> dict[str, str]:
    """The conditions met, but for one that is not there."""
    return {key: value for key, value in MET.items() if key != name}


def ends(conditions: dict[str, str]) -> Callable[[Stories], object]:
    """An end with these conditions."""
    return lambda s: s.tick((1, "closed", ended(conditions)))


CASES: dict[str, Case] = {
    "a gap": Case(one, lambda s: s.write(1, "updated", {}, number=3), GUARD, "HK030"),
    "a second opening": Case(over, lambda s: s.tick((1, "opened", opening())), GUARD, "HK033"),
    "no opening first": Case(one, lambda s: s.tick((2, "recovering", RECOVERING)), GUARD, "HK033"),
    "no opening at all": Case(
        one, lambda s: s.sql.execute("INSERT INTO incident VALUES (%s, 1)", (UUID(int=9),)), "incident_opens", "HK033",
        "incident",
    ),
    "after its end": Case(over, lambda s: s.tick((1, "updated", {})), GUARD, "HK034"),
    "after a merger": Case(merged, lambda s: s.form(2, "words", {"words": {"en": "x"}}), GUARD, "HK034"),
    "closed while broken": Case(one, ends(MET), GUARD, "HK035"),
    "closed while disputed": Case(disputed, ends(MET), GUARD, "HK035"),
    "closed after a relapse": Case(relapsed, ends(MET), GUARD, "HK035"),
    "closed with one unmet": Case(recovering, ends(UNMET), GUARD, "HK035"),
    "closed with four": Case(recovering, ends(without("reports")), GUARD, "HK035"),
    "closed with another": Case(recovering, ends({**without("probes"), "luck": "met"}), GUARD, "HK035"),
    "closed with one too many": Case(recovering, ends({**MET, "luck": "met"}), GUARD, "HK035"),
    "closed unmeasured": Case(recovering, ends({**NOTHING, "reports": "met"}), GUARD, "HK035"),
    "closed unseen": Case(seen_by_hand, ends(MET), GUARD, "HK035"),
    "a rule without its judgement": Case(
        one, between_ticks, GUARD, "HK036"
    ),
    "merged into itself": Case(one, lambda s: s.tick((1, "merged", into(1))), GUARD, "HK037"),
    "merged into what is over": Case(over_and_open, lambda s: s.tick((2, "merged", into(1))), GUARD, "HK037"),
    "merged into nothing": Case(one, lambda s: s.tick((1, "merged", into(9))), GUARD, "HK037"),
    "merged in a circle": Case(merged, lambda s: s.tick((1, "merged", into(2))), GUARD, "HK037"),
    "a tick back": Case(
        one, lambda s: s.sql.execute(STAND, (s.at_ms - 1,)), "detector_state_guard", "HK038", "detector_state"
    ),
    "a judgement of no tick": Case(
        one, lambda s: s.sql.execute(JUDGE, (s.at_ms + 1, Jsonb(judged()))), "judgement_guard", "HK039", "judgement"
    ),
    "a tick judged twice": Case(
        one, lambda s: s.sql.execute(JUDGE, (s.at_ms, Jsonb(judged()))), "judgement_once", "23505", "judgement"
    ),
    "a second open one of a cause": Case(
        one, lambda s: s.tick((2, "opened", opening())), "open_cause_pkey", "23505", "open_cause"
    ),
    "a form twice": Case(one, again, "incident_event_act_key", "23505"),
    "words without a form": Case(
        one, lambda s: s.write(1, "words", {}, actor="amina"), "incident_event_form", "23514"
    ),
    "words by rule": Case(one, lambda s: s.tick((1, "words", {})), "incident_event_form", "23514"),
    "recovery by hand": Case(one, lambda s: s.form(1, "recovering", RECOVERING), "incident_event_form", "23514"),
    "an end by hand": Case(recovering, lambda s: s.form(1, "closed", ended()), "incident_event_form", "23514"),
}  # fmt: skip
APPEND_ONLY: list[LiteralString] = [
    "UPDATE incident_event SET body = '{}'",
    "DELETE FROM incident_event",
    "TRUNCATE incident_event",
    "UPDATE incident SET opened_ms = 0",
    "DELETE FROM incident",
    "UPDATE judgement SET body = '{}'",
    "DELETE FROM judgement",
    "TRUNCATE judgement",
]
NOT_FOR_THE_APP: list[LiteralString] = [
    *APPEND_ONLY, "INSERT INTO open_cause VALUES ('x', gen_random_uuid())", "DELETE FROM open_cause",
    "DELETE FROM detector_state", "ALTER TABLE incident_event DISABLE TRIGGER ALL",
]  # fmt: skip


@pytest.fixture
def stories(health_database: RoleAccess) -> Iterator[Stories]:
    """A writer as the owner, whom no grant holds back."""
    found = Stories.on(health_database.owner_url)
    yield found
    found.sql.close()


@pytest.mark.parametrize("name", CASES)
def test_refused(stories: Stories, name: str) -> None:
    case = CASES[name]
    case.facts(stories)
    with pytest.raises(psycopg.Error) as refused:
        case.unlawful(stories)
    assert refused.value.sqlstate == case.code
    if not case.code.startswith("HK"):
        assert refused.value.diag.constraint_name == case.guard


@pytest.mark.parametrize("name", CASES)
def test_taken_without_its_guard(stories: Stories, name: str) -> None:
    case = CASES[name]
    case.facts(stories)
    words = "ALTER TABLE {} DISABLE TRIGGER {}" if case.code.startswith("HK") else "ALTER TABLE {} DROP CONSTRAINT {}"
    stories.sql.execute(sql.SQL(words).format(sql.Identifier(case.table), sql.Identifier(case.guard)))
    case.unlawful(stories)


def test_lawful_stories_are_taken(stories: Stories) -> None:
    """An end by measurement, one by the operator's word where nothing is measured, a merger, a relapse after an end."""
    over(stories)
    stories.tick((1, "relapsed", {"components": [A], "start_ms": 1, "worst": "degraded"}))
    stories.form(2, "opened_by_hand", by_hand(B))
    stories.form(2, "said_resolved", {"conditions": NOTHING, "failed_percent": 0})
    stories.tick((2, "closed", ended(NOTHING)))
    stories.tick((3, "opened", opening("core:")))
    stories.form(3, "merged", into(1))
    rows = stories.sql.execute("SELECT cause, incident FROM open_cause").fetchall()
    assert rows == [(A, UUID(int=1))]


@pytest.mark.parametrize("statement", APPEND_ONLY)
def test_nothing_said_is_changed(stories: Stories, statement: LiteralString) -> None:
    over(stories)
    with pytest.raises(psycopg.Error, match=r"append-only|cannot truncate"):
        stories.sql.execute(statement)


@pytest.mark.parametrize("statement", NOT_FOR_THE_APP)
def test_the_application_may_not(health_database: RoleAccess, statement: LiteralString) -> None:
    with psycopg.connect(health_database.app_url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement)
