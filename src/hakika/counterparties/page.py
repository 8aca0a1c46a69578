"""The bank's page for people: latest transfers with their tracking links, and a form to send money to a wallet.

Two steps: the form, then name and amount with Yes or No; nothing is debited before Yes, and Yes pressed twice is
one debit (the request id travels with the question). Server-rendered, no scripts, one stylesheet inlined under
its hash. A form sent from another site is refused.
"""

import base64
import hashlib
import re
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import jinja2

from hakika import clock
from hakika.counterparties.api import customer_number
from hakika.counterparties.bookings import Debited, NotDebited, Order
from hakika.counterparties.books import Books, BooksBusy, BooksUnanswered
from hakika.counterparties.desk import Desk, RequestRefused, TransferRequest, order_of
from hakika.counterparties.door import Request, Response, Route
from hakika.counterparties.notices import amount_text, msisdn_text, time_text
from hakika.counterparties.settings import BankSettings
from hakika.domain.money import AmountRefused, decimal_text, parse_amount
from hakika.wire.bank_api import QuoteAnswer

TEMPLATES = Path(__file__).with_name("templates")
SHOWN_MAX = 20
UNNAMED = "Wallet holder"  # Cdtr/Nm where the gateway did not give a name
COUNTRY_CODE = "254"
HTML = "text/html; charset=utf-8"

# Shapes for states, 16 x 16: an hour-glass, a tick, an arrow back.
_WAITING = "M3 1h10v3L9.5 8 13 12v3H3v-3l3.5-4L3 4z"
_TICK = "M6.5 13.5 1 8l2-2 3.5 3.5L13 3l2 2z"
_BACK = "M7 2v4h3a5 5 0 0 1 0 10H6v-2.500h4a2.500 2.500 0 0 0 0-5H7V12L1 7z"
_SHAPES = {"completed": _TICK, "returned": _BACK, "rejected": _BACK}

_REASONS = {
    "insufficient_funds": "The account does not cover this amount.",
    "customer_unknown": "This bank has no customer with that number.",
    "request_id_conflict": "This question was answered before with another amount or number.",
    "wallet_unknown": "No wallet is open under this mobile number.",
    "wallet_closed": "The wallet is closed.",
    "wallet_blocked": "The wallet cannot take money now.",
    "balance_limit": "The wallet may not hold that much.",
    "amount_limit": "The amount is outside the limits for one transfer.",
    "no_answer_from_gateway": "Transfers to wallets cannot be reached now. Your money stays in your account.",
    "corridor_held": "Transfers to wallets wait now. Your money stays in your account.",
    "corridor_not_now": "Transfers to wallets are unavailable now. Your money stays in your account.",
}
_FIELDS = {"creditor_msisdn": "mobile number", "amount_minor": "amount", "customer": "customer number"}


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, as typed."""

    customer: str = ""
    msisdn: str = ""
    amount: str = ""


@dataclass(frozen=True, slots=True)
class _Rendered:
    environment: jinja2.Environment
    css: str
    headers: tuple[tuple[str, str], ...]


def _rendered() -> _Rendered:
    css = (TEMPLATES / "bank.css").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    headers = (
        ("content-security-policy", policy),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
    )
    return _Rendered(environment, css, headers)


@dataclass(frozen=True, slots=True)
class Page:
    """The handlers of the bank's page."""

    settings: BankSettings
    books: Books
    desk: Desk
    rendered: _Rendered = field(default_factory=_rendered)

    def routes(self) -> list[Route]:
        """The page and its two steps."""
        return [
            Route("GET", "/", self.home),
            Route("POST", "/send", self.ask),
            Route("POST", "/send/confirm", self.confirm),
        ]

    async def home(self, _: Request) -> Response:
        """Form and latest transfers."""
        return self._home(200, Form(), None)

    async def ask(self, request: Request) -> Response:
        """First step: the quote, and the question."""
        try:
            form = _form(request)
            order = self._order(form, clock.new_id().hex, UNNAMED)
        except RequestRefused as error:
            return self._home(400, _typed(request), _sentence(error))
        quote = await self.desk.quote(order)
        return self._question(form, order, quote)

    async def confirm(self, request: Request) -> Response:
        """Second step: Yes was pressed."""
        typed = _typed(request)
        try:
            fields = _fields(request)
            order = self._order(_form(request), fields.get("request_id", ""), fields.get("creditor") or UNNAMED)
            outcome = await self.desk.pay(order)
        except RequestRefused as error:
            return self._home(400, typed, _sentence(error))
        except (BooksBusy, BooksUnanswered, sqlite3.Error):
            return self._home(503, Form(), "The books did not answer; look below before sending again.")
        match outcome.debit:
            case Debited():
                return Response(303, headers=(("location", "/#last"), *self.rendered.headers))
            case NotDebited(reason):
                return self._home(200, typed, _REASONS.get(reason, reason))

    def _order(self, form: Form, request_id: str, creditor: str) -> Order:
        number = customer_number(form.customer)
        if number is None:
            raise RequestRefused("customer", "the digits of your customer number")
        try:
            amount_minor = parse_amount(form.amount, self.settings.currency)
        except AmountRefused as error:
            raise RequestRefused("amount_minor", str(error)) from error
        asked = TransferRequest(request_id, form.msisdn, creditor, amount_minor, self.settings.currency)
        return order_of(number, asked, self.settings.currency)

    def _question(self, form: Form, order: Order, quote: QuoteAnswer | None) -> Response:
        asks_first = self.settings.style == "asks_first"
        said, may_send = _advice(quote, asks_first)
        fee = quote.fee_minor if quote else None
        return self._render(
            "confirm.html",
            200,
            amount=amount_text(order.amount_minor, order.currency),
            creditor=quote.creditor_name if quote else None,
            msisdn=msisdn_text(order.creditor_msisdn),
            customer=order.customer,
            fee=amount_text(fee, order.currency) if fee else None,
            said=said,
            may_send=may_send,
            hidden={
                "customer": form.customer,
                "msisdn": form.msisdn,
                "amount": decimal_text(order.amount_minor, order.currency),
                "request_id": order.request_id,
                "creditor": (quote.creditor_name if quote else None) or "",
            },
        )

    def _home(self, status: int, form: Form, problem: str | None) -> Response:
        rows = self.books.reader.execute(
            "SELECT t.*, (SELECT status FROM progress p WHERE p.uetr = t.uetr AND p.status = 'PDNG') AS pending"
            " FROM transfer t ORDER BY debited_ms DESC, rowid DESC LIMIT ?",
            (SHOWN_MAX,),
        ).fetchall()
        transfers = [_shown(row, self.settings.tracking_url) for row in rows]
        return self._render(
            "home.html",
            status,
            form=form,
            problem=problem,
            currency=self.settings.currency,
            customers=self.settings.customers,
            transfers=transfers,
            shown=rows[0]["uetr"] if rows else "",
        )

    def _render(self, template: str, status: int, **values: object) -> Response:
        text = self.rendered.environment.get_template(template).render(
            bank=self.settings.name, css=self.rendered.css, **values
        )
        return Response(status, text.encode(), HTML, self.rendered.headers)


def _fields(request: Request) -> dict[str, str]:
    """The submitted fields; RequestRefused when the form came from another site or cannot be read."""
    origin = request.headers.get("origin")
    elsewhere = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if elsewhere or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RequestRefused("form", "this form is sent from this bank's own page")
    try:
        return request.form()
    except ValueError as error:
        raise RequestRefused("form", "a form in UTF-8 with few fields") from error


def _typed(request: Request) -> Form:
    try:
        fields = request.form()
    except ValueError:
        fields = {}
    return Form(fields.get("customer", ""), fields.get("msisdn", ""), fields.get("amount", ""))


def _form(request: Request) -> Form:
    """The typed fields in the form that an order takes: no spaces, international number, no thousands comma."""
    fields = _fields(request)
    msisdn = re.sub(r"[\s()-]", "", fields.get("msisdn", "")).removeprefix("+")
    if re.fullmatch(r"0[17][0-9]{8}", msisdn, re.ASCII):
        msisdn = COUNTRY_CODE + msisdn[1:]
    amount = fields.get("amount", "").strip()
    if re.fullmatch(r"[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?", amount, re.ASCII):
        amount = amount.replace(",", "")
    return Form(fields.get("customer", "").strip(), msisdn, amount)


def _sentence(error: RequestRefused) -> str:
    return f"Look at the {_FIELDS.get(error.field, error.field)}: {error.rule}."


def _advice(quote: QuoteAnswer | None, asks_first: bool) -> tuple[str, bool]:
    """What to say above Yes and No, and whether Yes is offered."""
    stays = "Your money stays in your account."
    if quote is None:
        if asks_first:
            return f"Transfers to wallets cannot be reached now, so we do not debit. {stays}", False
        return "We cannot show the name now. If you send, it arrives or comes back. Do not send it twice.", True
    if quote.reason is not None:
        text = _REASONS.get(quote.reason, "It would come back.")
        return (f"{text} {stays}", False) if asks_first else (f"{text} If you send, it comes back.", True)
    if quote.answer == "now":
        return "", True
    if asks_first:
        return _REASONS[f"corridor_{quote.answer}"], False
    if quote.final_by_ms is None:
        return "Transfers to wallets wait now. If you send, it arrives or comes back.", True
    by = time_text(quote.final_by_ms, quote.as_of_ms)
    return f"Transfers to wallets wait now. If you send, it arrives or comes back by {by}.", True


def _shown(row: sqlite3.Row, tracking_url: str) -> dict[str, object]:
    now_ms = clock.now_ms()
    state = row["state"]
    at = time_text(row["final_ms"] or row["accepted_ms"] or row["debited_ms"], now_ms)
    match state:
        case "completed":
            words = f"Arrived at {at}"
        case "returned":
            words = f"Back in the account since {at}"
        case "rejected":
            words = f"Not taken; back in the account since {at}"
        case "accepted":
            by = time_text(row["deadline_ms"], now_ms)
            words = f"Held by Hakika; arrives or comes back by {by}"
        case _:
            words = f"Sent at {at}; no answer yet"
    return {
        "uetr": row["uetr"],
        "customer": row["customer"],
        "amount": amount_text(row["amount_minor"], row["currency"]),
        "msisdn": msisdn_text(row["creditor_msisdn"]),
        "state": state,
        "shape": _SHAPES.get(state, _WAITING),
        "words": words,
        "link": f"{tracking_url}/t/{row['tracking']}" if row["tracking"] else None,
    }
