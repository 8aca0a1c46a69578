"""Posting on the real PostgreSQL: one effect an id, whatever is lost, repeated, concurrent or burnt."""

import asyncio
from typing import Any

import psycopg
import pytest
from core_kit import CURRENCY, Bench, bench, burn, credit, inquiry, move, rival_in_the_middle

from hakika.domain import ledger
from hakika.domain.ledger import Kind, Set
from hakika.domain.reasons import Reason
from hakika.services.core import posting
from hakika.services.core.commands import Command, Post, as_set
from hakika.store import exchange
from hakika.store.core import batches
from hakika.store.core.batches import Connection, Needs
from hakika.store.core.chain import next_link
from hakika.store.lane import BY_KEY, Lane
from hakika.store.server_roles import RoleAccess

WALLET = "254700000001"


async def test_a_credit_pays_the_wallet_and_the_fee_from_the_position(core_database: RoleAccess) -> None:
    async with bench(core_database, funding=10_000_00) as core:
        (answer,) = await core.answers(credit("a", 1_000_00))
        assert (answer.result, answer.reason, answer.fee_minor) == ("posted", None, 5_00)
        assert (answer.slot, answer.seq, len(answer.head)) == (0, 2, 64)
        assert await core.balance(core.wallets[WALLET]) == 995_00
        assert await core.balance(core.house["fee"]) == 5_00
        assert await core.balance(core.position) == 9_000_00
        assert await core.balance(core.house["settlement"]) == -10_000_00


async def test_a_known_id_is_answered_from_what_is_stored(core_database: RoleAccess) -> None:
    """Also in the same batch, also after its validity, with a closed wallet and an empty position."""
    async with bench(core_database, funding=1_000_00) as core:
        first, twin = await core.answers(credit("a", 1_000_00), credit("a", 1_000_00))
        assert first == twin
        await core.rows("UPDATE wallet SET status = 'closed' RETURNING 1")
        later = await core.answers(credit("a", 1_000_00, valid_until_ms=0), inquiry("a"), burn("a"))
        assert later == [first] * 3
        assert await core.balance(core.wallets[WALLET]) == 995_00


@pytest.mark.parametrize("changes", [{"amount": 1}, {"msisdn": "254700000002"}, {"bank": "bank-b"}])
async def test_a_known_id_with_other_content_is_a_conflict(core_database: RoleAccess, changes: dict[str, Any]) -> None:
    async with bench(core_database) as core:
        await core.answers(credit("a"), credit("late", valid_until_ms=0))
        told = await core.answers(credit("a", **changes), credit("late", **changes))
        assert [(answer.result, answer.head, answer.fee_minor) for answer in told] == [("conflict", "", 0)] * 2
        assert (await core.answers(inquiry("a")))[0].result == "posted"


async def test_every_refusal_is_stored_and_kills_its_id(core_database: RoleAccess) -> None:
    async with bench(core_database, funding=600_000_00, wallets=5) as core:
        await core.rows("UPDATE wallet SET status = 'closed' WHERE msisdn = '254700000003' RETURNING 1")
        await core.rows("UPDATE wallet SET status = 'blocked' WHERE msisdn = '254700000004' RETURNING 1")
        fill = [credit(f"fill {number}", 250_000_00, 5) for number in range(2)]
        assert [answer.result for answer in await core.answers(*fill)] == ["posted"] * 2
        refused = {
            Reason.VALIDITY_PASSED: credit("late", valid_until_ms=0),
            Reason.BANK_UNKNOWN: credit("bank", bank="bank-z"),
            Reason.WALLET_UNKNOWN: credit("unknown", number=9),
            Reason.CURRENCY_MISMATCH: credit("currency", currency="UGX"),
            Reason.WALLET_CLOSED: credit("closed", number=3),
            Reason.WALLET_BLOCKED: credit("blocked", number=4),
            Reason.AMOUNT_LIMIT: credit("amount", 250_000_01),
            Reason.POSITION_SHORT: credit("short", 200_000_00),
            Reason.BALANCE_LIMIT: credit("ceiling", 90_000_00, 5),
        }
        answers = await core.answers(*refused.values())
        assert [answer.reason for answer in answers] == list(refused)
        assert {answer.result for answer in answers} == {"refused"}
        await core.rows("UPDATE wallet SET status = 'open' RETURNING 1")
        await core.post(move("more", core.house["settlement"], core.position, 10**9))
        again = await core.answers(*[one._replace(valid_until_ms=10**14) for one in refused.values()])
        assert [(answer.result, answer.reason) for answer in again] == [("refused", name) for name in refused]
        dead = await core.answers(*[burn_of(one) for one in refused.values()])
        assert [(answer.result, answer.reason) for answer in dead] == [("refused", name) for name in refused]
        ((rows,),) = await core.rows("SELECT count(*) FROM entry WHERE refusal IS NOT NULL")
        assert rows >= len(refused)


def burn_of(command: Any) -> ledger.Burn:
    return ledger.Burn(command.id)


async def test_a_burnt_id_never_moves_money(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        assert [answer.result for answer in await core.answers(burn("a"), credit("a"), burn("a"))] == ["burnt"] * 3
        assert (await core.answers(credit("a")))[0].result == "burnt"
        assert await core.balance(core.wallets[WALLET]) == 0


async def test_an_unknown_id_is_evidence_of_nothing_and_stores_nothing(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        (answer,) = await core.answers(inquiry("nobody"))
        assert (answer.result, answer.head) == ("unknown", "")
        assert (await core.answers(credit("nobody")))[0].result == "posted"


async def test_pending_post_void_and_partial_post(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        wallet = core.wallets[WALLET]
        await core.answers(credit("a", 1_000_00))
        reserve = move("r", wallet, core.position, 900_00, Kind.PENDING)
        assert await core.post(reserve) == [("posted", "posted")]
        spend = move("s", wallet, core.position, 100_00)
        assert await core.post(spend) == [("refused", "exceeds_credits")]
        part = move("p", wallet, core.position, 300_00, Kind.POST, pending_id=reserve.id)
        assert await core.post(part) == [("posted", "posted")]
        assert await core.post(part) == [("posted", "exists")]
        void = move("v", wallet, core.position, 900_00, Kind.VOID, pending_id=reserve.id)
        assert await core.post(void) == [("refused", "pending_already_posted")]
        assert await core.post(part._replace(amount=1)) == [("conflict", "exists_with_different_amount")]
        assert await core.post(move("z", wallet, wallet, 1)) == [("malformed", "accounts_must_differ")]
        assert await core.balance(wallet) == 695_00


async def test_a_linked_set_is_all_or_nothing(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        wallet, other = core.wallets[WALLET], core.wallets["254700000002"]
        refused = (move("h", core.position, wallet, 100), move("m", wallet, other, 200))
        assert await core.post(*refused) == [("refused", "exceeds_credits")] * 2
        assert await core.balance(wallet) == 0
        posted = (move("h2", core.position, wallet, 100), move("m2", wallet, other, 50))
        assert await core.post(*posted) == [("posted", "posted")] * 2
        assert await core.post(*posted) == [("posted", "exists")] * 2
        assert (await core.balance(wallet), await core.balance(other)) == (50, 50)


WRITES: list[list[Command]] = [
    [credit("a")],
    [credit("a", valid_until_ms=0)],
    [burn("a")],
    [credit("a"), burn("b"), credit("c", valid_until_ms=0), credit("a")],
]


@pytest.mark.parametrize("commands", WRITES)
async def test_a_write_repeated_as_if_its_reply_was_lost(core_database: RoleAccess, commands: list[Command]) -> None:
    async with bench(core_database) as core:
        first = await core.do(*commands)
        before = await core.rows("SELECT * FROM account ORDER BY id")
        assert await core.do(*commands) == first
        assert await core.rows("SELECT * FROM account ORDER BY id") == before


@pytest.mark.parametrize("commands", WRITES)
@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
async def test_a_repeat_waits_for_the_first_that_is_still_in_the_middle(
    core_database: RoleAccess, commands: list[Command], ending: Any
) -> None:
    """The reply is lost, the transaction is not over: the repeat must neither double it nor answer too early."""
    async with (
        bench(core_database) as core,
        await exchange.Connection.connect(core_database.app_url, autocommit=True) as held,
    ):
        await write_and_hold(core, held, commands)
        repeat = asyncio.create_task(core.do(*commands))
        await asyncio.sleep(0.3)
        assert not repeat.done()
        await held.execute(ending)
        replies = await repeat
        assert await core.do(*commands) == replies
        ((credited,),) = await core.rows(
            "SELECT count(*) FROM entry WHERE credit = %s AND refusal IS NULL", core.wallets[WALLET]
        )
        assert credited == len({c.id for c in commands if c == credit("a")})


async def write_and_hold(core: Bench, connection: Connection, commands: list[Command]) -> None:
    """Do what the poster does, up to but without COMMIT."""
    before = await batches.claim_slot(connection, 7)
    fees = {CURRENCY: core.house["fee"]}
    looked = await batches.look(connection, posting._needs(commands, fees, False))
    sets = [c if isinstance(c, ledger.Burn) else as_set(c, looked, fees, 1000) for c in commands]  # type: ignore[arg-type]
    decision = ledger.decide(sets, looked.accounts, {}, {}, 1000)
    link = next_link(before, looked.incarnation, 1000, decision.rows)
    await connection.execute(batches.WRITE, batches.parameters(looked.incarnation, before, link, decision), binary=True)


async def test_a_balance_that_was_not_seen_is_not_written_over(core_database: RoleAccess) -> None:
    """What row locks prevent is refused too: one entry more between the same accounts, and nobody has waited."""
    async with (
        bench(core_database) as core,
        await exchange.Connection.connect(core_database.app_url, autocommit=True) as late,
    ):
        one, two = core.wallets[WALLET], core.wallets["254700000002"]
        await core.answers(credit("a", 1_000_00))
        before = await batches.claim_slot(late, 7)
        looked = await batches.look(late, posting._needs([Post(Set((move("late", one, two, 7),)))], {}, False))
        decision = ledger.decide([Set((move("late", one, two, 7),))], looked.accounts, {}, {}, 1000)
        await batches.give_up(late)  # and with it the locks
        assert await core.post(move("between", one, two, 5)) == [("posted", "posted")]
        link = next_link(before, looked.incarnation, 1000, decision.rows)
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation) as refused:
            await batches.write(late, looked.incarnation, before, [batches.Part(link, decision, True)])
        assert refused.value.diag.constraint_name == "account_follows_entry"
        await late.rollback()
        assert (await core.balance(one), await core.balance(two)) == (995_00 - 5, 5)
        ((entries,),) = await core.rows("SELECT count(*) FROM entry WHERE amount_minor = 7")
        assert entries == 0


async def test_64_parallel_copies_have_one_effect(core_database: RoleAccess) -> None:
    """On four writers at once, each with a chain of its own."""
    async with bench(core_database) as core:
        others = [Lane(core_database.app_url, name=f"writer {n}", setup=BY_KEY) for n in range(3)]
        posters = [core.poster, *[posting.Poster(lane, {CURRENCY: core.house["fee"]}) for lane in others]]
        replies = await asyncio.gather(*[posters[n % 4].execute([credit("a"), credit("b")]) for n in range(64)])
        assert len({str(reply) for reply in replies}) == 1
        assert await core.balance(core.wallets[WALLET]) == 2 * 995_00
        ((slots,),) = await core.rows("SELECT count(DISTINCT slot) FROM batch")
        assert slots >= 1
        for lane in others:
            await lane.close()


async def test_opposing_transfers_net_to_zero(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        one, two = core.wallets[WALLET], core.wallets["254700000002"]
        await core.answers(credit("a", 1_000_00), credit("b", 1_000_00, 2))
        other_lane = Lane(core_database.app_url, name="other", setup=BY_KEY)
        other = posting.Poster(other_lane, {CURRENCY: core.house["fee"]})

        async def push(poster: posting.Poster, debit: int, credit: int) -> None:
            for number in range(50):
                name = f"{debit} {number}"
                await poster.execute([Post(Set((move(f"{name} {n}", debit, credit, 7),))) for n in range(10)])

        await asyncio.gather(push(core.poster, one, two), push(other, two, one))
        assert (await core.balance(one), await core.balance(two)) == (995_00, 995_00)
        ((posted,),) = await core.rows("SELECT count(*) FROM entry WHERE amount_minor = 7 AND refusal IS NULL")
        assert posted == 1000
        await other_lane.close()


async def test_credits_of_two_writers_add_up(core_database: RoleAccess) -> None:
    """Accounts that are named by their owners are locked as well as those that are named by number."""
    async with bench(core_database) as core:
        other_lane = Lane(core_database.app_url, name="other", setup=BY_KEY)
        other = posting.Poster(other_lane, {CURRENCY: core.house["fee"]})

        async def push(poster: posting.Poster, name: str) -> None:
            for number in range(50):
                await poster.execute([credit(f"{name} {number} {n}", 1_000_00, 1 + n % 2) for n in range(10)])

        before = await core.balance(core.position)
        await asyncio.gather(push(core.poster, "one"), push(other, "two"))
        wallets = [await core.balance(core.wallets[f"25470000000{number}"]) for number in (1, 2)]
        assert wallets == [500 * 995_00] * 2
        assert await core.balance(core.house["fee"]) == 1000 * 5_00
        assert before - await core.balance(core.position) == 1000 * 1_000_00
        await other_lane.close()


async def test_an_id_taken_between_look_up_and_insert_repeats_the_batch(
    core_database: RoleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(core_database) as core:
        lane = Lane(core_database.app_url, name="rival", setup=BY_KEY)
        rival = posting.Poster(lane, {CURRENCY: core.house["fee"]})
        looks = rival_in_the_middle(monkeypatch, rival, burn("a"))
        (answer,) = await core.answers(burn("a"))
        assert (answer.result, answer.slot) == ("burnt", 1), "the rival's burn, not a second one"
        assert len(looks) == 3
        await lane.close()


async def test_a_wallet_opened_during_the_batch_repeats_it(
    core_database: RoleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(core_database) as core:
        look, looks = batches.look, 0

        async def look_without_locks(connection: Connection, needs: Needs) -> batches.Looked:
            nonlocal looks
            looks += 1
            looked = await look(connection, needs)
            if looks == 1:
                del looked.accounts[core.wallets[WALLET]]
            return looked

        monkeypatch.setattr(batches, "look", look_without_locks)
        assert (await core.answers(credit("a")))[0].result == "posted"
        assert looks == 2


async def test_a_new_connection_goes_on_with_the_chain(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        (first,) = await core.answers(credit("a"))
        with psycopg.connect(core_database.app_url, autocommit=True) as app:
            app.execute(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'test postings'"
            )
        (second,) = await core.answers(credit("b"))
        assert (second.slot, second.seq) == (first.slot, first.seq + 1)


async def test_statements_stay_prepared_over_a_batch_that_stores_nothing(core_database: RoleAccess) -> None:
    """psycopg forgets them at a ROLLBACK, and each later batch would be planned anew."""
    statements = "SELECT name, prepare_time FROM pg_prepared_statements"
    async with bench(core_database) as core:
        await core.do(credit("a"), inquiry("a"))
        before = set(await core.rows(statements))
        assert before
        await core.do(inquiry("a"))
        await core.do(credit("b"), inquiry("a"))
        assert before <= set(await core.rows(statements))
