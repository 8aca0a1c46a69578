"""The judgement of one run: from what was recorded, by each side, to the figures and the verdict.

It trusts no side alone. Customers know what they ordered, banks' books what was debited, the gateway's database
what was promised and when it ended, the core's ledger what was credited, and the proxies which instructions'
bytes left. Where a promise was not kept, the transfer is named with the reason. The definitions of every figure
are in docs/reference/report.md.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hakika.simulator.driver import Told
from hakika.simulator.links import Links
from hakika.simulator.lives import Booked, Life
from hakika.simulator.tracking import Checked

# Machine speed, not divided by the scale: an overdue end comes within a minute of its bank being reachable.
RETURN_GRACE_MS = 60_000
IN_DOUBT_PER_CUT = 64 + 1  # the send window in and after trouble, and one
UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was not kept, about one transfer or about all together."""

    rule: str
    detail: str
    uetr: str | None = None


@dataclass(slots=True)
class Evidence:
    """Everything that was recorded."""

    told: list[Told]
    lives: dict[str, Life]
    booked: dict[str, Booked]
    posted: set[str]
    crossed: dict[str, int]  # instruction id -> first byte handed to the core
    swallowed: dict[str, int]  # instruction id -> lost on the link after the gateway had sent it
    links: Links
    tracking: Checked
    books: dict[str, int | None]
    findings: list[str]  # of the independent recount
    verify_ok: bool
    judged_ms: int  # when the databases were read
    doubled_by_recount: int = 0
    bank_down: dict[str, list[tuple[int, int]]] = field(
        default_factory=dict
    )  # spans in which a bank's process was dead


@dataclass(slots=True)
class Reckoning:
    """The figures of report.json, and what else the report shows."""

    figures: dict[str, Any]
    broken: list[Broken]
    extra: dict[str, Any]

    @property
    def kept(self) -> bool:
        """Every promise."""
        return not self.broken


def reckon(evidence: Evidence, *, scenario: str, seed: int, scale: float, main_link: str) -> Reckoning:
    """Judge a run."""
    broken: list[Broken] = []
    offered, refused = _offered(evidence, broken)
    unfinished = _unfinished(evidence, broken)
    doubled = _doubled(evidence, broken)
    missed, in_doubt, swallowed = _late(evidence, broken)
    debited_only = _debited_not_accepted(evidence, broken)
    rejected = sum(1 for row in evidence.booked.values() if row.state == "rejected")
    longest_s = _longest_s(evidence)
    statuses = Counter(life.status for life in evidence.lives.values())
    cuts = len(evidence.links.cuts(main_link))
    figures: dict[str, Any] = {
        "scenario": scenario,
        "seed": seed,
        "scale": scale,
        "offered": offered,
        "debited_not_accepted": debited_only,
        "accepted": len(evidence.lives),
        "completed": statuses["COMPLETED"],
        "returned": statuses["RETURNED"],
        "rejected": rejected,
        "refused_by_reason": dict(sorted(refused.items())),
        "unfinished": unfinished,
        "double_credited": doubled,
        "deadline_missed": missed,
        "in_doubt_past_deadline": in_doubt,
        "longest_wait_s": round(longest_s, 3),
        "longest_wait_scaled_s": round(longest_s * scale, 1),
        "tracking_checked": evidence.tracking.checked,
        "tracking_wrong": len(evidence.tracking.wrong),
        "leashed": evidence.links.answers(429),
        "books": dict(evidence.books),
    }
    _balance(figures, evidence, broken)
    bound = IN_DOUBT_PER_CUT * max(1, cuts)
    if in_doubt > bound:
        broken.append(Broken("in doubt past the deadline", f"{in_doubt} transfers; {cuts} cuts allow {bound}"))
    for wrong in evidence.tracking.wrong:
        broken.append(Broken("tracking page", f"{wrong.why} (as of {wrong.as_of_ms})", wrong.uetr))
    figures["verdict"] = "broken" if broken else "kept"
    extra = {
        **_confirmed_late(evidence),
        "cuts": cuts,
        "in_doubt_bound": bound,
        "in_doubt_swallowed": swallowed,
        "returned_by_reason": dict(
            Counter(life.reason or "" for life in evidence.lives.values() if life.status == "RETURNED").most_common()
        ),
        "tracking_by_phase": evidence.tracking.by_phase_and_stage,
        "tracking_with_core_dead": evidence.tracking.with_core_dead,
        "tracking_silent": evidence.tracking.silent,
        "findings": evidence.findings,
    }
    return Reckoning(figures, broken, extra)


def _offered(evidence: Evidence, broken: list[Broken]) -> tuple[int, Counter[str]]:
    """Orders, and those that debited nobody by reason; an order without an answer is looked up in the books."""
    requests = {row.request_id: row for row in evidence.booked.values()}
    refused: Counter[str] = Counter()
    for told in evidence.told:
        row = requests.pop(told.order.request_id, None)
        if row is None:
            refused[told.refused or UNANSWERED] += 1
            if told.uetr is not None:
                broken.append(Broken("books", "the customer was told of a debit that the books do not have", told.uetr))
        elif told.uetr is not None and told.uetr.replace("-", "") != row.uetr:
            broken.append(Broken("books", "one order was debited under two ids", row.uetr))
    for row in requests.values():
        broken.append(Broken("books", f"{row.bank} debited {row.request_id}, which nobody ordered", row.uetr))
    return len(evidence.told), refused


def _unfinished(evidence: Evidence, broken: list[Broken]) -> int:
    """Not final; returned and not acknowledged; completed and not booked by the bank."""
    count = 0
    for life in evidence.lives.values():
        row = evidence.booked.get(life.uetr)
        if life.final_ms is None:
            why = f"is {life.status}, promised by {life.deadline_ms}"
        elif life.status == "RETURNED" and life.acknowledged_ms is None:
            why = "is on its way back, its bank has not confirmed"
        elif row is None or row.state != life.status.lower():
            why = f"is {life.status}, in the bank's books it is {row.state if row else 'missing'}"
        else:
            continue
        count += 1
        broken.append(Broken("unfinished", why, life.uetr))
    return count


def _doubled(evidence: Evidence, broken: list[Broken]) -> int:
    """Credited more than once, or credited and given back."""
    count = 0
    for life in evidence.lives.values():
        credits = sum(1 for attempt in life.attempts if attempt.id in evidence.posted)
        row = evidence.booked.get(life.uetr)
        back = row is not None and row.state in ("returned", "rejected")
        if credits > 1 or (credits and back):
            count += 1
            detail = f"credited {credits} times" + (" and given back" if back else "")
            broken.append(Broken("double", detail, life.uetr))
        elif life.status == "COMPLETED" and not credits:
            broken.append(Broken("completed", "called COMPLETED, and the ledger has no posting for it", life.uetr))
    if evidence.doubled_by_recount > count:
        detail = f"the independent recount finds {evidence.doubled_by_recount}, this one {count}"
        broken.append(Broken("double", detail))
    return max(count, evidence.doubled_by_recount)


def _late(evidence: Evidence, broken: list[Broken]) -> tuple[int, int, int]:
    """Deadlines missed; in doubt past the deadline; and of these, those whose bytes the link swallowed."""
    missed = in_doubt = swallowed = 0
    for life in evidence.lives.values():
        row = evidence.booked.get(life.uetr)
        deadline_ms = life.deadline_ms
        if row is not None and row.deadline_ms is not None and row.deadline_ms != deadline_ms:
            broken.append(Broken("promise", "the receipt names another deadline than the gateway", life.uetr))
            deadline_ms = min(deadline_ms, row.deadline_ms)
        if life.final_ms is None and evidence.judged_ms <= deadline_ms:
            continue  # unfinished, and counted as that
        if life.final_ms is not None and life.final_ms <= deadline_ms:
            late_return = _return_late(life, deadline_ms, evidence)
            if late_return is not None:
                missed += 1
                broken.append(Broken("deadline", late_return, life.uetr))
            continue
        left = _left_the_gateway(life, deadline_ms, evidence)
        if left is None:
            missed += 1
            when = "never" if life.final_ms is None else f"{(life.final_ms - deadline_ms) / 1000:.2f} s late"
            broken.append(Broken("deadline", f"final {when}; no instruction of it had been sent", life.uetr))
        else:
            in_doubt += 1
            swallowed += left == "swallowed"
    return missed, in_doubt, swallowed


def _left_the_gateway(life: Life, deadline_ms: int, evidence: Evidence) -> str | None:
    """Whether the attempt open at the deadline had been sent by then, as the proxy saw it."""
    attempt = life.open_at(deadline_ms)
    if attempt is None:
        return None
    for name, seen in (("crossed", evidence.crossed), ("swallowed", evidence.swallowed)):
        if attempt.id in seen and seen[attempt.id] <= deadline_ms:
            return name
    return None


def _return_late(life: Life, deadline_ms: int, evidence: Evidence) -> str | None:
    """A return decided in time and confirmed too late, although its bank could be reached long enough."""
    if life.status != "RETURNED" or life.decided_ms is None or life.acknowledged_ms is None:
        return None
    if life.acknowledged_ms <= deadline_ms:
        return None
    reachable_ms = life.acknowledged_ms - life.decided_ms - _unreachable_ms(life, evidence)
    if reachable_ms <= RETURN_GRACE_MS:
        return None
    return f"its return was confirmed {(life.acknowledged_ms - deadline_ms) / 1000:.2f} s late by a bank that was there"


def _confirmed_late(evidence: Evidence) -> dict[str, float]:
    """Returns decided in time whose bank confirmed them after the deadline: how many, and the slowest."""
    late_ms = [
        life.acknowledged_ms - life.deadline_ms
        for life in evidence.lives.values()
        if life.acknowledged_ms is not None and life.acknowledged_ms > life.deadline_ms
    ]
    return {"confirmed_late": len(late_ms), "confirmed_late_most_s": max(late_ms, default=0) / 1000}


def _unreachable_ms(life: Life, evidence: Evidence) -> int:
    """How long, between decision and confirmation, the bank was cut off or dead."""
    from_ms, to_ms = life.decided_ms or 0, life.acknowledged_ms or 0
    spans = list(evidence.bank_down.get(life.bank, []))
    for link in (f"gateway-{life.bank}", f"{life.bank}-gateway"):
        spans += [(since, until if until is not None else to_ms) for since, until in evidence.links.cuts(link)]
    return covered_ms(spans, from_ms, to_ms)


def covered_ms(spans: list[tuple[int, int]], from_ms: int, to_ms: int) -> int:
    """Milliseconds of a window that at least one span covers."""
    total, reached = 0, from_ms
    for since, until in sorted(spans):
        since, until = max(since, reached), min(until, to_ms)
        if until > since:
            total += until - since
            reached = until
    return total


def _debited_not_accepted(evidence: Evidence, broken: list[Broken]) -> int:
    """Debited, and neither in custody nor given back."""
    count = 0
    for row in evidence.booked.values():
        if row.state == "rejected" or row.uetr in evidence.lives:
            continue
        count += 1
        broken.append(Broken("custody", f"{row.bank} debited it and no custody receipt was given", row.uetr))
    return count


def _longest_s(evidence: Evidence) -> float:
    """The longest time from custody to the money being where it belongs."""
    waits = [life.settled_ms - life.received_ms for life in evidence.lives.values() if life.settled_ms is not None]
    return max(waits, default=0) / 1000


def _balance(figures: dict[str, Any], evidence: Evidence, broken: list[Broken]) -> None:
    """Every order is in exactly one figure; the books agree; the recount found nothing."""
    parts = figures["accepted"] + figures["debited_not_accepted"] + figures["rejected"]
    parts += sum(figures["refused_by_reason"].values())
    if parts != figures["offered"]:
        broken.append(Broken("count", f"{figures['offered']} were offered, {parts} are accounted for"))
    for name, amount in evidence.books.items():
        if amount != 0:
            broken.append(Broken("books", f"{name} is {'not known' if amount is None else amount}, not 0"))
    if not evidence.verify_ok:
        broken += [Broken("recount", finding) for finding in evidence.findings or ["it does not agree"]]
