"""The core's hash chains recomputed from the first batch of every slot, and the anchors over their heads.

What is hashed is written down in docs/reference/hash-chain.md, and here once more: a head is SHA-256 over the
head before, one line that names the batch and one line for each of its rows, refusals and burns included. A row
that was altered, dropped, added or moved changes every head after it. A chain that was cut at its end is still
whole in itself: it is found against the anchors, here, and against the gateway's heads, in checker_crossing.
"""

import hashlib
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from hakika.simulator.checker_findings import Check, Tally
from hakika.simulator.checker_snapshots import DatabaseSnapshot, Row, merged, recount

BEFORE_THE_FIRST = bytes(32)

BATCHES = """
SELECT slot * 4294967296 + seq, slot, seq, incarnation, at_ms, entries, previous_hash, hash
FROM batch ORDER BY slot, seq
"""
# concat() writes NULL as nothing, which is the documented form.
LINES = """
SELECT slot * 4294967296 + seq, position, concat(
    replace(id::text, '-', ''), '|', replace(head::text, '-', ''), '|', member, '|', members, '|', kind, '|', refusal,
    '|', debit, '|', credit, '|', amount_minor, '|', currency, '|', replace(pending_id::text, '-', ''), '|', expires_ms,
    '|', encode(content, 'hex'), '|', fee_minor,
    '|', debit_debits_pending, '|', debit_credits_pending, '|', debit_debits_posted, '|', debit_credits_posted,
    '|', credit_debits_pending, '|', credit_credits_pending, '|', credit_debits_posted, '|', credit_credits_posted,
    '|', replace(debit_previous::text, '-', ''), '|', replace(credit_previous::text, '-', ''), chr(10))
FROM entry ORDER BY slot, seq, position
"""
ANCHORS = "SELECT number, incarnation, at_ms, slots, seqs, hashes, previous_hash, hash FROM anchor ORDER BY number"
ANCHORED = Check(
    "I8",
    "anchored_heads",
    """
SELECT concat('anchor ', a.number), CASE WHEN b.slot IS NULL
    THEN format('the head of chain %s at %s is gone: the chain was cut', h.slot, h.seq)
    ELSE format('the head of chain %s at %s is another one: the chain was rewritten', h.slot, h.seq) END
FROM anchor a CROSS JOIN LATERAL unnest(a.slots, a.seqs, a.hashes) AS h (slot, seq, hash)
LEFT JOIN batch b ON b.slot = h.slot AND b.seq = h.seq
WHERE b.slot IS NULL OR b.hash <> h.hash
""",
)
INCARNATIONS = Check(
    "I8",
    "incarnations",
    """
SELECT concat('incarnation ', number), 'numbers of incarnations have a gap'
FROM (SELECT number, row_number() OVER (ORDER BY number) AS place FROM incarnation) AS i WHERE number <> place
UNION ALL
SELECT concat('batch ', slot, '/', seq), format('is of incarnation %s, the one before it of %s', incarnation, before)
FROM (SELECT slot, seq, incarnation, lag(incarnation) OVER (PARTITION BY slot ORDER BY seq) AS before FROM batch) AS b
WHERE incarnation < before
""",
)


def recount_chain(core: DatabaseSnapshot, tally: Tally) -> None:
    """I8: every head recomputed, every row in its batch, every anchor's head where the anchor says."""
    previous: tuple[int, int, bytes] | None = None
    for _, (batch, lines) in merged(core.rows(BATCHES), _grouped(core)):
        if batch is None:
            if lines is not None:
                tally.find("I8", _batch_name(lines[0]), f"{len(lines[1])} entries belong to a batch that is not there")
            continue
        _, slot, seq, incarnation, at_ms, entries, previous_hash, stored = batch
        rows: list[Row] = lines[1] if lines is not None else []
        if previous is None or previous[0] != slot:
            previous = (slot, 0, BEFORE_THE_FIRST)
        name = f"batch {slot}/{seq}"
        if seq != previous[1] + 1:
            tally.find("I8", name, f"follows batch {previous[1]}: {seq - previous[1] - 1} are missing between them")
        elif previous_hash != previous[2]:
            tally.find("I8", name, "does not follow from the batch before it")
        if len(rows) != entries or [row[1] for row in rows] != list(range(entries)):
            tally.find("I8", name, f"has {len(rows)} entries of {entries}, or not in their places")
        header = f"hakika-batch-1|{incarnation}|{slot}|{seq}|{at_ms}|{entries}\n"
        text = header + "".join(row[2] for row in rows)
        if hashlib.sha256(previous_hash + text.encode()).digest() != stored:
            tally.find("I8", name, "its hash does not follow from its rows: one was altered, or the hash was")
        previous = (slot, seq, stored)
    _recount_anchors(core, tally)
    recount(core, (ANCHORED, INCARNATIONS), tally)


def _grouped(core: DatabaseSnapshot) -> Iterator[Row]:
    """(place of the batch, its lines in order), one row a batch."""
    for place, lines in groupby(core.rows(LINES), key=itemgetter(0)):
        yield place, list(lines)


def _batch_name(place: int) -> str:
    slot, seq = divmod(place, 2**32)
    return f"batch {slot}/{seq}"


def _recount_anchors(core: DatabaseSnapshot, tally: Tally) -> None:
    """The anchors are a chain themselves."""
    last_number, last_hash = 0, BEFORE_THE_FIRST
    for number, incarnation, at_ms, slots, seqs, hashes, previous_hash, stored in core.rows(ANCHORS):
        name = f"anchor {number}"
        if number != last_number + 1 or previous_hash != last_hash:
            tally.find("I8", name, "does not follow from the anchor before it")
        text = f"hakika-anchor-1|{incarnation}|{number}|{at_ms}|{len(slots)}\n" + "".join(
            f"{slot}|{seq}|{head.hex()}\n" for slot, seq, head in zip(slots, seqs, hashes, strict=False)
        )
        if hashlib.sha256(previous_hash + text.encode()).digest() != stored:
            tally.find("I8", name, "its hash does not follow from its heads")
        last_number, last_hash = number, stored
