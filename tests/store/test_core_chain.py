"""The hash chain recomputed from the tables by code that follows docs/reference/hash-chain.md and nothing else."""

import hashlib
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from core_kit import CURRENCY, Bench, bench, burn, credit, move

from hakika.domain.ledger import Kind, Row
from hakika.services.core.posting import Poster
from hakika.store.core import lives
from hakika.store.core.batches import Connection
from hakika.store.core.chain import FIRST, Link, next_link
from hakika.store.lane import BY_KEY, Lane
from hakika.store.server_roles import RoleAccess

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "hash-chain.md"
COLUMNS = (
    "id, head, member, members, kind, refusal, debit, credit, amount_minor, currency, pending_id, expires_ms, content, "
    "fee_minor, debit_debits_pending, debit_credits_pending, debit_debits_posted, debit_credits_posted, "
    "credit_debits_pending, credit_credits_pending, credit_debits_posted, credit_credits_posted, "
    "debit_previous, credit_previous"
)


def shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    return str(value).replace("-", "") if not isinstance(value, int) else str(value)


def recompute(connection: psycopg.Connection[Any]) -> dict[tuple[int, int], bytes]:
    """The hash of every batch, from the tables alone."""
    batches_read = connection.execute(
        "SELECT slot, seq, incarnation, at_ms, entries FROM batch ORDER BY slot, seq"
    ).fetchall()
    rows: dict[tuple[int, int], list[str]] = {}
    for slot, seq, *fields in connection.execute(
        "SELECT slot, seq, " + COLUMNS + " FROM entry ORDER BY slot, seq, position"
    ):
        rows.setdefault((slot, seq), []).append("|".join(map(shown, fields)) + "\n")
    hashes: dict[tuple[int, int], bytes] = {}
    for slot, seq, incarnation, at_ms, entries in batches_read:
        before = hashes[slot, seq - 1] if seq > 1 else bytes(32)
        header = f"hakika-batch-1|{incarnation}|{slot}|{seq}|{at_ms}|{entries}\n"
        assert len(rows[slot, seq]) == entries
        hashes[slot, seq] = hashlib.sha256(before + (header + "".join(rows[slot, seq])).encode()).digest()
    return hashes


async def work(core: Bench) -> None:
    """Postings of every kind, refusals and burns on two slots."""
    wallet = core.wallets["254700000001"]
    other_lane = Lane(core.database.app_url, name="other", setup=BY_KEY)
    other = Poster(other_lane, {CURRENCY: core.house["fee"]})
    await core.answers(credit("a"), burn("b"), credit("c", valid_until_ms=0), credit("d", 50_00, 2))
    await other.execute([credit("e"), credit("f", number=9), credit("g", bank="bank-z"), burn("h")])
    reserve = move("r", wallet, core.position, 100, Kind.PENDING, expires_ms=10**14)
    await core.post(reserve)
    await core.post(move("p", wallet, core.position, 40, Kind.POST, pending_id=reserve.id))
    await core.post(move("q", wallet, 999, 40))
    await core.post(move("s1", wallet, core.position, 1), move("s2", wallet, core.position, 10**9))
    await other.execute([burn("i")])
    await other_lane.close()


async def test_the_chain_recomputed_from_the_tables(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        await work(core)
        with psycopg.connect(core_database.reader_url) as reader:
            hashes = recompute(reader)
            stored = reader.execute("SELECT slot, seq, hash, previous_hash FROM batch").fetchall()
        assert {(slot, seq): digest for slot, seq, digest, _ in stored} == hashes
        assert {slot for slot, *_ in stored} == {0, 1}
        assert all(before == hashes.get((slot, seq - 1), bytes(32)) for slot, seq, _, before in stored)


async def test_answers_carry_the_head_that_holds_them(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        (answer,) = await core.answers(credit("a"))
        await core.answers(credit("b"))
        assert await core.answers(credit("a")) == [answer]
        with psycopg.connect(core_database.reader_url) as reader:
            assert recompute(reader)[answer.slot, answer.seq].hex() == answer.head


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE entry SET refusal = 'wallet_closed' WHERE refusal = 'validity_passed'",
        "UPDATE entry SET fee_minor = fee_minor + 1 WHERE fee_minor > 0",
        "UPDATE entry SET position = CASE position WHEN 0 THEN 1 ELSE 0 END WHERE slot = 0 AND seq = 2",
        "UPDATE entry SET content = sha256('x') WHERE content IS NOT NULL",
        "UPDATE batch SET at_ms = at_ms + 1",
    ],
)
async def test_an_edit_past_every_guard_is_seen(core_database: RoleAccess, edit: Any) -> None:
    async with bench(core_database) as core:
        await work(core)
    with psycopg.connect(core_database.owner_url) as owner:
        before = recompute(owner)
        owner.execute("ALTER TABLE entry DISABLE TRIGGER USER")
        owner.execute("ALTER TABLE batch DISABLE TRIGGER USER")
        assert owner.execute(edit).rowcount > 0
        assert recompute(owner) != before
        owner.rollback()


async def test_anchors_tie_the_heads_together(core_database: RoleAccess) -> None:
    async def anchor(connection: Connection) -> int | None:
        return await lives.add_anchor(connection, 5_000)

    async with bench(core_database) as core:
        assert await core.run(anchor) == 1
        assert await core.run(anchor) is None, "nothing new"
        await work(core)
        assert await core.run(anchor) == 2
        rows = await core.rows(
            "SELECT number, at_ms, incarnation, slots, seqs, hashes, previous_hash, hash FROM anchor ORDER BY number"
        )
    before = bytes(32)
    for number, at_ms, incarnation, slots, seqs, hashes, previous, digest in rows:
        text = f"hakika-anchor-1|{incarnation}|{number}|{at_ms}|{len(slots)}\n"
        text += "".join(f"{s}|{q}|{h.hex()}\n" for s, q, h in zip(slots, seqs, hashes, strict=True))
        assert previous == before
        assert digest == hashlib.sha256(before + text.encode()).digest()
        before = digest
    assert rows[1][3] == [0, 1]


def test_the_example_in_the_reference() -> None:
    def row(fill: bytes, kind: Kind, **changes: Any) -> Row:
        blank = Row(fill * 16, fill * 16, 0, 1, kind, None, 0, 0, 0, "", None, None, None, 0)
        return blank._replace(**changes)

    refused = row(
        b"\x22", Kind.POSTED, refusal="wallet_unknown", debit=4, amount=50_000, currency="KES", content=b"\xcc" * 32
    )
    link = next_link(Link(0, 0, FIRST), 1, 1_700_000_000_000, [row(b"\x11", Kind.BURN), refused])
    page = REFERENCE.read_text()
    blocks = re.findall(r"```\n(.*?)```", page, re.DOTALL)
    example = next(block for block in blocks if block.startswith("hakika-batch-1|1|0|1|"))
    assert hashlib.sha256(bytes(32) + example.encode()).digest() == link.hash
    assert link.hash.hex() in page
