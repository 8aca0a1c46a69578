"""The operator's screens over HTTP: who gets in, what is shown, and that every act counts once and by the rules."""

import csv
import io
from pathlib import Path

import httpx2
import psycopg
import pytest
from judge_kit import CORRIDORS
from screens_kit import TOKEN, desk

from hakika import clock
from hakika.channels.web.operator.session import COOKIE
from hakika.health.incident import Origin, Stage
from hakika.store.embedded import RoleAccess

A, B = CORRIDORS
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"


async def test_only_the_token_opens_the_door(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path, faults=False, lasts_s=5) as at:
        page = await at.get("/operator?lang=en")
        assert 'type="password"' in page
        assert "corridor" not in page
        assert (await at.log_in("wrong")).status_code == 403
        assert (await at.log_in(TOKEN, "<b>")).status_code == 403
        forged = {"cookie": f"{COOKIE}=amina~99999999999999~{'0' * 64}"}
        assert 'type="password"' in (await at.client.get("/operator", headers=forged)).text
        assert (await at.client.post("/operator/open", data={"csrf": "x"})).status_code == 401
        inside = await at.log_in()
        assert inside.status_code == 303
        cookie = inside.headers["set-cookie"]
        assert all(flag in cookie for flag in ("HttpOnly", "SameSite=Strict", "Path=/operator", "Max-Age=43200"))
        assert "amina" in await at.get("/operator?lang=en")
        elsewhere = {"sec-fetch-site": "cross-site"}
        sent = await at.client.post("/operator/login", data={"token": TOKEN, "name": "amina"}, headers=elsewhere)
        assert sent.status_code == 403


async def test_guessing_is_slowed_down(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path, faults=False, lasts_s=5) as at:
        answers = [(await at.log_in(f"guess-{number}")).status_code for number in range(12)]
        assert answers[:10] == [403] * 10
        assert set(answers[10:]) == {429}
        assert (await at.log_in()).status_code == 429  # also for the right one


async def test_a_form_of_another_site_does_nothing(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path) as at:
        await at.log_in()
        incident = await at.incident()
        path = f"/operator/incidents/{incident.id.hex}"
        answer = await at.client.post(path, data={"do": "resolved", "act": clock.new_id().hex})
        assert answer.status_code == 403
        assert (await at.incident()).number == incident.number


async def test_the_screens_show_evidence_and_the_public_text(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path) as at:
        await at.log_in()
        incident = await at.incident()
        page = await at.get("/operator?lang=en")
        assert "Demo Bank A to wallet" in page
        assert "bank-b (corridor)" in page  # the operator's own screens know every bank
        assert "Tracking page (channel)" in page  # and call a channel what the page calls it
        assert page.index("Demo Bank A (corridor)") < page.index("bank-b (corridor)")  # the worst comes first
        shown = await at.get(f"/operator/incidents/{incident.id.hex}?lang=en")
        for text in (
            "What must be true",
            "not met",
            "technical failures (no answer)",
            "one bank&#39;s corridor: Demo Bank A",
            '<svg class="share',
            "Kiswahili",
            "Do not send",
        ):
            assert text in shown
        assert "What the public reads" in shown
        for language, word in (("sw", "Yanayopaswa"), ("fr", "Ce qui doit")):
            assert word in await at.get(f"/operator/incidents/{incident.id.hex}?lang={language}")
        headers = (await at.client.get("/operator")).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"


async def test_words_are_seen_before_they_go_out_and_count_once(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path) as at:
        await at.log_in()
        incident = await at.incident()
        path = f"/operator/incidents/{incident.id.hex}?lang=en"
        seen = await at.send(path, {"do": "preview", "en": HOSTILE, "sw": "Tunalitengeneza."})
        assert seen.status_code == 200
        assert "&lt;script&gt;" in seen.text
        assert "<script" not in seen.text
        assert "Tunalitengeneza." in seen.text
        assert (await at.incident()).number == incident.number
        act = clock.new_id().hex
        for _ in range(3):
            sent = await at.send(path, {"do": "words", "en": HOSTILE, "sw": "Tunalitengeneza."}, act=act)
            assert sent.status_code == 303
        after = await at.incident()
        assert after.number == incident.number + 1
        assert after.events[-1].actor == "amina"
        assert after.acknowledged_ms == after.events[-1].at_ms
        assert at.woken
        assert (await at.send(path, {"do": "words", "en": " "})).status_code == 409
        await at.publishing.publish_once(clock.now_ms())
        public = (tmp_path / "current" / "sw" / f"incident-inc_{incident.id.hex}.html").read_text()
        assert "Tunalitengeneza." in public


async def test_resolved_against_the_evidence_is_a_public_dispute(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path) as at:
        await at.log_in()
        incident = await at.incident()
        path = f"/operator/incidents/{incident.id.hex}?lang=en"
        assert (await at.send(path, {"do": "resolved"})).status_code == 303
        assert (await at.incident()).stage is Stage.DISPUTED
        await at.publishing.publish_once(clock.now_ms())
        public = (tmp_path / "current" / "index.html").read_text()
        assert "Measurements disagree" in public
        await at.platform.run_to(at.platform.second + 60)
        assert (await at.incident()).stage is Stage.DISPUTED  # and stays so while it is broken


async def test_corrections_and_merges(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path) as at:
        await at.log_in()
        incident = await at.incident()
        path = f"/operator/incidents/{incident.id.hex}?lang=en"
        assert (await at.send(path, {"do": "acknowledge"})).status_code == 303
        assert (await at.send(path, {"do": "acknowledge"})).status_code == 409
        wrong = await at.send(path, {"do": "correct", "start": "2030-01-01T00:00", "component": [A]})
        assert wrong.status_code == 409
        unknown = await at.send(path, {"do": "correct", "start": "2026-01-01T00:00", "component": ["corridor:x"]})
        assert unknown.status_code == 400
        assert (await at.send(path, {"do": "correct", "start": "", "component": [A]})).status_code == 400
        right = await at.send(path, {"do": "correct", "start": "2026-11-01T00:00", "component": [A]})
        assert right.status_code == 303
        after = await at.incident()
        assert after.components == (A,)
        assert after.start_ms < incident.start_ms
        form = {"component": ["channel:tracking"], "bad": "out", "start": "2026-11-01T00:00", "en": "People say so."}
        opened = await at.send("/operator/open?lang=en", form)
        assert opened.status_code == 303
        assert (await at.send("/operator/open?lang=en", form)).status_code == 409  # one cause, one incident
        other = next(one for one in await at.platform.incidents() if one.origin is Origin.HAND)
        assert other.stage is Stage.INVESTIGATING
        merge = {"do": "merge", "into": incident.id.hex}
        assert (await at.send(f"/operator/incidents/{other.id.hex}?lang=en", merge)).status_code == 303
        found = {one.id: one for one in await at.platform.incidents()}
        assert incident.id in found
        assert "channel:tracking" in found[incident.id].components


async def test_what_only_an_operator_saw_waits_for_the_operator(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path, faults=False, lasts_s=5) as at:
        await at.log_in()
        form = {"component": ["channel:tracking"], "bad": "part", "start": "2026-11-01T00:00", "fr": "On le dit."}
        await at.send("/operator/open?lang=en", form)
        await at.platform.run_to(at.platform.second + 600)
        incident = await at.incident()
        assert incident.stage is Stage.INVESTIGATING
        await at.send(f"/operator/incidents/{incident.id.hex}?lang=en", {"do": "resolved"})
        assert (await at.incident()).stage is Stage.RECOVERING
        await at.platform.run_to(at.platform.second + 30)
        assert (await at.incident()).stage is Stage.CLOSED


async def test_work_is_announced_and_cancelled(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path, faults=False, lasts_s=5) as at:
        await at.log_in()
        past = {"do": "announce", "component": [A], "from": "2020-01-01T00:00", "to": "2020-01-01T04:00"}
        assert (await at.send("/operator/work?lang=en", past)).status_code == 409
        long = {**past, "from": "2099-01-01T00:00", "to": "2099-03-01T04:00"}
        assert (await at.send("/operator/work?lang=en", long)).status_code == 409
        ahead = {**past, "from": "2099-01-01T00:00", "to": "2099-01-01T04:00", "en": "New disks"}
        act = clock.new_id().hex
        for _ in range(2):
            assert (await at.send("/operator/work?lang=en", ahead, act=act)).status_code == 303
        page = await at.get("/operator/work?lang=en")
        assert page.count("Announced by amina.") == 1
        await at.publishing.publish_once(clock.now_ms())
        assert b"New disks" in (tmp_path / "current" / "maintenance.ics").read_bytes()
        assert (await at.send("/operator/work?lang=en", {"do": "cancel", "window": act})).status_code == 303
        assert "Nothing is announced." in await at.get("/operator/work?lang=en")


async def test_the_report_is_a_draft_until_the_end(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path) as at:
        await at.log_in()
        incident = await at.incident()
        path = f"/operator/incidents/{incident.id.hex}"
        page = await at.get(f"{path}/report?lang=en")
        assert "not known to health" in page
        french = await at.get(f"{path}/report?lang=fr")
        assert "health ne le sait pas" in french
        assert "le corridor d’une banque : Demo Bank A<" in french
        response = await at.client.get(f"{path}/report.csv")
        assert response.headers["content-disposition"].endswith('-draft.csv"')
        rows = {row["field"]: row["value"] for row in csv.DictReader(io.StringIO(response.text))}
        assert rows["status"] == "draft"
        assert rows["amount in flight"] == rows["customers affected"] == "not known to health"
        assert int(rows["transfers failed technically"]) > 100
        assert int(rows["transfers in flight at most"]) > 100
        assert "Demo Bank A" in rows["scope"]
        assert (await at.client.get(f"/operator/incidents/{clock.new_id().hex}")).status_code == 404


async def test_refused_evidence_and_a_disk_that_refuses_are_shown(health_database: RoleAccess, tmp_path: Path) -> None:
    async with desk(health_database, tmp_path / "gone", faults=False, lasts_s=5) as at:
        await at.log_in()
        hour_ms = clock.now_ms() // 3_600_000 * 3_600_000
        with psycopg.connect(health_database.app_url, autocommit=True) as app:
            app.execute("INSERT INTO refused_input VALUES ('probe_signature', %s, 1234)", (hour_ms,))
        assert not await at.publishing.publish_once(clock.now_ms())
        page = await at.get("/operator?lang=en")
        assert "The page is not being written since" in page
        assert "the folder is gone" in page
        assert "Test result: not signed by a known vantage" in page
        assert "1,234" in page
        swahili = await at.get("/operator?lang=sw")
        assert "folda haipo: iweke au iunde" in swahili
        (tmp_path / "gone").mkdir()
        assert await at.publishing.publish_once(clock.now_ms())
        assert "The page is not being written" not in await at.get("/operator?lang=en")


async def test_without_a_database_the_screens_say_so(
    health_database: RoleAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(health_database, tmp_path, faults=False, lasts_s=5) as at:
        await at.log_in()
        await at.platform.lanes.close()
        answer: httpx2.Response = await at.client.get("/operator?lang=en")
        assert answer.status_code == 503
        assert "health&#39;s database does not answer" in answer.text
