"""Batches in PostgreSQL: one round trip to lock and look, one to write and commit, whatever the number of parts.

Accounts are locked in the order of their ids, so that writers queue and never deadlock. Whatever else a
decision needs is looked up after the locks, each look-up with its own later snapshot, and so sees all that
those who held the locks before have committed. What nobody holds a lock for (a new id, the head of the
chain) is fenced by unique indexes: `write` then returns False, nothing has happened, repeat the batch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from hakika.domain.ledger import Account, Decision, Kind, Row
from hakika.domain.reasons import InvariantBroken
from hakika.store.arrays import Int, Text, byteas, ints, texts, uuids
from hakika.store.core.chain import FIRST, Link
from hakika.store.exchange import begin, leave
from hakika.store.lane import StoreFault

SLOT_LOCK = 0x48414B49  # first key of the advisory locks on writer slots

_NO_BALANCES = (None,) * 8
_PENDING = (0, 1, 4, 5)  # places of the pending ones among an entry's balances
_NEW_TUPLE = tuple.__new__  # as in domain/ledger.py: a named tuple without its own __new__

Connection = psycopg.AsyncConnection[Any]

# One array a column: 1,800 accounts read in half the time that as many rows take.
_LOCKED: LiteralString = """
SELECT array_agg(id), array_agg(debits_pending), array_agg(credits_pending), array_agg(debits_posted),
    array_agg(credits_posted), array_agg(uuid_send(last_entry)), array_agg(debits_must_not_exceed_credits),
    array_agg(credits_must_not_exceed_debits), array_agg(ceiling_minor), array_agg(currency)
FROM (
    SELECT id, debits_pending, credits_pending, debits_posted, credits_posted, last_entry,
        debits_must_not_exceed_credits, credits_must_not_exceed_debits, ceiling_minor, currency
    FROM account
"""
_IN_ORDER: LiteralString = "ORDER BY id FOR NO KEY UPDATE) AS locked"
LOCK: LiteralString = f"{_LOCKED} WHERE id = ANY (%(accounts)s) {_IN_ORDER}"
LOCK_OWNED: LiteralString = f"""{_LOCKED}
WHERE id IN (
    SELECT unnest(%(accounts)s)
    UNION SELECT account FROM wallet_account WHERE msisdn = ANY (%(msisdns)s)
    UNION SELECT account FROM bank_position WHERE bank = ANY (%(banks)s)
) {_IN_ORDER}
"""  # noqa: S608 - of two constants
WALLETS: LiteralString = """
SELECT msisdn, currency, account, status
FROM wallet JOIN wallet_account USING (msisdn) WHERE msisdn = ANY (%(msisdns)s)
"""
POSITIONS: LiteralString = "SELECT bank, currency, account FROM bank_position WHERE bank = ANY (%(banks)s)"
# The present incarnation, once for each row that is known, or alone.
KNOWN: LiteralString = """
SELECT life.number, life.redriven, uuid_send(id), uuid_send(head), member, members, kind, refusal, coalesce(debit, 0),
    coalesce(credit, 0), coalesce(amount_minor, 0), coalesce(currency, ''), uuid_send(pending_id), expires_ms, content,
    fee_minor, slot, seq, hash, at_ms
FROM (SELECT number, redriven_ms IS NOT NULL AS redriven FROM incarnation ORDER BY number DESC LIMIT 1) AS life
LEFT JOIN (entry JOIN batch USING (slot, seq)) ON id = ANY (%(ids)s)
"""
RESOLVED: LiteralString = """
SELECT uuid_send(pending_id), kind FROM entry WHERE pending_id = ANY (%(pending_ids)s) AND refusal IS NULL
"""
# What mostly says the same in every row of a batch (kind, currency, members, pending balances) is then sent once, as
# its `_all`, beside an empty array, which costs unnest nothing and gives NULL. psycopg reads a statement of more than
# 50 parameters anew each time. An account whose last entry is not the one that was decided on gets none, which
# accounts_follow_entries refuses: without a lock too, no balance is written over one that was not seen.
WRITE: LiteralString = """
WITH link AS (
    INSERT INTO batch (slot, seq, at_ms, incarnation, entries, previous_hash, hash)
    VALUES (%(slot)s, %(seq)s, %(at_ms)s, %(incarnation)s, %(entries)s, %(previous_hash)s, %(hash)s)
), added AS (
    INSERT INTO entry (slot, seq, position, id, head, member, members, kind, refusal, debit, credit, amount_minor,
        currency, pending_id, expires_ms, content, fee_minor,
        debit_debits_pending, debit_credits_pending, debit_debits_posted, debit_credits_posted,
        credit_debits_pending, credit_credits_pending, credit_debits_posted, credit_credits_posted,
        debit_previous, credit_previous)
    SELECT %(slot)s, %(seq)s, position, id, coalesce(head, id), coalesce(member, %(member_all)s),
        coalesce(members, %(members_all)s), coalesce(kind, %(kind_all)s), refusal, debit, credit, amount,
        coalesce(currency, %(currency_all)s), pending_id, expires_ms, content, coalesce(fee, %(fee_all)s),
        coalesce(after_0, %(after_0_all)s), coalesce(after_1, %(after_1_all)s), after_2, after_3,
        coalesce(after_4, %(after_4_all)s), coalesce(after_5, %(after_5_all)s), after_6, after_7,
        debit_previous, credit_previous
    FROM (
        SELECT generate_series(0, %(entries)s - 1) AS position, unnest(%(id)s) AS id, unnest(%(head)s) AS head,
            unnest(%(member)s) AS member, unnest(%(members)s) AS members, unnest(%(kind)s) AS kind,
            unnest(%(refusal)s) AS refusal, unnest(%(debit)s) AS debit, unnest(%(credit)s) AS credit,
            unnest(%(amount)s) AS amount, unnest(%(currency)s) AS currency, unnest(%(pending_id)s) AS pending_id,
            unnest(%(expires_ms)s) AS expires_ms, unnest(%(content)s) AS content, unnest(%(fee)s) AS fee,
            unnest(%(after_0)s) AS after_0, unnest(%(after_1)s) AS after_1, unnest(%(after_2)s) AS after_2,
            unnest(%(after_3)s) AS after_3, unnest(%(after_4)s) AS after_4, unnest(%(after_5)s) AS after_5,
            unnest(%(after_6)s) AS after_6, unnest(%(after_7)s) AS after_7,
            unnest(%(debit_previous)s) AS debit_previous, unnest(%(credit_previous)s) AS credit_previous
    ) AS new
)
UPDATE account SET debits_pending = new.debits_pending, credits_pending = new.credits_pending,
    debits_posted = new.debits_posted, credits_posted = new.credits_posted,
    last_entry = CASE WHEN account.last_entry IS NOT DISTINCT FROM new.former THEN new.last_entry END
FROM (
    SELECT unnest(%(account)s) AS id, unnest(%(debits_pending)s) AS debits_pending,
        unnest(%(credits_pending)s) AS credits_pending, unnest(%(debits_posted)s) AS debits_posted,
        unnest(%(credits_posted)s) AS credits_posted, unnest(%(last_entry)s) AS last_entry,
        unnest(%(former)s) AS former
) AS new
WHERE account.id = new.id
"""
SLOTS: LiteralString = "SELECT slot FROM writer_slot ORDER BY slot <> %s, slot"
CLAIM: LiteralString = "SELECT pg_try_advisory_lock(%s, %s)"
HEAD: LiteralString = "SELECT seq, hash, at_ms FROM batch WHERE slot = %s ORDER BY seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a batch must have locked or looked up."""

    accounts: frozenset[int]
    msisdns: frozenset[str]
    banks: frozenset[str]
    ids: frozenset[bytes]  # of commands, members and pending entries
    pending_ids: frozenset[bytes]


class WalletAccount(NamedTuple):
    """One currency of a wallet."""

    account: int
    status: str


class Part(NamedTuple):
    """A part of a batch as it was decided, the link that it is, and whether it is the last."""

    link: Link
    decision: Decision
    last: bool


class Stored(NamedTuple):
    """A row and the link of the chain that holds it."""

    row: Row
    link: Link


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, all of it under the locks."""

    accounts: dict[int, Account]
    wallets: dict[str, dict[str, WalletAccount]]  # by MSISDN and currency
    positions: dict[tuple[str, str], int]  # by bank and currency
    stored: dict[bytes, Stored]
    resolved: dict[bytes, Kind]
    incarnation: int
    redriven: bool


async def claim_slot(connection: Connection, preferred: int) -> Link:
    """Take a free writer slot for the life of this connection and read the head of its chain.

    Raises StoreFault when all slots are taken by living connections.
    """
    slots = await (await connection.execute(SLOTS, (preferred,))).fetchall()
    for (slot,) in slots:
        got = await (await connection.execute(CLAIM, (SLOT_LOCK, slot))).fetchone()
        if got == (True,):
            return await read_head(connection, slot)
    raise StoreFault(f"all {len(slots)} writer slots are taken")


async def read_head(connection: Connection, slot: int) -> Link:
    """The last link of a slot's chain."""
    row = await (await connection.execute(HEAD, (slot,))).fetchone()
    return Link(slot, 0, FIRST) if row is None else Link(slot, *row)


async def look(connection: Connection, needs: Needs) -> Looked:
    """Begin a transaction, lock the batch's accounts, and look up the rest. One round trip."""
    wanted = {"msisdns": texts(tuple(needs.msisdns)), "banks": texts(tuple(needs.banks))}
    ids = {"ids": uuids(tuple(needs.ids)), "pending_ids": uuids(tuple(needs.pending_ids))}
    async with connection.pipeline():
        begin(connection)
        lock = LOCK_OWNED if needs.msisdns or needs.banks else LOCK
        locked = await _ask(connection, lock, {"accounts": ints(tuple(needs.accounts)), **wanted})
        wallets = await _ask(connection, WALLETS, wanted) if needs.msisdns else None
        positions = await _ask(connection, POSITIONS, wanted) if needs.banks else None
        known = await _ask(connection, KNOWN, ids)
        resolved = await _ask(connection, RESOLVED, ids) if needs.pending_ids else None
    (columns,) = await locked.fetchall()
    ids_found, *balances = (column or () for column in columns)  # no account at all: NULL and not an empty array
    accounts = {number: _NEW_TUPLE(Account, row) for number, *row in zip(ids_found, *balances, strict=True)}
    lives = await known.fetchall()
    if not lives:
        raise InvariantBroken("the database has no incarnation")
    incarnation, redriven = lives[0][:2]
    found: dict[str, dict[str, WalletAccount]] = {}
    for msisdn, currency, account, status in await _rows(wallets):
        found.setdefault(msisdn, {})[currency] = WalletAccount(account, status)
    return Looked(
        accounts=accounts,
        wallets=found,
        positions={(bank, currency): account for bank, currency, account in await _rows(positions)},
        stored={row[2]: _stored(row[2:]) for row in lives if row[2] is not None},
        resolved={pending_id: Kind(kind) for pending_id, kind in await _rows(resolved)},
        incarnation=incarnation,
        redriven=redriven,
    )


async def write(
    connection: Connection,
    incarnation: int,
    before: Link,
    parts: Iterable[Part],
    meanwhile: Callable[[], None] | None = None,
) -> bool:
    """Write a batch, decided part by part as `parts` is read, and commit. False: another writer was first.

    Then nothing was written. Where there are no parts, the transaction that `look` began ends without a trace.
    `meanwhile` is called once all has been sent, and before anything is known of it.
    """
    asked: list[tuple[Decision, psycopg.AsyncCursor[Any]]] = []
    try:
        async with connection.pipeline():
            for link, decision, last in parts:
                asked.append((decision, await _ask(connection, WRITE, parameters(incarnation, before, link, decision))))
                before = link
                if not last:
                    await leave(connection)
            # Also where nothing was written: psycopg forgets what it has prepared at a ROLLBACK.
            ended = await connection.execute("COMMIT")
            if meanwhile is not None:
                await leave(connection)
                meanwhile()
    except psycopg.errors.UniqueViolation:
        await connection.execute("ROLLBACK")
        return False
    updated = [(cursor.rowcount, len(decision.accounts)) for decision, cursor in asked]
    if any(done != wanted for done, wanted in updated) or ended.statusmessage != "COMMIT":
        raise InvariantBroken(f"accounts updated, and how many were to be: {updated}; {ended.statusmessage}")
    return True


def parameters(incarnation: int, before: Link, link: Link, decision: Decision) -> dict[str, Any]:
    """What WRITE takes."""
    return {
        "slot": link.slot,
        "seq": link.seq,
        "at_ms": link.at_ms,
        "incarnation": incarnation,
        "entries": len(decision.rows),
        "previous_hash": before.hash,
        "hash": link.hash,
        **_entry_columns(decision.rows),
        **_account_columns(decision.accounts),
        "former": uuids(tuple(decision.former.values())),
    }


async def give_up(connection: Connection) -> None:
    """End a transaction that `look` began and that has nothing to write."""
    if connection.pgconn.transaction_status != TransactionStatus.IDLE:
        await connection.execute("ROLLBACK")


async def _ask(
    connection: Connection, statement: LiteralString, parameters: dict[str, Any]
) -> psycopg.AsyncCursor[Any]:
    cursor = connection.cursor(binary=True)
    return await cursor.execute(statement, parameters, prepare=True)


async def _rows(cursor: psycopg.AsyncCursor[Any] | None) -> Iterable[tuple[Any, ...]]:
    return () if cursor is None else await cursor.fetchall()


def _stored(row: tuple[Any, ...]) -> Stored:
    entry_id, head, member, members, kind, *rest = row[:14]
    return Stored(Row(entry_id, head, member, members, Kind(kind), *rest), Link(*row[14:]))


def _entry_columns(rows: list[Row]) -> dict[str, Any]:
    """What WRITE takes for each column of entry: an array, or an empty one and the value that all rows have."""
    (ids, heads, member, members, kinds, refusals, debits, credits, amounts, currencies, pending_ids, expiries,
     contents, fees, afters, previous) = zip(*rows, strict=True)  # fmt: skip
    debit_previous, credit_previous = zip(*previous, strict=True)
    columns = {
        "id": uuids(ids),
        "head": uuids(() if heads == ids else heads),
        **_column("member", ints, member, Int),
        **_column("members", ints, members, Int),
        **_column("kind", texts, kinds, Text),
        "refusal": texts(_any(refusals)),
        "debit": ints(_absent(debits)),
        "credit": ints(_absent(credits)),
        "amount": ints(_absent(amounts)),
        **_column("currency", texts, tuple(currency or None for currency in currencies), Text),
        "pending_id": uuids(_any(pending_ids)),
        "expires_ms": ints(_any(expiries)),
        "content": byteas(_any(contents)),
        **_column("fee", ints, fees, Int),
        "debit_previous": uuids(debit_previous),
        "credit_previous": uuids(credit_previous),
    }
    balances = list(chain.from_iterable(afters if all(afters) else [after or _NO_BALANCES for after in afters]))
    for place in range(len(_NO_BALANCES)):
        values = balances[place :: len(_NO_BALANCES)]
        name = f"after_{place}"
        columns |= _column(name, ints, values, Int) if place in _PENDING else {name: ints(values)}
    return columns


def _any(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Nothing, which unnest makes NULL in every row, where all are NULL."""
    return values if any(values) else ()


def _column(name: str, pack: Callable[[Any], Any], values: Sequence[Any], one: Callable[[Any], Any]) -> dict[str, Any]:
    """One column of entry, as WRITE takes it."""
    first = values[0]
    if values[-1] == first and values.count(first) == len(values):
        return {name: pack(()), f"{name}_all": one(first)}
    return {name: pack(values), f"{name}_all": one(None)}


def _absent(values: tuple[int, ...]) -> Sequence[int | None]:
    """0 stands for no account and no amount."""
    return [value or None for value in values] if 0 in values else values


def _account_columns(accounts: dict[int, Account]) -> dict[str, Any]:
    """One array for each column of account that changes."""
    if accounts:
        debits_pending, credits_pending, debits_posted, credits_posted, last = list(
            zip(*accounts.values(), strict=True)
        )[:5]
    else:
        debits_pending = credits_pending = debits_posted = credits_posted = last = ()
    return {
        "account": ints(tuple(accounts)),
        "debits_pending": ints(debits_pending),
        "credits_pending": ints(credits_pending),
        "debits_posted": ints(debits_posted),
        "credits_posted": ints(credits_posted),
        "last_entry": uuids(last),
    }
