"""The operator's screens over a real door and database, with an incident that is open now, and a client for them."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from judge_kit import COMPONENTS, CORRIDORS, Fault, Platform

from hakika import clock
from hakika.channels.door import Door, serve
from hakika.channels.web.health_screens import Screens
from hakika.health.incident import Incident
from hakika.health.naming import Configured, Named
from hakika.health.operating import Operating
from hakika.health.page.place import PageSettings
from hakika.health.publishing import Publishing, Trouble
from hakika.store.embedded import RoleAccess

TOKEN = "operator-token"
PRODUCT = "product:bank-to-wallet"
BEGINS = 300
PAGE = PageSettings(base_url="http://status.example/", report_url="http://report.example/report", zone="Africa/Nairobi")
NAMES = {"corridor:bank-a": "Demo Bank A", "corridor:bank-b": "", "channel:core-api": "API for wallets"}
CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')
ACT = re.compile(r'name="act" value="([0-9a-f]+)"')


def names() -> Named:
    """The components of the test's settings; bank B did not agree to be named."""
    instead = {CORRIDORS[0]: (CORRIDORS[1],), CORRIDORS[1]: (CORRIDORS[0],)}
    return Named(Configured(one, one.partition(":")[0], NAMES.get(one, ""), instead.get(one, ())) for one in COMPONENTS)


@dataclass
class Desk:
    """An operator at the screens, and everything behind them."""

    platform: Platform
    publishing: Publishing
    client: httpx2.AsyncClient
    woken: list[bool] = field(default_factory=list)

    async def log_in(self, token: str = TOKEN, name: str = "amina") -> httpx2.Response:
        """Send the login form."""
        return await self.client.post("/operator/login?lang=en", data={"token": token, "name": name})

    async def get(self, path: str) -> str:
        """A screen's HTML."""
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return response.text

    async def send(self, path: str, form: Mapping[str, str | Sequence[str]], *, act: str = "") -> httpx2.Response:
        """Fill in a form of the screen at `path`, and send it."""
        page = await self.get(path)
        csrf, acts = CSRF.search(page), ACT.findall(page)
        assert csrf is not None
        data = {"csrf": csrf[1], "act": act or acts[0], **form}
        return await self.client.post(path, data=data)

    async def incident(self) -> Incident:
        """The one that there is."""
        (incident,) = await self.platform.incidents()
        return incident


@asynccontextmanager
async def desk(database: RoleAccess, folder: Path, *, faults: bool = True, lasts_s: int = 60) -> AsyncIterator[Desk]:
    """Screens over five quiet minutes and then, if asked, corridor A failing until now."""
    seconds = BEGINS + lasts_s
    t0_ms = clock.now_ms() // 5000 * 5000 - 1000 * seconds
    fault = Fault((CORRIDORS[0], PRODUCT), BEGINS, 10**6, share=0.8)
    platform = Platform(database, [fault] if faults else [], t0_ms=t0_ms)
    await platform.run_to(seconds)
    publishing = Publishing(platform.lanes, names(), PAGE, folder=folder, operator="DemoPesa")
    woken: list[bool] = []
    operating = Operating(platform.lanes, lambda: woken.append(True))
    screens = Screens(platform.lanes, publishing, operating, names(), PAGE, token=TOKEN, operator="DemoPesa")
    running = await serve(Door(screens.routes(), concurrency_max=50), "127.0.0.1", 0)
    try:
        async with httpx2.AsyncClient(base_url=running.url, timeout=20) as client:
            yield Desk(platform, publishing, client, woken)
    finally:
        await running.stop()
        await platform.close()


async def gathered(database: RoleAccess, folder: Path) -> dict[str, tuple[bytes, tuple[tuple[str, str], ...]]]:
    """Every screen in every language, as bytes with their headers, by name: an outage, a dispute, trouble, refusals."""
    found: dict[str, tuple[bytes, tuple[tuple[str, str], ...]]] = {}

    async with desk(database, folder, lasts_s=240) as at:

        async def keep(name: str, path: str) -> None:
            for language in ("en", "sw", "fr"):
                response = await at.client.get(f"{path}?lang={language}")
                kept = ("content-security-policy", "content-type", "content-language")
                headers = tuple((key, response.headers[key]) for key in kept)
                found[f"/{name}/{language}"] = response.content, headers

        await keep("login", "/operator")
        await at.log_in()
        incident = await at.incident()
        path = f"/operator/incidents/{incident.id.hex}"
        words = {
            "en": "A link between us and the bank is down. Engineers of both sides are working on it.",
            "sw": "Kiungo kati yetu na benki kimekatika. Mafundi wanashughulikia.",
            "fr": "Une liaison avec la banque est coupée. Les techniciens des deux côtés y travaillent.",
        }
        await keep("incident", path)
        page = ("content-security-policy", "content-type", "content-language")
        for language in ("en", "sw", "fr"):
            previewed = await at.send(f"{path}?lang={language}", {"do": "preview", **words})
            found[f"/preview/{language}"] = previewed.content, tuple((key, previewed.headers[key]) for key in page)
        await at.send(f"{path}?lang=en", {"do": "words", **words})
        form = {"component": ["channel:tracking", "channel:core-api"], "bad": "part", "start": "2026-11-01T00:00"}
        await at.send("/operator/open?lang=en", {**form, "en": "Customers say that links do not open."})
        window = {"do": "announce", "component": [CORRIDORS[1]], "from": "2099-01-01T01:00", "to": "2099-01-01T05:00"}
        await at.send("/operator/work?lang=en", {**window, "en": "New disks"})
        await at.send(f"{path}?lang=en", {"do": "resolved"})
        at.platform.app.execute(
            "INSERT INTO refused_input VALUES ('probe_signature', %s, 1234)", (clock.now_ms() // 3_600_000 * 3_600_000,)
        )
        await at.publishing.publish_once(clock.now_ms())
        for name, where in (("list", "/operator"), ("disputed", path), ("report", f"{path}/report")):
            await keep(name, where)
        (other,) = [one for one in await at.platform.incidents() if one.id != incident.id]
        await keep("by-hand", f"/operator/incidents/{other.id.hex}")
        await keep("open", "/operator/open")
        await keep("work", "/operator/work")
        refused_ms = clock.now_ms()
        at.publishing.trouble = Trouble(
            refused_ms, "No space left on device", "the disk is full: free space there", refused_ms - 50_000
        )
        await keep("trouble", "/operator")
        for language in ("en", "sw", "fr"):
            refused = await at.send(f"{path}?lang={language}", {"do": "words", "en": ""})
            found[f"/refused/{language}"] = refused.content, tuple((key, refused.headers[key]) for key in page)
        await at.send(f"/operator/incidents/{other.id.hex}?lang=en", {"do": "merge", "into": incident.id.hex})
        await keep("merged", f"/operator/incidents/{other.id.hex}")
    return found
