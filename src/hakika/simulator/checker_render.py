"""A recount's result for people, in plain lines of at most 80 columns, and for programs, as JSON.

The figures come first, then each kind of finding under the invariant that it breaks. Nothing is coloured and
nothing is abbreviated: what a person needs in order to look further (bank and UETR, account, batch) is whole.
"""

import json
import textwrap
from datetime import UTC, datetime

from hakika.simulator.checker_findings import TITLES
from hakika.simulator.checker_result import VerifyResult

WIDTH = 80
COUNTS = (
    ("accepted", "accepted by the gateway"),
    ("completed", "completed"),
    ("returned", "returned"),
    ("held", "held"),
    ("in_flight", "in flight, no answer known"),
    ("returns_unacknowledged", "on their way back, not acknowledged"),
    ("completions_unbooked", "completed, not booked by the bank"),
    ("unfinished", "unfinished, the four above together"),
    ("debited_not_accepted", "debited by a bank, not in custody"),
    ("rejected", "rejected before custody, given back"),
    ("double_credited", "credited more than once"),
    ("breaks", "reconciliation breaks"),
    ("entries", "entries in the ledger"),
    ("refusals", "refusals stored in the ledger"),
    ("burns", "burnt ids"),
    ("batches", "links of the hash chain"),
    ("incidents", "incidents of health"),
    ("incidents_open", "incidents of health that are open"),
)  # fmt: skip
DECLARED = (
    ("heads_lost_in_restore", "chain heads lost in declared restores of the core"),
    ("answers_lost_in_restore", "answers lost in declared restores of the core"),
)


def instant(at_ms: int) -> str:
    """ISO 8601 UTC with milliseconds."""
    text = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def as_json(result: VerifyResult) -> str:
    """The whole result as one JSON object; `null` where a sum could not be made."""
    content = {
        "ok": result.ok,
        "exit_status": result.exit_status,
        "as_of": result.as_of,
        "books": {
            **result.books.figures(),
            "by_bank": {
                "bank_vs_gateway_minor": result.books.bank_vs_gateway,
                "gateway_vs_core_minor": result.books.gateway_vs_core,
            },
        },
        "counts": result.counts,
        "found": result.found,
        "notes": list(result.notes),
        "findings": [
            {"code": finding.code, "invariant": TITLES[finding.code], "subject": finding.subject, "text": finding.text}
            for finding in result.findings
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def render(result: VerifyResult) -> str:
    """The result as lines of at most 80 columns, the verdict last."""
    lines = [f"Recount as of {result.as_of}", "", *_books(result), "", *_counts(result)]
    for code in dict.fromkeys(finding.code for finding in result.findings):
        lines += ["", f"{code}  {TITLES[code]}: {result.found[code]}"]
        for finding in result.findings:
            if finding.code == code:
                lines += textwrap.wrap(
                    f"{finding.subject}: {finding.text}",
                    WIDTH,
                    initial_indent="  ",
                    subsequent_indent="    ",
                    break_on_hyphens=False,
                )
    for note in result.notes:
        lines += ["", *textwrap.wrap(f"Note. {note}", WIDTH)]
    return "\n".join([*lines, "", *textwrap.wrap(_verdict(result), WIDTH)])


def _books(result: VerifyResult) -> list[str]:
    books = result.books
    lines = ["Books, in minor units; all must be 0"]
    lines.append(_line("sum of all money in the core", books.core_sum_minor))
    for title, by_bank in (
        ("bank against gateway", books.bank_vs_gateway),
        ("gateway against core", books.gateway_vs_core),
    ):
        if not by_bank:
            lines.append(_line(title, None if by_bank is None else 0))
        for bank, minor in (by_bank or {}).items():
            lines.append(_line(f"{title}, {bank}", minor))
    return lines


def _counts(result: VerifyResult) -> list[str]:
    lines = ["Counts"]
    lines += [_line(title, result.counts[name]) for name, title in COUNTS if name in result.counts]
    lines += [_line(title, result.counts[name]) for name, title in DECLARED if result.counts.get(name)]
    return lines


def _line(title: str, value: int | None) -> str:
    shown = "not known" if value is None else f"{value:,}"
    return f"  {title:<58}{shown:>20}"


def _verdict(result: VerifyResult) -> str:
    total = sum(result.found.values())
    match result.exit_status:
        case 0:
            return "Everything that was recounted agrees."
        case 2:
            return f"Nothing wrong was seen, but {total} part(s) could not be checked: this says nothing about them."
        case _:
            return f"{total} finding(s). docs/how-to/verify.md says what each code means and what to do."
