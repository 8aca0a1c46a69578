"""Feeds as bytes: what is read of Atom and JSON Feed, and everything hostile refused without cost."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika.health.feeds.posts import Post, PostsUnreadable
from hakika.health.feeds.reading import BODY_MAX, DEPTH_MAX, instant_ms, read_feed

AT_MS = 1_795_428_000_000
AT = "2026-11-23T10:00:00Z"

ATOM = f"""<?xml version="1.0" encoding="utf-8"?>
<?xml-stylesheet href="x.xsl"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Town</title><author><name>The town</name></author>
<!-- a comment -->
<entry><title>Hakika is down</title><author><name>amina</name><uri>https://x.example/@amina</uri></author>
<published>{AT}</published>
<content type="html">&lt;p&gt;Can&amp;#39;t &lt;b&gt;send&lt;/b&gt;&lt;/p&gt;</content></entry>
<entry><title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">All <b>well</b></div></title>
<updated>2026-11-23T13:00:00.250+03:00</updated></entry>
<entry><title><![CDATA[<script>alert(1)</script> & more]]></title><published>yesterday</published></entry>
</feed>""".encode()

JSON_FEED: dict[str, Any] = {
    "version": "https://jsonfeed.org/version/1.1",
    "title": "Town",
    "items": [
        {"id": "1", "content_text": "Hakika is down", "date_published": AT, "authors": [{"name": "amina"}], "x": [1]},
        {
            "id": "2",
            "title": "Fine",
            "summary": "Fine",
            "content_html": "<p>Fine &amp; well</p>",
            "author": {"url": "u"},
        },
        {"id": "3"},
    ],
}


def test_atom_is_read() -> None:
    assert read_feed(ATOM) == [
        Post("https://x.example/@amina", "Hakika is down\nCan't send", AT_MS),
        Post("The town", "All well", AT_MS + 250),
        Post("The town", "<script>alert(1)</script> & more", None),
    ]


def test_json_feed_is_read() -> None:
    assert read_feed(json.dumps(JSON_FEED).encode()) == [
        Post("amina", "Hakika is down", AT_MS),
        Post("u", "Fine\nFine & well", None),
        Post("", "", None),
    ]
    assert read_feed(b"\xef\xbb\xbf \n" + json.dumps(JSON_FEED).encode())[0].author == "amina"


def feed(inside: str) -> bytes:
    return f'<feed xmlns="http://www.w3.org/2005/Atom">{inside}</feed>'.encode()


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("html", b"<!doctype html><html></html>"),
    ("rss", b"<rss version='2.0'><channel/></rss>"),
    ("no namespace", b"<feed><entry/></feed>"),
    ("a billion laughs", f'<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY l0 "ha">{LAUGHS}]>&l9;'.encode()),
    ("a file", b'<!DOCTYPE f [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + feed("<title>&x;</title>")),
    ("a host", b'<!DOCTYPE f SYSTEM "http://127.0.0.1:1/x.dtd">' + feed("")),
    ("an entity that nobody declared", feed("<title>&x;</title>")),
    ("a declaration inside", feed("<!ATTLIST a b CDATA #IMPLIED>")),
    ("depth", feed("<a>" * DEPTH_MAX + "</a>" * DEPTH_MAX)),
    ("great depth", feed("<a>" * 100_000)),
    ("size", feed("x" * BODY_MAX)),
    ("not well-formed", feed("<entry>")),
    ("utf-16", feed("").decode().encode("utf-16")),
    ("utf-7", b'<?xml version="1.0" encoding="utf-7"?>+ADw-feed+AD4-'),
    ("not utf-8", feed("").replace(b"2005", b"\xff\xfe")),
    ("nul", feed("<title>\0</title>")),
    ("json of another kind", b'{"version":"1","items":[]}'),
    ("json without items", b'{"version":"https://jsonfeed.org/version/1.1"}'),
    ("json of wrong types", b'{"version":"https://jsonfeed.org/version/1.1","items":[{"authors":7}]}'),
    ("deep json", b'{"version":"https://jsonfeed.org/version/1.1","items":' + b"[" * 400_000),
    ("deep json that is skipped", b'{"x":' + b"[" * 400_000),
    ("cut json", json.dumps(JSON_FEED).encode()[:-1]),
    ("surrogates", b'{"version":"https://jsonfeed.org/version/1.1","items":[{"title":"\\ud800"}]}'),
]


@pytest.mark.parametrize(("what", "body"), HOSTILE, ids=[what for what, _ in HOSTILE])
def test_what_is_no_feed_is_refused_without_cost(what: str, body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(PostsUnreadable):
        read_feed(body)
    assert time.process_time() - began < 1.0


def test_a_hundred_thousand_entries_cost_little() -> None:
    began = time.process_time()
    assert len(read_feed(feed("<entry/>" * 100_000))) == 100_000
    assert time.process_time() - began < 5.0


def test_tags_that_never_end_cost_little() -> None:
    began = time.process_time()
    for content in ("<" * 400_000, "&lt;" * 200_000, "<a " * 100_000):
        item = {"content_html": content}
        read_feed(json.dumps({"version": "https://jsonfeed.org/version/1", "items": [item]}).encode())
    assert time.process_time() - began < 2.0


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for whole in (body, b"{" + body, b'<feed xmlns="http://www.w3.org/2005/Atom">' + body + b"</feed>"):
        try:
            read_feed(whole)
        except PostsUnreadable:
            continue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (AT, AT_MS),
        (" 2026-11-23T12:00:00+02:00\n", AT_MS),
        ("2026-11-23T10:00:00", None),
        ("2026-11-23", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-45T99:99:99Z", None),
        ("٢٠٢٦-11-23T10:00:00Z", None),
        ("", None),
    ],
)
def test_instants_with_a_zone_and_no_others(text: str, expected: int | None) -> None:
    assert instant_ms(text) == expected
