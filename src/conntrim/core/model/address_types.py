"""Kinds of addresses and of packets: the kernel's numbers, and which addresses are of which kind."""

from __future__ import annotations

from enum import IntEnum

from conntrim.core.model.address import parse_address, parse_prefix
from conntrim.core.model.intervals import Intervals

LOOPBACK = Intervals.of(parse_prefix("127.0.0.0/8"), parse_prefix("::1/128"))
MULTICAST = Intervals.of(parse_prefix("224.0.0.0/4"), parse_prefix("ff00::/8"))
BROADCAST = Intervals.of(parse_address("255.255.255.255"), parse_address("0.0.0.0"))  # noqa: S104 - no socket

PRIVATE = Intervals.union_of(
    map(parse_prefix, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7"))
)
"""Addresses that belong to some site or provider, and to nobody on the internet (RFC 1918, 6598, 3927, 4193)."""


class AddressType(IntEnum):
    """RTN_* of linux/rtnetlink.h, by iptables' names; nft has names for those up to `PROHIBIT`."""

    UNSPEC = 0
    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9
    NAT = 10
    XRESOLVE = 11


class PacketType(IntEnum):
    """PACKET_* of linux/if_packet.h."""

    HOST = 0
    BROADCAST = 1
    MULTICAST = 2
    OTHERHOST = 3
    OUTGOING = 4


ADDRESS_TYPES: tuple[tuple[AddressType, Intervals], ...] = (
    (AddressType.MULTICAST, MULTICAST),
    (AddressType.BROADCAST, BROADCAST),
    (AddressType.LOCAL, LOOPBACK),
)
"""Addresses whose type every host agrees on, read from the top. What is in no row is LOCAL where it is the host's, else
UNICAST: the routes that may say otherwise are not asked."""

PACKET_TYPES: tuple[tuple[PacketType, Intervals], ...] = (
    (PacketType.MULTICAST, MULTICAST),
    (PacketType.BROADCAST, BROADCAST),
)
"""What a packet that came in is by its destination, read from the top; any other packet is to HOST."""
