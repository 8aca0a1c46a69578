"""The operator's templates as bytes, and the headers with which they leave: nothing runs, nothing is kept or framed."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined

from hakika.channels.door import Headers
from hakika.channels.web.operator.words import words
from hakika.health.page.model import Language

HTML = "text/html; charset=utf-8"


@cache
def stylesheet() -> str:
    """The stylesheet as it stands between <style> and </style>."""
    text = files(__package__).joinpath("templates", "operator.css").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "".join(line for line in lines if line and not line.startswith("/*"))


@cache
def content_security_policy() -> str:
    """Nothing by default; the stylesheet by its SHA-256, the mark as a data: image, forms to ourselves."""
    digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


def headers(language: str) -> Headers:
    """Headers of every screen."""
    return (
        ("content-security-policy", content_security_policy()),
        ("content-language", language),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
        ("x-robots-tag", "noindex, nofollow, noarchive"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
    )


def rendered(name: str, language: Language, values: Mapping[str, object]) -> bytes:
    """One screen in one language."""
    text = (
        _environment()
        .get_template(f"operator/{name}")
        .render(
            values,
            w=words(language),
            language=language.value,
            languages=[(one.value, words(one)["name"]) for one in Language],
            style=stylesheet(),
        )
    )
    return "".join(line.strip() + "\n" for line in text.splitlines() if line.strip()).encode()


@cache
def _environment() -> Environment:
    """Templates are read once; an unknown name in one of them is an error, never an empty string."""
    loader = PrefixLoader(
        {"operator": PackageLoader("hakika.channels.web.operator"), "page": PackageLoader("hakika.health.page")}
    )
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
