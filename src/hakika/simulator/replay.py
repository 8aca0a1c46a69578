"""`hakika replay`: plays a scenario on real processes, waits until every transfer has ended, and judges the run.

The order is: start, demand and faults side by side, heal, drain, wait for health's all-clear, read everybody's books,
recount, report, stop.
What customers want and what goes wrong follow from the scenario and the seed alone. The verdict is the exit
status: 0 kept, 1 broken or not played to the end.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hakika import clock
from hakika.health.recent import HOLD_MIN_S, HOLD_S
from hakika.simulator import detection, health_rows
from hakika.simulator import report as reports
from hakika.simulator.actions import Actions, ActRefused
from hakika.simulator.demand import orders_of
from hakika.simulator.detection import Detection
from hakika.simulator.driver import Customers
from hakika.simulator.folder import FolderRefused, StateFolder
from hakika.simulator.health_role import page_folder
from hakika.simulator.judge import judged
from hakika.simulator.lives import Counts, counts, doubtful
from hakika.simulator.page_reader import PageReader
from hakika.simulator.plan import BankPlan, Plan
from hakika.simulator.record import Mark, Record
from hakika.simulator.scenario import Event, Maintenance, Scenario, faster
from hakika.simulator.scenario_rules import ScenarioRefused, load
from hakika.simulator.stack import Stack, StackFault, start_over
from hakika.simulator.terminal import Now, Terminal
from hakika.simulator.tracking import Tracker
from hakika.simulator.up import FAULTS, log_to, messages
from hakika.store.durable import make_private_folder
from hakika.store.lane import Lane, StoreFault

QUICK_SHARE = 0.1
LOADING_S = 8.0  # vantages that have just begun load their code, and two cores are busy with it
COUNT_EVERY_S = 0.5
COUNT_DEADLINE_S = 0.6
FOLLOW_SHARE = 4  # one transfer in so many is followed through its tracking page
FOLLOW_TRIES = 40
DOUBTS_EVERY_S = 1.0
DOUBT_AFTER_MS = 1500
DOUBTS_FOLLOWED = 64
SETTLE_S = 15.0
HEALTH_WAIT_S = 20.0
CLEAR_HOLDS = 4.0  # closing holds that health may take after the last transfer has ended
CLEAR_EVERY_S = 1.0

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """Told to stop before the end: there is no verdict."""


def run(
    scenario_file: Path, *, seed: int | None, state: Path | None, quick: bool, report: Path | None, as_json: bool
) -> int:
    """Play, judge, report. Exit status 0 kept, 1 broken or not played to the end."""
    status = 1
    try:
        scenario = load(scenario_file)
        folder = StateFolder(state or Path("var/replay") / scenario.name)
        if folder.held_elsewhere():
            raise FolderRefused(f"{folder.path} is in use by a replay that runs")
        share = 1.0
        if quick and scenario.quick_speed > 1:
            scenario = faster(scenario, scenario.quick_speed)
        elif quick:
            share = QUICK_SHARE
        status = asyncio.run(_run(scenario, folder, scenario.seed if seed is None else seed, share, report, as_json))
    except* (*FAULTS, ScenarioRefused, ActRefused, Interrupted) as group:
        for line in messages(group):
            print(f"hakika replay: {line}", file=sys.stderr)
    return status


async def _run(
    scenario: Scenario, folder: StateFolder, seed: int, share: float, report: Path | None, as_json: bool
) -> int:
    folder.prepare()
    await start_over(folder)
    log_to(folder.log / "supervisor.log")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    player = Player(scenario, folder, seed, share, out=sys.stderr if as_json else sys.stdout)
    playing = asyncio.create_task(player.play())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([playing, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not playing.done():
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        raise Interrupted("stopped before the end; there is no verdict")
    record = await playing
    if report is not None:
        _copy(folder.path / "report.json", report)
    if as_json:
        print(json.dumps(record.reckoning.figures, indent=1, ensure_ascii=False))
    folder.release()
    return 0 if record.reckoning.kept else 1


def _copy(source: Path, target: Path) -> None:
    make_private_folder(target.absolute().parent)
    target.write_bytes(source.read_bytes())


def plan_of(scenario: Scenario, seed: int) -> Plan:
    """The platform that a scenario wants."""
    banks = tuple(BankPlan(bank.id, bank.name, bank.style, bank.rule_pack, bank.customers) for bank in scenario.banks)
    slowed = {event.slow for event in scenario.events if event.slow is not None}
    return Plan(
        banks, scale=scenario.scale, seed=seed, wallets=scenario.wallets, database_links=tuple(sorted(slowed))
    )  # fmt: skip


@dataclass(slots=True)
class Player:
    """One run."""

    scenario: Scenario
    folder: StateFolder
    seed: int
    share: float
    out: Any
    marks: list[Mark] = field(default_factory=list)
    bank_down: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _stack: Stack = field(init=False)
    _actions: Actions = field(init=False)
    _customers: Customers = field(init=False)
    _tracker: Tracker = field(init=False)
    _page: PageReader = field(init=False)
    _terminal: Terminal = field(init=False)
    _counts: Counts | None = None
    _known: bool = False
    _began_s: float = 0.0
    _began_ms: int = 0
    _side: set["asyncio.Task[None]"] = field(default_factory=set)

    async def play(self) -> Record:
        """From start to report; everything is stopped when this returns."""
        self._stack = Stack(self.folder, plan_of(self.scenario, self.seed))
        self._actions = Actions(self.scenario, self._stack)
        with Terminal(self.scenario.title, out=self.out) as self._terminal:
            started_s = clock.monotonic_s()
            self._terminal.say("Starting the platform, two banks and their databases.")
            try:
                await self._stack.start()
                watched = await self._watched()
                self._terminal.say(f"Everything answers after {clock.monotonic_s() - started_s:.1f} s.")
                if not watched:
                    self._terminal.say("Health does not answer yet; money moves without it.")
                record = await self._play()
            finally:
                for task in self._side:
                    task.cancel()
                await asyncio.gather(*self._side, return_exceptions=True)
                await self._stack.stop()
        self._terminal.verdict(record, [str(self.folder.path / name) for name in ("report.html", "report.json")])
        return record

    async def _watched(self) -> bool:
        """Health answers: nothing that moves money waits for it, but what it sees is to be judged."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEALTH_WAIT_S):
                await self._stack.health_answers.wait()
                await asyncio.sleep(LOADING_S)
        return self._stack.health_answers.is_set()

    async def _play(self) -> Record:
        plan = self._stack.plan
        orders = orders_of(self.scenario, plan, seed=self.seed, share=self.share)
        self._customers = Customers({bank: self._stack.url(bank) for bank in plan.bank_ids})
        self._tracker = Tracker(self._stack.url("gateway"), self.seed)
        self._page = PageReader(page_folder(self.folder))
        self._began_s, self._began_ms = clock.monotonic_s(), clock.now_ms()
        watching = (self._count(), self._show(), self._follow(), self._follow_doubts(), self._sample())
        for loop in (*watching, self._page.run()):
            self._start(loop)
        for planned in self.scenario.maintenance:
            self._start(self._announce(planned))
        try:
            timeline = asyncio.create_task(self._timeline())
            await self._customers.run(orders, self._began_s)
            await timeline
            await self._heal()
            await self._drain()
            await self._all_clear()
            ended_ms = clock.now_ms()
            await self._stack.end_tests()
            await self._drain()
            unknown = await self._customers.settle(SETTLE_S)
            if unknown:
                log.warning("%d customers do not know what became of their orders", unknown)
            await self._customers.close()
        finally:
            self._tracker.close()
        return await self._judge(ended_ms)

    async def _judge(self, ended_ms: int) -> Record:
        self._terminal.news("everything is healed; counting all books again")
        stack = self._stack
        evidence, reckoning = await judged(
            stack, self._customers, self._tracker, self.scenario, self.seed, self.bank_down
        )
        seen = await self._detection(ended_ms)
        reckoning.figures |= {} if seen is None else seen.figures()
        record = Record(
            self.scenario, self.seed, self._began_ms, ended_ms, self.marks, evidence.lives, evidence.booked,
            self._tracker.samples, reckoning, machine(), seen,
        )  # fmt: skip
        await asyncio.to_thread(reports.write, self.folder.path, record, stack.links.table())
        return record

    async def _detection(self, ended_ms: int) -> Detection | None:
        """What health saw; None where there is no health, or nothing that it should have seen."""
        watch = self._stack.databases.get("health")
        if watch is None or not self.scenario.expected:
            return None
        try:
            events = await health_rows.read(watch.access.reader_url)
        except StoreFault as fault:
            log.error("health's database cannot be read, it counts as having seen nothing: %s", fault)
            events = []
        faults = health_rows.faults_of(self.scenario, self._began_ms, self._customers.told)
        return detection.judge(faults, events, self._page.rows, ended_ms=ended_ms)

    async def _announce(self, planned: Maintenance) -> None:
        """Planned work is announced at its second, where there is somebody to hear it."""
        await asyncio.sleep(max(0.0, planned.announced_s - self._at_s))
        self._terminal.news(f"{self.scenario.story_time(self._at_s):%H:%M} announced: {planned.words['en']}")
        watch = self._stack.databases.get("health")
        if watch is not None:
            await health_rows.announce(watch.access.app_url, planned, self._began_ms)

    def _start(self, loop: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(loop)
        self._side.add(task)
        task.add_done_callback(self._side_ended)

    def _side_ended(self, task: "asyncio.Task[None]") -> None:
        self._side.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a part of the replay ended: %r", error, exc_info=error)

    @property
    def _at_s(self) -> float:
        return clock.monotonic_s() - self._began_s

    # --- what is done to the platform

    async def _timeline(self) -> None:
        for event in sorted(self.scenario.events, key=lambda event: event.at_s):
            await asyncio.sleep(max(0.0, event.at_s - self._at_s))
            await self._do(event)
        await asyncio.sleep(max(0.0, self.scenario.demand_until_s - self._at_s))

    async def _do(self, event: Event) -> None:
        if event.kill is not None:
            mark = Mark(clock.now_ms(), "kill", event.kill, event.note)
            await self._stack.kill(event.kill, stay_dead=event.dead_s > 0)
            self._start(self._revive(event, mark))
        else:
            mark = await self._actions.do(event)
        self.marks.append(mark)
        log.info("%.1f s: %s", self._at_s, event.note)
        self._terminal.news(f"{self.scenario.story_time(self._at_s):%H:%M} {event.note}")

    async def _revive(self, event: Event, mark: Mark) -> None:
        """Let a killed process come back when its time is up, and note when it answers again."""
        target = event.kill or ""
        if event.dead_s > 0:
            await asyncio.sleep(event.dead_s)
            await self._stack.revive(target)
        await self._until_answers(target)
        mark.until_ms = clock.now_ms()
        if target in self._stack.plan.bank_ids:
            self.bank_down.setdefault(target, []).append((mark.at_ms, mark.until_ms))

    async def _until_answers(self, target: str) -> None:
        if not target.endswith("-postgres"):
            await asyncio.sleep(0.1)  # the dead process's port may still take a connection
            await self._stack.until_ready(target)
            return
        lane = Lane(self._stack.databases[target.removesuffix("-postgres")].access.reader_url, name="hakika replay")
        try:
            while True:
                with suppress(StoreFault):
                    await lane.run(_ping, deadline_s=COUNT_DEADLINE_S)
                    return
                await asyncio.sleep(0.05)
        finally:
            await lane.close()

    async def _heal(self) -> None:
        await self._actions.heal()
        for target in self._stack.dead():
            with suppress(StackFault):
                await self._stack.revive(target)
        self._terminal.news("demand ends; what is still under way has to end now")

    async def _drain(self) -> None:
        """Wait until nothing is in flight, for as long as the scenario allows."""
        ends_s = clock.monotonic_s() + self.scenario.drain_s
        quiet = 0
        while clock.monotonic_s() < ends_s and quiet < 3:
            await asyncio.sleep(COUNT_EVERY_S)
            now = self._counts
            ended = now is not None and self._known and now.held + now.in_doubt + now.unacknowledged == 0
            quiet = quiet + 1 if ended and not await self._banks_wait() else 0
        if quiet < 3:
            log.warning("the drain took longer than %g s", self.scenario.drain_s)

    async def _all_clear(self) -> None:
        """Wait, for as long as a close rule may need, until health has closed what it opened; tests go on meanwhile."""
        watch = self._stack.databases.get("health")
        if watch is None:
            return
        ends_s = clock.monotonic_s() + CLEAR_HOLDS * max(HOLD_MIN_S, HOLD_S / self.scenario.scale)
        told = False
        while clock.monotonic_s() < ends_s:
            with suppress(StoreFault):
                if not await health_rows.anything_open(watch.access.reader_url):
                    return
            if not told:
                self._terminal.news("every transfer has ended; health measures whether it may say so")
                told = True
            await asyncio.sleep(CLEAR_EVERY_S)
        log.warning("health has not closed everything by the end of the run")

    async def _banks_wait(self) -> bool:
        """A bank has transfers that are not final in its own books, or messages to send."""
        for bank in self._stack.plan.bank_ids:
            state = await self._tracker.bank_state(self._stack.url(bank))
            if state is None or state.get("open") or state.get("unacknowledged"):
                return True
        return False

    # --- what is watched

    async def _count(self) -> None:
        lane = Lane(self._stack.databases["gateway"].access.reader_url, name="hakika replay")
        try:
            while True:
                try:
                    self._counts = await counts(lane, COUNT_DEADLINE_S)
                    self._known = True
                except StoreFault:
                    self._known = False
                await asyncio.sleep(COUNT_EVERY_S)
        finally:
            await lane.close()

    async def _show(self) -> None:
        while True:
            at_s = self._at_s
            broken = {name: mode.value for name, mode in self._stack.links.broken().items()}
            story = self.scenario.story_time(at_s)
            phase = self.scenario.phase_at(at_s).title
            offered = self._customers.offered
            zone, dead = self.scenario.zone, self._stack.dead()
            self._terminal.show(Now(at_s, story, phase, offered, self._counts, self._known, broken, dead, zone))
            await asyncio.sleep(COUNT_EVERY_S)

    async def _follow(self) -> None:
        """Learn the references of some transfers from their banks, as their customers do."""
        waiting: list[tuple[str, str, int]] = []
        seen = 0
        while True:
            for told in self._customers.fresh():
                seen += 1
                if told.uetr is not None and (seen % FOLLOW_SHARE == 0 or told.order.creditor_kind != "open"):
                    waiting.append((told.order.bank, told.uetr, FOLLOW_TRIES))
            again = []
            for bank, uetr, tries in waiting:
                if not await self._tracker.follow(self._stack.url(bank), uetr) and tries > 1:
                    again.append((bank, uetr, tries - 1))
            waiting = again
            await asyncio.sleep(0.25)

    async def _follow_doubts(self) -> None:
        """Transfers in doubt are few and matter most: each of them is followed."""
        lane = Lane(self._stack.databases["gateway"].access.reader_url, name="hakika replay")
        try:
            while True:
                await asyncio.sleep(DOUBTS_EVERY_S)
                found: list[tuple[str, str]] = []
                with suppress(StoreFault):
                    before_ms = clock.now_ms() - DOUBT_AFTER_MS
                    found = await doubtful(lane, before_ms, DOUBTS_FOLLOWED, COUNT_DEADLINE_S)
                for uetr, bank in found:
                    if not self._tracker.follows(uetr):
                        await self._tracker.follow(self._stack.url(bank), uetr, rare=True)
        finally:
            await lane.close()

    async def _sample(self) -> None:
        """Look at pages at the scenario's rate; a slow page holds nobody else's look up."""
        pause_s = 1 / self.scenario.tracking_per_s
        due_s = clock.monotonic_s()
        while True:
            due_s += pause_s
            await asyncio.sleep(max(0.0, due_s - clock.monotonic_s()))
            phase = self.scenario.phase_at(self._at_s).name
            dead = {"core", "core-postgres"} & set(self._stack.dead())
            self._start(self._tracker.sample(phase, core_dead=bool(dead)))


async def _ping(connection: Any) -> None:
    await connection.execute("SELECT 1")


def machine() -> dict[str, str]:
    """What it ran on."""
    return {"on": f"{os.cpu_count()} cores, Python {sys.version.split()[0]}"}
