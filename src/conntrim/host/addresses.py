"""Which addresses the kernel takes as this host's own, and which ports its clients use."""

from __future__ import annotations

import socket
import struct

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.errors import HostError
from conntrim.core.model.intervals import Intervals
from conntrim.host.netlink import NLM_F_DUMP, Netlink, attributes
from conntrim.host.netns import entered

RTM_GETROUTE = 26
RTMSG = struct.Struct("=BBBBBBBBI")
"""`struct rtmsg`: family, dst_len, src_len, tos, table, protocol, scope, type, flags."""

RT_TABLE_LOCAL, RTN_LOCAL, RTA_DST = 255, 2, 1
PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"


def local_addresses(netns: str | None = None) -> Intervals:
    """The host's own addresses, 128-bit numbers: what its local routing table delivers here, 127.0.0.0/8 included.

    The table and not the interfaces, because it also knows whole prefixes made local (`ip route add local`).
    """
    ranges: list[tuple[int, int]] = []
    for family in (Family.IPV4, Family.IPV6):
        with Netlink(socket.NETLINK_ROUTE, "reading the local addresses", netns) as link:
            link.strict()
            link.send(RTM_GETROUTE, NLM_F_DUMP, RTMSG.pack(family, 0, 0, 0, RT_TABLE_LOCAL, 0, 0, RTN_LOCAL, 0))
            ranges += [r for _, payload in link.answers() if (r := _local_range(payload))]
    return Intervals.union_of(ranges)


def _local_range(payload: bytes) -> tuple[int, int] | None:
    """The inclusive range of a route of type local, None for any other route."""
    family, length, _, _, _, _, _, kind, _ = RTMSG.unpack_from(payload)
    destination = attributes(payload[RTMSG.size :]).get(RTA_DST)
    if kind != RTN_LOCAL or destination is None or family not in (Family.IPV4, Family.IPV6):
        return None
    first = int.from_bytes(destination, "big") | (MAPPED if family == Family.IPV4 else 0)
    return first, first + (1 << len(destination) * 8 - length) - 1


def local_ports(netns: str | None = None) -> tuple[int, int]:
    """The ports that clients on this host are given, first and last (`net.ipv4.ip_local_port_range`)."""
    try:
        with entered(netns), open(PORT_RANGE, encoding="ascii") as file:
            low, high = file.read().split()
    except OSError as error:
        raise HostError(PORT_RANGE, error.strerror or str(error)) from error
    return int(low), int(high)
