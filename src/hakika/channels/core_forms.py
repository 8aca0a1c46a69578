"""Forms of the core's two APIs: JSON bodies into commands, rows into views; what is malformed is named.

Every check here is of form alone and stores nothing. State is the ledger's.
"""

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from hakika.channels.door import Request, RequestRefused, Response, problem
from hakika.domain.ledger import Entry, Kind, Set
from hakika.domain.money import AMOUNT_MINOR_MAX, MINOR_DIGITS
from hakika.services.core.commands import Credit
from hakika.store.core.owners import AccountRow, PositionRow, StatementLine, WalletRow
from hakika.wire import core_operator as operator
from hakika.wire.core_api import BATCH_MAX, Answer, Answers, Instruction

T = TypeVar("T")

TIME_MAX_MS = 2**53
_ID = re.compile(r"[0-9a-f]{32}")
_BANK = re.compile(r"[a-z0-9][a-z0-9-]{0,34}")
_DIGITS = re.compile(r"[0-9]{1,15}")
_ACCOUNT = re.compile(r"acc_([1-9][0-9]{0,17})")
_KINDS = {kind.value: kind for kind in Kind}
_CURRENCY_RULE = f"one of {', '.join(MINOR_DIGITS)}"
_AMOUNT_RULE = f"1 to {AMOUNT_MINOR_MAX} minor units"
_SET_RULE = f"1 to {operator.SET_MAX} entries"


def decoded(request: Request, kind: type[T]) -> T:
    """The JSON body as `kind`; RequestRefused 400 naming the field and the rule."""
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.ValidationError as error:
        rule, _, path = str(error).partition(" - at `")
        field = path.rstrip("`").removeprefix("$").removeprefix(".") or "body"
        raise RequestRefused(problem(400, "Malformed request", field, rule)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestRefused(problem(400, "Malformed request", "body", "JSON in UTF-8")) from error


def require(holds: bool, field: str, rule: str, at: str = "") -> None:
    """RequestRefused 400 naming field and rule unless it holds; `at` is where the field stands."""
    if not holds:
        raise RequestRefused(problem(400, "Malformed request", f"{at}.{field}" if at else field, rule))


def as_json(content: msgspec.Struct, status: int = 200) -> Response:
    """A struct as the body."""
    return Response(status, msgspec.json.encode(content))


def as_answers(told: tuple[int, list[Answer]]) -> Response:
    """The answers of one request with the incarnation that gave them."""
    return as_json(Answers(*told))


def entry_id(text: str, field: str, at: str = "") -> bytes:
    """An id as 32 hex digits in lower case."""
    require(_ID.fullmatch(text) is not None, field, "32 hex digits in lower case", at)
    return bytes.fromhex(text)


def entry_ids(texts: Sequence[str]) -> list[bytes]:
    """A batch of ids."""
    require(len(texts) <= BATCH_MAX, "ids", f"at most {BATCH_MAX}")
    return [entry_id(text, f"ids[{number}]") for number, text in enumerate(texts)]


def amount(value: int, field: str, at: str = "") -> int:
    """Minor units of one transfer or entry."""
    require(0 < value <= AMOUNT_MINOR_MAX, field, _AMOUNT_RULE, at)
    return value


def currency(code: str, field: str, at: str = "") -> str:
    """A currency that this release can hold."""
    require(code in MINOR_DIGITS, field, _CURRENCY_RULE, at)
    return code


def bank(text: str, field: str, at: str = "") -> str:
    """A bank's id."""
    require(_BANK.fullmatch(text) is not None, field, "lower-case letters, digits and hyphens, at most 35", at)
    return text


def digits(text: str, field: str, at: str = "") -> str:
    """What may be a telephone number; whether anybody has it is for the ledger to say."""
    require(_DIGITS.fullmatch(text) is not None, field, "E.164 digits without +", at)
    return text


def credits(instructions: Sequence[Instruction]) -> list[Credit]:
    """The gateway's instructions as commands. A number that nobody can have is well-formed: it is unknown."""
    require(len(instructions) <= BATCH_MAX, "instructions", f"at most {BATCH_MAX}")
    commands = []
    for number, one in enumerate(instructions):
        at = f"instructions[{number}]"
        commands.append(
            Credit(
                entry_id(one.id, "id", at),
                bank(one.bank, "bank", at),
                digits(one.creditor_msisdn, "creditor_msisdn", at),
                amount(one.amount_minor, "amount_minor", at),
                currency(one.currency, "currency", at),
                one.valid_until_ms,
            )
        )
    return commands


def account_number(text: str, field: str, at: str = "") -> int:
    """The number in `acc_17`."""
    match = _ACCOUNT.fullmatch(text)
    require(match is not None, field, "acc_ and a number", at)
    return int(match[1]) if match is not None else 0


def entry_set(orders: Sequence[operator.EntryOrder], at: str) -> Set:
    """A linked set; the ledger names what is malformed in its amounts and accounts."""
    require(0 < len(orders) <= operator.SET_MAX, at, _SET_RULE)
    return Set(tuple([_entry(order, f"{at}[{number}]") for number, order in enumerate(orders)]))


def _entry(order: operator.EntryOrder, at: str) -> Entry:
    in_range = order.expires_ms is None or 0 < order.expires_ms <= TIME_MAX_MS
    require(in_range, "expires_ms", "milliseconds since 1970", at)
    return Entry(
        entry_id(order.id, "id", at),
        _KINDS[order.kind],
        account_number(order.debit, "debit", at),
        account_number(order.credit, "credit", at),
        order.amount_minor,
        currency(order.currency, "currency", at),
        None if order.pending_id is None else entry_id(order.pending_id, "pending_id", at),
        order.expires_ms,
    )


def shown(number: int) -> str:
    """An account as people see it."""
    return f"acc_{number}"


def wallet_view(row: WalletRow) -> operator.WalletView:
    """One currency of a wallet."""
    balance = row.credits_posted - row.debits_posted
    available = balance - row.debits_pending
    return operator.WalletView(shown(row.account), row.msisdn, row.name, row.currency, row.status, balance, available)


def position_view(row: PositionRow) -> operator.PositionView:
    """One currency of a bank's position."""
    balance = row.credits_posted - row.debits_posted
    return operator.PositionView(shown(row.account), row.bank, row.currency, balance, balance - row.debits_pending)


def account_view(row: AccountRow) -> operator.AccountView:
    """One account."""
    last = None if row.last_entry is None else row.last_entry.hex
    return operator.AccountView(
        shown(row.id),
        row.role,
        row.currency,
        row.debits_pending,
        row.credits_pending,
        row.debits_posted,
        row.credits_posted,
        last,
    )


def line_view(line: StatementLine) -> operator.LineView:
    """One line of a statement."""
    return operator.LineView(
        id=line.id.hex,
        head=line.head.hex,
        kind=line.kind,
        debit=shown(line.debit),
        credit=shown(line.credit),
        amount_minor=line.amount,
        currency=line.currency,
        pending_id=None if line.pending_id is None else line.pending_id.hex,
        at_ms=line.at_ms,
        slot=line.slot,
        seq=line.seq,
        debits_pending=line.debits_pending,
        credits_pending=line.credits_pending,
        debits_posted=line.debits_posted,
        credits_posted=line.credits_posted,
    )
