"""What a bank sends to the gateway, as typed messages: pacs.008, pacs.028, pacs.002 on a return, camt.056.

The root element decides. Order: bytes (guard), guideline schema, then what a schema cannot say: counts, sums,
decimal places, ids used twice. The first broken rule is raised as MessageRefused with field and rule in plain
words and whatever ids could be read. No clock and no state enters here: the same bytes always get the same answer.
"""

from collections.abc import Callable
from uuid import UUID

from lxml import etree

from hakika.domain.money import AmountRefused, minor_digits, parse_amount
from hakika.wire.iso20022.fields import SUM_DECIMALS, read_instant, read_language, read_phone, scaled
from hakika.wire.iso20022.guard import BODY_BYTES_MAX, FieldRefused, MessageRefused, parsed, refused
from hakika.wire.iso20022.guideline import NAMESPACE, SERVED, guideline
from hakika.wire.iso20022.messages import (
    Cancellation,
    Contact,
    CreditTransfer,
    CreditTransferMessage,
    ReturnAcknowledged,
    ReturnAcknowledgement,
    StatusInquiry,
)

__all__ = ["BODY_BYTES_MAX", "TRANSFERS_MAX", "BankMessage", "MessageRefused", "read"]

TRANSFERS_MAX = 1000
NOT_PROVIDED = "NOTPROVIDED"  # the standard's EndToEndId where the customer gave none: may repeat

BankMessage = CreditTransferMessage | StatusInquiry | ReturnAcknowledgement | Cancellation
_Fields = dict[str, etree._Element]


def read(body: bytes) -> BankMessage:
    """The message in `body`; MessageRefused names the first field and rule that it breaks."""
    root = parsed(body)
    try:
        name, reader = _reader(root)
        if name == "pacs.008.001.08":
            _check_count(root)
        guideline(name).check(root, body)
        return reader(_Reading(root, name))
    except FieldRefused as refusal:
        raise refused(refusal, root) from None


class _Reading:
    """A tree that the guideline accepted: every element in one namespace, in its place, as often as it may be."""

    __slots__ = ("_cut", "message")

    def __init__(self, root: etree._Element, name: str) -> None:
        self.message = root[0]
        self._cut = len(NAMESPACE) + len(name) + 2  # the tag's `{namespace}`

    def fields(self, element: etree._Element) -> _Fields:
        """Children by local name; of a repeated one the last."""
        cut = self._cut
        return {child.tag[cut:]: child for child in element}

    def named(self, element: etree._Element, name: str) -> list[etree._Element]:
        """All children with this local name."""
        cut = self._cut
        return [child for child in element if child.tag[cut:] == name]


def _reader(root: etree._Element) -> tuple[str, Callable[[_Reading], BankMessage]]:
    tag = str(root.tag)
    if not tag.startswith("{" + NAMESPACE) or not tag.endswith("}Document"):
        raise FieldRefused("FF01", "Document", f"the root element is Document in namespace {NAMESPACE}<message>")
    name = tag[len(NAMESPACE) + 1 : -len("}Document")]
    reader = _READERS.get(name)
    if reader is None:
        raise FieldRefused("FF01", "Document", f"the namespace names a message served here: {', '.join(SERVED)}")
    return name, reader


def _check_count(root: etree._Element) -> None:
    """Said before the schema, which would only call the first one too many unexpected."""
    message = root[0] if len(root) else root
    if len(message) > TRANSFERS_MAX + 1:
        raise FieldRefused("AM19", "CdtTrfTxInf", f"a message carries 1 to {TRANSFERS_MAX} transfers")


def _text(fields: _Fields, name: str) -> str | None:
    element = fields.get(name)
    return None if element is None else element.text


def _required(fields: _Fields, name: str) -> str:
    return fields[name].text or ""


def _credit_transfers(reading: _Reading) -> CreditTransferMessage:
    header = reading.fields(reading.message[0])
    transfers = tuple(
        _credit_transfer(reading, element, f"CdtTrfTxInf[{number}]")
        for number, element in enumerate(reading.named(reading.message, "CdtTrfTxInf"), start=1)
    )
    count = _required(header, "NbOfTxs")
    if int(count) != len(transfers):
        rule = f"says {int(count)}, the message carries {len(transfers)}"
        raise FieldRefused("AM19", "GrpHdr/NbOfTxs", rule)
    _check_sums(header, transfers)
    _check_distinct(transfers)
    return CreditTransferMessage(
        msg_id=_required(header, "MsgId"),
        created_ms=read_instant(_required(header, "CreDtTm"), "GrpHdr/CreDtTm"),
        transfers=transfers,
    )


def _credit_transfer(reading: _Reading, element: etree._Element, path: str) -> CreditTransfer:
    fields = reading.fields(element)
    ids = reading.fields(fields["PmtId"])
    debtor = reading.fields(fields["Dbtr"])
    creditor_account = reading.fields(fields["CdtrAcct"])["Id"][0]
    amount_minor, currency = _amount(fields["IntrBkSttlmAmt"], f"{path}/IntrBkSttlmAmt")
    contact = debtor.get("CtctDtls")
    remittance = fields.get("RmtInf")
    return CreditTransfer(
        uetr=UUID(_required(ids, "UETR")),
        end_to_end_id=_required(ids, "EndToEndId"),
        instruction_id=_text(ids, "InstrId"),
        transaction_id=_text(ids, "TxId"),
        amount_minor=amount_minor,
        currency=currency,
        debtor_name=_required(debtor, "Nm"),
        debtor_account=_debtor_account(reading, fields.get("DbtrAcct")),
        debtor_agent=_agent(reading, fields["DbtrAgt"]),
        creditor_name=_required(reading.fields(fields["Cdtr"]), "Nm"),
        creditor_msisdn=_required(reading.fields(creditor_account), "Id").removeprefix("+"),
        contact=Contact() if contact is None else _contact(reading, contact, f"{path}/Dbtr/CtctDtls"),
        remittance=None if remittance is None else "\n".join(line.text or "" for line in remittance),
    )


def _amount(element: etree._Element, field: str) -> tuple[int, str]:
    """Minor units and currency, from the raw text."""
    currency = element.get("Ccy", "")
    try:
        minor_digits(currency)
    except AmountRefused as error:
        raise FieldRefused("AM11", f"{field}/@Ccy", str(error)) from None
    try:
        return parse_amount(element.text or "", currency), currency
    except AmountRefused as error:
        raise FieldRefused("AM12", field, str(error)) from None


def _agent(reading: _Reading, element: etree._Element) -> str:
    """The member id with us, or the BIC where there is none."""
    institution = reading.fields(element[0])
    member = institution.get("ClrSysMmbId")
    return _required(institution, "BICFI") if member is None else _required(reading.fields(member), "MmbId")


def _debtor_account(reading: _Reading, element: etree._Element | None) -> str | None:
    if element is None:
        return None
    identification = reading.fields(reading.fields(element)["Id"])
    iban = identification.get("IBAN")
    return _required(reading.fields(identification["Othr"]), "Id") if iban is None else iban.text


def _contact(reading: _Reading, element: etree._Element, path: str) -> Contact:
    """Contact4: the mobile number before the other one, the language as Othr with ChanlTp LANG."""
    fields = reading.fields(element)
    phone_field = "MobNb" if "MobNb" in fields else "PhneNb"
    phone = _text(fields, phone_field)
    language = None
    for other in reading.named(element, "Othr"):
        channel = reading.fields(other)
        if channel["ChanlTp"].text == "LANG":
            language = read_language(_required(channel, "Id"), f"{path}/Othr/Id")
    return Contact(
        phone=None if phone is None else read_phone(phone, f"{path}/{phone_field}"),
        email=_text(fields, "EmailAdr"),
        language=language,
    )


def _check_sums(header: _Fields, transfers: tuple[CreditTransfer, ...]) -> None:
    """CtrlSum (all amounts, whatever their currency) and TtlIntrBkSttlmAmt (one currency), to the last digit."""
    control_sum = header.get("CtrlSum")
    if control_sum is not None:
        total = sum(item.amount_minor * 10 ** (SUM_DECIMALS - minor_digits(item.currency)) for item in transfers)
        if scaled(control_sum.text or "") != total:
            raise FieldRefused("AM10", "GrpHdr/CtrlSum", "must equal the sum of the transfers' amounts")
    total_amount = header.get("TtlIntrBkSttlmAmt")
    if total_amount is not None:
        amount_minor, currency = _amount(total_amount, "GrpHdr/TtlIntrBkSttlmAmt")
        if {item.currency for item in transfers} != {currency}:
            rule = "its currency is the currency of every transfer in the message"
            raise FieldRefused("AM11", "GrpHdr/TtlIntrBkSttlmAmt/@Ccy", rule)
        if sum(item.amount_minor for item in transfers) != amount_minor:
            raise FieldRefused("AM10", "GrpHdr/TtlIntrBkSttlmAmt", "must equal the sum of the transfers' amounts")


def _check_distinct(transfers: tuple[CreditTransfer, ...]) -> None:
    uetrs: dict[UUID, int] = {}
    end_to_end_ids: dict[str, int] = {}
    for number, item in enumerate(transfers, start=1):
        first = uetrs.setdefault(item.uetr, number)
        if first != number:
            rule = f"a UETR names one transfer; CdtTrfTxInf[{first}] has the same"
            raise FieldRefused("DU03", f"CdtTrfTxInf[{number}]/PmtId/UETR", rule)
        first = end_to_end_ids.setdefault(item.end_to_end_id, number)
        if first != number and item.end_to_end_id != NOT_PROVIDED:
            rule = f"an EndToEndId stands once in a message; CdtTrfTxInf[{first}] has the same"
            raise FieldRefused("DU04", f"CdtTrfTxInf[{number}]/PmtId/EndToEndId", rule)


def _inquiry(reading: _Reading) -> StatusInquiry:
    message = reading.fields(reading.message)
    inquired = reading.fields(message["TxInf"])
    original = inquired.get("OrgnlGrpInf", message.get("OrgnlGrpInf"))
    header = reading.fields(message["GrpHdr"])
    read_instant(_required(header, "CreDtTm"), "GrpHdr/CreDtTm")
    return StatusInquiry(
        msg_id=_required(header, "MsgId"),
        uetr=UUID(_required(inquired, "OrgnlUETR")),
        original_msg_id=None if original is None else _text(reading.fields(original), "OrgnlMsgId"),
        end_to_end_id=_text(inquired, "OrgnlEndToEndId"),
    )


def _acknowledgement(reading: _Reading) -> ReturnAcknowledgement:
    message = reading.fields(reading.message)
    group_named = "OrgnlGrpInfAndSts" in message
    items: dict[str, ReturnAcknowledged] = {}
    for number, element in enumerate(reading.named(reading.message, "TxInfAndSts"), start=1):
        path = f"TxInfAndSts[{number}]"
        fields = reading.fields(element)
        if not group_named and "OrgnlGrpInf" not in fields:
            rule = "is required here, or OrgnlGrpInfAndSts for the whole message: which pacs.004 is meant"
            raise FieldRefused("FF01", f"{path}/OrgnlGrpInf", rule)
        item = _acknowledged(reading, fields)
        if item.return_id in items:
            raise FieldRefused("DU03", f"{path}/OrgnlTxId", "a return is acknowledged once in a message")
        items[item.return_id] = item
    return ReturnAcknowledgement(
        msg_id=_required(reading.fields(message["GrpHdr"]), "MsgId"), items=tuple(items.values())
    )


def _acknowledged(reading: _Reading, fields: _Fields) -> ReturnAcknowledged:
    information = fields.get("StsRsnInf")
    return ReturnAcknowledged(
        return_id=_required(fields, "OrgnlTxId"),
        uetr=UUID(_required(fields, "OrgnlUETR")),
        accepted=_required(fields, "TxSts") != "RJCT",
        reason=None if information is None else information[0][0].text,
    )


def _cancellation(reading: _Reading) -> Cancellation:
    message = reading.fields(reading.message)
    recall = reading.fields(message["Undrlyg"][0])
    original = recall.get("OrgnlGrpInf")
    return Cancellation(
        assignment_id=_required(reading.fields(message["Assgnmt"]), "Id"),
        cancellation_id=_required(recall, "CxlId"),
        uetr=UUID(_required(recall, "OrgnlUETR")),
        original_msg_id=None if original is None else _text(reading.fields(original), "OrgnlMsgId"),
        end_to_end_id=_text(recall, "OrgnlEndToEndId"),
        reason=recall["CxlRsnInf"][0][0].text or "",
    )


_READERS: dict[str, Callable[[_Reading], BankMessage]] = {
    "pacs.008.001.08": _credit_transfers,
    "pacs.028.001.03": _inquiry,
    "pacs.002.001.10": _acknowledgement,
    "camt.056.001.08": _cancellation,
}
