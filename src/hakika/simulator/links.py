"""The links between the processes of one platform, by name, each through a proxy of its own.

A name says who speaks to whom: `gateway-core` carries the gateway's requests to the core and the answers back.
Whoever breaks or mends a link does it here, and every change is remembered with its instant: the report needs
to know what was cut when.
"""

from dataclasses import dataclass

from hakika import clock
from hakika.simulator.faults import FaultsRefused, Mode, Noise
from hakika.simulator.proxy import Proxy
from hakika.simulator.relay import TIMES_MAX, Relay

GATEWAY_CORE = "gateway-core"
DATABASE_LINKS = {"core-postgres": "core", "gateway-postgres": "gateway"}  # and the role whose database it is


class UnknownLink(ValueError):
    """No link has this name; the message lists those that there are."""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """Who is called over the link: `server` is a process's name; for a database's link, its own."""

    name: str
    server: str
    shown: str  # for people

    @property
    def database(self) -> bool:
        """PostgreSQL is spoken on it, not HTTP; it opens when the server's port is known."""
        return self.name in DATABASE_LINKS


@dataclass(frozen=True, slots=True)
class Change:
    """A link's mode since an instant."""

    at_ms: int
    link: str
    mode: Mode


def link_specs(banks: tuple[str, ...], databases: tuple[str, ...] = ()) -> tuple[LinkSpec, ...]:
    """Every link of a platform with these banks; a role speaks to its database directly unless it is named."""
    specs = [LinkSpec(GATEWAY_CORE, "core", "gateway -> core")]
    for bank in banks:
        specs.append(LinkSpec(f"{bank}-gateway", "gateway", f"{bank} -> gateway"))
        specs.append(LinkSpec(f"gateway-{bank}", bank, f"gateway -> {bank}"))
    specs += [LinkSpec(name, name, f"{DATABASE_LINKS[name]} -> its database") for name in databases]
    return tuple(specs)


class Links:
    """The proxies of one platform."""

    def __init__(self, specs: tuple[LinkSpec, ...], *, seed: int) -> None:
        self.specs = specs
        self.seed = seed
        self.proxies: dict[str, Proxy | Relay] = {}
        self.history: list[Change] = []

    async def open(self, upstream_ports: dict[str, int], ports: dict[str, int]) -> None:
        """Listen for each link on its port, calling its server's; OSError where a port is taken."""
        for spec in self.specs:
            if not spec.database:
                proxy = Proxy(spec.name, upstream_ports[spec.server], port=ports[spec.name], seed=self.seed)
                await proxy.start()
                self.proxies[spec.name] = proxy

    async def open_database(self, name: str, upstream_port: int, port: int) -> None:
        """Listen for a database's link, its server being known now; OSError where the port is taken."""
        relay = Relay(name, upstream_port, port=port)
        await relay.start()
        self.proxies[name] = relay

    async def close(self) -> None:
        """End every connection and free the ports."""
        for proxy in self.proxies.values():
            await proxy.stop()

    async def slow(self, name: str, times: float) -> None:
        """Make a database so many times slower, until its link is mended; UnknownLink, FaultsRefused."""
        relay = self._proxy(name)
        if not isinstance(relay, Relay) or not 1 < times <= TIMES_MAX:
            raise FaultsRefused(f"{name}: a database's link can be 1 to {TIMES_MAX:g} times slower")
        relay.times = times
        await self.set_mode(name, Mode.SLOW)

    async def set_mode(self, name: str, mode: Mode) -> None:
        """Break or mend one link; UnknownLink, FaultsRefused."""
        proxy = self._proxy(name)
        await proxy.set_mode(mode)
        self.history.append(Change(clock.now_ms(), name, mode))

    def set_noise(self, name: str, noise: Noise) -> None:
        """Faults by chance on one link, or on all with `*`. UnknownLink, FaultsRefused."""
        for proxy in self.proxies.values() if name == "*" else [self._proxy(name)]:
            proxy.set_noise(noise)

    def broken(self) -> dict[str, Mode]:
        """Links that are not open now."""
        return {name: proxy.mode for name, proxy in self.proxies.items() if proxy.mode is not Mode.OPEN}

    def cuts(self, name: str) -> list[tuple[int, int | None]]:
        """Spans, in milliseconds, in which link `name` was not open; None where it still is not."""
        spans: list[tuple[int, int | None]] = []
        since: int | None = None
        for change in self.history:
            if change.link != name:
                continue
            if change.mode is Mode.OPEN and since is not None:
                spans.append((since, change.at_ms))
                since = None
            elif change.mode is not Mode.OPEN and since is None:
                since = change.at_ms
        if since is not None:
            spans.append((since, None))
        return spans

    def answers(self, status: int) -> int:
        """How many answers with this status of HTTP (400 or more) have passed, over all links."""
        return sum(proxy.counts[f"answer.{status}"] for proxy in self.proxies.values())

    def table(self) -> list[dict[str, object]]:
        """One row a link: what it is, how it is, what has happened on it."""
        rows: list[dict[str, object]] = []
        for spec in self.specs:
            if (proxy := self.proxies.get(spec.name)) is None:
                continue
            rows.append(
                {
                    "link": spec.name,
                    "shown": spec.shown,
                    "mode": proxy.mode.value,
                    "port": proxy.port,
                    "upstream_port": proxy.upstream_port,
                    "connections": proxy.connections,
                    "counts": dict(sorted(proxy.counts.items())),
                }
            )
        return rows

    def _proxy(self, name: str) -> Proxy | Relay:
        if name not in self.proxies:
            raise UnknownLink(f"no link {name!r}; links: {', '.join(self.proxies)}")
        return self.proxies[name]
