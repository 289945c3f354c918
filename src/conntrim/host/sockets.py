"""This host's open TCP sockets by INET_DIAG: who talks with whom, and with which window scales."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.protocol import Protocol
from conntrim.host.netlink import NLM_F_DUMP, Netlink, attributes

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
INFO = 2
"""INET_DIAG_INFO: `struct tcp_info`."""
ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT = 1, 4, 5, 8
OPEN = (ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT)
"""TCP_*: data may still come."""
HEAD = 72
"""Bytes of `struct inet_diag_msg`."""
TCPI_OPT_WSCALE = 4


@dataclass(frozen=True, slots=True)
class Socket:
    """One end of a connection; addresses are 128-bit numbers, scales None where none were agreed on."""

    family: Family
    local: int
    port: int
    peer: int
    peer_port: int
    established: bool
    scale: int | None = None
    peer_scale: int | None = None


def open_sockets(netns: str | None) -> Iterator[Socket]:
    """Those of both families. HostError where the kernel has no sock_diag."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with Netlink(NETLINK_SOCK_DIAG, "reading the open sockets", netns) as link:
            states = sum(1 << state for state in OPEN)
            request = struct.pack("=BBBxI48x", family, Protocol.TCP, 1 << INFO - 1, states)
            link.send(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request)
            yield from (_socket(payload) for _, payload in link.answers() if len(payload) >= HEAD)


def _socket(payload: bytes) -> Socket:
    family, state = payload[0], payload[1]
    port, peer_port = struct.unpack_from(">HH", payload, 4)
    local, peer = (_address(family, payload[at : at + 16]) for at in (8, 24))
    v4 = local >> 32 == MAPPED >> 32  # a socket of IPv6 may talk IPv4
    scales = _scales(attributes(payload[HEAD:]).get(INFO, b""))
    return Socket(Family.IPV4 if v4 else Family.IPV6, local, port, peer, peer_port, state == ESTABLISHED, *scales)


def _address(family: int, octets: bytes) -> int:
    return int.from_bytes(octets[:4], "big") | MAPPED if family == socket.AF_INET else int.from_bytes(octets, "big")


def _scales(info: bytes) -> tuple[int | None, int | None]:
    """Ours and the peer's: `tcpi_rcv_wscale` and `tcpi_snd_wscale`, a bit field of four bits each."""
    if len(info) < 7 or not info[5] & TCPI_OPT_WSCALE:
        return None, None
    halves = info[6] >> 4, info[6] & 15
    return halves if sys.byteorder == "little" else halves[::-1]
