"""A whole platform on one machine: core, gateway, two banks, the links between them, and health, with their databases.

Everything that moves money starts side by side, health when all of that answers. Whatever dies is started again, as a
production supervisor would, PostgreSQL included. Stopping goes from the outside in: health and banks, gateway, core,
databases. What must outlive it is in the state folder (`folder.py`); nothing but processes and proxies is lost when
this ends.
"""

import asyncio
import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2

from hakika import clock
from hakika.simulator.children import Child, clear_left_over
from hakika.simulator.demo_data import open_demo, until_open
from hakika.simulator.folder import StateFolder, Value
from hakika.simulator.health_role import HEALTH, TOKENS, page_folder, write_health_settings
from hakika.simulator.links import GATEWAY_CORE, Links, link_specs
from hakika.simulator.plan import CURRENCY, BankPlan, Plan, synthetic_wallets
from hakika.simulator.vantages import CORE_SETTINGS, PROBE_TOKEN, VANTAGES, test_customer, write_vantage_settings
from hakika.store import core as core_store
from hakika.store import gateway as gateway_store
from hakika.store import health as health_store
from hakika.store import pg_host
from hakika.store.embedded import EmbeddedPostgres, RoleAccess, prepare_role
from hakika.store.migrations import migrate
from hakika.store.ports import HeldPorts, NoPort, is_free
from hakika.store.server_roles import Role

log = logging.getLogger(__name__)

ROLES: tuple[Literal["core", "gateway"], ...] = ("core", "gateway")  # what moves money
PACKAGES = {"core": core_store, "gateway": gateway_store, HEALTH: health_store}
HEALTH_PAUSE_S = 5.0  # after a start of health that failed
READY_S = 60.0
READY_STEP_S = 0.05
PORTS_S = 3.0
ASK_S = 2.0
GATEWAY_KID = "gateway-1"
LOG_TAIL_LINES = 12


class StackFault(Exception):
    """The platform does not start; the message says which part and shows its last words."""


@dataclass(frozen=True, slots=True)
class Servers:
    """One role's database."""

    server: EmbeddedPostgres
    access: RoleAccess


async def start_over(folder: StateFolder) -> None:
    """Empty a folder that we hold, ending first what a killed supervisor left running on it. FolderRefused."""
    await clear_left_over(folder.log)
    for role in PACKAGES:
        await _end_postgres(folder.postgres(role))
    await asyncio.to_thread(folder.empty)


async def _end_postgres(data: Path) -> None:
    """SIGKILL every process of a server whose data are about to be removed, and see them gone."""
    ends_s = clock.monotonic_s() + PORTS_S
    while clock.monotonic_s() < ends_s:
        inside = await asyncio.to_thread(_postgres_processes, data)
        if not inside:
            return
        for pid in inside:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(READY_STEP_S)


def _postgres_processes(data: Path) -> list[int]:
    return list(pg_host.processes_in(data.resolve()) or {}) if data.exists() else []


class Stack:
    """Every process of one platform."""

    def __init__(self, folder: StateFolder, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.links = Links(link_specs(plan.bank_ids, plan.database_links), seed=plan.seed)
        self.children: dict[str, Child] = {}
        self.databases: dict[str, Servers] = {}
        self.ports: dict[str, int] = {}
        self._held = HeldPorts()
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._servers: dict[str, EmbeddedPostgres] = {}
        self._dead: set[str] = set()
        self._began_s = 0.0
        self._health: asyncio.Task[None] | None = None
        self.health_answers = asyncio.Event()

    # --- start and stop

    async def start(self) -> None:
        """Return when everything that moves money answers; health follows (`health_answers`).

        Raises StackFault, EmbeddedFault; then nothing is left running.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._began_s = clock.monotonic_s()
        left = await clear_left_over(self.folder.log)
        if left:
            log.warning("left over from a supervisor that was killed, ended: %s", ", ".join(left))
            await self._until_ports_are_free()
        names = [*PACKAGES, *self.plan.bank_ids, *(spec.name for spec in self.links.specs)]
        self.ports = self._take_ports(names)
        self._write_keys()
        await self.links.open(self.ports, self.ports)
        async with asyncio.TaskGroup() as group:
            for role in ROLES:
                group.create_task(self._start_role(role))
            for bank in self.plan.banks:
                group.create_task(self._start_bank(bank))
        await until_open(self.folder, self.plan, self.url("gateway"))
        self.folder.remember("ready.json", self.ready())
        self._step("everything that moves money answers")
        self._health = asyncio.create_task(self._start_health(), name="start health")

    async def _start_health(self) -> None:
        """Start health, however often it takes: the platform does not wait for it and does not fall with it."""
        while True:
            try:
                await self._start_role(HEALTH)
                await self._start_vantages()
            except Exception as fault:  # whatever it is: money does not wait, and the next start may do
                log.error("health does not start, again in %g s: %r", HEALTH_PAUSE_S, fault, exc_info=True)
                await self._clear_health()
                await asyncio.sleep(HEALTH_PAUSE_S)
                continue
            self.folder.remember("ready.json", self.ready())
            self.health_answers.set()
            return

    async def _start_vantages(self) -> None:
        """Processes that try every way in; nobody waits for what they see."""
        if not self.plan.probe_every_s:
            return
        urls = {name: self.url(name) for name in (*PACKAGES, *self.plan.bank_ids)}
        for name, settings in write_vantage_settings(self.folder, self.plan, urls).items():
            if name not in self.children:
                await self._child(name, settings, role="probe").start()
        self._step("vantages try the ways in")

    async def end_tests(self) -> None:
        """Stop the vantages for good, so that a platform can come to rest."""
        await asyncio.gather(*(self.children.pop(name).stop() for name in VANTAGES if name in self.children))

    async def _clear_health(self) -> None:
        child, watcher = self.children.pop(HEALTH, None), self._watchers.pop(HEALTH, None)
        if child is not None:
            await child.stop()
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def _until_ports_are_free(self) -> None:
        """A killed process of several threads lets go of its port a moment after it is seen dead."""
        ends_s = clock.monotonic_s() + PORTS_S
        known = [port for port in self.folder.remembered("ports.json").values() if isinstance(port, int)]
        while clock.monotonic_s() < ends_s and not all(map(is_free, known)):  # noqa: ASYNC110
            await asyncio.sleep(READY_STEP_S)

    def _take_ports(self, names: list[str]) -> dict[str, int]:
        try:
            return self.folder.ports(names, self._held)
        except NoPort as fault:
            raise StackFault(str(fault)) from fault

    def _step(self, words: str) -> None:
        log.info("%.2f s after the start: %s", clock.monotonic_s() - self._began_s, words)

    async def stop(self) -> None:
        """Stop everything in order; idempotent."""
        if self._health is not None:
            self._health.cancel()
            await asyncio.gather(self._health, return_exceptions=True)
        self.folder.ready_file.unlink(missing_ok=True)
        for names in ((*VANTAGES, HEALTH, *self.plan.bank_ids), ("gateway",), ("core",)):
            await asyncio.gather(*(self.children[name].stop() for name in names if name in self.children))
        await self.links.close()
        for task in self._watchers.values():
            task.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        stopped = await asyncio.gather(*(server.stop() for server in self._servers.values()), return_exceptions=True)
        for fault in stopped:
            if isinstance(fault, Exception):
                log.error("a database server does not stop: %s", fault)
        self._held.release()

    async def _start_role(self, role: Role) -> None:
        await self._start_database(role)
        child = self._child(role, self._role_settings(role))
        await child.start()
        await self.until_ready(role)
        self._step(f"{role} is ready")
        if role == "core":
            await open_demo(self.folder, self.plan, self.url("core"), self._token("operator"))
            self._step("demo wallets are open")

    async def _start_database(self, role: Role) -> None:
        server = EmbeddedPostgres(self.folder.postgres(role))
        self._servers[role] = server
        await server.start()
        self._step(f"{role}'s PostgreSQL takes connections")
        access = await prepare_role(server, role)
        await migrate(access.owner_url, Path(PACKAGES[role].__path__[0]) / "migrations")
        self.databases[role] = Servers(server, access)
        for user, url in (
            ("app", await self._through_link(role, access.app_url)),
            ("reader", access.reader_url),
            ("owner", access.owner_url),
        ):
            self.folder.secret(f"{role}.{user}.url", url)
        self._step(f"{role}'s database is migrated")
        self._watchers[role] = asyncio.create_task(server.supervise(), name=f"watch {role} postgres")

    async def _through_link(self, role: str, url: str) -> str:
        """Where the role reaches its database: through a link where the plan wants one; nobody else does."""
        name = f"{role}-postgres"
        if name not in self.plan.database_links:
            return url
        port = self._servers[role].port
        await self.links.open_database(name, port, self.ports[name])
        return url.replace(f":{port}/", f":{self.ports[name]}/")

    async def _start_bank(self, bank: BankPlan) -> None:
        child = self._child(bank.id, self._bank_settings(bank), role="bank")
        await child.start()
        await self.until_ready(bank.id)
        self._step(f"{bank.id} answers")

    def _child(self, name: str, settings: Path, *, role: str | None = None) -> Child:
        arguments = ["-m", "hakika.cli", "serve", role or name, "--settings", str(settings)]
        child = Child(name, arguments, self.folder.log)
        self.children[name] = child
        return child

    async def until_ready(self, name: str, within_s: float = READY_S) -> None:
        """Return when the process answers that it is ready. Raises StackFault with the last lines of its log."""
        path = "/readyz" if name in PACKAGES else "/livez"
        ends_s = clock.monotonic_s() + within_s
        async with httpx2.AsyncClient(trust_env=False, timeout=ASK_S) as http:
            while clock.monotonic_s() < ends_s:
                with suppress(httpx2.HTTPError):
                    if (await http.get(self.url(name) + path)).status_code == 200:
                        return
                await asyncio.sleep(READY_STEP_S)
        raise StackFault(f"{name} is not ready after {within_s:g} s\n{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        file = self.folder.log / f"{name}.log"
        try:
            lines = file.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return f"(no log at {file})"
        return "\n".join([*lines[-LOG_TAIL_LINES:], f"({file})"])

    # --- faults on command

    @property
    def targets(self) -> tuple[str, ...]:
        """What can be killed by name."""
        return (*self.children, *(f"{role}-postgres" for role in self._servers))

    async def kill(self, target: str, *, stay_dead: bool = False) -> None:
        """SIGKILL a process, or a PostgreSQL server with all its processes; it comes back unless told to stay dead."""
        if target in self.children:
            if stay_dead:
                self.children[target].hold()
            self.children[target].kill()
        else:
            await self._kill_postgres(target.removesuffix("-postgres"), stay_dead=stay_dead)
        if stay_dead:
            self._dead.add(target)

    async def revive(self, target: str) -> None:
        """Let what was told to stay dead come back."""
        self._dead.discard(target)
        if target in self.children:
            self.children[target].let_go()
            return
        role = target.removesuffix("-postgres")
        if self._watchers[role].done():
            self._watchers[role] = asyncio.create_task(self._servers[role].supervise(), name=f"watch {target}")

    async def _kill_postgres(self, role: str, *, stay_dead: bool) -> None:
        if role not in self._servers:
            raise StackFault(f"no process {role!r}; there are {', '.join(self.targets)}")
        if stay_dead:
            self._watchers[role].cancel()
            await asyncio.gather(self._watchers[role], return_exceptions=True)
        inside = pg_host.processes_in(self._servers[role].folder.resolve()) or {}
        pids = {*inside, *([self._servers[role].pid] if self._servers[role].pid else [])}
        for pid in sorted(pid for pid in pids if pid is not None):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def dead(self) -> list[str]:
        """Processes that do not run at this moment."""
        missing = [name for name, child in self.children.items() if child.pid is None]
        return [*missing, *sorted(self._dead - set(missing))]

    # --- what others need to know

    def url(self, name: str) -> str:
        """Where a process, or a link, listens."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def ready(self) -> dict[str, Any]:
        """The content of the ready file: where everything is, and which files hold its credentials."""
        demo = self.folder.remembered("demo.json")
        return {
            "core_url": self.url("core"),
            "gateway_url": self.url("gateway"),
            "banks": [
                {
                    "id": bank.id,
                    "name": bank.name,
                    "url": self.url(bank.id),
                    "kid": bank.kid,
                    "key_file": str(self.folder.keys / f"{bank.id}.pem"),
                    "callback_url": f"{self.url(f'gateway-{bank.id}')}/iso20022",
                    "gateway_url": self.url(f"{bank.id}-gateway"),
                    "books_file": str(self.folder.books(bank.id)),
                    "style": bank.style,
                    "rule_pack": bank.rule_pack,
                    "control_token_file": str(self.folder.keys / f"{bank.id}-control.token"),
                }
                for bank in self.plan.banks
            ],
            "health_url": self.url(HEALTH),
            "status_page_folder": str(page_folder(self.folder)),
            "databases": {role: servers.access.reader_url for role, servers in self.databases.items()},
            "wallets": demo.get("wallets", []),
            "wallets_blocked": demo.get("blocked", []),
            "wallets_closed": demo.get("closed", []),
            "test_wallets": demo.get("tests", []),
            "links": [spec.name for spec in self.links.specs],
            "link_urls": {spec.name: self.url(spec.name) for spec in self.links.specs},
            "scale": self.plan.scale,
            "gateway_kid": GATEWAY_KID,
            "gateway_public_key_file": str(self.folder.keys / "gateway.pub.pem"),
            "core_token_file": str(self.folder.keys / "gateway-core.token"),
            "operator_token_file": str(self.folder.keys / "operator.token"),
            "state_dir": str(self.folder.path),
            "control_socket": str(self.folder.control_socket),
            "pids": {
                **{name: child.pid for name, child in self.children.items()},
                **{f"{role}-postgres": server.pid for role, server in self._servers.items()},
                "supervisor": os.getpid(),
            },
        }

    # --- files

    def _token(self, name: str) -> str:
        return self.folder.token(name).read_text("utf-8").strip()

    def _write_keys(self) -> None:
        for name in ("gateway", *self.plan.bank_ids):
            self.folder.key_pair(name)
        for name in (
            "gateway-core",
            "operator",
            PROBE_TOKEN,
            *TOKENS,
            *(f"{bank}-control" for bank in self.plan.bank_ids),
        ):
            self.folder.token(name)

    def _role_settings(self, role: Role) -> Path:
        match role:
            case "core":
                return self._core_settings()
            case "gateway":
                return self._gateway_settings()
            case "health":
                urls = {name: self.url(name) for name in (*PACKAGES, *self.plan.bank_ids)}
                return write_health_settings(self.folder, self.plan, urls)

    def _core_settings(self) -> Path:
        values: dict[str, Value] = {
            "role": "core",
            "listen": f"127.0.0.1:{self.ports['core']}",
            "database_url_file": str(self.folder.keys / "core.app.url"),
            "gateway_token_file": str(self.folder.keys / "gateway-core.token"),
            "operator_token_file": str(self.folder.keys / "operator.token"),
            "health_token_file": str(self.folder.keys / "health-core.token"),
            "test_wallets": [wallet.msisdn for wallet in synthetic_wallets()],
            CORE_SETTINGS: str(self.folder.token(PROBE_TOKEN)),
            "currency": CURRENCY,
        }
        return self.folder.write_settings("core", values, {})

    def _gateway_settings(self) -> Path:
        values: dict[str, Value] = {
            "role": "gateway",
            "listen": f"127.0.0.1:{self.ports['gateway']}",
            "database_url_file": str(self.folder.keys / "gateway.app.url"),
            "core_url": self.url(GATEWAY_CORE),
            "core_token_file": str(self.folder.keys / "gateway-core.token"),
            "signing_key_file": str(self.folder.keys / "gateway.pem"),
            "kid": GATEWAY_KID,
            "public_url": self.url("gateway"),
            "scale": self.plan.scale,
            "health_token_file": str(self.folder.keys / "health-gateway.token"),
            "test_wallets": [wallet.msisdn for wallet in synthetic_wallets()],
            "report_url": f"{self.url(HEALTH)}/report",
        }
        tables: list[dict[str, Value]] = [
            {
                "id": bank.id,
                "name": bank.name,
                "kid": bank.kid,
                "public_key_file": str(self.folder.keys / f"{bank.id}.pub.pem"),
                "callback_url": f"{self.url(f'gateway-{bank.id}')}/iso20022",
                "rule_pack": bank.rule_pack,
            }
            for bank in self.plan.banks
        ]
        return self.folder.write_settings("gateway", values, {"bank": tables})

    def _bank_settings(self, bank: BankPlan) -> Path:
        values: dict[str, Value] = {
            "role": "bank",
            "id": bank.id,
            "name": bank.name,
            "listen": f"127.0.0.1:{self.ports[bank.id]}",
            "books_file": str(self.folder.books(bank.id)),
            "gateway_url": self.url(f"{bank.id}-gateway"),
            "gateway_public_key_file": str(self.folder.keys / "gateway.pub.pem"),
            "gateway_kid": GATEWAY_KID,
            "signing_key_file": str(self.folder.keys / f"{bank.id}.pem"),
            "kid": bank.kid,
            "style": bank.style,
            "control_token_file": str(self.folder.keys / f"{bank.id}-control.token"),
            "scale": self.plan.scale,
            "customers": test_customer(bank),
            "test_wallets": [wallet.msisdn for wallet in synthetic_wallets()],
            "seed": self.plan.seed,
            "currency": CURRENCY,
            "public_url": self.url("gateway"),
            "health_public_key_file": str(self.folder.key_pair(HEALTH)[1]),
        }
        return self.folder.write_settings(bank.id, values, {})
