"""From rows to views: each set of facts has its one stage, and nothing whole leaves."""

from typing import Any

import pytest
from page_samples import at

from hakika.channels.web.catalogue import Language
from hakika.channels.web.reference import encode_reference
from hakika.channels.web.render import as_json, page
from hakika.channels.web.tracked import view_of
from hakika.channels.web.view import Stage
from hakika.services.gateway.tracking import Tracked
from hakika.store.gateway.lookups import TrackedRow

NOW = at(14, 10)
ROW = TrackedRow(
    bank_name="Savanna Bank",
    status="RECEIVED",
    amount_minor=500_00,
    currency="KES",
    debtor_name="Achieng Otieno",
    creditor_name="Baraka Mwangi Kamau",
    creditor_msisdn="254712345678",
    received_ms=at(14, 2),
    deadline_ms=at(18, 2),
    status_ms=at(14, 2),
    reason=None,
    fee_minor=None,
    open_since_ms=None,
    returned_ms=None,
    acknowledged_ms=None,
    position_short=False,
    credited_late=False,
    burn_first=False,
    bank="bank-a",
)
RETURNED: dict[str, Any] = {
    "status": "RETURNED",
    "status_ms": at(14, 8),
    "returned_ms": at(14, 8),
    "reason": "wallet_closed",
}
CASES: list[tuple[dict[str, Any], int, Stage | None]] = [
    ({}, NOW, Stage.HELD),
    ({"status": "IN_FLIGHT", "open_since_ms": NOW - 500}, NOW, Stage.SENDING),
    ({"status": "IN_FLIGHT", "open_since_ms": NOW - 60_000}, NOW, Stage.IN_DOUBT),
    ({"status": "IN_FLIGHT", "open_since_ms": NOW}, at(18, 3), Stage.PAST_DEADLINE_IN_DOUBT),
    ({"status": "COMPLETED", "status_ms": at(14, 6), "fee_minor": 0}, NOW, Stage.COMPLETED),
    (RETURNED, NOW, Stage.COMING_BACK),
    (RETURNED | {"acknowledged_ms": at(14, 9)}, NOW, Stage.RETURNED),
    (RETURNED | {"acknowledged_ms": at(14, 9), "credited_late": True}, NOW, Stage.RETURNED_BUT_CREDITED),
    (RETURNED | {"credited_late": True}, NOW, Stage.RETURNED_BUT_CREDITED),
    ({"burn_first": True}, NOW, Stage.IN_DOUBT),
    ({"burn_first": True}, at(18, 3), Stage.PAST_DEADLINE_IN_DOUBT),
    ({"burn_first": True, "status": "COMPLETED", "status_ms": at(14, 6)}, NOW, Stage.COMPLETED),
    (RETURNED | {"burn_first": True, "reason": "gateway_restored"}, NOW, Stage.COMING_BACK),
    ({"status": "REJECTED"}, NOW, None),
]


@pytest.mark.parametrize(("changes", "now_ms", "stage"), CASES)
def test_facts_have_one_stage(changes: dict[str, Any], now_ms: int, stage: Stage | None) -> None:
    view = view_of(bytes(16), Tracked(ROW._replace(**changes), now_ms))
    assert (view.stage if view else None) == stage


@pytest.mark.parametrize("language", list(Language))
def test_who_has_the_link_sees_no_full_name_and_no_full_number(language: Language) -> None:
    for changes, now_ms, stage in CASES:
        view = view_of(bytes(16), Tracked(ROW._replace(**changes), now_ms))
        if view is None or stage is None:
            continue
        assert view.reference == encode_reference(bytes(16))
        for body in (page(view, language).decode(), as_json(view).decode()):
            for secret in ("Otieno", "OTIENO", "Mwangi", "MWANGI", "KAMAU", "712345678", "2345", "345678"):
                assert secret not in body
            assert "ACHIENG O." in body and "BARAKA M. K." in body
