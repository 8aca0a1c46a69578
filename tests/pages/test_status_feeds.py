"""Feeds, calendar and data of the status page against golden files and against their own formats' rules.

The golden files were written by this code and read by people; `python tests/pages/test_status_feeds.py` writes them
again, and the difference is what a reviewer looks at.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from status_samples import (
    AHEAD,
    CORE_OUT,
    DISPUTED,
    NOTHING,
    ONE_OUT,
    OVERRUN,
    PLANNED,
    SETTINGS,
    UNKNOWN,
    WELL,
    hostile,
)
from test_tracking_page import PAYLOADS

from hakika.health.page.calendar import LINE_OCTETS_MAX, calendars, escaped, folded
from hakika.health.page.feeds import ENTRIES_MAX, feeds
from hakika.health.page.model import Language, OperatorWords, Phase, State, StatusModel
from hakika.health.page.words import clean, paragraphs

GOLDEN = Path(__file__).parent / "golden"
ATOM = "{http://www.w3.org/2005/Atom}"
FILES = {
    "status-overrun.atom": (OVERRUN, "feed.atom"),
    "status-overrun.sw.feed.json": (OVERRUN, "sw/feed.json"),
    "status-overrun.fr.ics": (OVERRUN, "fr/maintenance.ics"),
    "status-well.ics": (WELL, "maintenance.ics"),
    "status-core-out.fr.atom": (CORE_OUT, "fr/feed.atom"),
    "status-core-out.heartbeat.json": (CORE_OUT, "heartbeat.json"),
    "status-planned.heartbeat.json": (PLANNED, "heartbeat.json"),
    "status-disputed.json": (DISPUTED, "status.json"),
}  # fmt: skip


def without_days(body: bytes, file: str) -> bytes:
    """`status.json` without its 900 days and the minutes of a curve, which would drown what a reviewer looks at."""
    if not file.endswith("status.json"):
        return body
    content = json.loads(body)
    for component in content["components"]:
        component["days"] = component["days"][-2:]
    for incident in content["incidents"]:
        incident["failed_share"] = incident["failed_share"][:6]
    return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"


def for_machines(model: StatusModel) -> dict[str, bytes]:
    return {**feeds(model, SETTINGS), **calendars(model, SETTINGS)}


def written(name: str) -> bytes:
    model, file = FILES[name]
    return without_days(for_machines(model)[file], file)


@pytest.mark.parametrize("name", FILES)
def test_golden(name: str) -> None:
    assert written(name) == (GOLDEN / name).read_bytes()


def atom(model: StatusModel, file: str = "feed.atom") -> Any:
    return etree.fromstring(feeds(model, SETTINGS)[file])


def unfolded(body: bytes) -> list[str]:
    assert body.endswith(b"\r\n") and b"\n" not in body.replace(b"\r\n", b"")
    assert all(len(line) <= LINE_OCTETS_MAX for line in body.split(b"\r\n"))
    return body.decode().replace("\r\n ", "").split("\r\n")[:-1]


@pytest.mark.parametrize("language", Language)
def test_atom_has_what_rfc_4287_demands(language: Language) -> None:
    feed = atom(OVERRUN, f"{language.value}/feed.atom")
    assert feed.get("{http://www.w3.org/XML/1998/namespace}lang") == language.value
    ids = [entry.findtext(f"{ATOM}id") for entry in feed.iter(f"{ATOM}entry")]
    assert len(ids) == len(set(ids)) == 4 and all(ids)
    for item in (feed, *feed.iter(f"{ATOM}entry")):
        for needed in ("id", "title", "updated"):
            assert item.findtext(f"{ATOM}{needed}"), needed
    instants = [entry.findtext(f"{ATOM}updated") for entry in feed.iter(f"{ATOM}entry")]
    assert instants == sorted(instants, reverse=True)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", instant) for instant in instants)
    links = {link.get("rel"): link.get("href") for link in feed.findall(f"{ATOM}link")}
    assert links["self"] == f"https://status.example/{language.value}/feed.atom"


def test_what_a_feeds_reader_keeps_has_its_day() -> None:
    for text in atom(OVERRUN).itertext():
        for time in re.findall(r"\d\d:\d\d(?::\d\d)? EAT[^.]{0,5}", text):
            assert re.search(r"EAT on ", time), text


def test_an_entry_is_updated_when_something_is_said_and_keeps_its_id() -> None:
    before, after = atom(ONE_OUT), atom(DISPUTED)
    one, other = (
        {entry.findtext(f"{ATOM}id"): entry.findtext(f"{ATOM}updated") for entry in feed.iter(f"{ATOM}entry")}
        for feed in (before, after)
    )
    assert one.keys() == other.keys()
    assert sum(one[id_] < other[id_] for id_ in one) == 1


def test_json_feed_has_what_its_version_1_1_demands() -> None:
    for path, body in feeds(OVERRUN, SETTINGS).items():
        if path.endswith("feed.json"):
            feed = json.loads(body)
            assert feed["version"] == "https://jsonfeed.org/version/1.1"
            assert feed["feed_url"] == f"https://status.example/{path}"
            assert feed["title"] and feed["items"]
            for item in feed["items"]:
                assert isinstance(item["id"], str) and item["content_text"] and item["url"].startswith("https://")


def test_feeds_are_bounded() -> None:
    many = tuple(replace(WELL.incidents[0], id=f"inc-{number}") for number in range(200))
    model = replace(WELL, incidents=many)
    assert len(list(atom(model).iter(f"{ATOM}entry"))) == ENTRIES_MAX
    assert len(json.loads(feeds(model, SETTINGS)["status.json"])["incidents"]) == 200


def test_the_heartbeat_is_the_worst_public_corridor() -> None:
    def beat(model: StatusModel) -> Any:
        return json.loads(feeds(model, SETTINGS)["heartbeat.json"])

    def with_state(state: State, **more: Any) -> StatusModel:
        first = replace(WELL.components[0], state=state, **more)
        return replace(WELL, components=(first, *WELL.components[1:]))

    assert beat(WELL) == {"serviceStatus": "available"}
    assert beat(with_state(State.UNAVAILABLE)) == {"serviceStatus": "unavailable"}
    assert beat(with_state(State.DEGRADED, delay_s=90)) == {"serviceStatus": "degraded", "delay": 90_000}
    assert beat(with_state(State.UNKNOWN)) == {"serviceStatus": "degraded"}
    assert beat(NOTHING) == {"serviceStatus": "degraded"}
    assert beat(UNKNOWN) == {"serviceStatus": "degraded"}
    # A channel or product that is out is not a corridor.
    channel = replace(WELL.components[4], state=State.UNAVAILABLE)
    without = replace(WELL, components=(*WELL.components[:4], channel), incidents=())
    assert beat(without) == {"serviceStatus": "available"}


def test_the_heartbeat_names_the_restoration_only_of_work_that_covers_what_is_out() -> None:
    corridor = replace(WELL.components[0], state=State.MAINTENANCE)
    window = replace(AHEAD, phase=Phase.RUNNING, components=(corridor.id,))
    closed = replace(WELL, components=(corridor, *WELL.components[1:]), maintenance=(window,))

    def beat(model: StatusModel) -> Any:
        return json.loads(feeds(model, SETTINGS)["heartbeat.json"])

    assert beat(closed) == {"serviceStatus": "unavailable", "plannedRestorationTime": "2026-08-02T00:30:00Z"}
    for phase in (Phase.PLANNED, Phase.OVERRUN, Phase.CANCELLED):
        assert beat(replace(closed, maintenance=(replace(window, phase=phase),))) == {"serviceStatus": "unavailable"}
    broken = replace(closed.components[1], state=State.UNAVAILABLE)
    also = replace(closed, components=(corridor, broken, *closed.components[2:]))
    assert beat(also) == {"serviceStatus": "unavailable"}


def test_status_json_says_all_of_it() -> None:
    content = json.loads(feeds(CORE_OUT, SETTINGS)["status.json"])
    assert content["schema"] == "health.status/1"
    assert content["languages"] == {"en": {"draft": False}, "sw": {"draft": True}, "fr": {"draft": True}}
    assert content["overall"] == "unavailable" and content["incident"] == "inc_01K15CORE"
    assert [len(one["days"]) for one in content["components"]] == [90] * 10
    core = next(one for one in content["incidents"] if one["id"] == "inc_01K15CORE")
    assert core["money"] == {
        "held": 38211, "promise_by": "2026-07-27T23:00:00Z", "advice": "do_not_send_again",
        "arrived": 0, "returned": 1204, "late": 3,
    }  # fmt: skip
    assert core["updates"][0]["text"]["args"] == {"component": "core-api", "silent_s": 55}
    assert set(core["updates"][2]["text"]["text"]) == {"en", "sw"}
    assert core["failed_share"][5][1] is None


def test_the_calendar_has_what_rfc_5545_demands() -> None:
    lines = unfolded(calendars(OVERRUN, SETTINGS)["maintenance.ics"])
    assert lines[0] == "BEGIN:VCALENDAR" and lines[-1] == "END:VCALENDAR" and "VERSION:2.0" in lines
    assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == 2
    uids = [line for line in lines if line.startswith("UID:")]
    assert uids == ["UID:mnt_2026_07_27@status.example", "UID:mnt_2026_08_02@status.example"]
    assert [line for line in lines if line.startswith("SEQUENCE:")] == ["SEQUENCE:1", "SEQUENCE:0"]
    assert "DTSTART:20260726T210000Z" in lines and "DTEND:20260727T010000Z" in lines
    assert "SUMMARY:New disks\\, nothing to do\\; wallets rest" in lines
    empty = unfolded(calendars(WELL, SETTINGS)["sw/maintenance.ics"])
    assert "BEGIN:VTIMEZONE" in empty and "BEGIN:VEVENT" not in empty


def test_a_change_raises_the_sequence_and_a_cancelled_window_stays_as_cancelled() -> None:
    moved = replace(AHEAD, sequence=2, phase=Phase.CANCELLED, changed_ms=AHEAD.changed_ms + 1000)
    lines = unfolded(calendars(replace(WELL, maintenance=(moved,)), SETTINGS)["maintenance.ics"])
    assert "STATUS:CANCELLED" in lines and "SEQUENCE:2" in lines and "DTSTAMP:20260721T130001Z" in lines


@pytest.mark.parametrize("letters", ["a", "é", "€", "𝄞", "a€", "\U0001f4b8é"])
def test_folding_cuts_no_letter_and_keeps_every_line_within_75_octets(letters: str) -> None:
    for count in (1, 24, 25, 37, 74, 75, 76, 149, 500):
        line = "SUMMARY:" + letters * count
        body = folded(line)
        assert all(len(part.encode()) <= LINE_OCTETS_MAX for part in body.split("\r\n"))
        assert body.replace("\r\n ", "") == line + "\r\n"


def test_escaping_of_calendar_text() -> None:
    assert escaped("a\\b;c,d\r\ne\x00f\u202eg") == "a\\\\b\\;c\\,d\\nefg"
    assert escaped("BEGIN:VEVENT\r\nEND:VCALENDAR") == "BEGIN:VEVENT\\nEND:VCALENDAR"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_words_stay_words_in_every_format(payload: str) -> None:
    model = hostile(payload)
    plain_model = hostile("Bank")
    for path, body in for_machines(model).items():
        for character in "\u202e\u0000\u2028\ufeff":
            assert character.encode() not in body, path
        if path.endswith(".atom"):
            kinds = [element.tag for element in etree.fromstring(body).iter()]
            assert kinds == [element.tag for element in atom(plain_model, path).iter()]
            assert (etree.fromstring(body).findtext(f"{ATOM}author/{ATOM}name") or "") == clean(payload)
        if path.endswith(".json"):
            json.loads(body)
        if path.endswith(".ics"):
            names = [re.match(r"[A-Z-]+", line) for line in unfolded(body)]
            expected = [re.match(r"[A-Z-]+", line) for line in unfolded(for_machines(plain_model)[path])]
            assert [name and name.group() for name in names] == [name and name.group() for name in expected]
    status = json.loads(feeds(model, SETTINGS)["status.json"])
    assert status["incidents"][1]["title"]["text"]["en"] == "\n".join(paragraphs(payload + "x"))


def test_words_from_outside_are_bounded() -> None:
    words = OperatorWords({Language.EN: "a\n" * 1000 + "b" * 10_000})
    told = paragraphs(words.by_language[Language.EN])
    assert len(told) <= 6 and sum(map(len, told)) <= 600


if __name__ == "__main__":
    for golden in FILES:
        (GOLDEN / golden).write_bytes(written(golden))
    sys.exit(0)
