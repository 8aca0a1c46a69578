"""Whatever our guideline accepts, the standard's whole schema accepts.

A generator walks our own schema files and writes documents from them, with every choice and repetition that they
allow; then each is bent: texts, order, attributes, white space. For both kinds holds: accepted by our schema, or
by `read`, implies accepted by the whole schema. The share of accepted documents is checked, so that the property
cannot become empty unnoticed.
"""

import re
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from wire_samples import whole_errors

from hakika.wire.iso20022 import reading
from hakika.wire.iso20022.guard import FieldRefused
from hakika.wire.iso20022.guideline import NAMESPACE, SERVED, guideline
from hakika.wire.iso20022.reading import MessageRefused

XS = "{http://www.w3.org/2001/XMLSchema}"
SPECIAL = {
    "Instant": st.sampled_from(
        [
            "2023-07-27T09:15:30Z",
            "2024-02-29T23:59:59.123456789+03:00",
            "2099-12-31T00:00:00",
            "2000-01-01T00:00:00-13:59",
        ]
    ),
    "Day": st.sampled_from(["2023-07-27", "2024-02-29", "2099-12-31"]),
    "Decimal": st.sampled_from(
        ["1", "0.01", "1500.50", "9999999999999.99", "0", "0000.1", "1.00000", "123456789012345678"]
    ),
    "ControlSum": st.sampled_from(["1", "0.01", "100", "123456789012345678", "0.12345678901234567"]),
    "Currency": st.sampled_from(["KES", "UGX", "XXX"]),
    "Count": st.sampled_from(["1", "2", "3", "001", "999999999999999"]),
    "Text": st.text(
        st.characters(
            exclude_categories=["Cc", "Cs", "Cn", "Co"],
            exclude_characters="<&>\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
        ),
        min_size=1,
    ),
    "xs:boolean": st.sampled_from(["true", "false", "0", "1"]),
}
NAUGHTY = [
    "", " ", "x" * 36, "x" * 141, "1e2", "-1", "+1", " 1 ", "١", "é", "A\u202eB", "\t", "2023-07-27", "SLEV ", "slev",
    "254712345678", "8A562C67-CA16-48BA-B074-65581BE6F001", "NaN", "INF", "2023-07-27T24:00:00", "2023-02-29", "KES",
    "true", "&#13;", "&#10;a", "<!-- c -->1", "2023-07-27T09:15:30+14:00", "pacs.008", "CLRG", "\u00a0", "0", "1",
    "\U0001f600" * 70, "2023-02-30T00:00:00Z", "2100-02-29", "2024-02-29", "2023-07-27T23:59:60Z", ".5", "5.",
]  # fmt: skip


class Schema:
    """One guideline file as a table of types to draw from."""

    def __init__(self, name: str) -> None:
        tree = etree.fromstring(files("hakika.wire").joinpath("schemas", f"{name}.xsd").read_bytes())
        self.name = name
        self.types = {
            node.get("name", ""): node for node in tree if node.tag in (f"{XS}complexType", f"{XS}simpleType")
        }

    def document(self, draw: Any) -> str:
        """A document that the file allows."""
        inner = self.complex("Document", draw)
        right = f"<NbOfTxs>{inner.count('<CdtTrfTxInf>') or 1}<"  # or hardly any would pass for its count
        inner = re.sub(r"<NbOfTxs>[0-9]+<", right, inner) if draw(st.booleans()) else inner
        return f'<Document xmlns="{NAMESPACE}{self.name}">{inner}</Document>'

    def complex(self, name: str, draw: Any) -> str:
        node = self.types[name]
        return "".join(self.particle(child, draw) for child in node if child.tag in (f"{XS}sequence", f"{XS}choice"))

    def particle(self, node: etree._Element, draw: Any) -> str:
        if node.tag == f"{XS}sequence":
            return "".join(self.particle(child, draw) for child in node)
        if node.tag == f"{XS}choice":
            return self.particle(draw(st.sampled_from(list(node))), draw)
        least = int(node.get("minOccurs", "1"))
        most = max(least, min(int(node.get("maxOccurs", "1")), 3))
        return "".join(self.element(node, draw) for _ in range(draw(st.integers(least, most))))

    def element(self, node: etree._Element, draw: Any) -> str:
        name, kind = node.get("name", ""), node.get("type", "")
        declared = self.types.get(kind)
        if declared is None or declared.tag == f"{XS}simpleType":
            return f"<{name}>{self.simple(kind, draw)}</{name}>"
        extension = next(declared.iter(f"{XS}extension"), None)
        if extension is not None:
            currency = self.simple("Currency", draw)
            return f'<{name} Ccy="{currency}">{self.simple(extension.get("base", ""), draw)}</{name}>'
        return f"<{name}>{self.complex(kind, draw)}</{name}>"

    def simple(self, name: str, draw: Any) -> str:
        if name in SPECIAL:
            return str(draw(SPECIAL[name]))
        node = self.types[name]
        facets = {facet.tag.removeprefix(XS): facet.get("value", "") for facet in node.iter() if facet.get("value")}
        if "enumeration" in facets:
            values = [facet.get("value", "") for facet in node.iter(f"{XS}enumeration")]
            return str(draw(st.sampled_from(values)))
        longest = int(facets.get("maxLength", "100"))
        if name.startswith("Text"):
            return str(draw(SPECIAL["Text"]))[:longest]
        text = (
            str(draw(st.from_regex(re.compile(facets["pattern"], re.ASCII), fullmatch=True)))[:longest].strip(" ")
            or "x"
        )
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


SCHEMAS = {name: Schema(name) for name in SERVED}


@st.composite
def documents(draw: Any, name: str) -> str:
    return SCHEMAS[name].document(draw)


@st.composite
def bent_documents(draw: Any, name: str) -> str:
    """A document of the guideline with one or two things changed."""
    text = SCHEMAS[name].document(draw)
    for _ in range(draw(st.integers(1, 2))):
        text = draw(st.sampled_from(BENDS))(draw, text)
    return text


def _span(draw: Any, text: str, pattern: str) -> tuple[int, int] | None:
    spans = [match.span(1) for match in re.finditer(pattern, text)]
    return draw(st.sampled_from(spans)) if spans else None


def _other_text(draw: Any, text: str) -> str:
    span = _span(draw, text, r">([^<>]+)</")
    return text if span is None else text[: span[0]] + draw(st.sampled_from(NAUGHTY)) + text[span[1] :]


def _edited_text(draw: Any, text: str) -> str:
    """One character more, less or other, from those that live at the edges of the rules."""
    span = _span(draw, text, r">([^<>]+)</")
    if span is None:
        return text
    at = draw(st.integers(span[0], span[1]))
    cut = draw(st.integers(at, min(at + 1, span[1])))
    character: str = draw(st.sampled_from([*"aA09 .-+:Z~!\n\t\u00a0\u202eé", ""]))
    return text[:at] + character + text[cut:]


def _spaced_text(draw: Any, text: str) -> str:
    span = _span(draw, text, r">([^<>]+)</")
    return text if span is None else f"{text[: span[0]]} \n{text[span[0] : span[1]]}\t{text[span[1] :]}"


def _without_element(draw: Any, text: str) -> str:
    span = _span(draw, text, r"(<(\w+)(?: [^>]*)?>[^<>]*</\2>)")
    return text if span is None else text[: span[0]] + text[span[1] :]


def _element_twice(draw: Any, text: str) -> str:
    span = _span(draw, text, r"(<(\w+)(?: [^>]*)?>[^<>]*</\2>)")
    return text if span is None else text[: span[1]] + text[span[0] :]


def _attribute(draw: Any, text: str) -> str:
    span = _span(draw, text, r"<\w+()>")
    extra = draw(
        st.sampled_from(
            [
                ' Ccy="KES"', ' x="1"', ' xml:lang="en"', ' xmlns:q="urn:q"', ' xmlns=""',
                ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"',
                ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Text140"',
                ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:a b"',
            ]
        )
    )  # fmt: skip
    return text if span is None else text[: span[0]] + extra + text[span[1] :]


def _renamed(draw: Any, text: str) -> str:
    names = sorted(set(re.findall(r"<(\w+)", text)))
    old, new = draw(st.sampled_from(names)), draw(st.sampled_from(names))
    return re.sub(rf"(</?){old}\b", rf"\g<1>{new}", text)


BENDS = [*[_edited_text] * 6, *[_other_text] * 2, _spaced_text, _without_element, _element_twice, _attribute, _renamed]
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def accepted(name: str, body: bytes) -> bool:
    """Ours implies theirs, for the schema and for `read`; whether our schema took it."""
    parser = etree.XMLParser(resolve_entities=False, remove_comments=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        with pytest.raises(MessageRefused):
            reading.read(body)
        return False
    theirs = whole_errors(name, body)
    try:
        guideline(name).check(root, body)
    except FieldRefused:
        ours = False
    else:
        ours = True
    try:
        reading.read(body)
    except MessageRefused as refusal:
        assert refusal.field and refusal.rule and len(refusal.code) == 4
    else:
        assert ours
    assert not (ours and theirs), theirs
    return ours


@pytest.mark.parametrize("name", SERVED)
def test_what_the_guideline_generates_both_schemas_accept(name: str) -> None:
    @given(documents(name))
    @settings(max_examples=40, deadline=None, suppress_health_check=CHECKS)
    def check(text: str) -> None:
        body = text.encode()
        guideline(name).check(etree.fromstring(body), body)
        assert whole_errors(name, body) == []
        accepted(name, body)

    check()


@pytest.mark.parametrize("name", SERVED)
def test_what_is_bent_and_still_accepted_the_whole_schema_accepts(name: str) -> None:
    counts = {True: 0, False: 0}

    @given(bent_documents(name))
    @settings(max_examples=100, deadline=None, suppress_health_check=CHECKS)
    def check(text: str) -> None:
        counts[accepted(name, text.encode())] += 1

    check()
    assert counts[False] >= 20
    assert counts[True] >= 5


@pytest.mark.parametrize("name", SERVED)
def test_every_rule_of_the_guideline_has_words(name: str) -> None:
    """Each simple type carries the sentence that a refusal shows, or lists its values."""
    for kind, node in SCHEMAS[name].types.items():
        if node.tag == f"{XS}simpleType":
            documented = node.findtext(f"{XS}annotation/{XS}documentation")
            assert documented or next(node.iter(f"{XS}enumeration"), None) is not None, kind


@pytest.mark.parametrize("name", SERVED)
def test_the_guideline_has_no_type_that_nothing_uses(name: str) -> None:
    used = {"Document"}
    for node in SCHEMAS[name].types.values():
        used |= {
            part.get("type", part.get("base", ""))
            for part in node.iter(f"{XS}element", f"{XS}attribute", f"{XS}extension")
        }
    assert set(SCHEMAS[name].types) <= used
