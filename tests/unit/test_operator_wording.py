"""The operator's words: every sentence of another module that the screens show is there in every language."""

import pytest
from incident_states import BY_HAND, MET, OPENED, OVERRAN, SAID_AGAINST, UNMET, after

from hakika.channels.web.operator.wording import Wording
from hakika.channels.web.operator.words import phrases, words
from hakika.health.detector import ALL, SILENCE
from hakika.health.fusion import FUSED_KIND
from hakika.health.incident_events import KINDS, Acknowledged, Closed, Measured, Recovering
from hakika.health.naming import Configured, Named
from hakika.health.page.model import Language, StatusModel
from hakika.health.page.publisher import ADVICE
from hakika.health.page.words import Voice
from hakika.health.probes import KIND
from hakika.health.regulator import CAUSES, Line, report_of
from hakika.health.regulator import Measured as Figures
from hakika.health.telling import Caught
from hakika.health.volume import DROP, RISE
from hakika.services.health.evidence import Refused

TRANSLATED = [language for language in Language if language is not Language.EN]
LIVES: tuple[tuple[object, ...], ...] = (
    (OPENED,),
    (OPENED, Acknowledged(), Measured(UNMET), Recovering(90), Measured(MET), Closed(MET, 120, 4)),
    (BY_HAND,),
    (OVERRAN,),
    (OPENED, SAID_AGAINST),
)
COMPONENTS = (
    Configured("corridor:bank-a", "corridor", "Demo Bank A"),
    Configured("corridor:bank-b", "corridor"),
    Configured("channel:tracking", "channel"),
    Configured("role:core", "role"),
)


def wording(language: Language) -> Wording:
    model = StatusModel(as_of_ms=0, next_update_by_ms=60_000, operator="DemoPesa", components=())
    return Wording(words(language), Voice(language, "Africa/Nairobi", model), Named(COMPONENTS))


def said(lines: tuple[Line, ...]) -> set[str]:
    """What of a report is a sentence and no figure, name or instant."""
    notes = {line.note for line in lines if line.field != "came back"}
    fields = {line.field for line in lines if not line.field.startswith("condition ")}
    values = {line.value for line in lines if line.field in ("status", "ended", "amount in flight", "severity")}
    return {text for text in notes | fields | values if text and not text.startswith(("after ", "1970-"))}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_of_the_report_and_every_advice_is_translated(language: Language) -> None:
    known = phrases(language)
    for life in LIVES:
        incident = after(*life)  # type: ignore[arg-type]
        report = report_of(incident, Figures(Caught(1, 2, 3, 4)), {}, operator="DemoPesa", zone="Africa/Nairobi")
        assert said(report.lines) - set(known) == set()
    assert set(ADVICE.values()) <= set(known)


@pytest.mark.parametrize("language", Language)
def test_every_id_has_words(language: Language) -> None:
    found = words(language)
    assert all(f"cause_{kind}" in found for kind in CAUSES)
    assert all(f"event_{kind}" in found for kind in KINDS)
    assert all(f"evidence_{kind}" in found for kind in (ALL, SILENCE, DROP, RISE, KIND, FUSED_KIND))
    for one in Refused:
        assert wording(language).refused(one.value) != one.value


def test_parts_have_names_and_kinds() -> None:
    english, swahili = wording(Language.EN), wording(Language.SW)
    assert english.component("corridor:bank-a") == "Demo Bank A (corridor)"
    assert english.component("corridor:bank-b") == "bank-b (corridor)"
    assert english.component("channel:tracking") == "Tracking page (channel)"
    assert swahili.component("channel:tracking") == "Ukurasa wa kufuatilia pesa (njia ya kuingia)"
    assert english.component("core") == "core"  # of no kind that is known: as it is
    assert english.cause("bank:bank-a") == "one bank's side: Demo Bank A"
    assert english.cause("hand:channel:tracking,corridor:bank-b") == "as seen by the operator: Tracking page, bank-b"
    assert english.cause("core") == "the wallet platform (core)"
    assert english.cause("strange:thing") == "strange:thing"
    assert (
        english.evidence(("failures", "failures:timeout", "probes"))
        == "technical failures (no answer), synthetic tests"
    )
    assert english.evidence(("failures:BE_AWAY",)) == "technical failures (BE AWAY)"
    assert english.evidence(()) == "none"
    assert swahili.phrase("after 75 s") == "baada ya sekunde 75"
    assert swahili.phrase("a sentence that nobody knows") == "a sentence that nobody knows"
