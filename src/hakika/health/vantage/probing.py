"""What a synthetic test is: a name, the component that it speaks about, and one try with an outcome.

A test drives a way in for real and as a customer would; it knows nothing of the platform but addresses. An outcome that
is not good carries one machine word that says how far it came. A test that can say nothing yet gives no outcome, which
is not the same as a good one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hakika import clock
from hakika.outbound.probing import ProbingClient
from hakika.store.durable import write_private_file

DEADLINE_S = 20.0  # of one try; a customer who waits longer has been let down
READ_S = 5.0  # of a single page or look-up
KEPT_MS = 3_600_000
REFERENCE_CHARS = 26


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one try ended; `detail` is a word of a-z, 0-9 and _, empty where all is well."""

    ok: bool
    detail: str = ""


class Probe(Protocol):
    """One way in, tried from here. `run` does not raise for anything that the far side does."""

    @property
    def name(self) -> str:
        """Which way in: letters, digits and hyphens."""

    @property
    def component(self) -> str:
        """The series that it speaks about."""

    async def run(self) -> Outcome | None:
        """One try; None where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class TestedBank:
    """A bank's customer API, and our test customer there."""

    __test__ = False

    id: str
    url: str
    customer: int


@dataclass(slots=True)
class Memory:
    """The reference of a test transfer that was taken into custody; in a file, so that a new process knows one."""

    file: Path
    reference: str = ""
    written_ms: int = 0

    def __post_init__(self) -> None:
        try:
            text = self.file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return
        if len(text) == REFERENCE_CHARS and text.isalnum():
            self.reference = text

    def learn(self, reference: str) -> None:
        """Remember a reference, now and then in the file as well; losing the file loses one round."""
        self.reference = reference
        if clock.now_ms() - self.written_ms < KEPT_MS:
            return
        try:
            write_private_file(self.file, reference + "\n")
            self.written_ms = clock.now_ms()
        except OSError:
            return

    def forget(self) -> None:
        """The reference is of no use."""
        self.reference = ""
        self.written_ms = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The platform as a vantage meets it, and what its tests share. URLs without a slash at the end."""

    vantage: str
    client: ProbingClient
    memory: Memory
    banks: Sequence[TestedBank] = ()
    tracking_url: str
    core_url: str = ""
    core_token: str = ""
    test_wallet: str
    test_wallet_blocked: str = ""
    currency: str = "KES"
    amount_minor: int = 1
    deadline_s: float = DEADLINE_S
