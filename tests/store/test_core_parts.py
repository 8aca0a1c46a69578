"""A batch decided in parts: one transaction, the answers of a batch decided whole, all of it or nothing."""

from collections.abc import Callable

import psycopg
import pytest
from core_kit import CURRENCY, Bench, bench, burn, credit, inquiry, move, rival_in_the_middle
from test_core_chain import recompute

from hakika.domain.ledger import Kind, Set
from hakika.services.core import posting
from hakika.services.core.commands import Command, Post
from hakika.services.core.posting import EntryAnswer, Reply, Told
from hakika.store.lane import BY_KEY, Lane
from hakika.store.server_roles import Role, RoleAccess

PART = 3
BOOKS = (
    "SELECT id, head, kind, refusal, amount_minor, debit_previous, credit_previous FROM entry ORDER BY seq, position"
)
ACCOUNTS = "SELECT debits_pending, credits_pending, debits_posted, credits_posted, last_entry FROM account ORDER BY id"


def commands(core: Bench) -> list[Command]:
    """Five parts of three: what one part does is asked about, repeated and resolved in others; one stores nothing."""
    wallet = core.wallets["254700000001"]
    reserve = move("reserve", wallet, core.position, 500_00, Kind.PENDING)
    part = move("part", wallet, core.position, 300_00, Kind.POST, pending_id=reserve.id)
    again = move("again", wallet, core.position, 300_00, Kind.POST, pending_id=reserve.id)
    return [
        inquiry("d"),
        *(credit("a"), burn("b"), Post(Set((reserve,)))),
        *(credit("a"), burn("b"), Post(Set((reserve,)))),
        *(Post(Set((part,))), credit("b"), credit("c", valid_until_ms=0)),
        *(Post(Set((again,))), credit("a", 2_000_00), credit("c", valid_until_ms=0)),
        *(Post(Set((move("spend", wallet, core.position, 999_999_00),))), credit("d"), inquiry("c"), credit("d")),
        inquiry("a"),
    ]


def in_parts_of(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(posting, "LARGE", 2 * size)
    monkeypatch.setattr(posting, "PART_FIRST", size)
    monkeypatch.setattr(posting, "PART_GROWS", 1)


def told(replies: list[Reply]) -> list[object]:
    """Answers without the place in the chain, which differs with the parts."""
    bare = [
        (one.answer.result, one.answer.reason, one.answer.fee_minor) if isinstance(one, Told) else one
        for one in replies
    ]
    return [[(e.result, e.code) for e in one] if isinstance(one, list) else one for one in bare]


def settled(replies: list[Reply]) -> list[object]:
    """As answers are once everything is known: `exists` where `posted` was new."""
    return [
        [EntryAnswer(e.id, e.result, "exists" if e.code == "posted" else e.code) for e in one]
        if isinstance(one, list)
        else one
        for one in replies
    ]


async def test_in_parts_and_whole_give_the_same_answers_and_books(
    core_database: RoleAccess, new_database: Callable[[Role, bool], RoleAccess], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts_of(monkeypatch, PART)
    async with bench(core_database) as core:
        asked = commands(core)
        in_parts = await core.do(*asked)
        assert settled(await core.do(*asked)) == settled(in_parts), "asked again, the same, with the same places"
        links = await core.rows("SELECT seq, entries, xmin::text FROM batch WHERE seq > 1 ORDER BY seq")
        assert [entries for _, entries, _ in links] == [4, 2, 1, 3], "a credit has its fee; part two is all known"
        assert len({transaction for *_, transaction in links}) == 1
        with psycopg.connect(core_database.reader_url) as reader:
            stored = {(slot, seq): digest for slot, seq, digest in reader.execute("SELECT slot, seq, hash FROM batch")}
            assert recompute(reader) == stored
        answers = [one.answer for one in in_parts if isinstance(one, Told)]
        assert all(stored[one.slot, one.seq].hex() == one.head for one in answers if one.head)
        entries = await core.rows(BOOKS)
        accounts = await core.rows(ACCOUNTS)
    in_parts_of(monkeypatch, 1000)
    async with bench(new_database("core", True)) as core:
        assert told(await core.do(*asked)) == told(in_parts)
        assert await core.rows(BOOKS) == entries
        assert await core.rows(ACCOUNTS) == accounts


@pytest.mark.parametrize("taken", range(0, 12, 2))
async def test_an_id_taken_in_any_part_repeats_the_whole_batch(
    core_database: RoleAccess, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    in_parts_of(monkeypatch, PART)
    async with bench(core_database) as core:
        lane = Lane(core_database.app_url, name="rival", setup=BY_KEY)
        rival = posting.Poster(lane, {CURRENCY: core.house["fee"]})
        rival_in_the_middle(monkeypatch, rival, burn(taken))
        answers = await core.answers(*[credit(number) for number in range(12)])
        assert [one.result for one in answers] == ["burnt" if n == taken else "posted" for n in range(12)]
        assert await core.balance(core.wallets["254700000001"]) == 11 * 995_00
        await lane.close()
        with psycopg.connect(core_database.reader_url) as reader:
            stored = {(slot, seq): digest for slot, seq, digest in reader.execute("SELECT slot, seq, hash FROM batch")}
            assert recompute(reader) == stored


@pytest.mark.parametrize(
    ("count", "ends"),
    [(0, [0]), (1, [1]), (399, [399]), (400, [100, 400]), (999, [100, 400, 999]), (1000, [100, 400, 1000])],
)
def test_the_first_part_is_small_and_the_next_ones_larger(count: int, ends: list[int]) -> None:
    assert posting._ends(count) == ends
