"""Sound books of a core, a gateway and two banks, written by plain SQL, for the tests that then spoil them.

What is here follows the documentation, not the services: entries with the balances after them, links of the
chain, attempts, returns, facts for banks, journals. Only ids and the chain's hash come from the code that
the platform uses, so that the checker's own derivations are held against them.
"""

import copy
import hashlib
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, Self
from uuid import UUID

import psycopg
from psycopg import sql

import hakika.counterparties
from hakika.domain.ledger import Kind, Row
from hakika.ids import attempt_id, member_id, reference_text
from hakika.ids import return_id as return_id_of
from hakika.simulator.checker import Targets, VerifyResult
from hakika.store.core.chain import FIRST, Link, anchor_hash, next_link
from hakika.store.embedded import EmbeddedPostgres, RoleAccess

SCHEMA = Path(hakika.counterparties.__file__).with_name("schema.sql")
BANKS = ("bank-a", "bank-b")
WALLETS = ("254700000001", "254700000002", "254700000003")
CURRENCY = "KES"
RECEIVED_MS, VALID_MS, RETURN_MS, DEADLINE_MS = 10_000, 20_000, 30_000, 40_000
OPENING_MINOR = 10**9
HOLDER = UUID(int=0xA1)
FEE_FREE_MINOR = 100_00
FEE_MINOR = 5_00


def an_id(name: str) -> UUID:
    """A repeatable id from a name."""
    return UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4)


def fee_of(amount_minor: int) -> int:
    """The fee of these books: none for small amounts."""
    return 0 if amount_minor <= FEE_FREE_MINOR else FEE_MINOR


@dataclass
class Place:
    """Where the core's chain holds an answer."""

    slot: int
    seq: int
    head: bytes


class Core:
    """The core's tables, one batch a commit."""

    def __init__(self, url: str) -> None:
        self.sql = psycopg.connect(url)
        self.balances: dict[int, list[int]] = {}
        self.last: dict[int, bytes] = {}
        self.heads: dict[int, Link] = {}
        self.held: dict[bytes, int] = {}
        self.slot = 0
        self.incarnation = 1
        self.settlement = self._account("settlement")
        self.fee = self._account("fee")
        self.positions = {bank: self._owned("position", bank) for bank in BANKS}
        self.wallets = {msisdn: self._owned("wallet", msisdn) for msisdn in WALLETS}
        self.sql.commit()
        for bank, account in self.positions.items():
            self.move(f"funding {bank}", self.settlement, account, 10**9)

    def on(self, url: str) -> Self:
        """The same books on a copy of the database."""
        other = copy.copy(self)
        other.sql = psycopg.connect(url)
        other.balances = copy.deepcopy(self.balances)
        other.last, other.heads, other.held = dict(self.last), dict(self.heads), dict(self.held)
        return other

    def close(self) -> None:
        """Let go of the database."""
        self.sql.close()

    def _account(self, role: str) -> int:
        row = self.sql.execute(
            "INSERT INTO account (role, currency, ceiling_minor, opened_ms, debits_must_not_exceed_credits,"
            " credits_must_not_exceed_debits) VALUES (%s, 'KES', %s, 1, %s, %s) RETURNING id",
            (role, 10**8 if role == "wallet" else None, role not in ("settlement", "loss"), role == "settlement"),
        ).fetchone()
        assert row is not None
        self.balances[row[0]] = [0, 0, 0, 0]
        return int(row[0])

    def _owned(self, role: str, owner: str) -> int:
        account = self._account(role)
        if role == "wallet":
            self.sql.execute("INSERT INTO wallet (msisdn, name, opened_ms) VALUES (%s, 'A name', 1)", (owner,))
            self.sql.execute("INSERT INTO wallet_account VALUES (%s, 'KES', %s)", (owner, account))
        else:
            self.sql.execute("INSERT INTO bank_position VALUES (%s, 'KES', %s)", (owner, account))
        return account

    def row(self, row_id: UUID, debit: int, credit: int, amount: int, **more: Any) -> Row:
        """A posted row with the balances after it; state moves on."""
        kind = Kind(more.pop("kind", "posted"))
        pending_id: bytes | None = more.pop("pending_id", None)
        posted = amount if kind in (Kind.POSTED, Kind.POST) else 0
        pending = {Kind.PENDING: amount, Kind.POSTED: 0}.get(kind, -self.held.get(pending_id or b"", 0))
        if kind is Kind.PENDING:
            self.held[row_id.bytes] = amount
        for account, first in ((debit, 0), (credit, 1)):
            self.balances[account][first] += pending
            self.balances[account][first + 2] += posted
        after: Any = (*self.balances[debit], *self.balances[credit])
        previous = (self.last.get(debit), self.last.get(credit))
        self.last[debit] = self.last[credit] = row_id.bytes
        return Row(
            row_id.bytes, more.get("head", row_id).bytes, more.get("member", 0), more.get("members", 1), kind, None,
            debit, credit, amount, CURRENCY, pending_id, None, more.get("content"), more.get("fee", 0),
            after, previous,
        )  # fmt: skip

    def commit(self, rows: list[Row]) -> Place:
        """One batch: link, entries and balances in one transaction."""
        before = self.heads.get(self.slot, Link(self.slot, 0, FIRST))
        at_ms = 1_000 + before.seq
        link = next_link(before, self.incarnation, at_ms, rows)
        with self.sql.cursor() as cursor:
            cursor.execute(
                "INSERT INTO batch (slot, seq, at_ms, incarnation, entries, previous_hash, hash)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (link.slot, link.seq, at_ms, self.incarnation, len(rows), before.hash, link.hash),
            )
            add_entries(cursor, link, rows)
            touched = sorted({account for row in rows if row.after for account in (row.debit, row.credit)})
            columns = [touched, *([self.balances[a][n] for a in touched] for n in range(4))]
            last = [UUID(bytes=self.last[a]) for a in touched]
            cursor.execute(
                "UPDATE account a SET debits_pending = n.dp, credits_pending = n.cp, debits_posted = n.d,"
                " credits_posted = n.c, last_entry = n.last FROM (SELECT unnest(%s::bigint[]) AS id,"
                " unnest(%s::bigint[]) AS dp, unnest(%s::bigint[]) AS cp, unnest(%s::bigint[]) AS d,"
                " unnest(%s::bigint[]) AS c, unnest(%s::uuid[]) AS last) AS n WHERE a.id = n.id",
                (*columns, last),
            )
        self.sql.commit()
        self.heads[self.slot] = link
        return Place(link.slot, link.seq, link.hash)

    def credit(self, head: UUID, bank: str, msisdn: str, amount: int) -> Place:
        """A bank's transfer: position to wallet, and the fee."""
        fee = fee_of(amount)
        members = 2 if fee else 1
        position = self.positions[bank]
        content = hashlib.sha256(f"hakika-credit-1|{bank}|{msisdn}|{amount}|KES".encode()).digest()
        rows = [self.row(head, position, self.wallets[msisdn], amount - fee, members=members, content=content, fee=fee)]
        if fee:
            rows.append(self.row(member_id(head, 1), position, self.fee, fee, head=head, member=1, members=2))
        return self.commit(rows)

    def refuse(self, head: UUID, bank: str, amount: int, reason: str) -> Place:
        """A stored refusal of a bank's transfer."""
        row = Row(
            head.bytes, head.bytes, 0, 1, Kind.POSTED, reason, self.positions[bank], 0, amount, CURRENCY, None, None,
            hashlib.sha256(b"content").digest(), 0,
        )  # fmt: skip
        return self.commit([row])

    def burn(self, head: UUID) -> Place:
        """An id out of use for ever."""
        return self.commit([Row(head.bytes, head.bytes, 0, 1, Kind.BURN, None, 0, 0, 0, "", None, None, None, 0)])

    def move(self, name: str, debit: int, credit: int, amount: int, **more: Any) -> Place:
        """One entry of the operator."""
        return self.commit([self.row(an_id(name), debit, credit, amount, **more)])

    def anchor(self, number: int, before: bytes = FIRST) -> bytes:
        """The heads of all chains in one hash."""
        heads = [self.heads[slot] for slot in sorted(self.heads)]
        made = anchor_hash(before, 1, number, 5_000, heads)
        self.sql.execute(
            "INSERT INTO anchor (number, at_ms, incarnation, slots, seqs, hashes, previous_hash, hash)"
            " VALUES (%s, 5000, 1, %s, %s, %s, %s, %s)",
            (number, [h.slot for h in heads], [h.seq for h in heads], [h.hash for h in heads], before, made),
        )
        self.sql.commit()
        return made


def add_entries(cursor: psycopg.Cursor[Any], link: Link, rows: Iterable[Row]) -> None:
    """The rows of one batch, in one statement."""
    columns = (
        "slot, seq, position, id, head, member, members, kind, refusal, debit, credit, amount_minor, currency,"
        " pending_id, expires_ms, content, fee_minor, debit_debits_pending, debit_credits_pending,"
        " debit_debits_posted, debit_credits_posted, credit_debits_pending, credit_credits_pending,"
        " credit_debits_posted, credit_credits_posted, debit_previous, credit_previous"
    )
    values = [_entry(link, position, row) for position, row in enumerate(rows)]
    marks = ", ".join(["(" + ", ".join(["%s"] * 27) + ")"] * len(values))
    cursor.execute(f"INSERT INTO entry ({columns}) VALUES {marks}", [v for row in values for v in row])


def _entry(link: Link, position: int, row: Row) -> tuple[Any, ...]:
    def as_id(value: bytes | None) -> UUID | None:
        return None if value is None else UUID(bytes=value)

    return (
        link.slot, link.seq, position, as_id(row.id), as_id(row.head), row.member, row.members, str(row.kind),
        row.refusal, row.debit or None, row.credit or None, row.amount or None, row.currency or None,
        as_id(row.pending_id), row.expires_ms, row.content, row.fee, *(row.after or (None,) * 8),
        as_id(row.previous[0]), as_id(row.previous[1]),
    )  # fmt: skip


class Bank:
    """A demo bank's file."""

    def __init__(self, bank: str, file: Path) -> None:
        self.bank, self.file = bank, file
        self.sql = sqlite3.connect(file, isolation_level=None)

    def create(self) -> None:
        """Tables, and one customer with money."""
        self.sql.execute("PRAGMA journal_mode = WAL")
        self.sql.executescript(SCHEMA.read_text())
        self.sql.execute("INSERT INTO customer VALUES (1, 'Ann', '254711111111', 'a@example.com', 'en')")
        for account in ("in_transit", "position_mirror", "own_funds", "customer:1"):
            self.sql.execute("INSERT INTO account VALUES (?, 0)", (account,))
        self.move("own_funds", "customer:1", OPENING_MINOR, None, "opening")

    def move(self, debit: str, credit: str, amount: int, uetr: str | None, event: str) -> None:
        """One journal entry and both balances."""
        self.sql.execute(
            "INSERT INTO journal (at_ms, debit, credit, amount_minor, uetr, event) VALUES (1, ?, ?, ?, ?, ?)",
            (debit, credit, amount, uetr, event),
        )
        self.sql.execute("UPDATE account SET balance_minor = balance_minor - ? WHERE name = ?", (amount, debit))
        self.sql.execute("UPDATE account SET balance_minor = balance_minor + ? WHERE name = ?", (amount, credit))

    def debit(self, uetr: UUID, amount: int, msisdn: str) -> None:
        """The customer's money is in transit."""
        self.sql.execute(
            "INSERT INTO transfer (uetr, request_id, customer, amount_minor, currency, creditor_msisdn, creditor_name,"
            " end_to_end_id, msg_id, state, debited_ms) VALUES (?, ?, 1, ?, 'KES', ?, 'Ben', ?, 'M1', 'debited', 1)",
            (str(uetr), str(uetr), amount, msisdn, end_to_end(uetr)),
        )
        self.move("customer:1", "in_transit", amount, str(uetr), "debited")

    def accept(self, uetr: UUID) -> None:
        """The custody receipt is stored."""
        self.sql.execute(
            "UPDATE transfer SET state = 'accepted', accepted_ms = 2, receipt = 'jws', deadline_ms = ?, tracking = ?"
            " WHERE uetr = ?",
            (DEADLINE_MS, reference_text(uetr.bytes), str(uetr)),
        )

    def end(self, uetr: UUID, state: str) -> None:
        """Out of transit: completed, returned or rejected."""
        (amount,) = self.sql.execute("SELECT amount_minor FROM transfer WHERE uetr = ?", (str(uetr),)).fetchone()
        to = "position_mirror" if state == "completed" else "customer:1"
        self.move("in_transit", to, amount, str(uetr), state)
        return_id = return_id_of(self.bank, uetr) if state == "returned" else None
        self.sql.execute(
            "UPDATE transfer SET state = ?, final_ms = 3, return_id = ? WHERE uetr = ?", (state, return_id, str(uetr))
        )


def end_to_end(uetr: UUID) -> str:
    """The customer's reference of these books."""
    return f"E{uetr.hex[:20]}"


def transfer_id(uetr: UUID) -> UUID:
    """The gateway's id of a transfer of these books."""
    return an_id(f"transfer {uetr}")


class Gateway:
    """The gateway's tables."""

    def __init__(self, url: str) -> None:
        self.sql = psycopg.connect(url, autocommit=True)

    def open_banks(self) -> None:
        """The banks that instruct it."""
        for bank in BANKS:
            self.sql.execute("INSERT INTO bank VALUES (%s, %s, 'http://bank', 'house-4h')", (bank, bank))

    def take(self, bank: str, uetr: UUID, amount: int, msisdn: str) -> UUID:
        """Custody: the message and its transfer."""
        key, body = transfer_id(uetr), f"message {uetr}".encode()
        msg_id = uetr.hex
        self.sql.execute(
            "INSERT INTO message VALUES (%s, %s, %s, %s, 'signature', %s, 'gateway-1', %s)",
            (bank, msg_id, hashlib.sha256(body).digest(), body, RECEIVED_MS, [uetr]),
        )
        self.sql.execute(
            "INSERT INTO transfer (id, bank, uetr, tracking, content_sha256, msg_id, end_to_end_id, amount_minor,"
            " currency, creditor_msisdn, received_ms, valid_until_ms, return_at_ms, deadline_ms, status, status_ms)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'KES', %s, %s, %s, %s, %s, 'RECEIVED', %s)",
            (
                key, bank, uetr, uetr.bytes, bytes(32), msg_id, end_to_end(uetr), amount, msisdn, RECEIVED_MS, VALID_MS,
                RETURN_MS, DEADLINE_MS, RECEIVED_MS,
            ),
        )  # fmt: skip
        return key

    def reject(self, bank: str, uetr: UUID) -> None:
        """A tombstone."""
        self.sql.execute(
            "INSERT INTO transfer (id, bank, uetr, received_ms, status, status_ms, reason)"
            " VALUES (%s, %s, %s, 1, 'REJECTED', 1, 'tombstoned')",
            (transfer_id(uetr), bank, uetr),
        )

    def attempt(self, bank: str, uetr: UUID, number: int) -> UUID:
        """An open attempt."""
        made = attempt_id(bank, uetr, number)
        self.sql.execute(
            "INSERT INTO attempt (id, transfer, number, recorded_ms, lease_holder, lease_until_ms)"
            " VALUES (%s, %s, %s, 11000, %s, 12000)",
            (made, transfer_id(uetr), number, HOLDER),
        )
        self.status(uetr, "IN_FLIGHT")
        return made

    def close(self, attempt: UUID, outcome: str, place: Place | None, reason: str | None = None) -> None:
        """The core's stored answer, or the sender's word that nothing was written."""
        where = (1, place.slot, place.seq, place.head) if place else (None,) * 4
        self.sql.execute(
            "UPDATE attempt SET outcome = %s, reason = %s, closed_ms = 12000, closed_by = %s, closed_token = 1,"
            " core_incarnation = %s, chain_slot = %s, chain_seq = %s, chain_head = %s WHERE id = %s",
            (outcome, reason, HOLDER, *where, attempt),
        )

    def status(self, uetr: UUID, status: str, reason: str | None = None, fee: int | None = None) -> None:
        """The stored status."""
        self.sql.execute(
            "UPDATE transfer SET status = %s, status_ms = 13000, reason = %s, fee_minor = %s WHERE id = %s",
            (status, reason, fee, transfer_id(uetr)),
        )

    def tell(self, bank: str, uetr: UUID, kind: str, *, settled: bool) -> None:
        """A fact for the bank and the message that carries it."""
        msg_id = f"{kind[:3]}{uetr.hex}"
        carrier = "status" if kind in ("final", "held") else kind
        self.sql.execute(
            "INSERT INTO outgoing_message VALUES (%s, %s, %s, 'body', 13000, 13000, 1, %s)",
            (msg_id, bank, carrier, 14_000 if settled else None),
        )
        self.sql.execute(
            "INSERT INTO outbox (transfer, bank, kind, fact, created_ms, msg_id) VALUES (%s, %s, %s, '{}', 13000, %s)",
            (transfer_id(uetr), bank, kind, msg_id),
        )

    def acknowledge(self, uetr: UUID) -> None:
        """The bank has booked the return."""
        key = transfer_id(uetr)
        with self.sql.transaction():
            self.sql.execute("UPDATE payment_return SET acknowledged_ms = 1 WHERE transfer = %s", (key,))
            self.sql.execute("UPDATE outgoing_message SET settled_ms = 1 WHERE msg_id = %s", (f"ret{uetr.hex}",))

    def give_back(
        self, bank: str, uetr: UUID, reason: str, *, burn_due: bool = False, acknowledged: bool = True
    ) -> None:
        """The return, and its pacs.004."""
        self.sql.execute(
            "INSERT INTO payment_return VALUES (%s, %s, %s, %s, %s, %s)",
            (
                transfer_id(uetr), return_id_of(bank, uetr), reason, RETURN_MS,
                RETURN_MS + 1 if acknowledged else None, burn_due,
            ),
        )  # fmt: skip
        self.status(uetr, "RETURNED", reason)
        self.tell(bank, uetr, "return", settled=acknowledged)


@dataclass
class World:
    """Books of everybody, sound until a test spoils them."""

    core_access: RoleAccess
    gateway_access: RoleAccess
    core: Core
    gateway: Gateway
    banks: dict[str, Bank]
    super_urls: dict[str, str] = field(repr=False)

    def close(self) -> None:
        """Close every connection."""
        self.core.sql.close()
        self.gateway.sql.close()
        for bank in self.banks.values():
            bank.sql.close()

    def targets(self, **other: Any) -> Targets:
        """Everything, as the readers."""
        books = {name: bank.file for name, bank in self.banks.items()}
        return Targets(self.core_access.reader_url, self.gateway_access.reader_url, books, **other)

    @contextmanager
    def spoil(self, role: str) -> Iterator[psycopg.Connection[Any]]:
        """A superuser's connection on which no trigger of the role's tables fires."""
        with psycopg.connect(self.super_urls[role], autocommit=True) as sql:
            sql.execute("SET session_replication_role = replica")
            if role == "core":
                sql.execute(ORDINARY)
            yield sql
            if role == "core":
                sql.execute(ALWAYS)


@contextmanager
def new_world(core: RoleAccess, gateway: RoleAccess, server: EmbeddedPostgres, folder: Path) -> Iterator[World]:
    """Empty books of a core, a gateway and two banks; the banks' files as a state folder has them."""
    for bank in BANKS:
        (folder / bank).mkdir()
    made = World(
        core,
        gateway,
        Core(core.owner_url),
        Gateway(gateway.owner_url),
        {bank: Bank(bank, folder / bank / "books.sqlite") for bank in BANKS},
        {"core": server.url(database=core.database), "gateway": server.url(database=gateway.database)},
    )
    made.gateway.open_banks()
    for file in made.banks.values():
        file.create()
    try:
        yield made
    finally:
        made.close()


@contextmanager
def copied(made: World, server: EmbeddedPostgres, number: int, folder: Path) -> Iterator[World]:
    """A copy of a closed world, to be spoiled; faster than making it again."""
    accesses = {}
    with psycopg.connect(server.url(), autocommit=True) as admin:
        for role, of in (("core", made.core_access), ("gateway", made.gateway_access)):
            name = f"{of.database}_{number}"
            users = [sql.Identifier(f"hakika_{role}_{kind}") for kind in ("owner", "app", "reader")]
            like = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy OWNER {}")
            admin.execute(like.format(sql.Identifier(name), sql.Identifier(of.database), users[0]))
            urls = [server.url(f"hakika_{role}_{kind}", name) for kind in ("owner", "app", "reader")]
            accesses[role] = RoleAccess(urls[0], urls[1], urls[2], name)
        for bank, file in made.banks.items():
            (folder / bank).mkdir()
            shutil.copy(file.file, folder / bank / "books.sqlite")
        core, gateway = accesses["core"], accesses["gateway"]
        world = World(
            core,
            gateway,
            made.core.on(core.owner_url),
            Gateway(gateway.owner_url),
            {bank: Bank(bank, folder / bank / "books.sqlite") for bank in made.banks},
            {role: server.url(database=access.database) for role, access in accesses.items()},
        )
        try:
            yield world
        finally:
            world.close()
            for access in accesses.values():
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(access.database)))


def lines(result: VerifyResult) -> list[str]:
    """Findings in a form that a failing test shows well."""
    return [f"{finding.code} {finding.subject}: {finding.text}" for finding in result.findings]


# A trigger that fires always fires for a superuser too: it is made an ordinary one while books are spoiled.
ORDINARY: LiteralString = """
DO $$ DECLARE t record; BEGIN
    FOR t IN SELECT tgrelid::regclass AS tab, tgname FROM pg_trigger WHERE tgenabled = 'A' LOOP
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER %I', t.tab, t.tgname);
    END LOOP;
END $$
"""
ALWAYS: LiteralString = """
DO $$ DECLARE t record; BEGIN
    FOR t IN SELECT tgrelid::regclass AS tab, tgname FROM pg_trigger WHERE tgenabled = 'O' AND NOT tgisinternal LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tab, t.tgname);
    END LOOP;
END $$
"""
