"""The headers of every answer under /t/: nothing runs, nothing is fetched, nothing is kept, nobody frames it.

A tracking link is a secret: it is sent to no other site (Referrer-Policy), stored by no cache and listed by no
search engine. The one stylesheet is allowed by its hash, so that injected style is as dead as injected script.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files

Headers = tuple[tuple[str, str], ...]

_PRIVATE: Headers = (
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-robots-tag", "noindex, nofollow, noarchive"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
)


@cache
def stylesheet() -> str:
    """The stylesheet as it stands between <style> and </style>: comments and indentation taken out."""
    text = files(__package__).joinpath("templates", "style.css").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "".join(line for line in lines if line and not line.startswith("/*"))


@cache
def content_security_policy() -> str:
    """Nothing by default; the stylesheet by its SHA-256, the mark in the browser's tab as a data: image."""
    digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page_headers(language: str) -> Headers:
    """Headers of a page in `language`."""
    csp = ("content-security-policy", content_security_policy())
    varies = ("vary", "accept, accept-language")
    return (csp, ("content-language", language), varies, *_PRIVATE)


def json_headers() -> Headers:
    """Headers of the JSON form."""
    csp = ("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
    return (csp, ("vary", "accept, accept-language"), *_PRIVATE)
