"""Whose request it is: the peer's address, or what a proxy of ours vouches for.

A proxy adds the address that it saw at the right end of X-Forwarded-For; everything further left is the caller's own
claim. So the list is read from the right, past our own proxies, to the first address that is not ours. Whoever is
not a proxy of ours is taken by the address of the connection, whatever the header says.
"""

import ipaddress
from collections.abc import Callable, Sequence

from hakika.channels.door import Request
from hakika.channels.web.limiter import client_key

HOPS_MAX = 8


def client_of(proxies: Sequence[str]) -> Callable[[Request], str]:
    """A function from a request to the address that counts; `proxies` are networks of ours."""
    networks = [ipaddress.ip_network(network) for network in proxies]

    def ours(text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped.version == network.version and mapped in network for network in networks)

    def client(request: Request) -> str:
        address = request.client
        if not networks or not ours(address):
            return client_key(address)
        hops = [hop.strip() for hop in request.headers.get("x-forwarded-for", "").split(",")]
        for hop in reversed(hops[-HOPS_MAX:]):
            try:
                ipaddress.ip_address(hop)
            except ValueError:
                break
            address = hop
            if not ours(hop):
                break
        return client_key(address)

    return client
