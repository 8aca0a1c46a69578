"""From the bytes of a feed to posts: Atom and JSON Feed, told apart by their first sign; pure.

Everything hostile ends here. XML has no DOCTYPE and no declaration of any kind, so there are no entities to expand; it
is UTF-8, bounded in tags and depth, and its parser knows no network. JSON is decoded into what is needed and nothing
else. What is not understood of a post (author, date) is left empty; what is not a feed is refused as a whole.
"""

import html
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from lxml import etree

from hakika.health.feeds.posts import Post, PostsUnreadable

BODY_MAX = 1_000_000
DEPTH_MAX = 32
TAGS_MAX = 250_000  # start and end tags: as many as fit, for who sends many entries is counted and not refused
TEXT_MAX = 4_000
NAME_MAX = 200
ATOM = "http://www.w3.org/2005/Atom"
YEARS = range(1990, 9999)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECLARED = re.compile(rb"<!(?!--|\[CDATA\[)")
_TAG = re.compile(r"<[^<>]{0,2000}>")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (DEPTH_MAX + 1) + ")")
_PARSER = etree.XMLParser(
    resolve_entities=False,
    load_dtd=False,
    dtd_validation=False,
    no_network=True,
    huge_tree=False,
    recover=False,
    remove_comments=True,
    remove_pis=True,
    collect_ids=False,
    encoding="utf-8",
)


class _Author(msgspec.Struct):
    name: str = ""
    url: str = ""


class _Item(msgspec.Struct):
    title: str | None = None
    summary: str | None = None
    content_text: str | None = None
    content_html: str | None = None
    date_published: str | None = None
    authors: list[_Author] | None = None
    author: _Author | None = None


class _Feed(msgspec.Struct):
    version: str
    items: list[_Item]
    authors: list[_Author] | None = None
    author: _Author | None = None


def read_feed(body: bytes) -> list[Post]:
    """Every post of a feed, in its order. Raises PostsUnreadable."""
    if len(body) > BODY_MAX:
        raise PostsUnreadable(f"a feed has at most {BODY_MAX} bytes")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PostsUnreadable("a feed is UTF-8") from error
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return _json_feed(start) if start.startswith(b"{") else _atom(start)


def _json_feed(body: bytes) -> list[Post]:
    try:
        feed = msgspec.json.decode(body, type=_Feed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PostsUnreadable(f"not a JSON Feed: {str(error)[:200]}") from error
    if not feed.version.startswith("https://jsonfeed.org/version/"):
        raise PostsUnreadable("version is one of jsonfeed.org")
    shared = _author_of(feed.authors, feed.author)
    return [
        Post(
            _author_of(item.authors, item.author) or shared,
            _joined(item.title, item.summary, item.content_text, _bare(item.content_html)),
            instant_ms(item.date_published or ""),
        )
        for item in feed.items
    ]


def _author_of(authors: Sequence[_Author] | None, author: _Author | None) -> str:
    """The first author's address, else name: names are chosen, addresses given."""
    named: list[_Author] = [*(authors or ()), *([author] if author else ())]
    return next((one.url or one.name for one in named if one.url or one.name), "")[:NAME_MAX]


def _atom(body: bytes) -> list[Post]:
    if b"\0" in body or _DECLARED.search(body):
        raise PostsUnreadable("XML without DOCTYPE, entities or other declarations")
    if body.count(b"<") > TAGS_MAX:
        raise PostsUnreadable(f"at most {TAGS_MAX} tags")
    try:
        root = etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        raise PostsUnreadable("one well-formed XML document") from error
    if root.tag != f"{{{ATOM}}}feed":
        raise PostsUnreadable("an Atom feed (RFC 4287) or a JSON Feed")
    if _TOO_DEEP(root.getroottree()):
        raise PostsUnreadable(f"elements are nested at most {DEPTH_MAX} deep")
    shared = _person(root)
    return [
        Post(
            _person(entry) or shared,
            _joined(*(_text(entry.find(f"{{{ATOM}}}{name}")) for name in ("title", "summary", "content"))),
            instant_ms(entry.findtext(f"{{{ATOM}}}published") or entry.findtext(f"{{{ATOM}}}updated") or ""),
        )
        for entry in root.iterchildren(f"{{{ATOM}}}entry")
    ]


def _person(element: etree._Element) -> str:
    author = element.find(f"{{{ATOM}}}author")
    if author is None:
        return ""
    found = author.findtext(f"{{{ATOM}}}uri") or author.findtext(f"{{{ATOM}}}name") or ""
    return found.strip()[:NAME_MAX]


def _text(element: etree._Element | None) -> str:
    """The words of a text construct (RFC 4287, 3.1): plain, escaped HTML, or XHTML."""
    if element is None:
        return ""
    whole = "".join(str(part) for part in element.itertext())
    return _bare(whole) if element.get("type") == "html" else whole


def _bare(text: str | None) -> str:
    return html.unescape(_TAG.sub(" ", (text or "")[: 4 * TEXT_MAX]))


def _joined(*parts: str | None) -> str:
    """Title and content as sentences; one that the other begins with is said once."""
    told: list[str] = []
    for part in parts:
        words = " ".join((part or "")[:TEXT_MAX].split())
        if words and not any(words == one or one.startswith(words) for one in told):
            told.append(words)
    return "\n".join(told)[:TEXT_MAX]


def instant_ms(text: str) -> int | None:
    """An instant of RFC 3339 in milliseconds since 1970 UTC; None where it is none."""
    stripped = text.strip()
    if _DATE.fullmatch(stripped) is None:
        return None
    try:
        moment = datetime.fromisoformat(stripped)
        if moment.year not in YEARS:
            return None
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None
