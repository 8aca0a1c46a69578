"""Asks tracking pages during the run, and holds every answer against what the databases say afterwards.

A page may say less than is known, never anything false: each claim has an `as_of`, and there must be an instant
close to it at which the claim was true. Close means: the claim may be as old as a commit takes to be seen, and
hardly ahead. "We do not know" (503) makes no claim. Names and numbers must come masked.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hakika import clock
from hakika.domain.money import decimal_text
from hakika.simulator.caller import Caller, NoReply
from hakika.simulator.lives import Life

ASK_S = 3.0
BEHIND_MS = 1500  # a commit may wait for its batch while the row it writes is dated already
AHEAD_MS = 250
FOLLOWED_MAX = 4000
RECENT = 40
RECENT_SHARE, RARE_SHARE, HELD_SHARE = 0.35, 0.25, 0.25
OPEN_STAGES = frozenset({"sending", "in_doubt", "past_deadline_in_doubt"})
RARE_STAGES = OPEN_STAGES | {"coming_back"}
HELD_STAGES = frozenset({"held"})
HOLDERS = {
    "held": "hakika",
    "sending": "being_established",
    "in_doubt": "being_established",
    "past_deadline_in_doubt": "being_established",
    "completed": "wallet",
    "coming_back": "hakika",
    "returned": "bank",
}
STATUSES = {
    "held": "RECEIVED",
    "sending": "IN_FLIGHT",
    "in_doubt": "IN_FLIGHT",
    "past_deadline_in_doubt": "IN_FLIGHT",
    "completed": "COMPLETED",
    "coming_back": "RETURNED",
    "returned": "RETURNED",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one page."""

    uetr: str
    asked_ms: int
    phase: str
    core_dead: bool
    status: int  # of HTTP; 0: no answer
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A page that said something false."""

    uetr: str
    as_of_ms: int
    said: str
    why: str


@dataclass(slots=True)
class Checked:
    """What became of all samples."""

    checked: int = 0
    silent: int = 0  # no answer, or "we do not know": no claim
    with_core_dead: int = 0
    by_phase_and_stage: dict[str, dict[str, int]] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)


@dataclass(slots=True)
class Tracker:
    """Follows some transfers and samples their pages."""

    gateway_url: str
    seed: int
    samples: list[Sample] = field(default_factory=list)
    _followed: list[tuple[str, str]] = field(default_factory=list)  # (UETR, reference)
    _known: set[str] = field(default_factory=set)
    _rare: list[tuple[str, str]] = field(default_factory=list)  # last seen in doubt, or coming back
    _held: list[tuple[str, str]] = field(default_factory=list)
    _dice: random.Random = field(init=False)
    _callers: dict[str, Caller] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dice = clock.seeded(self.seed)

    def close(self) -> None:
        """No more questions."""
        for caller in self._callers.values():
            caller.close()

    async def _get(self, url: str, path: str) -> tuple[int, dict[str, Any]]:
        """Status and content; 0 for no answer."""
        caller = self._callers.setdefault(url, Caller(url))
        try:
            status, content = await caller.get(path, ASK_S)
        except NoReply:
            return 0, {}
        return status, content if isinstance(content, dict) else {}

    def follows(self, uetr: str) -> bool:
        """Whether this transfer's reference is known already."""
        return uetr.replace("-", "") in self._known

    async def follow(self, bank_url: str, uetr: str, *, rare: bool = False) -> bool:
        """Learn a transfer's reference from its bank, as its customer does; False while there is no receipt.

        A `rare` one is looked at more often.
        """
        status, content = await self._get(bank_url, f"/transfers/{uetr}")
        tracking = content.get("tracking") if status == 200 else None
        if not tracking:
            return False
        page = (uetr.replace("-", ""), tracking)
        self._known.add(page[0])
        self._followed.append(page)
        if rare:
            self._rare.append(page)
        if len(self._followed) > FOLLOWED_MAX:
            self._followed.pop(0)
        return True

    async def bank_state(self, bank_url: str) -> dict[str, Any] | None:
        """A bank's own counters; None where it does not answer."""
        status, content = await self._get(bank_url, "/control/state")
        return content if status == 200 else None

    @property
    def followed(self) -> int:
        """Transfers whose reference is known."""
        return len(self._followed)

    async def sample(self, phase: str, *, core_dead: bool) -> None:
        """Look at one page."""
        if not self._followed:
            return
        uetr, reference = self._chosen()
        asked_ms = clock.now_ms()
        status, body = await self._get(self.gateway_url, f"/t/{reference}.json")
        body = body if status == 200 else {}
        if status == 200:
            self._remember((uetr, reference), str(body.get("stage")))
        self.samples.append(Sample(uetr, asked_ms, phase, core_dead, status, body))

    def _chosen(self) -> tuple[str, str]:
        """A recent transfer, one last seen in a rare stage, one last seen held, or any: so that every stage is seen."""
        roll = self._dice.random()
        if roll < RECENT_SHARE:
            return self._dice.choice(self._followed[-RECENT:])
        if roll < RECENT_SHARE + RARE_SHARE and self._rare:
            return self._dice.choice(self._rare)
        if roll < RECENT_SHARE + RARE_SHARE + HELD_SHARE and self._held:
            return self._dice.choice(self._held)
        return self._dice.choice(self._followed)

    def _remember(self, page: tuple[str, str], stage: str) -> None:
        for stages, pages in ((RARE_STAGES, self._rare), (HELD_STAGES, self._held)):
            if stage in stages and page not in pages:
                pages.append(page)
            elif stage not in stages and page in pages:
                pages.remove(page)


def check(samples: list[Sample], lives: dict[str, Life]) -> Checked:
    """Hold every sample against the lives."""
    result = Checked()
    for sample in samples:
        if sample.status != 200:
            result.silent += 1
            continue
        result.checked += 1
        result.with_core_dead += sample.core_dead
        stage = str(sample.body.get("stage"))
        stages = result.by_phase_and_stage.setdefault(sample.phase, {})
        stages[stage] = stages.get(stage, 0) + 1
        why = falsehood(sample, lives.get(sample.uetr))
        if why is not None:
            result.wrong.append(Wrong(sample.uetr, as_of_ms(sample) or sample.asked_ms, stage, why))
    return result


def as_of_ms(sample: Sample) -> int | None:
    """The instant of the claim."""
    return instant_ms(sample.body.get("as_of"))


def instant_ms(value: Any) -> int | None:
    """Milliseconds of an ISO 8601 instant, or of a number of milliseconds; None for anything else."""
    if isinstance(value, int):
        return value
    try:
        return round(datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp() * 1000)
    except (ValueError, AttributeError):
        return None


def falsehood(sample: Sample, life: Life | None) -> str | None:
    """Why the page was wrong, or None."""
    body = sample.body
    at_ms = as_of_ms(sample)
    if life is None:
        return "shows a transfer that the gateway's database does not have"
    if at_ms is None:
        return "carries no as_of"
    if at_ms < sample.asked_ms - BEHIND_MS:
        return f"as_of is {sample.asked_ms - at_ms} ms before the question"
    stage = str(body.get("stage"))
    if stage not in HOLDERS:
        return f"unknown stage {stage!r}"
    if body.get("holder") != HOLDERS[stage]:
        return f"names {body.get('holder')!r} as holder in stage {stage}"
    instants = _instants(life, at_ms - BEHIND_MS, at_ms + AHEAD_MS)
    if not any(_true_at(stage, life, instant) for instant in instants):
        return f"says {stage}; the records say {stage_at(life, at_ms)}"
    facts = {"amount": decimal_text(life.amount_minor, life.currency), "currency": life.currency}
    facts["status"] = STATUSES[stage]
    for key, truth in facts.items():
        if body.get(key) != truth:
            return f"{key} is {body.get(key)!r}, the records say {truth!r}"
    return _wrong_instant(body, stage, life) or _leak(body, life)


def _wrong_instant(body: dict[str, Any], stage: str, life: Life) -> str | None:
    """An instant on the page that differs from the recorded one."""
    truths: dict[str, int | None] = {"received": life.received_ms, "deadline": life.deadline_ms}
    if stage == "completed":
        truths["ended"] = life.final_ms
    if stage in ("coming_back", "returned"):
        truths["ended"] = life.decided_ms
    if stage == "returned":
        truths["return_confirmed"] = life.acknowledged_ms
    for key, truth in truths.items():
        if instant_ms(body.get(key)) != truth:
            return f"{key} is {body.get(key)!r}, which is not what was recorded"
    return None


def stage_at(life: Life, at_ms: int) -> str:
    """What a page should have said at an instant."""
    if life.decided_ms is not None and life.decided_ms <= at_ms:
        confirmed = life.acknowledged_ms is not None and life.acknowledged_ms <= at_ms
        return "returned" if confirmed else "coming_back"
    if any(a.outcome == "posted" and a.closed_ms is not None and a.closed_ms <= at_ms for a in life.attempts):
        return "completed"
    if life.open_at(at_ms) is not None:
        return "in_doubt" if at_ms <= life.deadline_ms else "past_deadline_in_doubt"
    return "held"


def _true_at(stage: str, life: Life, at_ms: int) -> bool:
    truth = stage_at(life, at_ms)
    if stage == "past_deadline_in_doubt":
        return truth == stage
    return truth == stage or (stage in OPEN_STAGES and truth in OPEN_STAGES)


def _instants(life: Life, from_ms: int, to_ms: int) -> list[int]:
    """The window's ends, and every instant inside it at which something changed."""
    changes = [life.received_ms, life.deadline_ms + 1, life.decided_ms, life.acknowledged_ms]
    for attempt in life.attempts:
        changes += [attempt.recorded_ms, attempt.closed_ms]
    return [from_ms, to_ms, *(at_ms for at_ms in changes if at_ms is not None and from_ms <= at_ms <= to_ms)]


def _leak(body: dict[str, Any], life: Life) -> str | None:
    """A whole name or number anywhere in the answer."""
    text = repr(body)
    for what, value in (("creditor's number", life.creditor_msisdn), ("creditor's name", life.creditor_name)):
        if value and value in text:
            return f"shows the {what} whole"
    if life.debtor_name and life.debtor_name in text:
        return "shows the debtor's name whole"
    return None
