"""What `hakika verify` may find: the numbered invariants, a finding about one of them, and the tally of a recount.

The numbers are those of docs/invariants.md, which says for each invariant where Python decides it, what in
PostgreSQL refuses its breach and which function here recounts it. `V0` is not an invariant: something could not
be looked at, so that nothing is known about it. Many findings of one kind are counted whole and named in part.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, LiteralString, get_args

NAMED_MAX = 50  # findings of one code that are named; the rest is counted

Code = Literal[
    "V0", "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16",
    "I17", "I18", "I19", "I20", "I21", "I22", "I23", "I24", "I25", "I26", "I27", "I28", "I29", "I30", "I31", "I32",
    "I33", "I34", "I35",
]  # fmt: skip
CODES: tuple[Code, ...] = get_args(Code)

TITLES: dict[Code, str] = {
    "V0": "could not be checked",
    "I1": "all money sums to zero",
    "I2": "a balance is the sum of its entries",
    "I3": "each entry states the balances after it",
    "I4": "an entry is well-formed, a reservation resolved once",
    "I5": "a linked set is whole",
    "I6": "one id, one stored answer",
    "I7": "no account passes its limits",
    "I8": "the hash chain is unbroken",
    "I9": "a status follows from its facts",
    "I10": "an attempt's id follows from its transfer",
    "I11": "one open attempt at most, none after a posted one",
    "I12": "a return only when every id is dead",
    "I13": "an attempt closes on evidence",
    "I14": "custody is written whole",
    "I15": "deadlines are in order, nothing goes back early",
    "I16": "each bank is told each fact once",
    "I17": "no contradiction is left",
    "I18": "every COMPLETED transfer is posted in the core",
    "I19": "every posting has an attempt",
    "I20": "a dead id is dead in the core too",
    "I21": "no tail of the chain is cut",
    "I22": "credited once at most",
    "I23": "a bank's own books balance",
    "I24": "custody is never lost",
    "I25": "what is in custody was debited, to the cent",
    "I26": "bank and gateway agree on every end",
    "I27": "money in transit is accounted for",
    "I28": "everything ends",
    "I29": "the databases' own guards stand",
    "I30": "events run without gaps and stay",
    "I31": "one open incident a cause",
    "I32": "an incident closes on what was measured",
    "I33": "one opening, and nothing after a merger",
    "I34": "a tick is committed once, whole",
    "I35": "a form counts once",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach: the invariant's code, what it is about, and what was read against what was recounted."""

    code: Code
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Check:
    """One set-based recount: a query whose every row (subject, text) is a finding."""

    code: Code
    name: str
    sql: LiteralString


class CannotCheck(Exception):
    """Something gives no answer, or not in a form that this recount understands; the message says what."""

    def __init__(self, subject: str, text: str) -> None:
        super().__init__(f"{subject}: {text}")
        self.subject = subject
        self.text = text


class Tally:
    """Findings and counts of one recount as they come in."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.found: Counter[Code] = Counter()
        self.doubled: set[tuple[str, str]] = set()  # (bank, UETR) of transfers credited more than once
        self._named: dict[Code, list[Finding]] = {}

    def find(self, code: Code, subject: str, text: str) -> None:
        """Note a breach; beyond NAMED_MAX of one code it is only counted."""
        named = self._named.setdefault(code, [])
        finding = Finding(code, subject, text)
        if finding in named:
            return
        self.found[code] += 1
        if len(named) < NAMED_MAX:
            named.append(finding)

    def cannot(self, fault: CannotCheck) -> None:
        """Note that a part was not looked at."""
        self.find("V0", fault.subject, f"cannot be checked: {fault.text}")

    def double(self, bank: str, uetr: str, text: str) -> None:
        """Note a transfer whose money reached two places, once a transfer."""
        if (bank, uetr) not in self.doubled:
            self.doubled.add((bank, uetr))
            self.find("I22", f"{bank} {uetr}", text)

    def findings(self) -> list[Finding]:
        """In order of codes; where not all are named, the last one of its code says how many more there are."""
        ordered: list[Finding] = []
        for code in CODES:
            named = self._named.get(code, [])
            ordered.extend(named)
            if self.found[code] > len(named):
                ordered.append(Finding(code, "more", f"and {self.found[code] - len(named)} more of this kind"))
        return ordered
