"""The independent checker, asked about a platform at rest; its answer in the words of the judgement.

At rest: every link is mended and nothing is under way, so the checker may demand that everything has ended.
"""

from dataclasses import dataclass

from hakika.simulator import checker
from hakika.simulator.stack import Stack


@dataclass(frozen=True, slots=True)
class Recount:
    """What the checker found; a sum that it could not make is None."""

    ok: bool
    books: dict[str, int | None]
    findings: list[str]
    doubled: int


def recounted(stack: Stack) -> Recount:
    """Blocks while it counts."""
    result = checker.verify(checker.targets_from_state(stack.folder.path, settled=True))
    findings = [f"{finding.code} {finding.subject}: {finding.text}" for finding in result.findings]
    return Recount(result.ok, result.books.figures(), findings, result.counts.get("double_credited", 0))
