"""Behind which device an address is: the kernel's own answer, with all its rules and tables of routes."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from conntrim.core.model.address import Family, family_of, parse_address
from conntrim.core.model.errors import HostError
from conntrim.host.addresses import RTA_DST, RTM_GETROUTE, RTMSG
from conntrim.host.netlink import ATTRIBUTE, Netlink, attributes
from conntrim.host.netns import entered

RTA_OIF = 4
WHOLE = {Family.IPV4: 4, Family.IPV6: 16}
"""Bytes of an address."""


def interfaces(netns: str | None, addresses: Sequence[str]) -> dict[str, str]:
    """The device by which packets to each address leave; what has no route, or is no address, is left out."""
    found: dict[str, str] = {}
    for text in addresses:
        try:
            address = parse_address(text)
        except ValueError:
            continue
        try:
            index = _index(netns, address)
        except HostError:
            continue  # no route to it
        if index:
            with entered(netns):
                found[text] = socket.if_indextoname(index)
    return found


def _index(netns: str | None, address: int) -> int:
    family = family_of(address)
    octets = (address & (1 << 8 * WHOLE[family]) - 1).to_bytes(WHOLE[family], "big")
    with Netlink(socket.NETLINK_ROUTE, "asking for a route", netns) as link:
        head = RTMSG.pack(family, 8 * len(octets), 0, 0, 0, 0, 0, 0, 0)
        link.send(RTM_GETROUTE, 0, head + ATTRIBUTE.pack(ATTRIBUTE.size + len(octets), RTA_DST) + octets)
        for _, payload in link.answers():
            device = attributes(payload[RTMSG.size :]).get(RTA_OIF, b"")
            return int.from_bytes(device, "little" if socket.htons(1) != 1 else "big")
    return 0
