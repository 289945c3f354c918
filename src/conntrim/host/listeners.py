"""At which TCP ports a program listens on all addresses: no other can open connections from there (K74)."""

from __future__ import annotations

import socket
import struct

from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.host.netlink import NLM_F_DUMP, Netlink, attributes

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
REQUEST = struct.Struct("=BBBxI48x")
"""`struct inet_diag_req_v2`: family, protocol, extensions, states; no socket in particular."""
MESSAGE = struct.Struct("=BBBB2s2s16s16sI8xIIIII")
"""`struct inet_diag_msg`: family, state, ..., source and destination port, source and destination, interface, ..."""
LISTEN = 1 << 10
SKV6ONLY = 11
"""INET_DIAG_SKV6ONLY (linux/inet_diag.h): whether an IPv6 socket leaves IPv4 alone."""


def listening(netns: str | None = None) -> dict[Family, Intervals]:
    """The ports, by family; an IPv6 socket that takes IPv4 as well counts for both."""
    found: dict[Family, list[int]] = {family: [] for family in Family}
    for family in (socket.AF_INET, socket.AF_INET6):
        with Netlink(NETLINK_SOCK_DIAG, "reading who listens", netns) as link:
            link.send(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, REQUEST.pack(family, socket.IPPROTO_TCP, 0, LISTEN))
            for _, payload in link.answers():
                _, _, _, _, port, _, source, _, interface, *_ = MESSAGE.unpack_from(payload)
                if any(source) or interface:
                    continue
                alone = attributes(payload[MESSAGE.size :]).get(SKV6ONLY, b"\1")[:1] != b"\0"
                theirs = [Family.IPV4] if family == socket.AF_INET else [Family.IPV6] if alone else list(Family)
                for each in theirs:
                    found[each].append(int.from_bytes(port, "big"))
    return {family: Intervals.of(*ports) for family, ports in found.items()}
