"""Who may see the operator's screens: the operator's token once, then a signed cookie, and a token in every form.

The cookie holds a name and when it ends, signed with a key derived from the operator token: whoever changes the token
ends all sessions. It is HttpOnly, SameSite=Strict and, behind https, Secure. Every form carries a word made from
the cookie, so that another site cannot send one. Guessing is slowed down for each address and for all together; the
budget is taken before the token is compared, in constant time.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from hakika.channels.door import Headers, Request, RequestRefused, problem
from hakika.channels.web.limiter import Limiter, client_key

COOKIE = "hakika_operator"
LASTS_MS = 12 * 3_600_000
FIELDS_MAX = 60
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}", re.ASCII)
_COOKIE = re.compile(r"([A-Za-z0-9._-]{1,60})~([0-9]{1,15})~([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """A person at the operator's screens until `ends_ms`; `csrf` is what its forms carry."""

    name: str
    ends_ms: int
    csrf: str


class Sessions:
    """Opens and recognises sessions."""

    def __init__(self, token: str, *, secure: bool, path: str) -> None:
        """`secure` where the screens are served over https; the cookie is sent to `path` alone."""
        self._token = token.encode()
        self._key = hmac.digest(self._token, b"operator session", hashlib.sha256)
        self._flags = f"; Path={path}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
        self._tries = Limiter(rate_per_s=0.1, burst=10, clients_max=5_000)
        self._all_tries = Limiter(rate_per_s=1.0, burst=60, clients_max=1)

    def log_in(self, request: Request, token: str, name: str, now_ms: int, now_s: float) -> Session | None:
        """A session for whoever has the token; None for others. Raises RequestRefused 429 for who guesses."""
        client = client_key(request.client)
        wait_s = self._tries.take(client, now_s) or self._all_tries.take("everybody", now_s)
        if wait_s:
            retry = (("retry-after", str(int(wait_s) + 1)),)
            raise RequestRefused(problem(429, "Too many attempts", rule="wait before you try again", headers=retry))
        right = hmac.compare_digest(token.encode(), self._token)
        if not right or not _NAME.fullmatch(name):
            return None
        return self._session(name.replace(" ", "."), now_ms + LASTS_MS)

    def of(self, request: Request, now_ms: int) -> Session | None:
        """The session of a request; None without one, or with one that has ended or was made up."""
        for part in request.headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            found = _COOKIE.fullmatch(value) if name == COOKIE else None
            if found is None:
                continue
            session = self._session(found[1], int(found[2]))
            if hmac.compare_digest(found[3], self._signature(session)) and now_ms < session.ends_ms:
                return session
        return None

    def cookie(self, session: Session, now_ms: int) -> Headers:
        """The header that gives a browser its session."""
        value = f"{session.name}~{session.ends_ms}~{self._signature(session)}"
        age_s = max(0, (session.ends_ms - now_ms) // 1000)
        return (("set-cookie", f"{COOKIE}={value}; Max-Age={age_s}{self._flags}"),)

    def no_cookie(self) -> Headers:
        """The header that takes it away."""
        return (("set-cookie", f"{COOKIE}=; Max-Age=0{self._flags}"),)

    def _session(self, name: str, ends_ms: int) -> Session:
        csrf = hmac.new(self._key, f"form~{name}~{ends_ms}".encode(), hashlib.sha256).hexdigest()
        return Session(name, ends_ms, csrf)

    def _signature(self, session: Session) -> str:
        return hmac.new(self._key, f"cookie~{session.name}~{session.ends_ms}".encode(), hashlib.sha256).hexdigest()


def form_fields(request: Request) -> Mapping[str, list[str]]:
    """The fields of a posted form, each with all of its values."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise RequestRefused(problem(415, "Not a form", "Content-Type", "application/x-www-form-urlencoded"))
    try:
        pairs = parse_qsl(
            request.body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict", separator="&"
        )
    except ValueError as error:
        raise RequestRefused(problem(400, "Unreadable form", rule="UTF-8, few fields")) from error
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def checked(fields: Mapping[str, list[str]], session: Session) -> None:
    """Refuse a form that this session's pages did not make."""
    given = fields.get("csrf", [""])[0]
    if not hmac.compare_digest(given.encode(), session.csrf.encode()):
        raise RequestRefused(problem(403, "The form is not from this session", rule="load the page again"))
