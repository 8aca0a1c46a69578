"""What we write: the same bytes every time, accepted by the standard's whole schemas, read back by an independent
reader (xsdata with pyiso20022's dataclasses) and by our own; and nothing in a value can become markup.
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from msgspec import structs
from wire_samples import (
    ACKNOWLEDGEMENT,
    AT_MS,
    CANCELLATION,
    CANCELLATION_STATUS,
    CREDIT_TRANSFERS,
    FINAL,
    FULL_TRANSFER,
    INQUIRY,
    RECEIVED,
    REJECT,
    REJECTED,
    RETURN,
    STATUS_ITEM,
    UETR,
    whole_errors,
)
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig

from hakika.domain.money import MINOR_DIGITS
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.wire.iso20022 import fields, reading, reading_bank, writing
from hakika.wire.iso20022.guard import FieldRefused
from hakika.wire.iso20022.messages import Contact, CreditTransferMessage, TxStatus
from hakika.wire.iso20022.reading_bank import MessageRefused
from hakika.wire.iso20022.reasons import ISO_REASON, iso_code, iso_detail

WRITTEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "credit transfer": ("pacs.008.001.08", lambda: writing.write_credit_transfer(CREDIT_TRANSFERS)),
    "received": ("pacs.002.001.10", lambda: writing.write_status_report(RECEIVED)),
    "rejected": ("pacs.002.001.10", lambda: writing.write_status_report(REJECTED)),
    "final": ("pacs.002.001.10", lambda: writing.write_status_report(FINAL)),
    "return": ("pacs.004.001.09", lambda: writing.write_return(RETURN)),
    "inquiry": ("pacs.028.001.03", lambda: writing.write_inquiry(INQUIRY, created_ms=AT_MS)),
    "acknowledgement": (
        "pacs.002.001.10",
        lambda: writing.write_return_acknowledgement(ACKNOWLEDGEMENT, created_ms=AT_MS, return_msg_id="GW-4"),
    ),
    "reject": ("admi.002.001.01", lambda: writing.write_reject(REJECT)),
    "recall": ("camt.056.001.08", lambda: writing.write_cancellation(CANCELLATION, created_ms=AT_MS, bank="bank-a")),
    "recall answered": ("camt.029.001.09", lambda: writing.write_cancellation_status(CANCELLATION_STATUS)),
}
FROM_GATEWAY = [RECEIVED, REJECTED, FINAL, RETURN, REJECT, CANCELLATION_STATUS]


def written(message: Any) -> bytes:
    """A message of the gateway by its own writer."""
    writers: dict[str, Callable[[Any], bytes]] = {
        "StatusReport": writing.write_status_report,
        "PaymentReturn": writing.write_return,
        "MessageReject": writing.write_reject,
        "CancellationStatus": writing.write_cancellation_status,
    }
    return writers[type(message).__name__](message)


def independently(name: str, body: bytes) -> Any:
    """The message as xsdata reads it into pyiso20022's dataclasses, unknown elements and values refused."""
    family, module = name.partition(".")[0], name.replace(".", "_")
    package = importlib.import_module(f"pyiso20022.{family}.{module}.{module}")
    config = ParserConfig(
        fail_on_unknown_properties=True, fail_on_unknown_attributes=True, fail_on_converter_warnings=True
    )
    return XmlParser(config=config).from_bytes(body, package.Document)


@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if kind != "reject"])
def test_the_whole_schema_accepts_what_we_write(kind: str) -> None:
    name, write = WRITTEN[kind]
    assert whole_errors(name, write()) == []


@pytest.mark.parametrize("kind", WRITTEN)
def test_the_same_message_is_the_same_bytes_and_an_independent_reader_takes_it(kind: str) -> None:
    name, write = WRITTEN[kind]
    assert write() == write()
    assert independently(name, write()) is not None


def test_an_independent_reader_finds_the_transfer() -> None:
    document = independently("pacs.008.001.08", writing.write_credit_transfer(CREDIT_TRANSFERS))
    message = document.fito_ficstmr_cdt_trf
    assert message.grp_hdr.nb_of_txs == "2"
    assert str(message.grp_hdr.cre_dt_tm) == "2023-07-27T09:15:30.250Z"
    first = message.cdt_trf_tx_inf[0]
    assert (first.pmt_id.uetr, first.pmt_id.end_to_end_id) == (str(UETR), FULL_TRANSFER.end_to_end_id)
    assert (str(first.intr_bk_sttlm_amt.value), first.intr_bk_sttlm_amt.ccy) == ("1500.50", "KES")
    assert (first.dbtr.nm, first.cdtr.nm) == (FULL_TRANSFER.debtor_name, FULL_TRANSFER.creditor_name)
    assert first.cdtr_acct.id.othr.id == FULL_TRANSFER.creditor_msisdn
    assert first.dbtr.ctct_dtls.mob_nb == "+254-733000111"
    assert [(other.chanl_tp, other.id) for other in first.dbtr.ctct_dtls.othr] == [("LANG", "sw")]
    assert first.rmt_inf.ustrd == ["Term 3, class 7", "Ñandú 李"]


def test_an_independent_reader_finds_the_status_the_return_and_the_reject() -> None:
    report = independently("pacs.002.001.10", writing.write_status_report(RECEIVED)).fito_fipmt_sts_rpt
    item = report.tx_inf_and_sts[0]
    assert (item.tx_sts, item.orgnl_uetr, item.acct_svcr_ref) == ("RCVD", str(UETR), STATUS_ITEM.tracking)
    assert report.orgnl_grp_inf_and_sts[0].grp_sts is None
    returned = independently("pacs.004.001.09", writing.write_return(RETURN)).pmt_rtr.tx_inf[0]
    assert (returned.rtr_id, returned.orgnl_uetr) == ("RTR-1", str(UETR))
    assert str(returned.rtrd_intr_bk_sttlm_amt.value) == "1500.50"
    assert returned.rtr_rsn_inf[0].rsn.cd == "AC04"
    rejected = independently("admi.002.001.01", writing.write_reject(REJECT)).admi_002_001_01
    assert (rejected.rltd_ref.ref, rejected.rsn.rjctg_pty_rsn) == ("MSG-1", "signature_stale")
    assert rejected.rsn.err_lctn == "X-JWS-Signature"
    answer = independently("camt.029.001.09", writing.write_cancellation_status(CANCELLATION_STATUS))
    details = answer.rsltn_of_invstgtn.cxl_dtls[0].tx_inf_and_sts[0]
    assert (answer.rsltn_of_invstgtn.sts.conf, details.tx_cxl_sts.value) == ("RJCR", "RJCR")


@pytest.mark.parametrize("message", FROM_GATEWAY, ids=lambda message: type(message).__name__)
def test_a_bank_reads_back_what_the_gateway_wrote(message: Any) -> None:
    assert reading_bank.read_answer(written(message)) == message


def test_each_reader_of_a_bank_takes_its_own_message_alone() -> None:
    readers: dict[str, Callable[[bytes], Any]] = {
        "StatusReport": reading_bank.read_status_report,
        "PaymentReturn": reading_bank.read_return,
        "MessageReject": reading_bank.read_reject,
        "CancellationStatus": reading_bank.read_cancellation_status,
    }
    for message in FROM_GATEWAY:
        for name, read in readers.items():
            if name == type(message).__name__:
                assert read(written(message)) == message
            else:
                with pytest.raises(MessageRefused):
                    read(written(message))


@pytest.mark.parametrize(
    ("message", "old", "new", "field"),
    [
        (RECEIVED, "RCVD", "XXXX", "TxInfAndSts/TxSts"),
        (RECEIVED, f"<OrgnlUETR>{UETR}</OrgnlUETR>", "", "TxInfAndSts/OrgnlUETR"),
        (RECEIVED, str(UETR), "x", "TxInfAndSts/OrgnlUETR"),
        (RECEIVED, "<MsgId>GW-1</MsgId>", "", "GrpHdr/MsgId"),
        (RETURN, ">1500.50<", ">1500.505<", "TxInf/RtrdIntrBkSttlmAmt"),
        (RETURN, ">1500.50<", "><", "TxInf/RtrdIntrBkSttlmAmt"),
        (RETURN, "<TxInf>", "<TxInf></TxInf><TxInf>", "TxInf"),
        (RETURN, "<RtrId>RTR-1</RtrId>", "", "TxInf/RtrId"),
        (REJECT, "<Ref>MSG-1</Ref>", "", "RltdRef/Ref"),
        (CANCELLATION_STATUS, "TxInfAndSts>", "Other>", "CxlDtls/TxInfAndSts"),
    ],
)
def test_a_bank_refuses_an_answer_that_lacks_something(message: Any, old: str, new: str, field: str) -> None:
    text = written(message).decode()
    assert old in text
    with pytest.raises(MessageRefused) as caught:
        reading_bank.read_answer(text.replace(old, new).encode())
    assert caught.value.field == field


CARRIED = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs"],
        exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufffe\uffff",
    ),
    min_size=1,
    max_size=140,
)
IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=35)
DIGITS = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)
CONTACTS = st.builds(
    Contact,
    phone=st.none() | DIGITS,
    email=st.none() | st.just("a.b+c@example.co.ke"),
    language=st.none() | st.sampled_from(["en", "sw", "fr"]),
)


@st.composite
def transfers(draw: Any) -> Any:
    return structs.replace(
        FULL_TRANSFER,
        uetr=UUID(int=draw(st.integers(0, 2**128 - 1)), version=4),
        end_to_end_id=draw(IDS),
        instruction_id=draw(st.none() | IDS),
        transaction_id=draw(st.none() | IDS),
        amount_minor=draw(st.integers(1, 10**15)),
        currency=draw(st.sampled_from(sorted(MINOR_DIGITS))),
        debtor_name=draw(CARRIED),
        debtor_account=draw(st.none() | IDS.map(lambda text: text[:34])),
        creditor_name=draw(CARRIED),
        creditor_msisdn=draw(DIGITS),
        contact=draw(CONTACTS),
        remittance=draw(st.none() | st.lists(CARRIED, min_size=1, max_size=5).map("\n".join)),
    )


@given(
    st.lists(transfers(), min_size=1, max_size=3, unique_by=(lambda item: item.uetr, lambda item: item.end_to_end_id))
)
@settings(max_examples=80, deadline=None)
def test_any_transfer_comes_back_as_it_was_written(items: list[Any]) -> None:
    message = CreditTransferMessage("M-1", AT_MS, tuple(items))
    body = writing.write_credit_transfer(message)
    assert reading.read(body) == message
    assert whole_errors("pacs.008.001.08", body) == []


@given(detail=CARRIED, tracking=IDS, status=st.sampled_from(TxStatus))
@settings(max_examples=80, deadline=None)
def test_any_words_of_ours_make_a_valid_report(detail: str, tracking: str, status: TxStatus) -> None:
    item = structs.replace(STATUS_ITEM, status=status, reason="AC03", detail=detail * 9, tracking=tracking)
    body = writing.write_status_report(replace(REJECTED, group_detail=detail, items=(item,)))
    assert whole_errors("pacs.002.001.10", body) == []
    read = reading_bank.read_status_report(body)
    assert read.items[0].tracking == tracking
    assert (read.items[0].detail or "") in " ".join((detail * 9).split())


def test_values_cannot_become_markup() -> None:
    evil = '</Nm></Dbtr><x a="1">&amp;]]><!-- '
    body = writing.write_credit_transfer(
        replace(CREDIT_TRANSFERS, transfers=(structs.replace(FULL_TRANSFER, debtor_name=evil),))
    )
    assert body.count(b"<Nm>") == 2 and etree.fromstring(body).findtext(".//{*}Dbtr/{*}Nm") == evil


@pytest.mark.parametrize("character", ["\0", "\x0b", "\r", "\ud800", "\ufffe"])
def test_text_that_xml_cannot_carry_is_a_bug(character: str) -> None:
    with pytest.raises(InvariantBroken):
        writing.write_return(replace(RETURN, end_to_end_id=f"a{character}"))


def test_a_recall_has_three_answers() -> None:
    for status, individual in (("CNCL", "ACCR"), ("RJCR", "RJCR"), ("PDCR", "PDCR")):
        body = writing.write_cancellation_status(replace(CANCELLATION_STATUS, status=status))
        assert f"<Conf>{status}</Conf>".encode() in body and f"<TxCxlSts>{individual}<".encode() in body
        assert whole_errors("camt.029.001.09", body) == []
    with pytest.raises(InvariantBroken):
        writing.write_cancellation_status(replace(CANCELLATION_STATUS, status="ACCP"))


def test_long_words_are_cut_into_lines_and_ended() -> None:
    body = writing.write_return(replace(RETURN, detail="word " * 1000))
    assert body.count(b"<AddtlInf>") == 10
    assert whole_errors("pacs.004.001.09", body) == []
    long = replace(REJECT, reference="R" * 50, reason="r" * 50, location="l" * 500, description="d" * 500)
    independently("admi.002.001.01", writing.write_reject(long))
    read = reading_bank.read_reject(writing.write_reject(long))
    assert (len(read.reference), len(read.reason), len(read.location or ""), len(read.description)) == (
        35,
        35,
        350,
        350,
    )


def test_words_are_cut_between_words() -> None:
    detail = "a rule in many words, " * 12 + "x" * 120
    body = writing.write_return(replace(RETURN, detail=detail))
    lines = [line.text or "" for line in etree.fromstring(body).iter("{*}AddtlInf")]
    assert "".join(lines) == detail
    assert all(len(line) <= writing.DETAIL_LINE_CHARACTERS for line in lines)
    assert all(line.endswith(" ") for line in lines[:2]) and lines[-2] == "x" * writing.DETAIL_LINE_CHARACTERS


def test_every_reason_has_an_iso_code_and_a_sentence() -> None:
    assert set(ISO_REASON) == set(Reason)
    for reason in Reason:
        assert len(iso_code(reason)) == 4 and iso_code(reason).isalnum() and iso_code(reason).isupper()
        assert iso_detail(reason).startswith(f"{reason.value}: ") and iso_detail(reason).endswith(".")
        assert len(iso_detail(reason)) <= writing.DETAIL_LINE_CHARACTERS
        body = writing.write_return(replace(RETURN, reason=iso_code(reason), detail=iso_detail(reason)))
        assert whole_errors("pacs.004.001.09", body) == []
        assert reading_bank.read_return(body).detail == iso_detail(reason)


@given(DIGITS)
def test_a_telephone_number_survives_both_forms(digits: str) -> None:
    assert fields.read_phone(fields.phone_text(digits), "MobNb") == digits


@pytest.mark.parametrize(
    ("digits", "text"),
    [
        ("254712345678", "+254-712345678"),
        ("12025550123", "+1-2025550123"),
        ("27821234567", "+27-821234567"),
        ("2348031234567", "+234-8031234567"),
        ("919876543210", "+91-9876543210"),
    ],
)
def test_the_country_code_is_parted_off(digits: str, text: str) -> None:
    assert fields.phone_text(digits) == text


@given(st.integers(0, 4_102_444_799_999))
def test_an_instant_survives_its_text(instant_ms: int) -> None:
    assert fields.read_instant(fields.instant_text(instant_ms), "CreDtTm") == instant_ms


@pytest.mark.parametrize(
    "text", ["", "now", "2023-13-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00"]
)
def test_an_instant_that_is_none_is_refused_or_read(text: str) -> None:
    try:
        assert isinstance(fields.read_instant(text, "CreDtTm"), int)
    except FieldRefused as refusal:
        assert refusal.code == "DT01"
