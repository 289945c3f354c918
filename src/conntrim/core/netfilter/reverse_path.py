"""The way back: whether a packet's source is reached by the interface that it came in by (`-m rpfilter`, nft's
`fib saddr . iif oif`), where the host's routes are known."""

from __future__ import annotations

from conntrim.core.model.address import Family, parse_prefix
from conntrim.core.model.address_types import ADDRESS_TYPES, LOOPBACK
from conntrim.core.model.asks import WayBack
from conntrim.core.netfilter.skb import Skb

ZERO_NET = parse_prefix("0.0.0.0/8")
"""Sources that the kernel treats by themselves: a DHCP client has none yet."""


def way_back(asked: WayBack, skb: Skb) -> bool | None:
    """Whether the match holds; None where no route is known to the source, or more than the routes decides.

    What came by the loopback always has its way back; the host's own addresses are reached by no other (K116).
    """
    kernel, source, came = skb.kernel, skb.packet.src, skb.iif
    if came == "lo":
        return not asked.inverted
    odd = any(source in addresses for _, addresses in ADDRESS_TYPES) and source not in LOOPBACK
    nowhere = skb.packet.family is Family.IPV4 and ZERO_NET[0] <= source <= ZERO_NET[1]
    if not came or not asked.plain or odd or nowhere:
        return None
    if source in kernel.local or source in LOOPBACK:
        return asked.inverted
    route = kernel.route(source)
    if route is None:
        return None
    return (asked.loose or route.device == came) is not asked.inverted
