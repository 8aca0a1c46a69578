"""`hakika up`: the platform until Ctrl-C, with a plain table of where everything is.

A second start on the same folder starts nothing: it shows the table of the platform that runs. The ready file is
written when everything answers and not before, so that a script can wait for it.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from hakika import clock
from hakika.simulator.control import Control, ControlFault, ask
from hakika.simulator.demo_data import DemoRefused
from hakika.simulator.folder import FolderRefused, StateFolder
from hakika.simulator.plan import DEMO_BANKS, Plan
from hakika.simulator.stack import Stack, StackFault, start_over
from hakika.store.durable import PRIVATE_FILE, make_private_folder, write_private_file
from hakika.store.embedded import EmbeddedFault
from hakika.store.lane import StoreFault
from hakika.store.migrations import MigrationRefused

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
FAULTS = (
    FolderRefused,
    StackFault,
    EmbeddedFault,
    StoreFault,
    MigrationRefused,
    DemoRefused,
    ControlFault,
    OSError,
)
WALLETS_SHOWN = 3


def run(state: Path, *, fresh: bool, scale: float, ready_file: Path | None, probe_every_s: float = 30.0) -> int:
    """Exit status: 0 after a clean stop or an attachment, 1 where it does not start."""
    folder = StateFolder(state)
    status = 1
    try:
        if folder.held_elsewhere():
            if fresh:
                raise FolderRefused(f"{state} is in use by a running platform; stop it before --fresh")
            status = asyncio.run(_attach(folder, ready_file))
        else:
            plan = Plan(DEMO_BANKS, scale=scale, probe_every_s=probe_every_s)
            status = asyncio.run(_run(folder, plan, fresh=fresh, ready_file=ready_file))
    except* FAULTS as group:
        for line in messages(group):
            print(f"hakika up: {line}", file=sys.stderr)
    return status


def log_to(file: Path) -> None:
    """The supervisor's own log; the terminal is for people."""
    make_private_folder(file.parent)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE))
    logging.basicConfig(filename=file, level=logging.INFO, format=LOG_FORMAT, force=True)
    for noisy in ("httpx2", "httpcore2", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


async def _attach(folder: StateFolder, ready_file: Path | None) -> int:
    ready = (await ask(folder.path, {"do": "ready"}))["ready"]
    _write_ready(ready, ready_file)
    print(f"Already running in {folder.path} (process {ready['pids']['supervisor']}).\n")
    print(table(ready))
    return 0


async def _run(folder: StateFolder, plan: Plan, *, fresh: bool, ready_file: Path | None) -> int:
    began_s = clock.monotonic_s()
    folder.prepare()
    if fresh:
        await start_over(folder)
    log_to(folder.log / "supervisor.log")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    stack = Stack(folder, plan)
    control = Control(stack)
    whole: asyncio.Task[None] | None = None
    try:
        if not await _started(stack, stop):
            return 0
        await control.start()
        _write_ready(stack.ready(), ready_file)
        print(table(stack.ready()))
        print(
            f"\nReady after {clock.monotonic_s() - began_s:.1f} s. Ctrl-C stops it; data stay in {folder.path}.",
            flush=True,
        )
        whole = asyncio.create_task(_write_whole(stack, ready_file))
        await stop.wait()
        print("\nStopping.", flush=True)
    finally:
        if whole is not None:
            whole.cancel()
            await asyncio.gather(whole, return_exceptions=True)
        _remove(ready_file)
        await control.stop()
        await stack.stop()
        folder.release()
    print("Stopped.", flush=True)
    return 0


async def _started(stack: Stack, stop: asyncio.Event) -> bool:
    """Start, unless told to stop meanwhile."""
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False
    await starting
    return True


async def _write_whole(stack: Stack, ready_file: Path | None) -> None:
    """Health's database and processes are in the ready file as soon as they are there."""
    await stack.health_answers.wait()
    _write_ready(stack.ready(), ready_file)


def _write_ready(ready: dict[str, Any], file: Path | None) -> None:
    if file is not None:
        write_private_file(file.absolute(), json.dumps(ready, indent=1) + "\n")


def _remove(file: Path | None) -> None:
    if file is not None:
        file.unlink(missing_ok=True)


def messages(group: BaseExceptionGroup[Any]) -> list[str]:
    """Every leaf's own words."""
    found: list[str] = []
    for error in group.exceptions:
        found += messages(error) if isinstance(error, BaseExceptionGroup) else [str(error) or type(error).__name__]
    return found


def table(ready: dict[str, Any]) -> str:
    """Links, addresses and demo credentials, for people; 80 columns where names allow."""
    wallets = ready["wallets"][:WALLETS_SHOWN]
    rows = [("gateway", ready["gateway_url"], "tracking pages under /t/<reference>")]
    rows.append(("core", ready["core_url"], "wallets and ledger"))
    rows.append(("health", ready["health_url"], "what works and what does not"))
    rows += [(bank["id"], bank["url"], f"{bank['name']}: send money in the browser") for bank in ready["banks"]]
    page = f"{ready['status_page_folder']}/current/index.html"
    rows.append(("status page", _short(page), "static files, for any web server"))
    lines = ["Hakika runs here", "", *_columns(rows), "", "Links (hakika break LINK, hakika mend LINK)", ""]
    lines += _columns([(name, ready["link_urls"][name], "") for name in ready["links"]])
    lines += ["", "Demo credentials", ""]
    lines += _columns(
        [
            ("customers", "1 to 200 at each bank", ""),
            ("wallets", ", ".join(wallets), f"and {len(ready['wallets']) - len(wallets)} more"),
            ("operator", _short(ready["operator_token_file"]), "bearer token for the core's operator API"),
            ("databases", _short(f"{ready['state_dir']}/keys/*.url"), "read with the reader's URL"),
        ]
    )
    if ready["scale"] != 1:
        lines += [
            "",
            f"Policies are divided by {ready['scale']:g}: a promise of 4 h is kept in {14400 / ready['scale']:.0f} s.",
        ]
    return "\n".join(lines)


def _short(path: str) -> str:
    """Relative to here where that is shorter."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def _columns(rows: list[tuple[str, str, str]]) -> list[str]:
    width = max(len(row[0]) for row in rows)
    middle = min(40, max(len(row[1]) for row in rows))
    screen = shutil.get_terminal_size().columns
    lines = []
    for name, value, note in rows:
        line = f"  {name:<{width}}  {value:<{middle}}  {note}".rstrip()
        if len(line) > screen and note:
            line = f"  {name:<{width}}  {value}\n  {'':<{width}}  {note}"
        lines.append(line)
    return lines
