"""What the gateway sends to a bank, as typed messages: pacs.002, pacs.004, admi.002, camt.029.

The bank's half of the codec, used by the demo banks. The same guard stands before the parser; the signature has
been checked by then. There is no guideline for this direction: a field that must be there and is not, or does not
read, is refused by name, and what this half does not know is left alone, so that the gateway may add to it.
"""

from collections.abc import Callable
from typing import Never
from uuid import UUID

from lxml import etree

from hakika.domain.money import AmountRefused, parse_amount
from hakika.wire.iso20022.fields import read_instant
from hakika.wire.iso20022.guard import FieldRefused, MessageRefused, parsed, refused
from hakika.wire.iso20022.guideline import NAMESPACE
from hakika.wire.iso20022.messages import (
    CancellationStatus,
    MessageReject,
    PaymentReturn,
    StatusItem,
    StatusReport,
    TxStatus,
)

__all__ = [
    "GatewayMessage",
    "MessageRefused",
    "read_answer",
    "read_cancellation_status",
    "read_reject",
    "read_return",
    "read_status_report",
]

GatewayMessage = StatusReport | PaymentReturn | MessageReject | CancellationStatus


def read_answer(body: bytes) -> GatewayMessage:
    """Any message of the gateway; the root element decides. MessageRefused for everything else."""
    root = parsed(body)
    try:
        tag = str(root.tag)
        name = tag[len(NAMESPACE) + 1 :].removesuffix("}Document")
        namespace = f"{{{NAMESPACE}{name}}}"
        expected, reader = _READERS.get(name, (None, None))
        if (
            reader is None
            or tag != f"{namespace}Document"
            or [child.tag for child in root] != [f"{namespace}{expected}"]
        ):
            raise FieldRefused("FF01", "Document", f"a gateway sends {', '.join(_READERS)}")
        return reader(_Element(root[0], namespace, ""))
    except FieldRefused as refusal:
        raise refused(refusal, root) from None


def read_status_report(body: bytes) -> StatusReport:
    """A pacs.002.001.10, or MessageRefused."""
    message = read_answer(body)
    return message if isinstance(message, StatusReport) else _unexpected("pacs.002.001.10")


def read_return(body: bytes) -> PaymentReturn:
    """A pacs.004.001.09 with one transaction, or MessageRefused."""
    message = read_answer(body)
    return message if isinstance(message, PaymentReturn) else _unexpected("pacs.004.001.09")


def read_reject(body: bytes) -> MessageReject:
    """An admi.002.001.01, or MessageRefused."""
    message = read_answer(body)
    return message if isinstance(message, MessageReject) else _unexpected("admi.002.001.01")


def read_cancellation_status(body: bytes) -> CancellationStatus:
    """A camt.029.001.09, or MessageRefused."""
    message = read_answer(body)
    return message if isinstance(message, CancellationStatus) else _unexpected("camt.029.001.09")


class _Element:
    """An element with its path, for reading by name without trusting that anything is there."""

    __slots__ = ("_children", "_namespace", "node", "path")

    def __init__(self, node: etree._Element, namespace: str, path: str) -> None:
        self.node = node
        self.path = path
        self._namespace = namespace
        self._children: dict[str, list[etree._Element]] = {}
        for child in node:
            self._children.setdefault(str(child.tag), []).append(child)

    def all(self, name: str) -> list["_Element"]:
        """Every child with this local name."""
        found = self._children.get(self._namespace + name, [])
        path = f"{self.path}/{name}" if self.path else name
        return [
            _Element(child, self._namespace, f"{path}[{number}]" if len(found) > 1 else path)
            for number, child in enumerate(found, start=1)
        ]

    def first(self, *names: str) -> "_Element | None":
        """The first element down this path of local names."""
        current: _Element | None = self
        for name in names:
            found = current.all(name) if current is not None else []
            current = found[0] if found else None
        return current

    def text(self, *names: str) -> str | None:
        """Its text, None where it is missing or empty."""
        found = self.first(*names)
        return None if found is None else found.node.text

    def required(self, *names: str) -> str:
        """Its text; FieldRefused where it is missing or empty."""
        text = self.text(*names)
        if text is None:
            field = "/".join((self.path, *names) if self.path else names)
            raise FieldRefused("FF01", field, "is required here")
        return text


def _unexpected(name: str) -> Never:
    raise MessageRefused("FF01", "Document", f"a {name} was expected here")


def _status_report(message: _Element) -> StatusReport:
    group = message.first("OrgnlGrpInfAndSts")
    status = None if group is None else group.text("GrpSts")
    return StatusReport(
        msg_id=message.required("GrpHdr", "MsgId"),
        created_ms=_instant(message, "GrpHdr", "CreDtTm"),
        original_msg_id=None if group is None else group.text("OrgnlMsgId"),
        original_msg_name=None if group is None else group.text("OrgnlMsgNmId"),
        group_status=None if status is None else _status(status, "OrgnlGrpInfAndSts/GrpSts"),
        group_reason=None if group is None else group.text("StsRsnInf", "Rsn", "Cd"),
        group_detail=None if group is None else _detail(group, "StsRsnInf"),
        items=tuple(_status_item(item) for item in message.all("TxInfAndSts")),
    )


def _status_item(item: _Element) -> StatusItem:
    return StatusItem(
        uetr=_uetr(item),
        original_msg_id=item.required("OrgnlGrpInf", "OrgnlMsgId"),
        end_to_end_id=item.required("OrgnlEndToEndId"),
        instruction_id=item.text("OrgnlInstrId"),
        transaction_id=item.text("OrgnlTxId"),
        status=_status(item.required("TxSts"), f"{item.path}/TxSts"),
        reason=item.text("StsRsnInf", "Rsn", "Cd"),
        detail=_detail(item, "StsRsnInf"),
        tracking=item.text("AcctSvcrRef"),
        accepted_ms=None if item.text("AccptncDtTm") is None else _instant(item, "AccptncDtTm"),
    )


def _payment_return(message: _Element) -> PaymentReturn:
    transactions = message.all("TxInf")
    if len(transactions) != 1:
        raise FieldRefused("FF01", "TxInf", "a return carries exactly one transaction")
    item = transactions[0]
    amount_minor, currency = _amount(item)
    return PaymentReturn(
        msg_id=message.required("GrpHdr", "MsgId"),
        created_ms=_instant(message, "GrpHdr", "CreDtTm"),
        return_id=item.required("RtrId"),
        uetr=_uetr(item),
        original_msg_id=item.required("OrgnlGrpInf", "OrgnlMsgId"),
        end_to_end_id=item.required("OrgnlEndToEndId"),
        instruction_id=item.text("OrgnlInstrId"),
        transaction_id=item.text("OrgnlTxId"),
        amount_minor=amount_minor,
        currency=currency,
        reason=item.required("RtrRsnInf", "Rsn", "Cd"),
        detail=_detail(item, "RtrRsnInf"),
        settlement_date=item.required("IntrBkSttlmDt"),
    )


def _message_reject(message: _Element) -> MessageReject:
    return MessageReject(
        reference=message.required("RltdRef", "Ref"),
        reason=message.required("Rsn", "RjctgPtyRsn"),
        rejected_ms=_instant(message, "Rsn", "RjctnDtTm"),
        location=message.text("Rsn", "ErrLctn"),
        description=message.text("Rsn", "RsnDesc") or "",
    )


def _cancellation_status(message: _Element) -> CancellationStatus:
    details = message.first("CxlDtls")
    items = [] if details is None else details.all("TxInfAndSts")
    if not items:
        raise FieldRefused("FF01", "CxlDtls/TxInfAndSts", "is required here")
    item = items[0]
    if any(_uetr(other) != _uetr(item) for other in items):
        raise FieldRefused("FF01", "CxlDtls/TxInfAndSts/OrgnlUETR", "must be the same transfer in each")
    return CancellationStatus(
        assignment_id=message.required("Assgnmt", "Id"),
        created_ms=_instant(message, "Assgnmt", "CreDtTm"),
        bank=message.required("Assgnmt", "Assgne", "Agt", "FinInstnId", "ClrSysMmbId", "MmbId"),
        cancellation_ids=tuple(one.required("CxlStsId") for one in items),
        uetr=_uetr(item),
        original_msg_id=item.text("OrgnlGrpInf", "OrgnlMsgId"),
        end_to_end_id=item.text("OrgnlEndToEndId"),
        status=message.required("Sts", "Conf"),
        reason=item.text("CxlStsRsnInf", "Rsn", "Cd"),
    )


def _uetr(item: _Element) -> UUID:
    try:
        return UUID(item.required("OrgnlUETR"))
    except ValueError:
        raise FieldRefused("FF01", f"{item.path}/OrgnlUETR", "must be a UUID") from None


def _status(text: str, field: str) -> TxStatus:
    try:
        return TxStatus(text)
    except ValueError:
        raise FieldRefused("FF01", field, f"must be one of {', '.join(TxStatus)}") from None


def _instant(element: _Element, *names: str) -> int:
    return read_instant(element.required(*names), "/".join(names))


def _detail(element: _Element, name: str) -> str | None:
    """The lines of AddtlInf as they were before they were cut."""
    information = element.first(name)
    lines = [] if information is None else [line.node.text or "" for line in information.all("AddtlInf")]
    return "".join(lines) or None


def _amount(item: _Element) -> tuple[int, str]:
    text = item.required("RtrdIntrBkSttlmAmt")
    element = item.first("RtrdIntrBkSttlmAmt")
    currency = "" if element is None else element.node.get("Ccy", "")
    try:
        return parse_amount(text, currency), currency
    except AmountRefused as error:
        raise FieldRefused("AM12", f"{item.path}/RtrdIntrBkSttlmAmt", str(error)) from None


_READERS: dict[str, tuple[str, Callable[[_Element], GatewayMessage]]] = {
    "pacs.002.001.10": ("FIToFIPmtStsRpt", _status_report),
    "pacs.004.001.09": ("PmtRtr", _payment_return),
    "admi.002.001.01": ("admi.002.001.01", _message_reject),
    "camt.029.001.09": ("RsltnOfInvstgtn", _cancellation_status),
}
