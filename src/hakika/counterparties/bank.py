"""A demo bank as a process of its own: its settings, its books, its line to the gateway, until SIGTERM.

Everything is built once, here. The loops are the sender, the desk that fills messages of several transfers, the
inquiries and the notices; all of them start from rows alone, so a start after a crash is a start like any other.
SIGTERM stops taking requests, commits what waits and ends; what was not sent is sent after the next start.
"""

import asyncio
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from hakika import clock
from hakika.counterparties import bookings, settings
from hakika.counterparties.api import Api
from hakika.counterparties.books import Books, BooksBusy, BooksUnanswered, Customer
from hakika.counterparties.desk import Desk
from hakika.counterparties.door import Door, Route, listen
from hakika.counterparties.faults import CRASH_VARIABLE, Faults
from hakika.counterparties.gateway import Gateway
from hakika.counterparties.incoming import Incoming
from hakika.counterparties.page import Page
from hakika.counterparties.polls import LATER_S, Polls
from hakika.counterparties.sender import Sender
from hakika.counterparties.settings import BankSettings
from hakika.counterparties.statements import Statements
from hakika.wire import jws

NOTICES_EVERY_S = 1.0
NOTICES_AT_ONCE = 200
RESTART_LOOP_S = 1.0
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

FIRST_NAMES = ("Achieng", "Baraka", "Chebet", "Daudi", "Esther", "Fatuma", "Gitau", "Halima", "Imani", "Juma")
LAST_NAMES = ("Abdi", "Barasa", "Cherono", "Kamau", "Mwangi", "Njeri", "Odhiambo", "Otieno", "Wafula", "Wanjiku")
LANGUAGES = ("en", "en", "sw", "sw", "fr")

log = logging.getLogger(__name__)


def run(settings_file: Path) -> None:
    """Run the bank of this settings file until SIGTERM or SIGINT; settings.SettingsRefused at once if unfit."""
    configured = settings.load(settings_file)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    asyncio.run(serve(configured))


def seeded_customers(configured: BankSettings) -> Iterator[Customer]:
    """Customers 1 to N, the same for the same seed."""
    choices = clock.seeded(configured.seed)
    for number in range(1, configured.customers + 1):
        first, last = choices.choice(FIRST_NAMES), choices.choice(LAST_NAMES)
        yield Customer(
            number,
            f"{first} {last}",
            f"2547{choices.randrange(10**8):08d}",
            f"{first}.{last}.{number}@customers.example".lower(),
            choices.choice(LANGUAGES),
        )


async def serve(configured: BankSettings) -> None:
    """Build the bank, serve until told to stop, close in order."""
    faults = Faults(configured.seed, crash_at=os.environ.get(CRASH_VARIABLE))
    configured.books_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    books = Books(configured.books_file, faults.crash_point)
    books.start(seeded_customers(configured), configured.opening_balance_minor)
    gateway = _gateway(configured, faults)
    sender = Sender(configured.id, books, gateway, faults, sends_max=configured.sends_max)
    key_file = configured.health_public_key_file
    statements = Statements(configured.id, [jws.load_public_key(key_file)] if key_file else [])
    desk = Desk(
        configured.id,
        books,
        gateway,
        sender,
        statements,
        asks_first=configured.style == "asks_first",
        test_wallets=frozenset(configured.test_wallets),
        per_message=configured.transfers_per_message,
        gather_s=configured.gather_ms / 1000,
    )
    polls = _polls(configured, books, gateway, sender, faults)
    door = Door([*statements.routes(), *_routes(configured, books, desk, sender, gateway, polls, faults)])
    stop = _stop_requested()
    listening = await listen(door, *configured.host_port)
    loops = [_kept_up("sender", sender.run), _kept_up("desk", desk.run)]
    if polls is not None:
        loops.append(_kept_up("polls", polls.run))
        loops.append(_kept_up("notices", lambda: _tell_waiting(configured, books)))
    tasks = [asyncio.get_running_loop().create_task(loop) for loop in loops]
    log.info("%s (%s, %s) listens on %s", configured.name, configured.id, configured.style, listening.url)
    await stop.wait()
    await listening.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await books.stop()
    await gateway.close()
    log.info("%s has stopped", configured.id)


def _gateway(configured: BankSettings, faults: Faults) -> Gateway:
    return Gateway(
        configured.gateway_url,
        signing_key=jws.load_private_key(configured.signing_key_file),
        kid=configured.kid,
        gateway_kid=configured.gateway_kid,
        gateway_key=jws.load_public_key(configured.gateway_public_key_file),
        faults=faults,
        sends_max=configured.sends_max,
    )


def _polls(configured: BankSettings, books: Books, gateway: Gateway, sender: Sender, faults: Faults) -> Polls | None:
    """Only the bank that sends throughout asks and writes; the one that asks first waits to be told."""
    if configured.style == "asks_first":
        return None
    return Polls(
        books,
        gateway,
        sender,
        faults,
        first_after_s=configured.poll_after_s / configured.scale,
        polls_max=configured.polls_max,
        later_s=LATER_S / configured.scale,
    )


def _routes(
    configured: BankSettings,
    books: Books,
    desk: Desk,
    sender: Sender,
    gateway: Gateway,
    polls: Polls | None,
    faults: Faults,
) -> list[Route]:
    api = Api(
        books=books,
        desk=desk,
        sender=sender,
        gateway=gateway,
        polls=polls,
        faults=faults,
        currency=configured.currency,
        tracking_url=configured.tracking_url,
        control_token=configured.control_token_file.read_text().strip(),
        refused={},
    )
    page = Page(configured, books, desk)
    incoming = Route("POST", "/iso20022", Incoming(gateway, sender, faults))
    return [incoming, *api.routes(), *page.routes()]


def _stop_requested() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _kept_up(name: str, loop: Callable[[], Coroutine[Any, Any, None] | Awaitable[None]]) -> None:
    """A loop that meets the unexpected is started again after a pause; its rows are where they were."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("the loop %s stopped and starts again", name)
        await asyncio.sleep(RESTART_LOOP_S)


async def _tell_waiting(configured: BankSettings, books: Books) -> None:
    """E-mail customers whose transfer has been waiting, once each."""
    patience_ms = int(configured.notice_after_s * 1000 / configured.scale)
    while True:
        await asyncio.sleep(NOTICES_EVERY_S)
        now_ms = clock.now_ms()
        if not _anyone_waits(books.reader, now_ms - patience_ms):
            continue

        def tell(conn: sqlite3.Connection, now_ms: int = now_ms) -> int:
            before_ms = now_ms - patience_ms
            return bookings.tell_waiting(conn, before_ms, now_ms, configured.tracking_url, NOTICES_AT_ONCE)

        try:
            await books.submit("notice", tell)
        except (BooksBusy, BooksUnanswered) as error:
            log.info("notices wait: %s", error)


def _anyone_waits(reader: sqlite3.Connection, before_ms: int) -> bool:
    row = reader.execute(
        "SELECT 1 FROM transfer t WHERE t.final_ms IS NULL AND t.debited_ms < ? AND NOT EXISTS"
        " (SELECT 1 FROM notice n WHERE n.uetr = t.uetr AND n.kind = 'held') LIMIT 1",
        (before_ms,),
    ).fetchone()
    return row is not None
