"""Sound stories of incidents, and ways to spoil them: each with the code of the finding that must name it.

Whoever spoils is a superuser on whose connection no trigger fires; a constraint in the way is dropped first.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

sys.path.append(str(Path(__file__).parents[1] / "store"))

from health_stories import MET, NOTHING, UNMET, A, B, Body, Stories, by_hand, ended, grown, opening

Sql = psycopg.Connection[Any]
RELAPSED = {"components": [A], "start_ms": 1, "worst": "degraded"}
CLOSED, OPEN, MERGED, HAND, DISPUTED = (UUID(int=number) for number in range(1, 6))


def tell(stories: Stories) -> None:
    """One that relapsed and ended, one open with a merged one, one seen by hand and over, one that is disputed."""
    stories.tick((1, "opened", opening()), conditions=UNMET)
    stories.tick((1, "recovering", {"open_percent": 60}), conditions=UNMET)
    stories.tick((1, "relapsed", RELAPSED), conditions=UNMET)
    stories.form(1, "words", {"words": {"en": "At work."}})
    stories.tick((1, "recovering", {"open_percent": 100}))
    stories.tick((1, "conditions", {"conditions": MET}), (1, "closed", ended()))
    stories.tick((2, "opened", opening()), (3, "opened", opening(B)), conditions=UNMET)
    stories.tick((3, "merged", {"into": str(OPEN)}), (2, "grew", grown(3)), conditions=UNMET)
    stories.form(4, "opened_by_hand", by_hand("channel:ussd"))
    stories.form(4, "said_resolved", {"conditions": NOTHING, "failed_percent": 0})
    stories.tick((4, "closed", ended(NOTHING)), conditions=UNMET)
    stories.tick((5, "opened", opening("bank:bank-b")), conditions=UNMET)
    stories.form(5, "said_resolved", {"conditions": UNMET, "failed_percent": 40})
    stories.sql.execute(
        "INSERT INTO publication (at_ms, content_sha256, incidents) VALUES (1, %s, %s)",
        (bytes(32), Jsonb({f"inc_{CLOSED.hex}": 7, f"inc_{OPEN.hex}": 2})),
    )


@dataclass(frozen=True)
class HealthSpoil:
    """One corruption and what must be found: its code, in a finding that contains these words."""

    name: str
    code: str
    do: Callable[[Sql], None]
    words: str


def by(*statements: LiteralString, on: UUID | None = None) -> Callable[[Sql], None]:
    """Statements, of which the last changes something; `%s` is the incident."""

    def do(sql: Sql) -> None:
        for statement in statements:
            changed = sql.execute(statement, (on,) if "%s" in statement else None)
        assert changed.rowcount != 0, "nothing was spoiled"

    return do


def add(incident: UUID, kind: str, body: Body, *, actor: str = "rule") -> Callable[[Sql], None]:
    """One more event of the last tick's instant, as nobody may write it."""

    def do(sql: Sql) -> None:
        sql.execute(
            "INSERT INTO incident_event SELECT %s, max(number) + 1, (SELECT max(at_ms) FROM judgement), %s, %s, %s"
            " FROM incident_event WHERE incident = %s",
            (incident, actor, kind, Jsonb(body), incident),
        )

    return do


NO_FORM: LiteralString = "ALTER TABLE incident_event DROP CONSTRAINT incident_event_form"
FORM_KEY: LiteralString = "ALTER TABLE incident_event DROP CONSTRAINT incident_event_act_key"
ONE_TICK: LiteralString = "ALTER TABLE judgement DROP CONSTRAINT judgement_once"
CHANGE_END: LiteralString = "UPDATE incident_event SET body = jsonb_set(body, '{conditions,reports}', "
HEALTH = (
    HealthSpoil(
        "an event taken out", "I30", by("DELETE FROM incident_event WHERE incident = %s AND number = 2", on=CLOSED),
        "has 6 events, numbered 1 to 7",
    ),
    HealthSpoil(
        "the last events cut off", "I30",
        by("DELETE FROM incident_event WHERE incident = %s AND number > 3", on=CLOSED), "was published up to event 7",
    ),
    HealthSpoil(
        "a second open one", "I31",
        by("UPDATE incident_event SET body = jsonb_set(body, '{cause}', '\"corridor:bank-a\"') WHERE incident = %s"
           " AND number = 1", on=DISPUTED), "has 2 open incidents",
    ),
    HealthSpoil(
        "an open cause lost", "I31", by("DELETE FROM open_cause WHERE incident = %s", on=OPEN), "does not have it"
    ),
    HealthSpoil(
        "an open cause left", "I31", by("INSERT INTO open_cause VALUES ('x', %s)", on=CLOSED), "still has it"
    ),
    HealthSpoil("closed while broken", "I32", add(OPEN, "closed", ended(UNMET)), "it was not recovering"),
    HealthSpoil(
        "closed with one unmet", "I32",
        by(CHANGE_END + "'\"unmet\"') WHERE kind = 'closed' AND incident = %s", on=CLOSED), "with reports unmet",
    ),
    HealthSpoil(
        "closed with one unmeasured that was measured", "I32",
        by(CHANGE_END + "'\"unmeasured\"') WHERE kind = 'closed' AND incident = %s", on=CLOSED),
        "at that tick reports was met",
    ),
    HealthSpoil(
        "closed with four", "I32",
        by("UPDATE incident_event SET body = body #- '{conditions,probes}' WHERE kind = 'closed' AND incident = %s",
           on=CLOSED), "without the five conditions",
    ),
    HealthSpoil(
        "judged otherwise", "I32",
        by("UPDATE judgement SET body = replace(body::text, '\"backlog\": \"met\"', '\"backlog\": \"unmet\"')::jsonb"
           " WHERE at_ms IN (SELECT at_ms FROM incident_event WHERE kind = 'closed' AND incident = %s)", on=CLOSED),
        "at that tick backlog was unmet",
    ),
    HealthSpoil(
        "closed on an operator's word", "I32", add(DISPUTED, "closed", ended(UNMET)), "against what was measured"
    ),
    HealthSpoil(
        "closed unseen", "I32",
        by("UPDATE incident_event SET kind = 'words' WHERE kind = 'said_resolved' AND incident = %s", on=HAND),
        "nothing has measured it",
    ),
    HealthSpoil(
        "a dispute without its measurement", "I32",
        by("UPDATE incident_event SET body = '{\"conditions\": {}}' WHERE kind = 'said_resolved' AND incident = %s",
           on=DISPUTED), "is not beside it",
    ),
    HealthSpoil("opened twice", "I33", add(OPEN, "opened", opening()), "one opening"),
    HealthSpoil(
        "begun in the middle", "I33",
        by("UPDATE incident_event SET kind = 'localised' WHERE number = 1 AND incident = %s", on=OPEN), "one opening",
    ),
    HealthSpoil("told on after a merger", "I33", add(MERGED, "updated", {}), "after it was merged"),
    HealthSpoil("told on after the end", "I33", add(CLOSED, "updated", {}), "after it was closed"),
    HealthSpoil(
        "an incident of nothing", "I33", by("INSERT INTO incident VALUES (%s, 1)", on=UUID(int=9)), "no opening"
    ),
    HealthSpoil(
        "merged into nothing", "I33",
        by("UPDATE incident_event SET body = jsonb_build_object('into', gen_random_uuid()) WHERE kind = 'merged'"),
        "which is not there",
    ),
    HealthSpoil(
        "merged into what knows nothing of it", "I33",
        by("UPDATE incident_event SET body = jsonb_set(body, '{absorbed}', '[]') WHERE kind = 'grew'"),
        "has not taken it in",
    ),
    HealthSpoil("a judgement twice", "I34", by(ONE_TICK, "INSERT INTO judgement (at_ms, body) SELECT at_ms, body"
        " FROM judgement ORDER BY seq DESC LIMIT 1"), "the one before it of"),
    HealthSpoil(
        "events without their judgement", "I34",
        by("DELETE FROM judgement WHERE at_ms IN (SELECT at_ms FROM incident_event WHERE kind = 'closed')"),
        "without a judgement of its tick",
    ),
    HealthSpoil("a tick back", "I34", by("UPDATE detector_state SET upto_ms = 5"), "the judge's last was 5"),
    HealthSpoil(
        "an event twice", "I34",
        by("INSERT INTO incident_event SELECT incident, number + 1, at_ms, actor, kind, body, act FROM incident_event"
           " WHERE incident = %s AND kind = 'grew'", on=OPEN), "grew 2 times from the tick",
    ),
    HealthSpoil(
        "a form twice", "I35",
        by(FORM_KEY, "INSERT INTO incident_event SELECT incident, 8, at_ms, actor, kind, body, act FROM incident_event"
           " WHERE kind = 'words' AND incident = %s", on=CLOSED), "counts 2 times",
    ),
    HealthSpoil(
        "an operator without a form", "I35",
        by(NO_FORM, "UPDATE incident_event SET act = NULL WHERE kind = 'words'"), "of amina, without a form",
    ),
    HealthSpoil(
        "a green light by hand", "I35",
        by(NO_FORM, "UPDATE incident_event SET actor = 'amina' WHERE kind = 'closed' AND incident = %s", on=CLOSED),
        "(closed) is of amina",
    ),
    HealthSpoil(
        "trigger dropped", "I29", by("DROP TRIGGER incident_event_guard ON incident_event"), "incident_event_guard"
    ),
    HealthSpoil("constraint dropped", "I29", by(ONE_TICK), "judgement_once"),
    HealthSpoil("judgements may be edited", "I29", by("GRANT UPDATE ON judgement TO hakika_health_app"), "may UPDATE"),
)  # fmt: skip
