"""What a recount comes to: the three sums that must be zero, counts, findings, and the exit status.

A sum is None where it could not be made, never 0. The total over banks adds absolute values, so that one bank
too much and another too little do not make zero.
"""

from dataclasses import dataclass

from hakika.simulator.checker_findings import Code, Finding

AGREES, DISAGREES, UNKNOWN = 0, 1, 2


@dataclass(slots=True)
class Books:
    """The sums of the design's table of books, in minor units; differences by bank."""

    core_sum_minor: int | None = None
    bank_vs_gateway: dict[str, int] | None = None
    gateway_vs_core: dict[str, int] | None = None

    @property
    def bank_vs_gateway_minor(self) -> int | None:
        """In transit at the banks less what should be; over all banks, absolute."""
        return _total(self.bank_vs_gateway)

    @property
    def gateway_vs_core_minor(self) -> int | None:
        """COMPLETED less posted; over all banks, absolute."""
        return _total(self.gateway_vs_core)

    def figures(self) -> dict[str, int | None]:
        """The three totals, as they stand in report.json."""
        return {
            "core_sum_minor": self.core_sum_minor,
            "bank_vs_gateway_minor": self.bank_vs_gateway_minor,
            "gateway_vs_core_minor": self.gateway_vs_core_minor,
        }


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """One recount. `found` has how many findings of each code there were, named ones and others."""

    books: Books
    counts: dict[str, int]
    findings: list[Finding]
    found: dict[Code, int]
    as_of: str  # ISO 8601 UTC, before the first reading
    notes: tuple[str, ...] = ()  # what was not recounted although nobody's money depends on it

    @property
    def ok(self) -> bool:
        """Everything that was asked for was recounted, and agrees."""
        return not self.found

    @property
    def exit_status(self) -> int:
        """0: agrees. 1: something does not. 2: nothing wrong was seen, but not everything could be looked at."""
        if not self.found:
            return AGREES
        return UNKNOWN if set(self.found) == {"V0"} else DISAGREES


def _total(by_bank: dict[str, int] | None) -> int | None:
    return None if by_bank is None else sum(abs(value) for value in by_bank.values())
