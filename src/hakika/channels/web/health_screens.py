"""The operator's screens: what is open and on what evidence, what the public reads, and the forms to act.

Server-rendered, no script, one stylesheet under its hash. Everything needs a session (`operator/session.py`); every
form carries its session's word and an id under which it counts once, so a form sent twice is one act. Acting is left
to `health/operating.py`, which may refuse; the refusal is told on the page that the form came from. While our own
database does not answer, the screens say so and change nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hakika import clock
from hakika.channels.door import Headers, Request, RequestRefused, Response, Route, problem
from hakika.channels.web.operator.render import HTML, headers, rendered
from hakika.channels.web.operator.session import Session, Sessions, checked, form_fields
from hakika.channels.web.operator.view import View
from hakika.channels.web.operator.words import words
from hakika.health.incident import Incident, Refusal
from hakika.health.naming import Named
from hakika.health.operating import Form, Operating, Outcome
from hakika.health.page.model import Language
from hakika.health.page.place import PageSettings
from hakika.health.publishing import Publishing
from hakika.health.regulator import Report, report_of, to_csv
from hakika.store.health import evidence, statements
from hakika.store.lane import Lanes, StoreFault

log = logging.getLogger(__name__)

BASE = "/operator"
BODY_MAX = 20_000
READ_S = 3.0
DAY_MS = 86_400_000
LIVE_S = 10
LANGUAGES = tuple(language.value for language in Language)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request of somebody who has logged in."""

    request: Request
    session: Session
    language: Language
    view: View
    fields: Mapping[str, Sequence[str]]

    def field(self, name: str) -> str:
        """The one value of a field, or nothing."""
        return next(iter(self.fields.get(name, ())), "").strip()


Page = Callable[[_Asked], Awaitable[Response]]


class Screens:
    """The part of health that an operator sees."""

    def __init__(
        self,
        lanes: Lanes,
        publishing: Publishing,
        operating: Operating,
        names: Named,
        settings: PageSettings,
        *,
        token: str,
        operator: str,
    ) -> None:
        self._lanes = lanes
        self._publishing = publishing
        self._operating = operating
        self._names = names
        self._settings = settings
        self._operator = operator
        self._zone = ZoneInfo(settings.zone)
        self._sessions = Sessions(token, secure=settings.base_url.startswith("https://"), path=BASE)

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """None: screens answer."""
        return []

    def routes(self) -> list[Route]:
        """Every screen and every form."""

        def get(path: str, page: Page) -> Route:
            return Route("GET", BASE + path, self._guarded(page, form=False), body_max=0)

        def post(path: str, page: Page) -> Route:
            return Route("POST", BASE + path, self._guarded(page, form=True), body_max=BODY_MAX)

        return [
            get("", self._list),
            get("/incidents/{id}", self._incident),
            post("/incidents/{id}", self._act),
            get("/incidents/{id}/report", self._report),
            get("/incidents/{id}/report.csv", self._report_csv),
            get("/open", self._open_form),
            post("/open", self._open),
            get("/work", self._work_form),
            post("/work", self._work),
            Route("POST", BASE + "/login", self._log_in, body_max=BODY_MAX),
            post("/logout", self._log_out),
        ]

    # --- who asks

    def _guarded(self, page: Page, *, form: bool) -> Callable[[Request], Awaitable[Response]]:
        async def handler(request: Request) -> Response:
            language = _language(request)
            now_ms = clock.now_ms()
            session = self._sessions.of(request, now_ms)
            if session is None:
                return self._log_in_page(request, language, 401 if form else 200)
            fields = form_fields(request) if form else {}
            if form:
                checked(fields, session)
            try:
                known = await self._publishing.look(now_ms)
                view = View(known, self._publishing.model(known), self._names, language, self._settings.zone)
                return await page(_Asked(request, session, language, view, fields))
            except StoreFault as fault:
                log.warning("an operator's screen: %s", fault)
                text = words(language)["not_known"]
                return self._shown("down.html", language, session, {"text": text}, request, status=503)

        return handler

    def _log_in_page(self, request: Request, language: Language, status: int = 200, wrong: str = "") -> Response:
        return self._shown("login.html", language, None, {"wrong": wrong}, request, status=status)

    async def _log_in(self, request: Request) -> Response:
        language = _language(request)
        fields = form_fields(request)
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none"):
            raise RequestRefused(problem(403, "The form is from another site"))
        now_ms = clock.now_ms()
        token, name = (fields.get(key, [""])[0].strip() for key in ("token", "name"))
        session = self._sessions.log_in(request, token, name, now_ms, clock.monotonic_s())
        if session is None:
            return self._log_in_page(request, language, 403, words(language)["log_in_wrong"])
        return _see(BASE, language, self._sessions.cookie(session, now_ms))

    async def _log_out(self, asked: _Asked) -> Response:
        return _see(BASE, asked.language, self._sessions.no_cookie())

    # --- what is seen

    async def _list(self, asked: _Asked) -> Response:
        view, now_ms = asked.view, asked.view.known.at_ms
        refused = await self._lanes.run(
            lambda conn: evidence.refused(conn, since_ms=now_ms - DAY_MS), deadline_s=READ_S
        )
        said = await self._lanes.run(statements.last_changes, deadline_s=READ_S)
        values = {
            "open_ones": view.listed(open_=True),
            "closed_ones": view.listed(open_=False),
            "parts": view.parts(),
            "trouble": self._publishing.trouble is not None,
            "page": view.trouble(self._publishing.trouble, self._publishing.published_ms),
            "refused": [
                (view.wording.refused(one.kind), view.hour(one.hour_ms), view.voice.number(one.times))
                for one in refused
            ],
            "said": [
                (one.bank, one.decision, view.time(one.issued_ms), view.time(one.acknowledged_ms)) for one in said
            ],
        }
        return self._page("list.html", asked, values)

    async def _incident(self, asked: _Asked) -> Response:
        return self._incident_page(asked, self._found(asked))

    def _incident_page(
        self, asked: _Asked, incident: Incident, *, refusal: str = "", preview: Mapping[str, str] | None = None
    ) -> Response:
        view = asked.view
        caught = view.known.caught.get(incident.id)
        tone, icon = view.tone(incident)
        listed = view.public(incident)
        oldest_ms = max((one.figures.oldest_ms for name, one in view.known.seen.readings.items()
                         if name in incident.components), default=0)  # fmt: skip
        values = {
            "it": incident,
            "tone": tone,
            "icon": icon,
            "title": next((one.told for one in listed if one.language is asked.language), None),
            "since": view.fill(
                "since", since=view.voice.time(incident.start_ms), found=view.time(incident.detected_ms)
            ),
            "closed": view.fill("closed_at", closed=view.time(incident.closed_ms)) if incident.closed_ms else "",
            "cause": view.fill("cause", cause=view.wording.cause(incident.cause)),
            "cause_only": view.wording.cause(incident.cause),
            "seen": view.fill("seen_by", at=view.time(incident.acknowledged_ms)) if incident.acknowledged_ms else "",
            "published": view.known.published_ms.get(incident.id),
            "parts": view.parts(incident.components),
            "ticks": view.ticks(incident),
            "caught": caught,
            "oldest": view.voice.duration(oldest_ms // 1000) if caught and caught.held else "",
            "picture": view.picture(incident),
            "public": listed,
            "preview": view.public(incident, preview) if preview else [],
            "written": preview or {},
            "history": view.history(incident),
            "others": view.others(incident),
            "choices": view.choices(),
            "start": _local(incident.start_ms, self._zone),
            "refusal": refusal,
            "path": f"{BASE}/incidents/{incident.id.hex}",
        }
        return self._page("incident.html", asked, values, status=409 if refusal else 200)

    async def _report(self, asked: _Asked) -> Response:
        incident = self._found(asked)
        report = await self._reported(asked, incident)
        figures, events = asked.view.report(report, incident)
        values = {"report": report, "figures": figures, "events": events}
        return self._page("report.html", asked, {**values, "path": f"{BASE}/incidents/{incident.id.hex}"})

    async def _report_csv(self, asked: _Asked) -> Response:
        incident = self._found(asked)
        report = await self._reported(asked, incident)
        name = f"{report.incident}-{'final' if report.final else 'draft'}.csv"
        own = (("content-disposition", f'attachment; filename="{name}"'), ("cache-control", "no-store"))
        return Response(200, to_csv(report), "text/csv; charset=utf-8", (*own, ("x-content-type-options", "nosniff")))

    async def _reported(self, asked: _Asked, incident: Incident) -> Report:
        measured = await self._publishing.measured(incident, asked.view.known)
        names = {one: self._names.operators_name(one) for one in incident.components}
        return report_of(incident, measured, names, operator=self._operator, zone=self._settings.zone)

    async def _open_form(self, asked: _Asked) -> Response:
        return self._open_page(asked)

    def _open_page(self, asked: _Asked, refusal: str = "") -> Response:
        start = asked.field("start") or _local(asked.view.known.at_ms, self._zone)
        values = {"choices": asked.view.choices(), "start": start, "refusal": refusal, "written": _written(asked)}
        chosen = frozenset(asked.fields.get("component", ()))
        return self._page("open.html", asked, {**values, "chosen": chosen}, status=409 if refusal else 200)

    async def _work_form(self, asked: _Asked) -> Response:
        return self._work_page(asked)

    def _work_page(self, asked: _Asked, refusal: str = "") -> Response:
        view = asked.view
        ahead = [
            (row, view.voice.span(row.from_ms, row.to_ms), ", ".join(view.names_of(row.components)))
            for row in view.known.windows
            if row.cancelled_ms is None and row.to_ms > view.known.at_ms
        ]
        values = {
            "choices": view.choices(),
            "ahead": ahead,
            "refusal": refusal,
            "written": _written(asked),
            "chosen": frozenset(asked.fields.get("component", ())),
            "from_": asked.field("from"),
            "to": asked.field("to"),
        }
        return self._page("work.html", asked, values, status=409 if refusal else 200)

    # --- what is done

    async def _act(self, asked: _Asked) -> Response:
        incident = self._found(asked)
        if asked.field("do") == "preview":
            return self._incident_page(asked, incident, preview=_written(asked))
        outcome = await self._done(asked, incident)
        if isinstance(outcome, Refusal):
            return self._incident_page(asked, incident, refusal=asked.view.words[f"refusal_{outcome.value}"])
        return _see(f"{BASE}/incidents/{outcome.incident.hex}", asked.language)

    async def _done(self, asked: _Asked, incident: Incident) -> Outcome:
        form, operating = _form(asked), self._operating
        match asked.field("do"):
            case "acknowledge":
                return await operating.acknowledge(incident.id, form)
            case "words":
                return await operating.write(incident.id, _written(asked), form)
            case "correct":
                components = self._chosen(asked)
                start_ms = self._instant(asked.field("start"))
                # The form shows whole minutes: a start that was not touched stays as exact as it was.
                kept = asked.field("start") == _local(incident.start_ms, self._zone)
                return await operating.correct(
                    incident.id, form, start_ms=None if kept else start_ms, components=components
                )
            case "merge":
                return await operating.merge(incident.id, _uuid(asked.field("into")), form)
            case "resolved":
                return await operating.say_resolved(incident.id, form)
            case _:
                raise RequestRefused(problem(400, "No such act", "do"))

    async def _open(self, asked: _Asked) -> Response:
        try:
            start_ms = min(self._instant(asked.field("start")), clock.now_ms())
        except RequestRefused:
            return self._open_page(asked, asked.view.words["refusal_unreadable"])
        outcome = await self._operating.open_by_hand(
            self._chosen(asked), _written(asked), _form(asked), start_ms=start_ms, out=asked.field("bad") == "out"
        )
        if isinstance(outcome, Refusal):
            return self._open_page(asked, asked.view.words[f"refusal_{outcome.value}"])
        return _see(f"{BASE}/incidents/{outcome.incident.hex}", asked.language)

    async def _work(self, asked: _Asked) -> Response:
        if asked.field("do") == "cancel":
            outcome = await self._operating.cancel(_uuid(asked.field("window")), _form(asked))
        else:
            try:
                from_ms, to_ms = self._instant(asked.field("from")), self._instant(asked.field("to"))
            except RequestRefused:
                return self._work_page(asked, asked.view.words["refusal_unreadable"])
            outcome = await self._operating.announce(
                self._chosen(asked), _written(asked), _form(asked), from_ms=from_ms, to_ms=to_ms
            )
        if isinstance(outcome, Refusal):
            return self._work_page(asked, asked.view.words[f"refusal_{outcome.value}"])
        return _see(f"{BASE}/work", asked.language)

    # --- helpers

    def _found(self, asked: _Asked) -> Incident:
        incident = asked.view.find(_uuid(asked.request.params["id"]))
        if incident is None:
            raise RequestRefused(problem(404, "No incident under this id"))
        return incident

    def _chosen(self, asked: _Asked) -> list[str]:
        """The components that were ticked; one that the settings do not have is refused."""
        chosen = list(asked.fields.get("component", ()))
        if not set(chosen) <= set(self._names.all):
            raise RequestRefused(problem(400, "No such component", "component"))
        return chosen

    def _instant(self, text: str) -> int:
        """`2026-07-27T14:02` on the operator's clocks, as milliseconds."""
        try:
            local = datetime.fromisoformat(text)
        except ValueError as error:
            raise RequestRefused(problem(400, "Unreadable date", rule="as 2026-07-27T14:02")) from error
        return int(local.replace(tzinfo=self._zone).timestamp() * 1000)

    def _page(self, name: str, asked: _Asked, values: Mapping[str, object], status: int = 200) -> Response:
        return self._shown(
            name, asked.language, asked.session, {**values, "view": asked.view}, asked.request, status=status
        )

    def _shown(
        self,
        name: str,
        language: Language,
        session: Session | None,
        values: Mapping[str, object],
        request: Request,
        *,
        status: int = 200,
    ) -> Response:
        live = request.method == "GET" and request.query.get("live") == "1"
        common = {
            "operator": self._operator,
            "session": session,
            "zone": self._settings.zone,
            "public_url": self._settings.base_url,
            "base": BASE,
            "here": request.path if request.method == "GET" else BASE,
            "live": live,
            "live_s": LIVE_S,
            "act": lambda: clock.new_id().hex,  # each form its own
        }
        body = rendered(name, language, {**common, **values})
        return Response(status, body, HTML, headers(language.value))


def _form(asked: _Asked) -> Form:
    return Form(_uuid(asked.field("act")), asked.session.name)


def _written(asked: _Asked) -> dict[str, str]:
    """The operator's words by language; languages without any are left out."""
    return {code: asked.field(code) for code in LANGUAGES if asked.field(code)}


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise RequestRefused(problem(404, "No such id")) from error


def _local(at_ms: int, zone: ZoneInfo) -> str:
    """An instant as a form's field takes it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, zone):%Y-%m-%dT%H:%M}"


def _language(request: Request) -> Language:
    asked = request.query.get("lang")
    if asked in LANGUAGES:
        return Language(asked)
    first = request.headers.get("accept-language", "")[:2].lower()
    return Language(first) if first in LANGUAGES else Language.EN


def _see(path: str, language: Language, extra: Headers = ()) -> Response:
    """Go there with a GET, so that a page loaded again sends nothing again."""
    return Response(
        303, b"", HTML, (("location", f"{path}?lang={language.value}"), ("cache-control", "no-store"), *extra)
    )
