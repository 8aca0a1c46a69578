"""Where evidence from outside arrives: signed results of vantages, customers' reports, batches of banks' desks.

Each is authenticated by what it can be: a vantage by its key over the raw bytes, a desk by its bank's token, a person
by nothing at all, who therefore counts once an hour by address and never opens an incident alone (that is the judge's
rule). What is forged, malformed or too much ends as a count by kind and in an answer that says no more than it must.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Coroutine, Mapping
from math import ceil
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hakika import clock
from hakika.channels.door import Headers, Request, Response, Route, busy, problem
from hakika.channels.web.catalogue import Language, chosen_language
from hakika.channels.web.limiter import Limiter
from hakika.channels.web.report_page import Answer, Asked, ReportPage, report_headers
from hakika.services.health.evidence import Evidence, Refused, Source
from hakika.store.lane import StoreFault
from hakika.wire.health_api import (
    DESK_REPORTS_A_MESSAGE,
    PROBES_A_MESSAGE,
    DeskReport,
    DeskReports,
    DeskTaken,
    ProbeReports,
    ProbesTaken,
)
from hakika.wire.jws import SignatureRefused, verify_detached

T = TypeVar("T")

PROBES_BODY_MAX = 64_000
DESK_BODY_MAX = 512_000
FORM_BODY_MAX = 2_000
FORM_FIELDS_MAX = 8
SIGNED_WITHIN_S = 60
CUSTOMER_CHARS_MAX = 64
DESK_OLD_MS = 3_600_000
AHEAD_MS = 60_000
CLIENTS_MAX = 20_000
EVERYBODY = "everybody"
HTML = "text/html; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")


class EvidenceChannel:
    """The routes of one health role."""

    def __init__(
        self,
        evidence: Evidence,
        page: ReportPage,
        *,
        keys: Mapping[str, tuple[str, Ed25519PublicKey]],
        desks: Mapping[str, str],
        unsure: str,
        client: Callable[[Request], str],
        closer: Callable[[], Collection[str]] = tuple,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`keys` are vantage and key by kid, `desks` tokens by bank, `unsure` the component of who does not know.

        `closer` tells which components the judge doubts, for the vantages; `on_failed` is called when a test that
        failed is stored, and must return at once.
        """
        self._evidence = evidence
        self._page = page
        self._keys = dict(keys)
        self._desks = {bank: _digest(f"Bearer {token}") for bank, token in desks.items()}
        self._unsure = unsure
        self._client = client
        self._closer = closer
        self._on_failed = on_failed
        self._named = {_NOT_IN_IDS.sub("-", one): one for one in evidence.components}  # as the status page names them
        self._reports = Limiter(rate_per_s=0.1, burst=20.0, clients_max=CLIENTS_MAX)
        self._all_reports = Limiter(rate_per_s=200.0, burst=1_000.0, clients_max=1)
        self._looks = Limiter(rate_per_s=20.0, burst=100.0, clients_max=CLIENTS_MAX)
        self._refusals = Limiter(rate_per_s=1.0, burst=20.0, clients_max=CLIENTS_MAX)
        self._vantages = Limiter(rate_per_s=2.0, burst=30.0, clients_max=max(1, len(self._keys)))

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """The loop that adds up what was refused."""
        return [self._evidence.run()]

    def routes(self) -> list[Route]:
        """Every route for evidence."""
        return [
            Route("POST", "/probes", self.probes, body_max=PROBES_BODY_MAX),
            Route("POST", "/desk-reports", self.desk_reports, body_max=DESK_BODY_MAX),
            Route("GET", "/report", self.form, body_max=0),
            Route("POST", "/report", self.report, body_max=FORM_BODY_MAX),
        ]

    # --- vantages

    async def probes(self, request: Request) -> Response:
        """Results of one vantage, signed over the raw body; without any it only asks what to look at."""
        try:
            header = request.headers.get("x-jws-signature")
            verified = verify_detached(header, request.body, self._key, clock.now_ms() // 1000, SIGNED_WITHIN_S)
        except SignatureRefused as refused:
            return self._unknown_caller(request, Refused.PROBE_SIGNATURE, refused.code, "X-JWS-Signature", refused.rule)
        vantage, _ = self._keys[verified.kid]
        if wait_s := self._vantages.take(vantage, clock.monotonic_s()):
            self._evidence.refuse(Refused.PROBE_FLOOD)
            return problem(429, "Too many messages of this vantage", headers=_retry(wait_s))
        sent = self._decoded(request, ProbeReports, Refused.PROBE_FORM)
        if isinstance(sent, Response):
            return sent
        if sent.vantage != vantage:
            rule = f"the vantage that signed, {vantage}"
            return self._unknown_caller(request, Refused.PROBE_VANTAGE, "vantage", "vantage", rule)
        if len(sent.results) > PROBES_A_MESSAGE:
            self._evidence.refuse(Refused.PROBE_FORM)
            return problem(400, "Malformed request", "results", f"at most {PROBES_A_MESSAGE}")
        try:
            stored, refused_count = await self._evidence.take_probes(vantage, sent.results)
        except StoreFault:
            return busy("Not stored: send the same results again")
        if stored and not all(result.ok for result in sent.results):
            self._on_failed()
        return _json(ProbesTaken(stored, refused_count, sorted(self._closer())))

    def _key(self, kid: str) -> Ed25519PublicKey | None:
        known = self._keys.get(kid)
        return known[1] if known else None

    # --- desks

    async def desk_reports(self, request: Request) -> Response:
        """A batch of what customers told a bank's help desk."""
        bank = self._desk(request)
        if bank is None:
            rule = "Bearer and the token of a bank's desk"
            return self._unknown_caller(request, Refused.DESK_TOKEN, "token", "Authorization", rule)
        sent = self._decoded(request, DeskReports, Refused.DESK_FORM)
        if isinstance(sent, Response):
            return sent
        if len(sent.reports) > DESK_REPORTS_A_MESSAGE:
            self._evidence.refuse(Refused.DESK_FORM)
            return problem(400, "Malformed request", "reports", f"at most {DESK_REPORTS_A_MESSAGE}")
        said, refused = [], 0
        now_ms = clock.now_ms()
        for one in sent.reports:
            why = self._desk_refusal(bank, one, now_ms)
            if why is None:
                said.append((one.component, self._evidence.customer(bank, one.customer)))
            else:
                refused += 1
                self._evidence.refuse(why)
        try:
            taken = await self._evidence.take_reports(Source.DESK, self._evidence.of_desk(bank), said)
        except StoreFault:
            return busy("Not stored: send the same reports again")
        return _json(DeskTaken(taken.stored, taken.again, refused + taken.over))

    def _desk(self, request: Request) -> str | None:
        """The bank whose desk asks; every token is compared, in constant time."""
        given = _digest(request.headers.get("authorization", ""))
        found = [bank for bank, token in self._desks.items() if hmac.compare_digest(given, token)]
        return found[0] if found else None

    def _desk_refusal(self, bank: str, report: DeskReport, now_ms: int) -> Refused | None:
        """Why a desk's report does not count: a desk speaks about its own corridor and what all banks share."""
        if not 0 < len(report.customer) <= CUSTOMER_CHARS_MAX:
            return Refused.DESK_FORM
        kind, _, name = report.component.partition(":")
        if report.component not in self._evidence.components or (kind == "corridor" and name != bank):
            return Refused.DESK_COMPONENT
        if report.at_ms is not None and not now_ms - DESK_OLD_MS <= report.at_ms <= now_ms + AHEAD_MS:
            return Refused.DESK_OLD
        return None

    # --- people

    async def form(self, request: Request) -> Response:
        """The form itself."""
        asked = self._asked(request, request.query, request.query.get("lang"))
        if wait_s := self._looks.take(self._client(request), clock.monotonic_s()):
            return _page(self._page.answer(asked, Answer.BUSY), asked.language, 429, _retry(wait_s))
        return _page(self._page.form(asked), asked.language)

    async def report(self, request: Request) -> Response:
        """One person says that something does not work; fields that we do not know are not looked at."""
        fields = _fields(request)
        asked = self._asked(request, fields or {}, (fields or {}).get("language"))
        client = self._client(request)
        now_s = clock.monotonic_s()
        if wait_s := self._reports.take(client, now_s) or self._all_reports.take(EVERYBODY, now_s):
            self._evidence.refuse(Refused.REPORT_FLOOD)
            return _page(self._page.answer(asked, Answer.BUSY), asked.language, 429, _retry(wait_s))
        component = asked.component or self._unsure
        if fields is None or component not in self._evidence.components:
            self._evidence.refuse(Refused.REPORT_FORM if fields is None else Refused.REPORT_COMPONENT)
            return _page(self._page.answer(asked, Answer.UNKNOWN), asked.language, 400)
        person, network = self._evidence.by_address(client)
        source = Source.TRACKING_PAGE if asked.tracking else Source.STATUS_PAGE
        try:
            await self._evidence.take_reports(source, network, [(component, person)])
        except StoreFault:
            return _page(self._page.answer(asked, Answer.LATER), asked.language, 503, _retry(60))
        return _page(self._page.answer(asked, Answer.COUNTED), asked.language)

    def _asked(self, request: Request, fields: Mapping[str, str], language: str | None) -> Asked:
        return Asked(
            chosen_language(language, request.headers.get("accept-language")),
            self._named.get(fields.get("component", ""), fields.get("component", "")),
            fields.get("from") == "tracking",
        )

    # --- what all share

    def _unknown_caller(self, request: Request, why: Refused, code: str, field: str, rule: str) -> Response:
        """401, or 429 for an address that goes on and on; counted either way."""
        self._evidence.refuse(why)
        if wait_s := self._refusals.take(self._client(request), clock.monotonic_s()):
            return problem(429, "Too many refused requests", headers=_retry(wait_s))
        return problem(401, "Not authenticated", field, rule, code=code)

    def _decoded(self, request: Request, kind: type[T], why: Refused) -> T | Response:
        try:
            return msgspec.json.decode(request.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._evidence.refuse(why)
            return problem(400, "Malformed request", "body", str(error)[:200])


def _fields(request: Request) -> dict[str, str] | None:
    """The fields of a submitted form, the first of each name; None where it is not a form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return None
    try:
        text = request.body.decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict")
    except ValueError:
        return None
    return dict(reversed(pairs))


def _page(body: bytes, language: Language, status: int = 200, more: Headers = ()) -> Response:
    return Response(status, body, HTML, (*report_headers(language), *more))


def _json(content: msgspec.Struct) -> Response:
    return Response(200, msgspec.json.encode(content))


def _retry(wait_s: float) -> Headers:
    return (("retry-after", str(max(1, ceil(wait_s)))),)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
