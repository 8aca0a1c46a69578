"""A platform to measure transfers on: core and gateway as processes, banks with positions, wallets to credit."""

from dataclasses import dataclass, field
from typing import Any

import httpx2

from bench.speed.context import Bench
from bench.speed.cpu import Meter
from bench.speed.ledger import FIRST_MSISDN, opened
from bench.speed.roles import Roles
from hakika import clock
from hakika.simulator.checker import Targets, verify
from hakika.store.embedded import RoleAccess

WALLETS = 10_000
BANKS = ("bank-a", "bank-b")
POSITION_MINOR = 10**13
CALLBACK = "banks"
VERIFY_S = 1800.0  # for each connection: an hour leaves more than three million transfers


def gateway_names(count: int) -> list[str]:
    """Names of so many processes of the gateway."""
    return ["gateway", *(f"gateway-{number}" for number in range(2, count + 1))]


@dataclass(slots=True)
class Platform:
    """What runs, and how many transfers the banks were told of as completed."""

    bench: Bench
    core: RoleAccess
    gateway: RoleAccess
    roles: Roles
    completed: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    async def start(cls, bench: Bench, name: str) -> "Platform":
        """Fresh databases, open wallets, funded positions, ready processes."""
        bench.say(f"{name}: opening {WALLETS:,} wallets, starting core and {bench.gateways} gateway ...")
        ledger = await opened(bench, WALLETS, funded=0)
        await ledger.close()
        roles = Roles(bench.folder / name.lower())
        platform = cls(bench, ledger.access, await bench.server.fresh("gateway"), roles)
        try:
            gateways = gateway_names(bench.gateways)
            roles.take_ports("core", *gateways, CALLBACK)
            await roles.start_core(ledger.access)
            await platform._fund()
            for gateway in gateways:
                await roles.start_gateway(gateway, platform.gateway, BANKS, roles.ports[CALLBACK])
        except BaseException:
            await platform.stop()
            raise
        return platform

    async def stop(self) -> None:
        """Processes, then databases."""
        await self.roles.stop()
        for access in (self.core, self.gateway):
            await self.bench.server.drop(access)

    def load(self, *, messages: int, per_message: int, in_flight: int, seconds: float, seed: int) -> dict[str, Any]:
        """Settings of the load generator."""
        keys = self.roles.folder.keys
        return {
            "host": "127.0.0.1",
            "ports": [self.roles.ports[name] for name in gateway_names(self.bench.gateways)],
            "listen": self.roles.ports[CALLBACK],
            "banks": [{"id": bank, "kid": f"{bank}-1", "key_file": str(keys / f"{bank}.pem")} for bank in BANKS],
            "gateway_key_file": str(keys / "gateway.pub.pem"),
            "first_msisdn": FIRST_MSISDN,
            "wallets": WALLETS,
            "messages": messages,
            "per_message": per_message,
            "in_flight": in_flight,
            "connections": min(128, max(1, in_flight // per_message)),
            "seconds": seconds,
            "seed": seed,
        }

    def meter(self) -> Meter:
        """Counts the processor time of both roles and of PostgreSQL from now on."""
        children = self.roles.children
        gateways = [children[name].pid for name in gateway_names(self.bench.gateways)]
        return Meter({"core": [children["core"].pid], "gateway": gateways}, self.bench.server.postgres.pid)

    def books(self) -> tuple[bool, str]:
        """`hakika verify` on both databases, settled; and as many completed as the banks were told of. Blocks."""
        urls = self.core.reader_url, self.gateway.reader_url
        result = verify(Targets(*urls, {}, live=False, settled=True, deadline_s=VERIFY_S))
        completed = result.counts.get("completed", -1)
        ok = result.ok and completed == self.completed
        found = "; ".join(str(one) for one in result.findings[:2])
        return ok, f"{completed:,} completed of {self.completed:,} told{'; ' + found if found else ''}"

    async def _fund(self) -> None:
        headers = {"Authorization": f"Bearer {self.roles.token('operator')}"}
        base = f"http://127.0.0.1:{self.roles.ports['core']}"
        async with httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False) as http:
            for bank in BANKS:
                opening = await http.post("/positions", json={"bank": bank, "currency": "KES"})
                opening.raise_for_status()
                order = {"id": clock.new_id().hex, "amount_minor": POSITION_MINOR}
                (await http.post(f"/positions/{bank}/fundings", json=order)).raise_for_status()
