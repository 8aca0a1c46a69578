"""Roles as processes on the benchmark's databases, with settings and secrets in a folder of the run.

They are started as an operator starts them, by `hakika serve`, and nothing of them is switched off.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from hakika.simulator.children import Child
from hakika.simulator.folder import StateFolder, Value
from hakika.store.embedded import RoleAccess
from hakika.store.ports import HeldPorts

READY_S = 30.0
STEP_S = 0.05


class Roles:
    """The processes of one platform under measurement."""

    def __init__(self, folder: Path) -> None:
        self.folder = StateFolder(folder)
        self.folder.prepare()
        self._held = HeldPorts()
        self.children: dict[str, Child] = {}
        self.ports: dict[str, int] = {}

    def pids(self) -> list[int]:
        """Every process, as it is now; 0 for one that does not run."""
        return [child.pid or 0 for child in self.children.values()]

    def take_ports(self, *names: str) -> None:
        """One free port for each name."""
        self.ports = self.folder.ports(list(names), self._held)

    def token(self, name: str) -> str:
        """A bearer token of ours."""
        return self.folder.token(name).read_text("utf-8").strip()

    async def start_core(self, access: RoleAccess) -> None:
        """The core on its database; returns when it is ready."""
        keys = self.folder.keys
        for name in ("gateway-core", "operator"):
            self.folder.token(name)
        self.folder.secret("core.app.url", access.app_url)
        settings = self.folder.write_settings(
            "core",
            {
                "role": "core",
                "listen": f"127.0.0.1:{self.ports['core']}",
                "database_url_file": str(keys / "core.app.url"),
                "gateway_token_file": str(keys / "gateway-core.token"),
                "operator_token_file": str(keys / "operator.token"),
            },
            {},
        )
        await self.start("core", "core", settings)

    async def start_gateway(self, name: str, access: RoleAccess, banks: Sequence[str], callback_port: int) -> None:
        """A process of the gateway on its database, with banks that are all called back on one port of this machine."""
        keys = self.folder.keys
        self.folder.key_pair("gateway")
        self.folder.secret("gateway.app.url", access.app_url)
        tables: list[dict[str, Value]] = []
        for bank in banks:
            _, public = self.folder.key_pair(bank)
            callback = f"http://127.0.0.1:{callback_port}/{bank}/iso20022"
            row = {"id": bank, "name": bank.title(), "kid": f"{bank}-1", "public_key_file": str(public)}
            tables.append({**row, "callback_url": callback})
        settings = self.folder.write_settings(
            name,
            {
                "role": "gateway",
                "listen": f"127.0.0.1:{self.ports[name]}",
                "database_url_file": str(keys / "gateway.app.url"),
                "core_url": f"http://127.0.0.1:{self.ports['core']}",
                "core_token_file": str(keys / "gateway-core.token"),
                "signing_key_file": str(keys / "gateway.pem"),
                "kid": "gateway-1",
                "public_url": f"http://127.0.0.1:{self.ports['gateway']}",
                "bank_rate_per_s": 1_000_000.0,  # the pace that was agreed with the banks is not what is measured
            },
            {"bank": tables},
        )
        await self.start(name, "gateway", settings)

    async def start(self, name: str, role: str, settings: Path) -> None:
        """A process of any role by its settings file."""
        child = Child(name, ["-m", "hakika.cli", "serve", role, "--settings", str(settings)], self.folder.log)
        self.children[name] = child
        await child.start()
        await self._until_ready(name)

    async def stop(self) -> None:
        """Everything, the last started first; the folder is given back."""
        for child in reversed(self.children.values()):
            await child.stop()
        self._held.release()
        self.folder.release()

    async def _until_ready(self, name: str) -> None:
        ends = time.monotonic() + READY_S
        while time.monotonic() < ends:
            if await asyncio.to_thread(_answers, f"http://127.0.0.1:{self.ports[name]}/readyz"):
                return
            await asyncio.sleep(STEP_S)
        raise TimeoutError(f"{name} is not ready after {READY_S:g} s: see {self.folder.log}")


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as response:  # noqa: S310 - an address of this machine
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
