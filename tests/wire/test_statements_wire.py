"""Statements on the wire: what counts, and every way in which one does not."""

import base64
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakika.wire import jws
from hakika.wire.statements import (
    EXPIRES_MS,
    SIGNATURES_MAX,
    Backlog,
    Evidence,
    ProbeEvidence,
    Resume,
    Signed,
    Statement,
    StatementRefused,
    StatusCheck,
    TransferEvidence,
    sign,
    verify,
)

NOW_MS = 1_690_437_600_000
KEY, PUBLIC = jws.new_key_pair()
OTHER_KEY, OTHER_PUBLIC = jws.new_key_pair()


def statement(**changes: Any) -> Statement:
    """A HOLD with evidence."""
    values: dict[str, Any] = {
        "operator": "demo-ke", "bank": "bank-a", "direction": "bank_to_wallet", "decision": "HOLD",
        "since_ms": NOW_MS - 12_000, "reason": ["timeout"], "incident": "inc_1",
        "evidence": Evidence(TransferEvidence(412, 0.51, 60), ProbeEvidence(2, 3)),
        "backlog": Backlog(1840, 410.0), "resume": Resume(0), "status_check": StatusCheck(90.0, 3, 7200.0),
        "seq": 88213, "issued_at_ms": NOW_MS, "expires_at_ms": NOW_MS + EXPIRES_MS,
        "next_update_by_ms": NOW_MS + 10_000,
    }  # fmt: skip
    return Statement(**{**values, **changes})


def signed(**changes: Any) -> Signed:
    """Signed now."""
    return sign(statement(**changes), KEY, NOW_MS // 1000)


def refused(item: Signed, now_ms: int = NOW_MS) -> str:
    """The code with which it is refused."""
    with pytest.raises(StatementRefused) as error:
        verify(item.body, item.headers, [PUBLIC], now_ms)
    return error.value.code


def test_what_was_signed_is_read() -> None:
    item = signed()
    assert verify(item.body, item.headers, [PUBLIC], NOW_MS) == statement()
    assert item.headers["webhook-id"] == "stm_bank-a_88213"
    assert msgspec.json.decode(item.file()) == {"headers": item.headers, "body": item.body.decode()}


def test_either_of_two_keys_counts_during_a_rotation() -> None:
    item = signed()
    assert verify(item.body, item.headers, [OTHER_PUBLIC, PUBLIC], NOW_MS).seq == 88213
    other = sign(statement(), OTHER_KEY, NOW_MS // 1000).headers["webhook-signature"]
    both = replace(item, headers={**item.headers, "webhook-signature": f"{other} {item.headers['webhook-signature']}"})
    assert verify(both.body, both.headers, [PUBLIC], NOW_MS).seq == 88213
    many = " ".join([other] * SIGNATURES_MAX + [item.headers["webhook-signature"]])
    assert refused(replace(item, headers={**item.headers, "webhook-signature": many})) == "signature_wrong"


def test_another_key_another_time_another_id_another_byte() -> None:
    item = signed()
    assert refused(sign(statement(), OTHER_KEY, NOW_MS // 1000)) == "signature_wrong"
    assert refused(replace(item, body=item.body.replace(b"HOLD", b"OPEN"))) == "signature_wrong"
    assert refused(replace(item, headers={**item.headers, "webhook-id": "stm_bank-a_99"})) == "signature_wrong"
    later = str(NOW_MS // 1000 + 1)
    assert refused(replace(item, headers={**item.headers, "webhook-timestamp": later})) == "signature_wrong"


def test_stale_expired_unread() -> None:
    assert refused(signed(), NOW_MS + 31_000) == "signature_stale"
    assert refused(signed(), NOW_MS - 31_000) == "signature_stale"
    assert refused(signed(), NOW_MS + EXPIRES_MS) == "statement_expired"
    assert refused(signed(schema="health.corridor/2")) == "schema_unknown"
    assert refused(signed(decision="MAYBE")) == "statement_unread"


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=40)))
def test_no_header_opens_the_door(headers: dict[str, str]) -> None:
    """Whatever stands in the headers: refused, and never an error of ours."""
    item = signed()
    with pytest.raises(StatementRefused):
        verify(item.body, headers, [PUBLIC], NOW_MS)


@given(st.binary(max_size=80))
def test_no_signature_but_the_right_one(raw: bytes) -> None:
    item = signed()
    text = "v1a," + base64.b64encode(raw).decode()
    if text != item.headers["webhook-signature"]:
        assert refused(replace(item, headers={**item.headers, "webhook-signature": text})) == "signature_wrong"
