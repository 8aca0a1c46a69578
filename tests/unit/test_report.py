"""The report of an invented run: one file that fetches nothing, pictures with words, a story from rows."""

import csv
import html as html_entities
import io
import json
import re
import stat
from pathlib import Path

import pytest
from lxml import etree
from replay_runs import Run, add, ms, ordinary, page, watched

from hakika.simulator import pictures, report
from hakika.simulator.detection import Detection, Seen
from hakika.simulator.record import Record, duration, moments, wait_bars
from hakika.simulator.story import stories, tell

LINKS = [{"link": "gateway-core", "counts": {"request.messages": 5120, "request.double": 31}}]


@pytest.fixture(scope="module")
def record() -> Record:
    return ordinary().record()


@pytest.fixture(scope="module")
def page_text(record: Record) -> str:
    return report.html(record, LINKS)


def words_of(text: str) -> str:
    """What a reader sees, without markup."""
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return " ".join(html_entities.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_one_file_without_scripts_or_requests(page_text: str) -> None:
    assert "<script" not in page_text
    assert not re.search(r"""(src|href)\s*=|@import|url\((?!#)""", page_text.replace("url(#", "url(#"))
    assert "default-src 'none'" in page_text
    assert len(page_text) < 200_000


def test_the_verdict_comes_first(page_text: str) -> None:
    seen = words_of(page_text)
    assert seen.index("Every promise was kept.") < 200
    assert "agree to the cent" in seen
    assert "!" not in seen
    for banned in ("pending", "processing", "oops", "session", "invalid"):
        assert banned not in seen.lower()


def test_numbers_on_the_page_are_those_of_report_json(record: Record, page_text: str) -> None:
    seen = words_of(page_text)
    for key in ("offered", "accepted", "completed", "returned", "in_doubt_past_deadline", "tracking_checked"):
        assert f"{record.reckoning.figures[key]:,}" in seen


def test_both_colour_schemes_and_both_widths(page_text: str) -> None:
    assert "prefers-color-scheme:dark" in page_text
    assert page_text.count("<svg") >= 5
    assert 'class="narrow"' in page_text and 'class="wide"' in page_text


def test_pictures_are_titled_described_and_well_formed(record: Record) -> None:
    for number, picture in enumerate(
        (pictures.in_flight(record, width=928, height=360, number=0), pictures.waits(record, width=360, number=1))
    ):
        root = etree.fromstring(picture)
        space = {"s": "http://www.w3.org/2000/svg"}
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == f"pt{number} pd{number}"
        assert root.findtext("s:title", namespaces=space)
        assert root.findtext("s:desc", namespaces=space)


def test_the_outage_is_shaded_and_each_kill_marked(record: Record) -> None:
    picture = pictures.in_flight(record, width=928, height=360, number=0)
    assert "outage, 13:00 to 19:00" in picture
    assert picture.count('class="kill"') == sum(1 for mark in record.marks if mark.kind == "kill")
    assert "held by Hakika" in picture


SEEN = Seen(ms(32), ms(34), ms(149), 12.0, 14.0, ("role:core",), named_right=True, closed_right=True)
MISSED = Seen(why=("no incident was opened",))


def test_what_health_saw_is_on_the_picture_and_in_words() -> None:
    record = watched(Detection((SEEN, MISSED), 1, ("opened about channel:tracking, which was well",))).record()
    picture = pictures.in_flight(record, width=928, height=360, number=0)
    assert picture.count('class="seen"') == 3
    assert "seen 12 s, said 14 s" in picture and ">over<" in picture
    seen = words_of(report.html(record, LINKS))
    assert "What the watch saw" in seen
    assert "role:core, 13:00 to 19:00 12.0 s 14.0 s role:core: right" in seen
    assert "never never nothing: wrong not by an event: wrong no incident was opened" in seen
    assert "Incidents about what was well: 1: opened about channel:tracking, which was well." in seen
    assert "detected_after_s never" in seen  # of several faults the slowest counts, and one was never seen


def test_without_health_nothing_is_said_about_it(record: Record, page_text: str) -> None:
    assert 'class="seen"' not in pictures.in_flight(record, width=928, height=360, number=0)
    assert "What the watch saw" not in page_text and "detected_after_s" not in page_text


def test_every_band_is_shaded_and_hours_are_named_where_there_is_room() -> None:
    record = watched(Detection((SEEN, SEEN), 0)).record()
    for width, most in ((928, 12), (360, 8)):
        picture = pictures.in_flight(record, width=width, height=330, number=0)
        assert picture.count('class="band"') == 2
        assert "outage, 13:00 to 19:00" in picture
        assert 3 <= picture.count('class="t mid soft"') <= most
    assert "and from 19:30 to 20:15" in pictures.in_flight(record, width=928, height=360, number=0)


def test_nothing_is_in_flight_at_the_end_and_areas_add_up(record: Record) -> None:
    series = moments(record)
    assert series[-1].in_flight == 0
    for moment in series[:: len(series) // 12]:
        at_ms = record.began_ms + round(moment.at_s * 1000)
        open_now = [
            life
            for life in record.lives.values()
            if life.received_ms <= at_ms and (life.settled_ms or at_ms + 1) > at_ms
        ]
        assert moment.in_flight == len(open_now)
        assert moment.in_doubt == sum(1 for life in open_now if life.open_at(at_ms))


def test_every_settled_transfer_is_in_one_bar(record: Record) -> None:
    bars = wait_bars(record)
    assert sum(bar.count for bar in bars) == len(record.lives)
    assert bars[0].from_s == 0
    assert [pictures.wait_label(bar) for bar in bars][:2] == ["under 1 s", "1 to 2 s"]
    assert pictures.story_label(bars[0], 180) == "under 3 min"


def test_stories_tell_one_arrival_and_one_return(record: Record) -> None:
    told = stories(record)
    assert [("arrived" in story.title, "came back" in story.title) for story in told] == [(True, False), (False, True)]
    for story in told:
        assert [line.at_s for line in story.lines] == sorted(line.at_s for line in story.lines)
        text = " ".join(line.words for line in story.lines)
        assert "custody" in text and "arrives or comes back by" in text
        assert "The account is debited" in text
    assert "credited, once" in " ".join(line.words for line in told[0].lines)
    assert "has put it back on the account" in " ".join(line.words for line in told[1].lines)


def test_the_story_of_a_doubt_says_that_silence_is_no_answer() -> None:
    run = Run()
    life = add(run, 20.5, [(20.6, 140.4, "posted")])
    run.samples.append(page(life.uetr, life, ms(60)))
    story = tell(run.record(), life)
    text = " ".join(line.words for line in story.lines)
    assert "No answer is not an answer" in text
    assert "Its tracking page says: sent; it may already be in the wallet" in text
    assert "the gateway is killed" in text
    assert "in doubt past its deadline" in text


def test_a_broken_promise_is_named_on_the_page() -> None:
    run = ordinary()
    life = add(run, 1, [(1.1, 1.2, "burnt"), (1.3, 1.4, "posted")])
    run.posted.add(life.attempts[0].id)
    seen = words_of(report.html(run.record(), LINKS))
    assert "A promise was broken: 1 transfer." in seen
    assert f"{life.uetr[:8]}-" in seen


def test_names_are_escaped() -> None:
    run = ordinary()
    life = add(run, 1, [], back_s=82, confirmed_s=83, reason="<script>alert(1)</script>")
    text = report.html(run.record(), LINKS)
    assert life.reason and life.reason not in text


def test_three_files_and_their_modes(record: Record, tmp_path: Path) -> None:
    report.write(tmp_path, record, LINKS)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.json", "transfers.csv"]
    assert json.loads((tmp_path / "report.json").read_text()) == record.reckoning.figures
    rows = list(csv.DictReader(io.StringIO((tmp_path / "transfers.csv").read_text())))
    assert len(rows) == len(record.lives)
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o600


def test_a_run_without_any_transfer() -> None:
    record = Run().record()
    text = words_of(report.html(record, []))
    assert "Banks handed over 0 transfers." in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.25, "250 ms"), (40, "40 s"), (180, "3 min"), (4 * 3600 + 12 * 60, "4 h 12 min"), (7200, "2 h")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
