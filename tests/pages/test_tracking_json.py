"""The JSON form is stable: field by field what is stored in golden/, and only ever more."""

import json
from pathlib import Path

import pytest
from page_samples import SAMPLES

from hakika.channels.web.render import as_json

GOLDEN = Path(__file__).parent / "golden"
KEPT = ("held", "in-doubt", "completed-late-with-fee", "returned", "returning-but-credited")
FIELDS = [
    "reference", "status", "stage", "final", "holder", "since", "amount", "currency", "fee", "debtor", "creditor",
    "received", "sent", "ended", "return_confirmed", "deadline", "as_of", "reason", "position_short", "sentence",
    "sentences",
]  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_json_is_as_it_was(name: str) -> None:
    now = json.loads(as_json(SAMPLES[name]))
    assert now == json.loads((GOLDEN / f"tracking-{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_answer_has_every_field_and_plain_spaces(name: str) -> None:
    body = as_json(SAMPLES[name])
    content = json.loads(body)
    assert list(content) == FIELDS
    assert content["status"] in ("RECEIVED", "IN_FLIGHT", "COMPLETED", "RETURNED")
    assert content["holder"] in ("hakika", "wallet", "bank", "being_established")
    for space in ("\u00a0", "\u202f"):
        assert space not in body.decode()
    assert set(content["sentences"]) == {"en", "sw", "fr"}
    for spoken in content["sentences"].values():
        assert list(spoken) == ["word", "holder", "promise", "advice", "more"]
