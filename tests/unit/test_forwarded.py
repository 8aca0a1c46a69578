"""The address that counts: only a proxy of ours is believed, and only about what it saw itself."""

import pytest

from hakika.channels.door import Request
from hakika.channels.web.forwarded import client_of


@pytest.mark.parametrize(
    ("proxies", "peer", "header", "expected"),
    [
        ([], "203.0.113.1", "1.2.3.4", "203.0.113.1"),
        (["10.0.0.0/8"], "203.0.113.1", "1.2.3.4", "203.0.113.1"),
        (["10.0.0.0/8"], "10.0.0.1", "1.2.3.4", "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", "9.9.9.9, 1.2.3.4", "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", "9.9.9.9, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", "", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "<script>", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "1.2.3.4, nonsense, 10.0.0.2", "10.0.0.2"),
        (["10.0.0.0/8"], "10.0.0.1", ", ".join(["1.1.1.1"] * 50 + ["10.0.0.9"] * 50), "10.0.0.9"),
        (["10.0.0.0/8"], "10.0.0.1", "2001:db8:7:8::1", "2001:db8:7:8::/64"),
        (["2001:db8::/32"], "2001:db8::1", "1.2.3.4", "1.2.3.4"),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        (["10.0.0.0/8"], "not an address", "1.2.3.4", "not an address"),
    ],
)
def test_who_is_asked_for(proxies: list[str], peer: str, header: str, expected: str) -> None:
    request = Request("POST", "/report", {}, {"x-forwarded-for": header}, b"", peer, {})
    assert client_of(proxies)(request) == expected
