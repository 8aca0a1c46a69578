"""The bank's JSON routes: customers' transfers, look-ups, faults on command, counters.

`POST /control` wants the control token. A 503 to a customer means that it is not known whether the debit is in
the books; the same request id asked again tells. Everything else is answered from the books.
"""

import hmac
import sqlite3
from dataclasses import dataclass

import msgspec

from hakika.counterparties.bookings import OTHER_CONTENT, Debited, NotDebited
from hakika.counterparties.books import Books, BooksBusy, BooksUnanswered
from hakika.counterparties.desk import Desk, Outcome, RequestRefused, TransferRequest, order_of
from hakika.counterparties.door import Request, Response, Route, problem
from hakika.counterparties.faults import CRASH_POINTS, Control, Faults, FaultsRefused
from hakika.counterparties.gateway import Gateway
from hakika.counterparties.polls import Polls
from hakika.counterparties.sender import Sender

AGAIN = (("retry-after", "1"),)
CUSTOMER_DIGITS_MAX = 9


def customer_number(text: str) -> int | None:
    """A customer's number from a path or a form; None when it is not one."""
    plain = text.isascii() and text.isdecimal() and len(text) <= CUSTOMER_DIGITS_MAX
    return int(text) if plain else None


def json_response(status: int, content: object) -> Response:
    """Any msgspec-encodable content as JSON."""
    return Response(status, msgspec.json.encode(content))


@dataclass(frozen=True, slots=True)
class Api:
    """The handlers of one bank."""

    books: Books
    desk: Desk
    sender: Sender
    gateway: Gateway
    polls: Polls | None
    faults: Faults
    currency: str
    tracking_url: str
    control_token: str
    refused: dict[str, int]  # orders that did not debit, by reason, since start

    def routes(self) -> list[Route]:
        """Every JSON route but the gateway's callback."""
        return [
            Route("POST", "/customers/{number}/transfers", self.transfer),
            Route("GET", "/customers/{number}", self.customer),
            Route("GET", "/transfers/{uetr}", self.look_up),
            Route("POST", "/control", self.command),
            Route("GET", "/control", self.commanded),
            Route("GET", "/control/state", self.state),
            Route("GET", "/livez", self.livez),
        ]

    async def livez(self, _: Request) -> Response:
        """The process answers."""
        return Response(200, b'{"status":"live"}')

    async def transfer(self, request: Request) -> Response:
        """Take an order: debited, or not debited with the reason and the corridor's advice."""
        number = customer_number(request.params["number"])
        if number is None:
            return problem(404, "No such customer", "customer", f"1 to {CUSTOMER_DIGITS_MAX} digits")
        try:
            asked = msgspec.json.decode(request.body, type=TransferRequest)
            order = order_of(number, asked, self.currency)
        except msgspec.DecodeError as error:
            return problem(400, "The order cannot be read", _field_of(error), str(error))
        except RequestRefused as error:
            return problem(400, "The order breaks a rule", error.field, error.rule)
        try:
            outcome = await self.desk.pay(order)
        except (BooksBusy, BooksUnanswered, sqlite3.Error):
            rule = "ask again under the same request_id: it is debited once"
            return problem(503, "Not known whether this was debited", "request_id", rule, headers=AGAIN)
        self.faults.crash_point("before_customer_answer")
        return self._answer(outcome)

    def _answer(self, outcome: Outcome) -> Response:
        match outcome.debit:
            case Debited(uetr, end_to_end_id):
                content = {"result": "debited", "uetr": uetr, "end_to_end_id": end_to_end_id}
                return json_response(200, content)
            case NotDebited(reason):
                self.refused[reason] = self.refused.get(reason, 0) + 1
                if outcome.debit == OTHER_CONTENT:
                    rule = "this request_id was debited with other content"
                    return problem(409, "Request id used before", "request_id", rule)
                if reason == "customer_unknown":
                    return problem(404, "No such customer", "customer", "a customer of this bank")
                return json_response(200, {"result": "not_debited", "reason": reason, "advice": outcome.advice})

    async def customer(self, request: Request) -> Response:
        """A customer's balance."""
        number = customer_number(request.params["number"])
        row = self.books.reader.execute(
            "SELECT c.number, c.name, a.balance_minor FROM customer c JOIN account a"
            " ON a.name = 'customer:' || c.number WHERE c.number = ?",
            (number,),
        ).fetchone()
        if row is None:
            return problem(404, "No such customer", "customer", "a customer of this bank")
        return json_response(200, {**dict(row), "currency": self.currency})

    async def look_up(self, request: Request) -> Response:
        """One transfer as it is booked."""
        row = self.books.reader.execute("SELECT * FROM transfer WHERE uetr = ?", (request.params["uetr"],)).fetchone()
        if row is None:
            return problem(404, "No such transfer", "uetr", "a transfer of this bank")
        content = dict(row)
        content["tracking_url"] = f"{self.tracking_url}/t/{row['tracking']}" if row["tracking"] else None
        return json_response(200, content)

    async def command(self, request: Request) -> Response:
        """Put a set of faults in force in place of the present one."""
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.control_token}".encode()):
            rule = "Bearer and this bank's control token"
            return problem(401, "The control token is not right", "Authorization", rule)
        try:
            control = msgspec.json.decode(request.body, type=Control)
            self.faults.replace(control.faults)
        except msgspec.DecodeError as error:
            return problem(400, "The command cannot be read", _field_of(error), str(error))
        except FaultsRefused as error:
            return problem(400, "The command breaks a rule", f"faults.{error.field}", error.rule)
        return await self.commanded(request)

    async def commanded(self, _: Request) -> Response:
        """The faults in force, and every crash point by name."""
        content = {
            "faults": self.faults.commanded,
            "unreachable_for_s": round(self.faults.unreachable_for_s(), 3),
            "crash_points": CRASH_POINTS,
        }
        return json_response(200, content)

    async def state(self, _: Request) -> Response:
        """Counters: the books' are since the books began, the traffic's since this process started."""
        return json_response(200, {**counters(self.books.reader), **self._traffic()})

    def _traffic(self) -> dict[str, object]:
        return {
            "not_debited": self.refused,
            "messages_waiting": self.sender.waiting,
            "not_answers": self.sender.not_answers,
            "polls": self.polls.made if self.polls else 0,
            "gateway_answers": dict(self.gateway.outcomes),
        }


def _field_of(error: msgspec.DecodeError) -> str:
    """msgspec names the place as `$.field` at the end of its text, or a field between backquotes."""
    text, _, place = str(error).partition(" - at `$")
    path = place.strip("`.")
    name = text.partition("field `")[2].partition("`")[0]
    return ".".join(part for part in (path, name) if part) or "body"


_COUNTS = """
SELECT count(*) AS debited,
       count(accepted_ms) AS accepted,
       count(*) FILTER (WHERE state = 'completed') AS completed,
       count(*) FILTER (WHERE state = 'returned') AS returned,
       count(*) FILTER (WHERE state = 'rejected') AS rejected,
       count(*) FILTER (WHERE final_ms IS NULL) AS open,
       count(*) FILTER (WHERE final_ms IS NULL AND accepted_ms IS NULL) AS unsent,
       (SELECT count(*) FROM outbox WHERE answered_ms IS NULL AND kind = 'acknowledgement') AS unacknowledged,
       (SELECT count(*) FROM contradiction) AS contradictions,
       (SELECT count(*) FROM notice) AS notices,
       (SELECT balance_minor FROM account WHERE name = 'in_transit') AS in_transit_minor,
       (SELECT balance_minor FROM account WHERE name = 'position_mirror') AS position_mirror_minor,
       (SELECT sum(balance_minor) FROM account) AS sum_minor
FROM transfer
"""


def counters(reader: sqlite3.Connection) -> dict[str, int]:
    """What the books hold: `debited` and `accepted` count every transfer that ever was, ends count by end.

    `unsent`: debited, neither final nor accepted; `unacknowledged`: returns booked whose answer is not taken yet.
    """
    return dict(reader.execute(_COUNTS).fetchone())
