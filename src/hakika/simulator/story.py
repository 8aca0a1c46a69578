"""One transfer's own story, in plain words with times, told from what was recorded about it.

A transfer is chosen that shows what the promise is for: one whose money arrived although everything was down, or
one that came back in time. Nothing is invented: each line has a row, a receipt or a page behind it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from hakika.domain.money import decimal_text
from hakika.simulator.links import DATABASE_LINKS
from hakika.simulator.lives import Booked, Life
from hakika.simulator.record import Mark, Record, duration
from hakika.simulator.tracking import as_of_ms

PAGES_TOLD = 3
SILENCE_MS = 10_000
KILLS_TOLD = 4
REASONS = {
    "deadline_passed": "it could not be completed in time",
    "gateway_restored": "the gateway's log was restored from a copy, and it had not been credited",
    "wallet_unknown": "there is no wallet under this number",
    "wallet_blocked": "the wallet is blocked",
    "wallet_closed": "the wallet is closed",
    "position_short": "the bank's prefunded position did not cover it",
    "balance_limit": "the wallet may not hold that much",
}
SAID = {
    "held": "the money is held by Hakika, and by when it arrives or comes back",
    "sending": "sent, being established",
    "in_doubt": "sent; it may already be in the wallet; being established",
    "past_deadline_in_doubt": "the deadline has passed, and it is still being established: said plainly",
    "completed": "arrived",
    "coming_back": "it did not arrive and is on its way back",
    "returned": "back in the bank account",
}
PROCESSES = {
    "core": "the core",
    "gateway": "the gateway",
    "core-postgres": "the core's database",
    "gateway-postgres": "the gateway's database",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    clock: str
    at_s: float
    words: str
    state: str  # held, completed, returned, broken, unknown, plain: a colour and a shape


@dataclass(frozen=True, slots=True)
class Story:
    """A transfer and what happened to it."""

    title: str
    uetr: str
    amount: str
    lines: list[Line]

    @property
    def days(self) -> bool:
        """It has another day's hours in it."""
        return any(len(line.clock) > len("00:00") for line in self.lines)


def stories(record: Record) -> list[Story]:
    """One transfer that arrived late and one that came back, as far as there are such."""
    bands = [
        (record.began_ms + since * 1000, record.began_ms + until * 1000) for since, until in record.scenario.outages
    ]
    outage_to = bands[0][1]

    def inside(life: Life) -> bool:
        return any(since <= life.received_ms <= until for since, until in bands)

    sampled = {sample.uetr for sample in record.samples if sample.status == 200}

    def interest(life: Life) -> tuple[bool, bool, bool, int]:
        """In time first; then sent into the dark; then one whose page somebody looked at; then the longest wait."""
        in_time = life.settled_ms is not None and life.settled_ms <= life.deadline_ms
        sent_into_the_dark = any((a.closed_ms or 0) - a.recorded_ms > SILENCE_MS for a in life.attempts)
        return in_time, sent_into_the_dark, life.uetr in sampled, (life.settled_ms or 0) - life.received_ms

    found = []
    rules: tuple[tuple[str, Callable[[Life], bool]], ...] = (
        ("COMPLETED", lambda life: inside(life) and (life.settled_ms or 0) >= outage_to),
        ("RETURNED", lambda life: inside(life) and life.reason == "deadline_passed"),
    )
    for status, fits in rules:
        fitting = [life for life in record.lives.values() if life.status == status and fits(life)]
        if not fitting:
            fitting = [life for life in record.lives.values() if life.status == status and life.settled_ms]
        if fitting:
            found.append(tell(record, max(fitting, key=interest)))
    return found


def tell(record: Record, life: Life) -> Story:
    """The story of one transfer."""
    booked = record.booked.get(life.uetr)
    amount = f"{life.currency} {_thousands(decimal_text(life.amount_minor, life.currency))}"
    wait = duration(((life.settled_ms or life.received_ms) - life.received_ms) / 1000 * record.scenario.scale)
    bank = next((bank.name for bank in record.scenario.banks if bank.id == life.bank), life.bank)
    title = {
        "COMPLETED": f"{amount} that arrived after {wait}",
        "RETURNED": f"{amount} that came back after {wait}",
    }.get(life.status, f"{amount} that has not arrived")
    lines = [*_beginning(record, life, booked, bank, amount), *_attempts(record, life)]
    lines += [*_meanwhile(record, life), *_pages(record, life), *_end(record, life, booked, bank)]
    told = [line for _, line in sorted(lines, key=lambda pair: pair[0])]
    return Story(title, str(UUID(life.uetr)), amount, told)


def _line(record: Record, at_ms: int, words: str, state: str = "plain") -> tuple[int, Line]:
    return at_ms, Line(record.clock(at_ms), record.seconds(at_ms), words, state)


def _beginning(record: Record, life: Life, booked: Booked | None, bank: str, amount: str) -> list[tuple[int, Line]]:
    lines = []
    if booked is not None:
        words = f"A customer of {bank} sends {amount} to a wallet. The account is debited."
        lines.append(_line(record, booked.debited_ms, words))
    promise = record.clock(life.deadline_ms)
    words = f"Hakika takes it into custody and signs a receipt: it arrives or comes back by {promise}."
    lines.append(_line(record, life.received_ms, words, "held"))
    return lines


def _attempts(record: Record, life: Life) -> list[tuple[int, Line]]:
    lines = []
    for number, attempt in enumerate(life.attempts, start=1):
        again = "" if number == 1 else " once more, under a new id: the last one is dead"
        words = f"It is sent to the core{again}."
        took_ms = None if attempt.closed_ms is None else attempt.closed_ms - attempt.recorded_ms
        if took_ms is None or took_ms > SILENCE_MS:
            words += " No answer comes. No answer is not an answer: nothing is concluded from it."
        lines.append(_line(record, attempt.recorded_ms, words, "unknown"))
        if attempt.closed_ms is not None and attempt.outcome in ("refused", "burnt"):
            said = {"refused": "The core refuses it, for good", "burnt": "Its id is burnt: it can never move money"}
            lines.append(_line(record, attempt.closed_ms, f"{said[attempt.outcome]}.", "unknown"))
    return lines


def _meanwhile(record: Record, life: Life) -> list[tuple[int, Line]]:
    """What was killed while it waited, and when the link came back for good."""
    until_ms = life.settled_ms or record.ended_ms
    inside = [mark for mark in record.marks if life.received_ms < mark.at_ms < until_ms]
    lines = []
    kills = [mark for mark in inside if mark.kind == "kill" and mark.target in PROCESSES]
    for place, mark in enumerate(kills[:KILLS_TOLD]):
        kept = "" if place else " The order is on disk: nothing depends on a process."
        words = f"Meanwhile {PROCESSES[mark.target]} is killed{_back(record, mark)}.{kept}"
        lines.append(_line(record, mark.at_ms, words, "broken"))
    whole = (record.scenario.main_link, *DATABASE_LINKS, "all")
    mends = [mark for mark in inside if mark.kind == "mend" and mark.target in whole]
    for mark in mends[-1:]:
        lines.append(_line(record, mark.at_ms, f"{mark.note[:1].upper()}{mark.note[1:]}."))
    return lines


def _back(record: Record, mark: Mark) -> str:
    if mark.until_ms is None:
        return ""
    return f", and answers again {(mark.until_ms - mark.at_ms) / 1000:.1f} real seconds later"


def _pages(record: Record, life: Life) -> list[tuple[int, Line]]:
    """What its tracking page said when somebody looked."""
    lines: list[tuple[int, Line]] = []
    before = None
    for sample in record.samples:
        if sample.uetr != life.uetr or sample.status != 200:
            continue
        stage = str(sample.body.get("stage"))
        if stage == before or stage not in SAID:
            continue
        before = stage
        dead = " The core is dead at this moment; the page answers all the same." if sample.core_dead else ""
        at_ms = as_of_ms(sample) or sample.asked_ms
        lines.append(_line(record, at_ms, f"Its tracking page says: {SAID[stage]}.{dead}", "plain"))
    return lines[:PAGES_TOLD]


def _end(record: Record, life: Life, booked: Booked | None, bank: str) -> list[tuple[int, Line]]:
    lines = []
    if life.status == "COMPLETED" and life.final_ms is not None:
        fee = ""
        if life.fee_minor:
            fee = f" The fee is {life.currency} {decimal_text(life.fee_minor, life.currency)}."
        late = " In time." if life.final_ms <= life.deadline_ms else " It had been in doubt past its deadline."
        lines.append(_line(record, life.final_ms, f"The wallet is credited, once.{late}{fee}", "completed"))
        if booked is not None and booked.final_ms is not None:
            lines.append(_line(record, booked.final_ms, f"{bank} is told, and books it as arrived."))
    if life.decided_ms is not None:
        why = REASONS.get(life.reason or "", life.reason or "")
        lines.append(_line(record, life.decided_ms, f"Hakika gives it back: {why}.", "returned"))
    if life.acknowledged_ms is not None:
        late_ms = life.acknowledged_ms - life.deadline_ms
        late = f", {duration(late_ms / 1000 * record.scenario.scale)} after the deadline" if late_ms > 0 else ""
        words = f"{bank} has put it back on the account and says so{late}."
        lines.append(_line(record, life.acknowledged_ms, words, "returned"))
    return lines


def _thousands(text: str) -> str:
    whole, point, rest = text.partition(".")
    return f"{int(whole):,}{point}{rest}"
