"""The core's APIs over HTTP: the gateway's under /internal, the operator's beside it, a token for each.

Here a request is authenticated, decoded, checked in form and handed to one service; what is wrong is named by
field and rule. Only a stored answer leaves with 200. Busy, not ready, no answer from the database and awaiting
the re-drive are 503: they say nothing about any id.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable

from hakika.channels import core_forms as forms
from hakika.channels.core_forms import as_answers, as_json, decoded, require
from hakika.channels.door import Request, RequestRefused, Response, Route, busy, problem
from hakika.channels.signals import signals_routes
from hakika.domain.ledger import Entry, Kind, Set
from hakika.services.core.customers import PAGE_MAX, is_msisdn
from hakika.services.core.role import AwaitingRedrive, CoreRole, NothingToRedrive
from hakika.services.core.signals import CoreSignals
from hakika.services.flusher import Busy
from hakika.services.signals import HARMLESS
from hakika.store.core.owners import PositionRow
from hakika.store.lane import NoAnswer, StoreFault
from hakika.wire import core_operator as operator
from hakika.wire.core_api import Ids, Instructions, NameQuery, Redriven

Handler = Callable[[Request], Awaitable[Response]]

SESSION = "/internal/session"  # asked twice a second: counted, it would drown what people ask
PAGE_DEFAULT = 50
NAME_MAX = 140


class Tokens:
    """The bearer tokens of the gateway, the operator and the vantages, compared in constant time.

    Without a token of the vantages there is none that would be taken.
    """

    def __init__(self, gateway: str, operator: str, vantage: str = "") -> None:
        named = {"gateway": gateway, "operator": operator, "vantage": vantage}
        self._digests = {who: _digest(f"Bearer {token}") for who, token in named.items() if token}

    def check(self, request: Request, who: str) -> None:
        """RequestRefused 401 unless the request bears the token of `who`."""
        given = _digest(request.headers.get("authorization", ""))
        if not hmac.compare_digest(given, self._digests.get(who, b"")):
            rule = f"Bearer and the {who}'s token"
            challenge = (("www-authenticate", "Bearer"),)
            raise RequestRefused(problem(401, "Not authenticated", "Authorization", rule, headers=challenge))


def routes(core: CoreRole, tokens: Tokens, health_token: str = "") -> list[Route]:
    """Every route of the core; health may ask for signals where it has a token."""
    gateway, staff, vantage = _Gateway(core), _Operator(core), _Vantage(core)

    def route(who: str, method: str, path: str, handler: Handler) -> Route:
        signals = None if path == SESSION else core.signals
        return Route(method, path, _guarded(tokens, who, handler, signals))

    return [
        Route("GET", "/livez", _alive, uncounted=True),
        Route("GET", "/readyz", _readiness(core), uncounted=True),
        *signals_routes("core", core.signals.counts, health_token),
        route("gateway", "POST", "/internal/instructions", gateway.instructions),
        route("gateway", "POST", "/internal/redrive", gateway.redrive),
        route("gateway", "POST", "/internal/redriven", gateway.redriven),
        route("gateway", "POST", "/internal/burns", gateway.burns),
        route("gateway", "POST", "/internal/inquiries", gateway.inquiries),
        route("gateway", "POST", "/internal/names", gateway.names),
        route("gateway", "GET", SESSION, gateway.session),
        route("operator", "POST", "/wallets", staff.open_wallet),
        route("operator", "GET", "/wallets/{msisdn}", staff.wallet),
        route("operator", "POST", "/wallets/{msisdn}/status", staff.set_wallet_status),
        route("operator", "POST", "/positions", staff.open_position),
        route("operator", "GET", "/positions/{bank}", staff.position),
        route("operator", "POST", "/positions/{bank}/fundings", staff.fund),
        route("operator", "GET", "/accounts/{account}", staff.account),
        route("operator", "GET", "/accounts/{account}/entries", staff.entries),
        route("operator", "POST", "/entries", staff.post),
        route("vantage", "GET", "/test-wallets/{msisdn}", vantage.wallet),
    ]


def _guarded(tokens: Tokens, who: str, handler: Handler, signals: CoreSignals | None) -> Handler:
    """Authenticate first; turn what is no answer into 503; count what was answered to those who may ask."""

    async def guarded(request: Request) -> Response:
        tokens.check(request, who)
        reason = "internal"
        status = 500
        try:
            response, reason = await _answered(handler, request)
            status = response.status
        except RequestRefused as refused:
            status = refused.response.status
            raise
        finally:
            if signals is not None:
                with HARMLESS:
                    signals.answered(status, reason, request.params.get("msisdn"), request.body)
        return response

    return guarded


async def _answered(handler: Handler, request: Request) -> tuple[Response, str]:
    """The response, and what it means where it is a 5xx."""
    try:
        return await handler(request), "busy"
    except Busy:
        return busy(), "busy"
    except AwaitingRedrive:
        rule = "after a restore nothing new is posted until then"
        return problem(503, "Awaiting re-drive", rule=rule, headers=(("retry-after", "1"),)), "awaiting_redrive"
    except NothingToRedrive as error:
        return problem(409, "Nothing to re-drive", "incarnation", str(error)), ""
    except NoAnswer:
        return problem(503, "No answer in time", rule="outcome unknown: repeat the same request"), "store_fault"
    except StoreFault:
        return busy("The database cannot be asked"), "store_fault"


async def _alive(request: Request) -> Response:
    return Response(200, b'{"alive":true}')


def _readiness(core: CoreRole) -> Handler:
    async def ready(request: Request) -> Response:
        try:
            session = await core.session()
        except StoreFault:
            return busy("The database cannot be asked")
        return as_json(session) if core.ready else busy("Starting")

    return ready


class _Gateway:
    """What the gateway asks."""

    def __init__(self, core: CoreRole) -> None:
        self._core = core

    async def instructions(self, request: Request) -> Response:
        return as_answers(await self._core.credit(forms.credits(decoded(request, Instructions).instructions)))

    async def redrive(self, request: Request) -> Response:
        return as_answers(await self._core.redrive(forms.credits(decoded(request, Instructions).instructions)))

    async def redriven(self, request: Request) -> Response:
        return as_json(await self._core.redriven(decoded(request, Redriven).incarnation))

    async def burns(self, request: Request) -> Response:
        return as_answers(await self._core.burn(forms.entry_ids(decoded(request, Ids).ids)))

    async def inquiries(self, request: Request) -> Response:
        return as_answers(await self._core.inquire(forms.entry_ids(decoded(request, Ids).ids)))

    async def names(self, request: Request) -> Response:
        query = decoded(request, NameQuery)
        forms.amount(query.amount_minor, "amount_minor")
        forms.currency(query.currency, "currency")
        return as_json(await self._core.customers.name(query))

    async def session(self, request: Request) -> Response:
        return as_json(await self._core.session())


class _Operator:
    """What the operator's people and tools ask."""

    def __init__(self, core: CoreRole) -> None:
        self._core = core
        self._customers = core.customers

    async def open_wallet(self, request: Request) -> Response:
        order = decoded(request, operator.OpenWallet)
        require(is_msisdn(order.msisdn), "msisdn", "E.164 digits without +, of a possible number")
        name = order.name.strip()
        require(0 < len(name) <= NAME_MAX and name.isprintable(), "name", f"1 to {NAME_MAX} printable characters")
        self._served(order.currency)
        row, new = await self._customers.open_wallet(order.msisdn, name, order.currency)
        return as_json(forms.wallet_view(row), 201 if new else 200)

    async def wallet(self, request: Request) -> Response:
        return await self._wallet(forms.digits(request.params["msisdn"], "msisdn"))

    async def set_wallet_status(self, request: Request) -> Response:
        order = decoded(request, operator.WalletStatus)
        msisdn = forms.digits(request.params["msisdn"], "msisdn")
        if not await self._customers.set_wallet_status(msisdn, order.status):
            return problem(404, "No such wallet", "msisdn")
        return await self._wallet(msisdn)

    async def open_position(self, request: Request) -> Response:
        order = decoded(request, operator.OpenPosition)
        forms.bank(order.bank, "bank")
        self._served(order.currency)
        row, new = await self._customers.open_position(order.bank, order.currency)
        return as_json(forms.position_view(row), 201 if new else 200)

    async def position(self, request: Request) -> Response:
        return as_json(forms.position_view(await self._position(request.params["bank"])))

    async def fund(self, request: Request) -> Response:
        order = decoded(request, operator.Funding)
        entry_id = forms.entry_id(order.id, "id")
        forms.amount(order.amount_minor, "amount_minor")
        position = await self._position(request.params["bank"])
        settlement = self._core.settlement_account()
        entry = Entry(entry_id, Kind.POSTED, settlement, position.account, order.amount_minor, position.currency)
        ((answer,),) = await self._core.post([Set((entry,))])
        result = operator.EntryResult(answer.id.hex(), answer.result, answer.code)
        return as_json(result, 200 if answer.result == "posted" else 409)

    async def account(self, request: Request) -> Response:
        row = await self._customers.account(forms.account_number(request.params["account"], "account"))
        if row is None:
            return problem(404, "No such account", "account")
        return as_json(forms.account_view(row))

    async def entries(self, request: Request) -> Response:
        number = forms.account_number(request.params["account"], "account")
        limit = request.query.get("limit", str(PAGE_DEFAULT))
        require(limit.isdigit() and limit.isascii() and 0 < int(limit) <= PAGE_MAX, "limit", f"1 to {PAGE_MAX}")
        before = request.query.get("before")
        lines = await self._customers.statement(
            number, None if before is None else forms.entry_id(before, "before"), int(limit)
        )
        more = bool(lines) and lines[-1].previous is not None
        return as_json(
            operator.StatementView([forms.line_view(one) for one in lines], lines[-1].id.hex if more else None)
        )

    async def post(self, request: Request) -> Response:
        orders = decoded(request, operator.EntrySets).sets
        require(len(orders) <= operator.SETS_MAX, "sets", f"at most {operator.SETS_MAX}")
        sets = [forms.entry_set(order, f"sets[{number}]") for number, order in enumerate(orders)]
        answers = await self._core.post(sets)
        results = [[operator.EntryResult(a.id.hex(), a.result, a.code) for a in answer] for answer in answers]
        return as_json(operator.EntryResults(results))

    async def _wallet(self, msisdn: str) -> Response:
        rows = {row.currency: row for row in await self._customers.wallet(msisdn)}
        if self._core.currency not in rows:
            return problem(404, "No such wallet", "msisdn")
        return as_json(forms.wallet_view(rows[self._core.currency]))

    async def _position(self, bank: str) -> PositionRow:
        rows = {row.currency: row for row in await self._customers.positions(forms.bank(bank, "bank"))}
        if self._core.currency not in rows:
            raise RequestRefused(problem(404, "No such position", "bank"))
        return rows[self._core.currency]

    def _served(self, currency: str) -> None:
        served = self._core.currency
        require(currency == served, "currency", f"{served}, the currency served here")


class _Vantage:
    """What synthetic tests ask: wallets of their own, and no others."""

    def __init__(self, core: CoreRole) -> None:
        self._core = core

    async def wallet(self, request: Request) -> Response:
        msisdn = request.params["msisdn"]
        rows = await self._core.customers.wallet(msisdn) if self._core.signals.is_test(msisdn) else []
        if not rows:
            return problem(404, "No such test wallet", "msisdn")
        return as_json(forms.wallet_view(rows[0]))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
