"""What a scenario does to a platform, one event at a time: links break and mend, databases slow down, banks storm.

Each act is done when it returns, and says in a mark what was done when. Killing and reviving processes takes longer
than an event and is the player's; putting everything right at the end is here.
"""

import logging
from contextlib import suppress

from hakika import clock
from hakika.simulator.caller import Caller, NoReply
from hakika.simulator.faults import QUIET, Mode
from hakika.simulator.record import Mark
from hakika.simulator.scenario import Event, Scenario, mode_of
from hakika.simulator.stack import Stack

COMMAND_S = 5.0

log = logging.getLogger(__name__)


class ActRefused(Exception):
    """A bank did not take a command: the scenario is not what was played."""


class Actions:
    """The acts of one run."""

    def __init__(self, scenario: Scenario, stack: Stack) -> None:
        self._scenario = scenario
        self._stack = stack
        self._storms: set[str] = set()

    async def do(self, event: Event) -> Mark:
        """Carry out an event that kills nobody. ActRefused."""
        links = self._stack.links
        if event.break_ is not None:
            await links.set_mode(event.break_, mode_of(event))
            return Mark(clock.now_ms(), "break", event.break_, event.note)
        if event.mend is not None:
            for name in list(links.proxies) if event.mend == "all" else [event.mend]:
                await links.set_mode(name, Mode.OPEN)
            return Mark(clock.now_ms(), "mend", event.mend, event.note)
        if event.slow is not None:
            await links.slow(event.slow, event.times)
            return Mark(clock.now_ms(), "slow", event.slow, event.note)
        if event.storm is not None:
            await self._storm(event.storm, event.times)
            return Mark(clock.now_ms(), "storm", event.storm, event.note)
        links.set_noise(event.on, self._scenario.noise[event.noise or ""])
        return Mark(clock.now_ms(), "noise", event.noise or "", event.note)

    async def heal(self) -> None:
        """Everything open, quiet and well-mannered again."""
        links = self._stack.links
        for name in links.broken():
            await links.set_mode(name, Mode.OPEN)
        links.set_noise("*", QUIET)
        for bank in tuple(self._storms):
            with suppress(ActRefused):
                await self._storm(bank, 1.0)

    async def _storm(self, bank: str, times: float) -> None:
        """Tell a bank how often to ask for statuses; a bank that is started anew has its manners back."""
        caller = Caller(self._stack.url(bank))
        faults = {"polls_times": times} if times > 1 else {}
        token = self._stack.folder.token(f"{bank}-control").read_text("utf-8").strip()
        try:
            status, _ = await caller.post("/control", {"faults": faults}, COMMAND_S, token=token)
        except NoReply as error:
            raise ActRefused(f"{bank} does not take commands: {error}") from error
        finally:
            caller.close()
        if status != 200:
            raise ActRefused(f"{bank} does not take commands: HTTP {status}")
        (self._storms.add if times > 1 else self._storms.discard)(bank)
        log.info("%s asks for statuses %g times as often", bank, times)
