"""Incidents told to health's database by plain SQL, as the judge and operators do, with none of their code between.

`tick` is the judge's commit: its place, its judgement, its events. `form` is an operator's. `write` is
a part of both, for what somebody else might try.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

T0_MS = 1_785_142_800_000
CONDITIONS = ("failures", "oldest", "backlog", "reports", "probes")
MET = dict.fromkeys(CONDITIONS, "met")
UNMET = {**MET, "failures": "unmet"}
NOTHING = dict.fromkeys(CONDITIONS, "unmeasured")
A, B = "corridor:bank-a", "corridor:bank-b"
STAND = """
INSERT INTO detector_state VALUES ('judge', '{}', %s) ON CONFLICT (series) DO UPDATE SET upto_ms = EXCLUDED.upto_ms
"""
JUDGE = "INSERT INTO judgement (at_ms, body) VALUES (%s, %s)"
EVENT = (
    "INSERT INTO incident_event (incident, number, at_ms, actor, kind, body, act) VALUES (%s, %s, %s, %s, %s, %s, %s)"
)
Body = Mapping[str, Any]
Told = tuple[int, str, Body]  # which incident, kind, body


def opening(cause: str = A) -> Body:
    """The body of an opening by rule."""
    return {"cause": cause, "components": [cause], "start_ms": T0_MS, "worst": "degraded", "evidence": {}}


def by_hand(cause: str = A) -> Body:
    """The body of an opening by an operator."""
    return {"cause": cause, "components": [cause], "start_ms": T0_MS, "worst": "degraded", "words": {"en": "Seen."}}


def grown(*absorbed: int) -> Body:
    """The body of a `grew` that takes these incidents in."""
    return {
        "components": [A, B], "start_ms": T0_MS, "worst": "degraded", "absorbed": [str(UUID(int=n)) for n in absorbed]
    }  # fmt: skip


def ended(conditions: Mapping[str, str] = MET) -> Body:
    """The body of an end."""
    return {"conditions": dict(conditions), "arrived": 5, "returned": 1}


def judged(conditions: Mapping[str, str] = MET) -> Body:
    """A judgement in which these conditions hold of both corridors."""
    return {"readings": {one: {"component": one, "conditions": dict(conditions)} for one in (A, B)}, "causes": []}


@dataclass
class Stories:
    """One writer; numbers of events go on by themselves, a second passes with each call."""

    sql: psycopg.Connection[Any]
    at_ms: int = T0_MS
    forms: int = 0
    numbers: dict[int, int] = field(default_factory=dict)

    @classmethod
    def on(cls, url: str) -> "Stories":
        """Over a connection of its own, in autocommit mode."""
        return cls(psycopg.connect(url, autocommit=True))

    def tick(self, *events: Told, conditions: Mapping[str, str] = MET) -> int:
        """The judge's commit; its instant."""
        self.at_ms += 1_000
        with self.sql.transaction():
            self.sql.execute(STAND, (self.at_ms,))
            self.sql.execute(JUDGE, (self.at_ms, Jsonb(judged(conditions))))
            for which, kind, body in events:
                self.write(which, kind, body)
        return self.at_ms

    def form(self, which: int, kind: str, body: Body) -> UUID:
        """An operator's form; its id."""
        self.at_ms += 1_000
        self.forms += 1
        act = UUID(int=self.forms, version=4)
        with self.sql.transaction():
            self.write(which, kind, body, actor="amina", act=act)
        return act

    def write(
        self, which: int, kind: str, body: Body, *, actor: str = "rule", act: UUID | None = None, number: int = 0
    ) -> None:
        """One event as the next of its incident, or under `number`."""
        number = number or self.numbers.get(which, 0) + 1
        incident = UUID(int=which)
        if number == 1 and which not in self.numbers:
            self.sql.execute("INSERT INTO incident VALUES (%s, %s)", (incident, self.at_ms))
        self.sql.execute(EVENT, (incident, number, self.at_ms, actor, kind, Jsonb(body), act))
        self.numbers[which] = number
