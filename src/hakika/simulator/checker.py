"""`hakika verify`: an independent recount of the databases and the banks' books.

It shares no code with what it checks: rules, derivations and hashes are written down here once more, from the
documentation. One moment of everything is frozen and read, never written: on a live platform the gateway, then
the core and the banks, then the gateway again, so that whatever is under way is explained by one of the two
readings. Health's database is recounted for itself; where it is not to be had, that is a note. The exit status is
0 where everything agrees, 1 where anything does not, 2 where something could not be looked at.
docs/invariants.md has the invariants, docs/how-to/verify.md how to read the result.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from hakika import clock
from hakika.simulator.checker_banks import recount_books
from hakika.simulator.checker_chain import recount_chain
from hakika.simulator.checker_core import recount_core
from hakika.simulator.checker_crossing import cross
from hakika.simulator.checker_custody import compare_custody
from hakika.simulator.checker_findings import CannotCheck, Finding, Tally
from hakika.simulator.checker_gateway import count_untold, recount_gateway
from hakika.simulator.checker_guards import check_core_guards, check_gateway_guards, check_health_guards
from hakika.simulator.checker_health import recount_health
from hakika.simulator.checker_render import as_json, instant, render
from hakika.simulator.checker_restore import Forgotten, raised_ms
from hakika.simulator.checker_result import Books, VerifyResult
from hakika.simulator.checker_snapshots import BooksSnapshot, DatabaseSnapshot, open_database

__all__ = [
    "Books",
    "Finding",
    "Targets",
    "VerifyResult",
    "as_json",
    "command",
    "render",
    "targets_from_state",
    "verify",
]

_as_json = as_json  # under another name where a parameter hides it
DEADLINE_S = 300.0
DEADLINE_MOST_S = 86_400.0
HEALTH_DEADLINE_S = 60.0  # nobody's money waits for it, nor does the verdict
HEALTH_SHARE = 0.2  # of a longer deadline
DEFAULT_STATE = Path("var/up")
UNFINISHED = ("held", "in_flight", "returns_unacknowledged", "completions_unbooked")


@dataclass(frozen=True, slots=True)
class Targets:
    """What is to be recounted; what is None or left out is not looked at, and nothing is said about it."""

    core_url: str | None = field(repr=False)
    gateway_url: str | None = field(repr=False)
    books: dict[str, Path]  # by bank
    live: bool = True  # money may move meanwhile: read the gateway a second time
    settled: bool = False  # demand that everything has ended
    deadline_s: float = DEADLINE_S  # for each connection
    health_url: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()  # what was found out before anything was read


@dataclass(slots=True)
class _Moments:
    """The frozen moments, in the order in which they were taken."""

    before: DatabaseSnapshot | None
    core: DatabaseSnapshot | None
    books: list[BooksSnapshot]
    after: DatabaseSnapshot | None


def verify(targets: Targets) -> VerifyResult:
    """Recount everything that `targets` names. Blocks; raises nothing for what it meets there."""
    tally = Tally()
    as_of_ms = clock.now_ms()
    books = Books()
    with ExitStack() as stack:
        moments = _freeze(stack, targets, tally)
        _recount_core(moments, tally, books)
        if moments.before is not None:
            gateway = moments.before
            _attempt(tally, "gateway", lambda: recount_gateway(gateway, tally, settled=targets.settled))
            _attempt(tally, "gateway", lambda: check_gateway_guards(gateway, tally))
        forgotten = _forgotten(moments, tally)
        _cross(moments, tally, books, forgotten)
        _recount_banks(moments, targets, tally, books, forgotten)
    notes = (*targets.notes, *_recount_health(targets, tally))
    counts = dict(tally.counts)
    if all(name in counts for name in UNFINISHED):
        counts["unfinished"] = sum(counts[name] for name in UNFINISHED)
    if books.gateway_vs_core is not None:
        counts["double_credited"] = len(tally.doubled)
    found = dict(tally.found)
    return VerifyResult(books, dict(sorted(counts.items())), tally.findings(), found, instant(as_of_ms), notes)


def targets_from_state(state_dir: Path, *, live: bool = True, settled: bool = False) -> Targets:
    """The targets of a platform's folder: from ready.json while it runs, else from its keys and books.

    Raises CannotCheck when the folder holds no platform.
    """
    ready: dict[str, object] = {}
    try:
        content = json.loads((state_dir / "ready.json").read_text("utf-8"))
        ready = content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        pass
    databases = ready.get("databases")
    urls = dict(databases) if isinstance(databases, dict) else {}
    for role in ("core", "gateway", "health"):
        file = state_dir / "keys" / f"{role}.reader.url"
        if role not in urls and file.is_file():
            urls[role] = file.read_text("utf-8").strip()
    banks = ready.get("banks")
    named = [str(bank["id"]) for bank in banks if isinstance(bank, dict)] if isinstance(banks, list) else []
    books = {bank: state_dir / bank / "books.sqlite" for bank in named}
    books |= {file.parent.name: file for file in sorted(state_dir.glob("*/books.sqlite"))}
    if "core" not in urls or "gateway" not in urls:
        raise CannotCheck(str(state_dir), "no platform was ever started in this folder")
    health = urls.get("health")
    notes = () if health else ("health: this folder knows no database of it; no incident was recounted",)
    core, gateway = urls["core"], urls["gateway"]
    return Targets(core, gateway, books, live=live, settled=settled, health_url=health, notes=notes)


def command(
    *,
    state: Path | None,
    core_url: str | None,
    gateway_url: str | None,
    health_url: str | None = None,
    books: Sequence[str],
    as_json: bool,
    settled: bool = False,
    deadline_s: float = DEADLINE_S,
) -> int:
    """What the command line calls: print the result, return the exit status 0, 1 or 2.

    URLs and books given by name stand instead of those of a state folder; `books` are of the form BANK=FILE.
    """
    try:
        if not 0 < deadline_s <= DEADLINE_MOST_S:
            raise CannotCheck("--deadline-s", f"{deadline_s:g} is not above 0 and at most {DEADLINE_MOST_S:g}")
        targets = _targets(state, core_url, gateway_url, health_url, books, settled=settled)
        targets = replace(targets, deadline_s=deadline_s)
    except CannotCheck as fault:
        print(f"hakika verify: {fault}", file=sys.stderr)
        return 2
    result = verify(targets)
    print(_as_json(result) if as_json else render(result))
    return result.exit_status


def _targets(
    state: Path | None,
    core_url: str | None,
    gateway_url: str | None,
    health_url: str | None,
    books: Sequence[str],
    *,
    settled: bool,
) -> Targets:
    named: dict[str, Path] = {}
    for word in books:
        bank, equals, file = word.partition("=")
        if not equals or not bank or not file:
            raise CannotCheck(word, "books are given as BANK=FILE")
        named[bank] = Path(file)
    if core_url or gateway_url or health_url or named:
        return Targets(core_url, gateway_url, named, settled=settled, health_url=health_url)
    return targets_from_state(state or DEFAULT_STATE, settled=settled)


def _freeze(stack: ExitStack, targets: Targets, tally: Tally) -> _Moments:
    """Gateway, core, banks, gateway: the order on which the live comparisons rest."""
    deadline_s = targets.deadline_s
    before = open_database(stack, tally, targets.gateway_url, "gateway", deadline_s)
    core = open_database(stack, tally, targets.core_url, "core", deadline_s)
    books = []
    for bank, file in sorted(targets.books.items()):
        try:
            books.append(stack.enter_context(BooksSnapshot(bank, file, deadline_s=deadline_s)))
        except CannotCheck as fault:
            tally.cannot(fault)
    after = None
    if targets.live and before is not None:
        after = open_database(stack, tally, targets.gateway_url, "gateway", deadline_s)
        before = before if after is not None else None
    return _Moments(before, core, books, after)


def _attempt(tally: Tally, part: str, work: Callable[[], None]) -> None:
    """Do one part; where it cannot be done that is a finding, and the other parts go on."""
    try:
        work()
    except CannotCheck as fault:
        tally.cannot(fault)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        tally.cannot(CannotCheck(part, f"it holds values of no known form ({error!r})"))


def _recount_core(moments: _Moments, tally: Tally, books: Books) -> None:
    core = moments.core
    if core is None:
        return

    def ledger() -> None:
        books.core_sum_minor = recount_core(core, tally)

    _attempt(tally, "core", ledger)
    _attempt(tally, "core", lambda: recount_chain(core, tally))
    _attempt(tally, "core", lambda: check_core_guards(core, tally))


def _forgotten(moments: _Moments, tally: Tally) -> Forgotten:
    """What a restore of the gateway may explain: nothing where none was declared."""
    gateway, raised = moments.before, None
    if gateway is not None:
        try:
            raised = raised_ms(gateway)
        except CannotCheck as fault:
            tally.cannot(fault)
    return Forgotten(raised)


def _cross(moments: _Moments, tally: Tally, books: Books, forgotten: Forgotten) -> None:
    before, core = moments.before, moments.core
    if before is None or core is None:
        return

    def compare() -> None:
        books.gateway_vs_core = cross(before, core, moments.after, tally, forgotten)

    _attempt(tally, "gateway against core", compare)


def _recount_health(targets: Targets, tally: Tally) -> list[str]:
    """I30 to I35 and health's guards; what could not be looked at comes back as notes."""
    if targets.health_url is None:
        return []
    deadline_s = max(min(HEALTH_DEADLINE_S, targets.deadline_s), targets.deadline_s * HEALTH_SHARE)
    try:
        with DatabaseSnapshot(targets.health_url, "health", deadline_s=deadline_s) as health:
            recount_health(health, tally)
            check_health_guards(health, tally)
    except CannotCheck as fault:
        return [f"health: not recounted: {fault.text}"]
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        return [f"health: it holds values of no known form ({error!r})"]
    return []


def _recount_banks(moments: _Moments, targets: Targets, tally: Tally, books: Books, forgotten: Forgotten) -> None:
    """Each bank's own books, and each bank against the gateway."""
    compared: list[str] = []
    for bank in moments.books:

        def compare(bank: BooksSnapshot = bank) -> None:
            if moments.before is not None:
                minor = compare_custody(moments.before, bank, moments.after, tally, forgotten, settled=targets.settled)
                books.bank_vs_gateway = {**(books.bank_vs_gateway or {}), bank.bank: minor}
                compared.append(bank.bank)

        def recount(bank: BooksSnapshot = bank) -> None:
            recount_books(bank, tally)

        _attempt(tally, bank.name, recount)
        _attempt(tally, bank.name, compare)
    forgotten.name_left(compared, tally)
    gateway = moments.before
    if gateway is None:
        return

    def untold() -> None:
        tally.counts["completions_unbooked"] += count_untold(gateway, compared)

    _attempt(tally, "gateway", untold)
