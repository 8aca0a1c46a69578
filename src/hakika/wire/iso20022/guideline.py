"""Our usage guideline schemas, compiled once, and their refusals in plain words.

A schema error is worth little to a bank's engineer as libxml2 prints it, and it repeats the customer's data.
So only its place and kind are taken; the words come from the guideline itself: each simple type carries its rule
as documentation, and the type is found by walking the schema along the element's path.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from lxml import etree

from hakika.domain.money import MINOR_DIGITS, AmountRefused, parse_amount
from hakika.wire.iso20022.guard import DEPTH_MAX, FieldRefused, too_deep

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
SERVED = ("pacs.008.001.08", "pacs.028.001.03", "pacs.002.001.10", "camt.056.001.08")
FIELD_CHARACTERS_MAX = 200

_XS = "{http://www.w3.org/2001/XMLSchema}"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_XSI_HINTS = (f"{{{_XSI}}}schemaLocation", f"{{{_XSI}}}noNamespaceSchemaLocation")
_XSI_ATTRIBUTES = etree.XPath("//@xsi:*", namespaces={"xsi": _XSI})
_EXPECTED = re.compile(r"Expected is (?:one of )?\( (.*) \)\.$", re.DOTALL)
_ATTRIBUTE = re.compile(r"(?:, attribute|: The attribute) '(?:\{[^}]*\})?([^']+)'")
_PREFIXED_STEP = re.compile(r"/([^/*\[]+)")
_ALWAYS_NUMBERED = {"CdtTrfTxInf", "TxInfAndSts"}
_BUILT_IN = {"xs:boolean": "true or false"}
# The ISO reason for a field, by how its path ends; FF01 (file format) for all others.
_CODES = (
    ("@Ccy", "AM11"),
    ("IntrBkSttlmAmt", "AM12"),
    ("CtrlSum", "AM10"),
    ("NbOfTxs", "AM19"),
    ("CdtrAcct/Id/Othr/Id", "AC03"),
    ("FinInstnId/BICFI", "RC01"),
    ("ClrSysMmbId/MmbId", "RC01"),
    ("CreDtTm", "DT01"),
    ("IntrBkSttlmDt", "DT01"),
)


class Guideline:
    """One message's schema with its rules in words."""

    def __init__(self, name: str) -> None:
        source = files("hakika.wire").joinpath("schemas", f"{name}.xsd").read_bytes()
        tree = etree.fromstring(source, etree.XMLParser(no_network=True, resolve_entities=False))
        self.name = name
        self._schema = etree.XMLSchema(tree)
        self._children: dict[str, dict[str, str]] = {}  # of each type: child -> its type, in order
        self._required: dict[str, set[str]] = {}
        self._rules: dict[str, str] = dict(_BUILT_IN)
        for complex_type in tree.iterfind(f"{_XS}complexType"):
            name = complex_type.get("name", "")
            nodes = list(complex_type.iter(f"{_XS}element", f"{_XS}attribute"))
            self._children[name] = {
                ("@" if node.tag.endswith("attribute") else "") + node.get("name", ""): node.get("type", "")
                for node in nodes
            }
            self._required[name] = {node.get("name", "") for node in nodes if node.get("minOccurs") != "0"}
            for extension in complex_type.iter(f"{_XS}extension"):
                self._rules[name] = extension.get("base", "")
        for simple_type in tree.iterfind(f"{_XS}simpleType"):
            self._rules[simple_type.get("name", "")] = _words(simple_type)

    def check(self, root: etree._Element, body: bytes) -> None:
        """FieldRefused for the first place where the tree of `body` breaks the guideline."""
        if body.count(b"xmlns") > 1:  # a second namespace can only be declared by this word
            _check_instance_attributes(root)
        if not self._schema.validate(root):
            raise self._explained(root)

    def _explained(self, root: etree._Element) -> FieldRefused:
        if too_deep(root):
            return FieldRefused("FF01", "body", f"elements are nested at most {DEPTH_MAX} deep")
        errors: Any = self._schema.error_log
        error = errors[0]
        return self._refusal(_place(root, error.path or ""), error.type_name, error.message)

    def _refusal(self, node: etree._Element, kind: str, message: str) -> FieldRefused:
        field = field_path(node)
        if kind == "SCHEMAV_ELEMENT_CONTENT":
            return self._structure(node, field, message)
        if kind == "SCHEMAV_CVC_COMPLEX_TYPE_2_3":
            return FieldRefused("FF01", field, "there is no text between its elements")
        attribute = _ATTRIBUTE.match(message, len(f"Element '{node.tag}'"))
        if attribute:
            field = _shortened(f"{field}/@{attribute[1]}")
        if attribute and message.endswith(" is not allowed."):
            return FieldRefused("FF01", field, "this attribute is not taken")
        rule = amount_rule(node) if field.endswith("IntrBkSttlmAmt") else None
        return FieldRefused(code_for(field), field, rule or f"must be {self._rule(field)}")

    def _structure(self, node: etree._Element, field: str, message: str) -> FieldRefused:
        """An element too few, too many or in the wrong place."""
        expected = _EXPECTED.search(message)
        names = re.findall(r"(?:\{[^}]*\})?([A-Za-z0-9]+)", expected[1]) if expected else []
        if ": Missing child" in message and names:
            return self._missing(field, names)
        parent = node.getparent()
        if parent is None or etree.QName(parent).namespace != etree.QName(node).namespace:
            return FieldRefused("FF01", field, "every element stands in the message's own namespace")
        place, name = field_path(parent), etree.QName(node).localname
        order = list(self._children.get(self._type(place), {}))
        if names and name in order and not set(self._needed(place, names)) & set(order[order.index(name) :]):
            return self._missing(place, names, name)
        rule = "is not taken here: not in the guideline, out of order, or too often"
        return FieldRefused("FF01", field, f"{rule}; expected {' or '.join(names)}" if names else rule)

    def _missing(self, place: str, names: list[str], before: str | None = None) -> FieldRefused:
        needed = self._needed(place, names)
        field = needed[0] if place == "Document" else f"{place}/{needed[0]}"
        choice = f" ({' or '.join(needed)})" if len(needed) > 1 else ""
        return FieldRefused(code_for(field), field, f"is required here{choice}{f', before {before}' if before else ''}")

    def _needed(self, place: str, names: list[str]) -> list[str]:
        """Of the children that might stand here those that may not be left out."""
        required = self._required.get(self._type(place), set())
        return [name for name in names if name in required] or names

    def _type(self, field: str) -> str:
        """The name of the type that the guideline gives to the element at this path."""
        current = "Message"
        for step in field.split("/") if field != "Document" else []:
            current = self._children.get(current, {}).get(step.partition("[")[0], "")
        return current

    def _rule(self, field: str) -> str:
        """The documentation of that type."""
        rule = self._rules.get(self._type(field), "")
        return self._rules.get(rule, rule) or "as the guideline says"


@cache
def guideline(name: str) -> Guideline:
    """The compiled guideline of one served message."""
    return Guideline(name)


def field_path(node: etree._Element) -> str:
    """Where `node` stands below the message, as `CdtTrfTxInf[3]/PmtId/UETR`; `Document` for the root itself."""
    steps: list[str] = []
    current: etree._Element | None = node
    while current is not None:
        name = etree.QName(current).localname
        if name in _ALWAYS_NUMBERED or current.getprevious() is not None or current.getnext() is not None:
            same = sum(1 for _ in current.itersiblings(current.tag, preceding=True))
            if same or name in _ALWAYS_NUMBERED or next(current.itersiblings(current.tag), None) is not None:
                name = f"{name}[{same + 1}]"
        steps.append(name)
        current = current.getparent()
    return _shortened("/".join(reversed(steps[:-2])) or "Document")


def code_for(field: str) -> str:
    """The ISO status reason for a refusal at `field`."""
    return next((code for ending, code in _CODES if field.endswith(ending)), "FF01")


def amount_rule(node: etree._Element) -> str | None:
    """What is wrong with an amount, as domain.money says it; None where it finds nothing or has no currency."""
    currency = node.get("Ccy", "")
    if currency not in MINOR_DIGITS:
        return None
    try:
        parse_amount(node.text or "", currency)
    except AmountRefused as error:
        return str(error)
    return None


def _place(root: etree._Element, path: str) -> etree._Element:
    """The element that libxml2 means; its path writes prefixes that are declared where only the document knows."""
    by_name = _PREFIXED_STEP.sub(r"/*[name()='\1']", path)
    found = root.getroottree().xpath(by_name) if by_name else []
    node = found[0] if isinstance(found, list) and found else root
    return node if isinstance(node, etree._Element) else root


def _words(simple_type: etree._Element) -> str:
    documented = simple_type.findtext(f"{_XS}annotation/{_XS}documentation")
    if documented:
        return documented
    values = [node.get("value", "") for node in simple_type.iter(f"{_XS}enumeration")]
    return "one of " + ", ".join(values) if len(values) > 1 else "".join(values)


def _check_instance_attributes(root: etree._Element) -> None:
    """Schema hints on the root are dropped, so that nothing is looked up; other xsi attributes are refused."""
    for hint in _XSI_HINTS:
        if hint in root.attrib:
            del root.attrib[hint]
    if _XSI_ATTRIBUTES(root.getroottree()):
        raise FieldRefused("FF01", "Document", "xsi attributes other than schemaLocation on the root are not taken")


def _shortened(field: str) -> str:
    return field if len(field) <= FIELD_CHARACTERS_MAX else field[: FIELD_CHARACTERS_MAX - 3] + "..."
