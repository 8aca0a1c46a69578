"""The bank's commands on its books: debit, what the gateway's words do, acknowledgements, notices.

Each function runs inside one transaction of `books.py` and leaves the books balanced. A debit and the message
that carries it are one commit; so are a return, the customer's re-credit and the acknowledgement to be sent.
Every command may be done again: ids are looked up first, and what was said before changes nothing.
What a word does is decided by `rules.py`.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from hakika.counterparties.books import move
from hakika.counterparties.notices import notice_text
from hakika.counterparties.rules import Booked, Decision, Said, State, Step, Word, decide
from hakika.wire.iso20022.messages import Contact, CreditTransfer

IN_TRANSIT = "in_transit"
POSITION_MIRROR = "position_mirror"


@dataclass(frozen=True, slots=True)
class Order:
    """A customer's wish with the ids it will have if it is debited."""

    request_id: str
    customer: int
    creditor_msisdn: str
    creditor_name: str
    amount_minor: int
    currency: str
    language: str | None
    uetr: str
    end_to_end_id: str


@dataclass(frozen=True, slots=True)
class Debited:
    """The money is in transit under these ids; `outbox_id` is None when it was debited before."""

    uetr: str
    end_to_end_id: str
    outbox_id: int | None = None


@dataclass(frozen=True, slots=True)
class NotDebited:
    """Nothing was written."""

    reason: str


OTHER_CONTENT = NotDebited("request_id_conflict")

Debit = Debited | NotDebited
Compose = Callable[[str, int, Sequence[tuple[Order, CreditTransfer]]], bytes]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verified message of the gateway as it came: SHA-256 in hex, signature, body."""

    sha256: str
    signature: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """What one message says about one transfer."""

    uetr: str
    said: Said
    status: str = ""  # the ISO status, for the record of progress
    reason: str | None = None
    tracking: str | None = None
    deadline_ms: int | None = None
    message_id: str = ""  # of the pacs.004 that says it


@dataclass(slots=True)
class Applied:
    """What a message changed: steps in the order of its statements, outbox rows that want sending."""

    steps: list[Step] = field(default_factory=list)
    to_send: list[int] = field(default_factory=list)


Acknowledge = Callable[[Statement, bool, int], bytes]  # what was said, whether it was booked, when -> pacs.002


# --- debits


def known_request(conn: sqlite3.Connection, order: Order) -> Debit | None:
    """What an earlier request under the same id led to; None for a new one."""
    row = conn.execute("SELECT * FROM transfer WHERE request_id = ?", (order.request_id,)).fetchone()
    if row is None:
        return None
    asked = (order.customer, order.creditor_msisdn, order.amount_minor, order.currency)
    if (row["customer"], row["creditor_msisdn"], row["amount_minor"], row["currency"]) != asked:
        return OTHER_CONTENT
    return Debited(row["uetr"], row["end_to_end_id"])


def debit(
    conn: sqlite3.Connection, orders: Sequence[Order], bank: str, msg_id: str, compose: Compose, at_ms: int
) -> list[Debit]:
    """Debit each order that can be, and put the one message that carries them into the outbox."""
    results: list[Debit] = []
    carried: list[tuple[Order, CreditTransfer]] = []
    for order in orders:
        known = known_request(conn, order)
        if known is not None:
            results.append(known)
            continue
        customer = conn.execute("SELECT * FROM customer WHERE number = ?", (order.customer,)).fetchone()
        if customer is None:
            results.append(NotDebited("customer_unknown"))
        elif _balance(conn, order.customer) < order.amount_minor:
            results.append(NotDebited("insufficient_funds"))
        else:
            _debit_one(conn, order, msg_id, at_ms)
            carried.append((order, _credit_transfer(order, customer, bank)))
            results.append(Debited(order.uetr, order.end_to_end_id))
    if not carried:
        return results
    row_id = _put_in_outbox(conn, "instruction", msg_id, compose(msg_id, at_ms, carried), at_ms)
    new = {order.uetr for order, _ in carried}
    return [
        Debited(result.uetr, result.end_to_end_id, row_id)
        if isinstance(result, Debited) and result.uetr in new
        else result
        for result in results
    ]


def _balance(conn: sqlite3.Connection, customer: int) -> int:
    row = conn.execute("SELECT balance_minor FROM account WHERE name = ?", (f"customer:{customer}",)).fetchone()
    balance: int = row["balance_minor"]
    return balance


def _debit_one(conn: sqlite3.Connection, order: Order, msg_id: str, at_ms: int) -> None:
    conn.execute(
        "INSERT INTO transfer (uetr, request_id, customer, amount_minor, currency, creditor_msisdn, creditor_name,"
        " end_to_end_id, msg_id, state, debited_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'debited', ?)",
        (
            order.uetr, order.request_id, order.customer, order.amount_minor, order.currency,
            order.creditor_msisdn, order.creditor_name, order.end_to_end_id, msg_id, at_ms,
        ),
    )  # fmt: skip
    move(conn, f"customer:{order.customer}", IN_TRANSIT, order.amount_minor, order.uetr, "debited", at_ms)


def _credit_transfer(order: Order, customer: sqlite3.Row, bank: str) -> CreditTransfer:
    return CreditTransfer(
        uetr=UUID(order.uetr),
        end_to_end_id=order.end_to_end_id,
        instruction_id=None,
        transaction_id=None,
        amount_minor=order.amount_minor,
        currency=order.currency,
        debtor_name=customer["name"],
        debtor_account=f"{order.customer:010d}",
        debtor_agent=bank,
        creditor_name=order.creditor_name,
        creditor_msisdn=order.creditor_msisdn,
        contact=Contact(customer["phone"], customer["email"], order.language or customer["language"]),
    )


def _put_in_outbox(conn: sqlite3.Connection, kind: str, key: str, body: bytes, at_ms: int) -> int:
    cursor = conn.execute(
        "INSERT INTO outbox (kind, key, body, created_ms) VALUES (?, ?, ?, ?)", (kind, key, body, at_ms)
    )
    return int(cursor.lastrowid or 0)


def send_again(conn: sqlite3.Connection, msg_id: str, at_ms: int) -> int | None:
    """The outbox row of a message that the gateway does not know any more: the same bytes go out again.

    None where it waits for its answer already, or was never sent.
    """
    row = conn.execute(
        "SELECT id FROM outbox WHERE kind = 'instruction' AND key = ? AND answered_ms IS NOT NULL", (msg_id,)
    ).fetchone()
    if row is None:
        return None
    conn.execute("UPDATE outbox SET answered_ms = NULL WHERE id = ?", (row["id"],))
    conn.execute("UPDATE transfer SET sent_again_ms = ? WHERE msg_id = ?", (at_ms, msg_id))
    return int(row["id"])


# --- what the gateway says


def apply(
    conn: sqlite3.Connection,
    evidence: Evidence,
    statements: Sequence[Statement],
    acknowledge: Acknowledge,
    at_ms: int,
    answers_outbox: int | None = None,
) -> Applied:
    """Book every statement of one verified message; `answers_outbox` is the row that it answers."""
    conn.execute(
        "INSERT OR IGNORE INTO received VALUES (?, ?, ?, ?)",
        (evidence.sha256, at_ms, evidence.signature, evidence.body),
    )
    applied = Applied()
    for statement in statements:
        _apply_one(conn, statement, evidence.sha256, acknowledge, at_ms, applied)
    if answers_outbox is not None:
        answered(conn, answers_outbox, at_ms)
    return applied


def answered(conn: sqlite3.Connection, outbox_id: int, at_ms: int) -> None:
    """The message has its answer and is not sent again."""
    conn.execute("UPDATE outbox SET answered_ms = ? WHERE id = ? AND answered_ms IS NULL", (at_ms, outbox_id))


def _apply_one(
    conn: sqlite3.Connection,
    statement: Statement,
    sha256: str,
    acknowledge: Acknowledge,
    at_ms: int,
    applied: Applied,
) -> None:
    row = conn.execute("SELECT * FROM transfer WHERE uetr = ?", (statement.uetr,)).fetchone()
    taken = _return_id_taken(conn, statement)
    decision = decide(None if row is None else _booked(conn, row), statement.said, return_id_taken=taken)
    applied.steps.append(decision.step)
    match decision.step:
        case Step.CONTRADICT:
            _contradiction(conn, statement, decision, sha256, at_ms)
        case Step.NOTE:
            conn.execute(
                "INSERT OR IGNORE INTO progress VALUES (?, ?, ?, ?)",
                (statement.uetr, statement.status, at_ms, statement.reason),
            )
        case Step.RENEW:
            _renew(conn, row, statement, at_ms)
        case Step.ACCEPT | Step.KEEP:
            _receipt(conn, statement, decision.step, at_ms)
        case Step.COMPLETE | Step.RETURN | Step.REJECT:
            _end(conn, row, statement, decision.step, at_ms)
        case Step.SAME:
            pass
    if statement.said.word is Word.RETURN and statement.said.return_id is not None:
        outbox_id = _acknowledgement(conn, row, statement, decision, acknowledge, at_ms)
        if outbox_id is not None:
            applied.to_send.append(outbox_id)


def _return_id_taken(conn: sqlite3.Connection, statement: Statement) -> bool:
    if statement.said.word is not Word.RETURN:
        return False
    found = conn.execute(
        "SELECT 1 FROM transfer WHERE return_id = ? AND uetr <> ?", (statement.said.return_id, statement.uetr)
    ).fetchone()
    return found is not None


def _booked(conn: sqlite3.Connection, row: sqlite3.Row) -> Booked:
    superseded = conn.execute("SELECT receipt FROM superseded WHERE uetr = ?", (row["uetr"],)).fetchall()
    return Booked(
        State(row["state"]), row["amount_minor"], row["currency"], row["msg_id"], row["end_to_end_id"],
        row["receipt"], row["return_id"], row["sent_again_ms"] is not None,
        frozenset(found["receipt"] for found in superseded),
    )  # fmt: skip


def _contradiction(conn: sqlite3.Connection, statement: Statement, decision: Decision, sha256: str, at_ms: int) -> None:
    conn.execute(
        "INSERT OR IGNORE INTO contradiction (at_ms, word, uetr, return_id, rule, sha256) VALUES (?, ?, ?, ?, ?, ?)",
        (at_ms, statement.said.word, statement.uetr, statement.said.return_id or "", decision.rule, sha256),
    )


def _receipt(conn: sqlite3.Connection, statement: Statement, step: Step, at_ms: int) -> None:
    conn.execute(
        "UPDATE transfer SET receipt = ?, accepted_ms = ?, deadline_ms = ?, tracking = ?,"
        " state = CASE WHEN ? THEN 'accepted' ELSE state END WHERE uetr = ?",
        (
            statement.said.receipt, at_ms, statement.deadline_ms, statement.tracking,
            step is Step.ACCEPT, statement.uetr,
        ),
    )  # fmt: skip


def _renew(conn: sqlite3.Connection, row: sqlite3.Row, statement: Statement, at_ms: int) -> None:
    """The promise and the reference are those of the new receipt; the old one is kept."""
    conn.execute("INSERT OR IGNORE INTO superseded VALUES (?, ?, ?)", (row["uetr"], row["receipt"], at_ms))
    conn.execute(
        "UPDATE transfer SET receipt = ?, deadline_ms = ?, tracking = ?, sent_again_ms = NULL WHERE uetr = ?",
        (statement.said.receipt, statement.deadline_ms, statement.tracking, row["uetr"]),
    )


_ENDS = {
    Step.COMPLETE: (State.COMPLETED, "completed", "arrived"),
    Step.RETURN: (State.RETURNED, "returned", "back"),
    Step.REJECT: (State.REJECTED, "rejected", "back"),
}


def _end(conn: sqlite3.Connection, row: sqlite3.Row, statement: Statement, step: Step, at_ms: int) -> None:
    """Out of transit, once; told to the customer where an earlier notice told of the wait."""
    state, event, notice = _ENDS[step]
    credit = POSITION_MIRROR if step is Step.COMPLETE else f"customer:{row['customer']}"
    move(conn, IN_TRANSIT, credit, row["amount_minor"], row["uetr"], event, at_ms)
    conn.execute(
        "UPDATE transfer SET state = ?, final_ms = ?, return_id = ?, reason = ? WHERE uetr = ?",
        (state, at_ms, statement.said.return_id, statement.reason, row["uetr"]),
    )
    if step is Step.REJECT:
        _stop_sending(conn, row["msg_id"], at_ms)
    told = conn.execute("SELECT 1 FROM notice WHERE uetr = ? AND kind = 'held'", (row["uetr"],)).fetchone()
    if told is not None:
        _notice(conn, row, notice, at_ms, "")


def _stop_sending(conn: sqlite3.Connection, msg_id: str, at_ms: int) -> None:
    """A message all of whose transfers are rejected has nothing left to ask for."""
    conn.execute(
        "UPDATE outbox SET answered_ms = ? WHERE kind = 'instruction' AND key = ? AND answered_ms IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM transfer WHERE msg_id = ? AND state <> 'rejected')",
        (at_ms, msg_id, msg_id),
    )


def _acknowledgement(
    conn: sqlite3.Connection,
    row: sqlite3.Row | None,
    statement: Statement,
    decision: Decision,
    acknowledge: Acknowledge,
    at_ms: int,
) -> int | None:
    """The outbox row that answers a pacs.004: booked, or refused because it contradicts the books.

    A repeated return means that the gateway has not booked our answer: the same bytes go out again.
    """
    return_id = statement.said.return_id or ""
    refused = decision.step is Step.CONTRADICT
    if refused and row is not None and row["return_id"] == return_id:
        return None  # this return id was booked with other content; its acknowledgement stands
    known = conn.execute("SELECT id FROM outbox WHERE kind = 'acknowledgement' AND key = ?", (return_id,)).fetchone()
    if known is None:
        body = acknowledge(statement, not refused, at_ms)
        return _put_in_outbox(conn, "acknowledgement", return_id, body, at_ms)
    conn.execute("UPDATE outbox SET answered_ms = NULL WHERE id = ?", (known["id"],))
    return int(known["id"])


# --- notices


def tell_waiting(conn: sqlite3.Connection, older_than_ms: int, at_ms: int, tracking_url: str, limit: int) -> int:
    """One notice to each customer whose transfer has waited since before `older_than_ms`; how many were told."""
    rows = conn.execute(
        "SELECT t.* FROM transfer t WHERE t.final_ms IS NULL AND t.debited_ms < ? AND NOT EXISTS"
        " (SELECT 1 FROM notice n WHERE n.uetr = t.uetr AND n.kind = 'held') ORDER BY t.debited_ms LIMIT ?",
        (older_than_ms, limit),
    ).fetchall()
    for row in rows:
        link = f"{tracking_url}/t/{row['tracking']}" if row["tracking"] else ""
        _notice(conn, row, "held", at_ms, link)
    return len(rows)


def _notice(conn: sqlite3.Connection, row: sqlite3.Row, kind: str, at_ms: int, link: str) -> None:
    language = conn.execute("SELECT language FROM customer WHERE number = ?", (row["customer"],)).fetchone()
    since_ms = (row["accepted_ms"] or row["debited_ms"]) if kind == "held" else at_ms
    text = notice_text(
        kind,
        language["language"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        msisdn=row["creditor_msisdn"],
        since_ms=since_ms,
        by_ms=row["deadline_ms"],
        link=link,
    )
    conn.execute(
        "INSERT OR IGNORE INTO notice VALUES (?, ?, ?, ?, ?)", (row["customer"], at_ms, text, row["uetr"], kind)
    )
