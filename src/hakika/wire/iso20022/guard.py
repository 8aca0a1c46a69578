"""From untrusted bytes to an XML tree, or a refusal by field and rule. Everything hostile ends here.

Before the parser sees a byte: size, UTF-8 without NUL, a plain XML declaration or none, no DOCTYPE, no CDATA,
no processing instruction, no run of bytes and no number of tags beyond what the guideline can use. The search
for `<!` and `<?` is complete, because in well-formed XML a bare `<` begins markup and nothing else. The parser
then works without entities, DTD, network or huge trees. Comments carry no meaning and are dropped, the text on
both sides of one stays whole.
"""

import re
from uuid import UUID

from lxml import etree

BODY_BYTES_MAX = 5_000_000
DEPTH_MAX = 32
RUN_BYTES_MAX = 4096  # between two tags; the longest text of the guideline needs a third of it
TAGS_MAX = 200_000  # start and end tags; 1,000 transfers with every element present need less
UETRS_READ_MAX = 2_000

_DECLARATION = re.compile(
    rb"<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:'1\.0'|\"1\.0\")"
    rb"(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:'[Uu][Tt][Ff]-8'|\"[Uu][Tt][Ff]-8\"))?"
    rb"(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:'(?:yes|no)'|\"(?:yes|no)\"))?[ \t\r\n]*\?>"
)
_UUID_TEXT = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}", re.ASCII)
_UUID_TAIL = re.compile(rb"-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")  # a hyphen is found fast
_NO_COMMENT = re.compile(rb"<!(?!--)")
_MESSAGE_ID = re.compile(r"[!-~](?:[ -~]{0,33}[!-~])?", re.ASCII)
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (DEPTH_MAX + 1) + ")")
_PARSER = etree.XMLParser(
    resolve_entities=False,
    load_dtd=False,
    dtd_validation=False,
    no_network=True,
    huge_tree=False,
    recover=False,
    remove_comments=True,
    collect_ids=False,
    encoding="utf-8",
)


class FieldRefused(Exception):
    """One field breaks one rule; `read` turns it into a MessageRefused that knows the message's ids."""

    def __init__(self, code: str, field: str, rule: str) -> None:
        super().__init__(f"{code} {field}: {rule}")
        self.code = code
        self.field = field
        self.rule = rule


class MessageRefused(Exception):
    """The bytes are not a message of the guideline. Follows from the bytes alone, so nothing is stored.

    `code` is an ISO status reason (FF01, AM12, ...), `field` a path such as `CdtTrfTxInf[3]/IntrBkSttlmAmt`.
    `msg_id` and `uetrs` are what could be read in spite of it, in any case of letters, for the custody check:
    a transaction status may be sent only when none of them is held. `ids_complete` is False where there were
    too many to read: then no transaction status at all.
    """

    def __init__(
        self,
        code: str,
        field: str,
        rule: str,
        *,
        msg_id: str | None = None,
        message_name: str | None = None,
        uetrs: tuple[UUID, ...] = (),
        ids_complete: bool = True,
    ) -> None:
        super().__init__(f"{code} {field}: {rule}")
        self.code = code
        self.field = field
        self.rule = rule
        self.msg_id = msg_id
        self.message_name = message_name
        self.uetrs = uetrs
        self.ids_complete = ids_complete


def parsed(body: bytes) -> etree._Element:
    """The root element of `body`; MessageRefused before, or by, the parser."""
    try:
        _check_bytes(body)
    except FieldRefused as refusal:
        raise _unparsed(refusal, body) from None
    try:
        return etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        raise _unparsed(_syntax(error), body) from None


def refused(refusal: FieldRefused, root: etree._Element) -> MessageRefused:
    """The refusal of a message that is well-formed XML, with the ids that it carries."""
    namespace, _, _ = str(root.tag).rpartition("}")
    name = namespace.rpartition(":")[2]
    texts = [element.text or "" for element in root.iter("{*}UETR", "{*}OrgnlUETR")]
    uetrs, complete = _uetrs([text.strip() for text in texts])
    return MessageRefused(
        refusal.code,
        refusal.field,
        refusal.rule,
        msg_id=_message_id(root),
        message_name=name if re.fullmatch(r"[a-z]{4}\.\d{3}\.\d{3}\.\d{2}", name, re.ASCII) else None,
        uetrs=uetrs,
        ids_complete=complete,
    )


def too_deep(root: etree._Element) -> bool:
    """Whether elements are nested deeper than DEPTH_MAX."""
    return bool(_TOO_DEEP(root.getroottree()))


def _check_bytes(body: bytes) -> None:
    if not body:
        raise FieldRefused("FF01", "body", "a message is not empty")
    if len(body) > BODY_BYTES_MAX:
        raise FieldRefused("FF01", "body", f"a message has at most {BODY_BYTES_MAX} bytes, this has {len(body)}")
    _check_encoding(body)
    declaration = _DECLARATION.match(body, 3 if body.startswith(b"\xef\xbb\xbf") else 0)
    start = declaration.end() if declaration else 0
    if body.find(b"<?", start) >= 0:
        rule = "the XML declaration is version 1.0 in UTF-8, at the very start; there are no processing instructions"
        raise FieldRefused("FF01", "body", rule)
    _check_declarations(body)
    if body.count(b"<") > TAGS_MAX:
        raise FieldRefused("FF01", "body", f"a message has at most {TAGS_MAX} tags")
    _check_runs(body)


def _check_encoding(body: bytes) -> None:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        raise FieldRefused("FF01", "body", "the encoding is UTF-8") from None
    if b"\0" in body:
        raise FieldRefused("FF01", "body", "the encoding is UTF-8, without NUL bytes")


def _check_declarations(body: bytes) -> None:
    """No `<!` except a comment: DOCTYPE, entity declarations and CDATA are not taken."""
    found = _NO_COMMENT.search(body)
    if found:
        named = (
            "a CDATA section" if body.startswith(b"<![CDATA[", found.start()) else "a DOCTYPE or another declaration"
        )
        raise FieldRefused("FF01", "body", f"{named} is not taken: no DTD, no entities, no CDATA")


def _check_runs(body: bytes) -> None:
    """No RUN_BYTES_MAX bytes without a `<`; such a run covers an aligned half of that length, so few looks do."""
    half = RUN_BYTES_MAX // 2
    for at in range(0, len(body) - half, half):
        if body.find(b"<", at, at + half) < 0:
            before = body.rfind(b"<", 0, at)
            after = body.find(b"<", at)
            if (after if after >= 0 else len(body)) - before > RUN_BYTES_MAX:
                rule = f"no text, attribute or comment is longer than {RUN_BYTES_MAX} bytes"
                raise FieldRefused("FF01", "body", rule)


def _syntax(error: etree.XMLSyntaxError) -> FieldRefused:
    if "depth" in str(error):
        return FieldRefused("FF01", "body", f"elements are nested at most {DEPTH_MAX} deep")
    line, column = error.position
    return FieldRefused("FF01", "body", f"the body is one well-formed XML document (line {line}, column {column})")


def _unparsed(refusal: FieldRefused, body: bytes) -> MessageRefused:
    """The refusal of bytes that are no XML: whatever looks like a UETR counts as named."""
    if len(body) > BODY_BYTES_MAX:
        return MessageRefused(refusal.code, refusal.field, refusal.rule, ids_complete=False)
    found = [body[max(0, tail.start() - 8) : tail.end()].decode("latin-1") for tail in _UUID_TAIL.finditer(body)]
    uetrs, complete = _uetrs(found)
    return MessageRefused(refusal.code, refusal.field, refusal.rule, uetrs=uetrs, ids_complete=complete)


def _message_id(root: etree._Element) -> str | None:
    for path in ("{*}*/{*}GrpHdr/{*}MsgId", "{*}*/{*}Assgnmt/{*}Id"):
        text = root.findtext(path)
        if text is not None:
            return text if _MESSAGE_ID.fullmatch(text) else None
    return None


def _uetrs(texts: list[str]) -> tuple[tuple[UUID, ...], bool]:
    """Distinct UUIDs among `texts` in order, and whether that is all of them."""
    distinct = dict.fromkeys(text.lower() for text in texts if _UUID_TEXT.fullmatch(text))
    return tuple(UUID(text) for text in list(distinct)[:UETRS_READ_MAX]), len(distinct) <= UETRS_READ_MAX
