"""The hash chain: what is hashed, in which form. docs/reference/hash-chain.md says the same for a checker.

Every batch is a link: SHA-256 over the link before it, a line that names the batch, and one line for each of
its rows in order, refused and burnt ones included. Altering, dropping or reordering a row changes every later
head; the gateway keeps the heads it was told, so that a chain cut at its end is found too. Anchors do the same
over the heads of all slots. Pure; the store writes what is computed here.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from hakika.domain.ledger import Row

FIRST = bytes(32)  # what comes before the first link
BATCH_FORM = "hakika-batch-1"
ANCHOR_FORM = "hakika-anchor-1"
_NO_BALANCES = "|" * 7
_BALANCES = "|".join(["%d"] * 8)


class Link(NamedTuple):
    """The head of one slot's chain; `seq` 0 before its first batch."""

    slot: int
    seq: int
    hash: bytes
    at_ms: int = 0


def row_line(row: Row) -> str:
    """One row: 24 fields between bars, ids and hashes in lower-case hex, NULL as nothing."""
    (entry_id, head, member, members, kind, refusal, debit, credit, amount, currency, pending_id, expires_ms,
     content, fee, after, (debit_previous, credit_previous)) = row  # fmt: skip
    own = entry_id.hex()
    return (
        f"{own}|{own if head == entry_id else head.hex()}|{member}|{members}|{kind}|{refusal or ''}|"
        f"{debit or ''}|{credit or ''}|{amount or ''}|{currency}|{pending_id.hex() if pending_id else ''}|"
        f"{'' if expires_ms is None else expires_ms}|{content.hex() if content else ''}|{fee}|"
        f"{_NO_BALANCES if after is None else _BALANCES % after}|{debit_previous.hex() if debit_previous else ''}|"
        f"{credit_previous.hex() if credit_previous else ''}\n"
    )


def next_link(before: Link, incarnation: int, at_ms: int, rows: Sequence[Row]) -> Link:
    """The link that `rows` make after `before`."""
    seq = before.seq + 1
    digest = hashlib.sha256(before.hash)
    digest.update(f"{BATCH_FORM}|{incarnation}|{before.slot}|{seq}|{at_ms}|{len(rows)}\n".encode())
    digest.update("".join(map(row_line, rows)).encode())
    return Link(before.slot, seq, digest.digest(), at_ms)


def anchor_hash(before: bytes, incarnation: int, number: int, at_ms: int, heads: Sequence[Link]) -> bytes:
    """The hash of an anchor over heads in order of their slots."""
    digest = hashlib.sha256(before)
    digest.update(f"{ANCHOR_FORM}|{incarnation}|{number}|{at_ms}|{len(heads)}\n".encode())
    for head in heads:
        digest.update(f"{head.slot}|{head.seq}|{head.hash.hex()}\n".encode())
    return digest.digest()
