"""Writes what a run leaves behind: report.json, report.html and transfers.csv.

report.html is one file without scripts, fonts or requests; a stranger sees in three seconds whether the promise
was kept and what happened to the money. report.json has the agreed figures and nothing else. transfers.csv has a
line for each transfer, so that whoever doubts a figure can count again.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hakika.simulator import pictures
from hakika.simulator.reckoning import Broken
from hakika.simulator.record import Mark, Record, duration, moments, quantile_s, wait_bars
from hakika.simulator.story import stories
from hakika.simulator.tracking import HOLDERS
from hakika.store.durable import write_private_file

BROKEN_SHOWN = 8
BROKEN_MORE = 1000
HOUR_S = 3600
COLUMNS = (
    "uetr", "bank", "amount_minor", "currency", "status", "reason", "debited_s", "received_s", "deadline_s",
    "final_s", "confirmed_s", "attempts",
)  # fmt: skip
DETECTION_WORDS = {
    "detected_after_s": "real seconds from the first affected order to the incident; of several the slowest",
    "published_after_s": "the same, to the status page that shows it",
    "named_right": "everything that was broken is named, and nothing else",
    "closed_right": "said to be over after it was, and before the run ended",
    "false_incidents": "incidents about what was well",
}
STAGE_WORDS = {
    "held": "held",
    "sending": "sending",
    "in_doubt": "in doubt",
    "past_deadline_in_doubt": "past deadline, in doubt",
    "completed": "arrived",
    "coming_back": "coming back",
    "returned": "back",
}


def write(folder: Path, record: Record, links: list[dict[str, Any]]) -> None:
    """Write the three files into `folder`."""
    figures = json.dumps(record.reckoning.figures, indent=1, ensure_ascii=False) + "\n"
    write_private_file(folder / "report.json", figures)
    write_private_file(folder / "report.html", html(record, links))
    write_private_file(folder / "transfers.csv", table(record))


def html(record: Record, links: list[dict[str, Any]]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("hakika.simulator"), autoescape=True, undefined=StrictUndefined, trim_blocks=False
    )
    return environment.get_template("report.html").render(**_content(record, links))


def _content(record: Record, links: list[dict[str, Any]]) -> dict[str, Any]:
    reckoning, scale = record.reckoning, record.scenario.scale
    figures = reckoning.figures
    kills = [mark for mark in record.marks if mark.kind == "kill"]
    return {
        "scenario": record.scenario,
        "seed": record.seed,
        "kept": reckoning.kept,
        "verdict": "Kept" if reckoning.kept else "Broken",
        "headline": headline(record),
        "summary": summary(figures),
        "speed": f"{scale:g} times its speed",
        "second_is": duration(scale),
        "figures": _figures(figures),
        "broken": _broken(reckoning.broken[:BROKEN_SHOWN]),
        "broken_more": _broken(reckoning.broken[BROKEN_SHOWN:BROKEN_MORE]),
        "broken_count": len(reckoning.broken),
        "flight_wide": Markup(pictures.in_flight(record, width=928, height=360, number=1)),  # noqa: S704
        "flight_narrow": Markup(pictures.in_flight(record, width=360, height=330, number=2)),  # noqa: S704
        "waits_wide": Markup(pictures.waits(record, width=928, number=3)),  # noqa: S704
        "waits_narrow": Markup(pictures.waits(record, width=360, number=4)),  # noqa: S704
        "kills": [{"clock": record.clock(mark.at_ms), "note": mark.note, "back": _back(mark)} for mark in kills],
        "hours": _hours(record),
        "marks": [
            {"clock": record.clock(m.at_ms), "second": f"{record.seconds(m.at_ms):.1f}", "note": m.note}
            for m in record.marks
        ],
        "waits_words": _waits_words(record),
        "waits": [
            {
                "label": pictures.wait_label(bar),
                "story": pictures.story_label(bar, scale),
                "completed": f"{bar.completed:,}",
                "returned": f"{bar.returned:,}",
            }
            for bar in wait_bars(record)
        ],
        "stories": stories(record),
        "seen": _seen(record),
        "seen_words": _seen_words(record),
        "counted": _counted(record),
        "stages": [STAGE_WORDS[stage] for stage in HOLDERS],
        "tracking": [
            {"phase": phase.title, "counts": [_looks(record, phase.name, stage) for stage in HOLDERS]}
            for phase in record.scenario.phases
        ],
        "links": [_link_row(row) for row in links],
        "machine": ", ".join(f"{name} {value}" for name, value in record.machine.items()),
    }


def _broken(items: list[Broken]) -> list[dict[str, str]]:
    return [
        {"rule": item.rule, "detail": item.detail, "uetr": str(UUID(item.uetr)) if item.uetr else ""} for item in items
    ]


def headline(record: Record) -> str:
    """The verdict in one sentence."""
    if record.reckoning.kept:
        return "Every promise was kept."
    named = {item.uetr for item in record.reckoning.broken if item.uetr}
    if named:
        return f"A promise was broken: {len(named):,} transfer{'s' if len(named) > 1 else ''}."
    return "A promise was broken."


def summary(figures: dict[str, Any]) -> str:
    """What happened to the money, in one or two sentences."""
    text = f"Banks handed over {figures['accepted']:,} transfers. {figures['completed']:,} arrived in their wallets"
    text += f" and {figures['returned']:,} came back to the account they left."
    if figures["unfinished"] or figures["double_credited"]:
        text += f" {figures['unfinished']:,} are unfinished, {figures['double_credited']:,} were paid twice."
    else:
        text += " None was lost, none was paid twice."
    if all(value == 0 for value in figures["books"].values()):
        text += " The books of both banks, the gateway and the ledger agree to the cent."
    return text


def _figures(figures: dict[str, Any]) -> list[dict[str, str]]:
    agree = all(value == 0 for value in figures["books"].values())
    rows = [
        ("", f"{figures['offered']:,}", "orders by customers"),
        ("held", f"{figures['accepted']:,}", "accepted from banks"),
        ("completed", f"{figures['completed']:,}", "arrived"),
        ("returned", f"{figures['returned']:,}", "came back"),
        ("bad" if figures["unfinished"] else "", f"{figures['unfinished']:,}", "unfinished"),
        ("bad" if figures["double_credited"] else "", f"{figures['double_credited']:,}", "paid twice"),
    ]
    found = [{"state": state, "value": value, "name": name} for state, value, name in rows]
    if not agree:
        found.append({"state": "bad", "value": "no", "name": "books agree"})
    return found


def _back(mark: Mark) -> str:
    return (
        "" if mark.until_ms is None else f"; answers again after {(mark.until_ms - mark.at_ms) / 1000:.1f} real seconds"
    )


def _hours(record: Record) -> list[dict[str, str]]:
    """One row for each hour of the story."""
    step_s = HOUR_S / record.scenario.scale
    rows = []
    for moment in moments(record, step_s):
        clock = f"{record.scenario.story_time(moment.at_s):%H:%M}"
        counts = {"held": moment.held, "in_doubt": moment.in_doubt, "coming_back": moment.coming_back}
        rows.append({"clock": clock, **{name: f"{count:,}" for name, count in counts.items()}})
    return rows


def _waits_words(record: Record) -> str:
    """Half, and the longest, in both times."""
    scale = record.scenario.scale
    half, longest = quantile_s(record, 0.5), record.reckoning.figures["longest_wait_s"]
    return (
        f"Half of them waited {duration(half)} or less; the longest wait was {duration(longest)}, "
        f"which is {duration(longest * scale)} by the clock of that day."
    )


def _seen(record: Record) -> list[dict[str, str]]:
    """A row for each fault that the scenario expects health to see."""
    if record.detection is None:
        return []
    rows = []
    required = [one for one in record.scenario.expected if one.required]
    for expected, seen in zip(required, record.detection.seen, strict=True):
        since, until = (record.scenario.story_time(at_s) for at_s in (expected.from_s, expected.to_s))
        rows.append(
            {
                "broken": f"{', '.join(expected.components)}, {since:%H:%M} to {until:%H:%M}",
                "detected": _after(seen.detected_after_s),
                "published": _after(seen.published_after_s),
                "named": f"{', '.join(seen.named) or 'nothing'}: {'right' if seen.named_right else 'wrong'}",
                "closed": (record.clock(seen.closed_ms) if seen.closed_ms is not None else "not by an event")
                + (": right" if seen.closed_right else ": wrong"),
                "why": "; ".join(seen.why),
            }
        )
    return rows


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _seen_words(record: Record) -> str:
    if record.detection is None:
        return ""
    count = record.detection.false_incidents
    if not count:
        return "No incident was opened about anything that was well."
    return f"Incidents about what was well: {count}: {'; '.join(record.detection.false_words)}."


def _looks(record: Record, phase: str, stage: str) -> str:
    return f"{record.reckoning.extra['tracking_by_phase'].get(phase, {}).get(stage, 0):,}"


def _counted(record: Record) -> list[dict[str, str]]:
    figures, extra = record.reckoning.figures, record.reckoning.extra
    refused = ", ".join(f"{name} {count:,}" for name, count in figures["refused_by_reason"].items())
    returned = ", ".join(f"{name} {count:,}" for name, count in extra["returned_by_reason"].items())
    swallowed = extra["in_doubt_swallowed"]
    words = {
        "offered": "what customers asked their banks for",
        "debited_not_accepted": "debited by a bank, and no receipt in the end",
        "accepted": "in custody, with a signed receipt that names the deadline",
        "completed": "credited to the wallet and booked by the bank",
        "returned": f"{returned or 'none'}{_confirmed(extra)}",
        "rejected": "refused before any receipt",
        "refused_by_reason": refused or "none: every order was debited",
        "unfinished": "neither arrived nor back, or not confirmed and booked by the bank",
        "double_credited": "credited more than once, or credited and given back",
        "deadline_missed": "late, although nothing had been sent and the bank could be reached",
        "in_doubt_past_deadline": f"late because an answer was missing; {_allowed(extra)}"
        + (f"; {swallowed} swallowed by the link" if swallowed else ""),
        "longest_wait_s": f"{duration(figures['longest_wait_scaled_s'])} by the clock of that day",
        "tracking_checked": f"{extra['tracking_with_core_dead']:,} of them while the core was dead",
        "tracking_wrong": "pages that said something false",
        "leashed": "answers 429 to banks that asked for statuses too early or too often, as the links saw them",
    }
    rows = []
    for name, meaning in words.items():
        value = figures[name]
        shown = f"{sum(value.values()):,}" if isinstance(value, dict) else f"{value:,}"
        rows.append({"name": name, "value": shown, "words": meaning})
    for name, meaning in DETECTION_WORDS.items():
        if name in figures:
            rows.append({"name": name, "value": _shown(figures[name]), "words": meaning})
    for name, amount in figures["books"].items():
        shown = "not known" if amount is None else f"{amount:,}"
        rows.append({"name": name, "value": shown, "words": "minor units; 0 is right"})
    return rows


def _allowed(extra: dict[str, Any]) -> str:
    cuts, bound = extra["cuts"], extra["in_doubt_bound"]
    return f"{cuts} cuts allow {bound}" if cuts > 1 else f"{bound} are allowed"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "never" if value is None else str(value)


def _confirmed(extra: dict[str, Any]) -> str:
    if not extra["confirmed_late"]:
        return ""
    slowest = duration(extra["confirmed_late_most_s"])
    return f"; {extra['confirmed_late']:,} confirmed by their bank after the deadline, the slowest by {slowest}"


def _link_row(row: dict[str, Any]) -> dict[str, str]:
    counts = dict(row["counts"])
    requests = counts.pop("request.messages", 0)
    counts.pop("answer.messages", None)
    faults = ", ".join(f"{name.replace('.', ' ')} {count:,}" for name, count in sorted(counts.items()))
    return {"link": row["link"], "requests": f"{requests:,}", "faults": faults or "none"}


def table(record: Record) -> str:
    """Every transfer as a line of CSV, seconds since demand began."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for life in sorted(record.lives.values(), key=lambda life: life.received_ms):
        row = record.booked.get(life.uetr)
        instants = [row.debited_ms if row else None, life.received_ms, life.deadline_ms, life.final_ms]
        instants.append(life.settled_ms)
        seconds = ["" if at_ms is None else f"{record.seconds(at_ms):.3f}" for at_ms in instants]
        head = [life.uetr, life.bank, life.amount_minor, life.currency, life.status, life.reason or ""]
        writer.writerow([*head, *seconds, len(life.attempts)])
    return out.getvalue()
