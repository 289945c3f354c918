"""Reads NFLOG over raw netlink: which packet was seen where, in the order in which it happened.

Messages and attributes: linux/netfilter/nfnetlink_log.h. One group is one queue, so with one sender its order is the
kernel's own order of events.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from conntrim.core.model.errors import HostError
from conntrim.core.model.service import Hook
from conntrim.host.netlink import attribute

NETLINK_NETFILTER = 12
SO_RCVBUFFORCE = 33
ULOG, CONFIG = 4 << 8, 4 << 8 | 1
"""nfnetlink message types: subsystem 4 (ULOG), a packet and a configuration."""
CTNETLINK_DELETE = 1 << 8 | 2
REQUEST_ACK = 0x1 | 0x4
ERROR = 2
CMD_BIND, CFG_CMD, CFG_MODE, CFG_BUFFER, CFG_TIMEOUT, CFG_THRESHOLD = 1, 1, 2, 3, 4, 5
COPY_PACKET = 2

SNAP = 28
"""Bytes of a packet that a rule must log: every packet has them, and both network headers' first fields fit."""

HOOKS = (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING)
"""Hooks by the kernel's number (`enum nf_inet_hooks`)."""

QUEUE = 512 << 20
"""Bytes of socket buffer: a batch of 65,535 packets, five sightings each, must fit."""
FLUSH = 1
"""Hundredths of a second after which a half-filled message is sent."""
THRESHOLD = 200
"""Sightings in one message."""
PATIENCE = 10
"""Seconds to wait for a record that must come."""


Logged = tuple[int, int, bytes]
"""One record: the prefix's first byte, the hook's number, the packet's first `SNAP` bytes. Millions: no class."""


def request(kind: int, resource: int, attributes: bytes, family: int = 0) -> bytes:
    """One nfnetlink request that wants an acknowledgement."""
    body = struct.pack("=BBH", family, 0, socket.htons(resource)) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, REQUEST_ACK, 1, 0) + body


def ask(channel: socket.socket, message: bytes, what: str) -> None:
    """Send a request and wait for its acknowledgement; HostError where the kernel refuses."""
    channel.send(message)
    answer = channel.recv(65536)
    while struct.unpack_from("=H", answer, 4)[0] != ERROR:
        answer = channel.recv(65536)
    (number,) = struct.unpack_from("=i", answer, 16)
    if number:
        raise HostError(what, f"the kernel refused: error {-number}")


class NetfilterLog:
    """The receiving end of one NFLOG group in the current network namespace."""

    def __init__(self, group: int) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE)
        self.socket.settimeout(PATIENCE)
        self.socket.bind((0, 0))
        settings = (
            (CFG_CMD, struct.pack("=B", CMD_BIND)),
            (CFG_MODE, struct.pack(">IBB", 0xFFFF, COPY_PACKET, 0)),
            (CFG_BUFFER, struct.pack(">I", 128 << 10)),
            (CFG_TIMEOUT, struct.pack(">I", FLUSH)),
            (CFG_THRESHOLD, struct.pack(">I", THRESHOLD)),
        )
        for kind, value in settings:
            ask(self.socket, request(CONFIG, group, attribute(kind, value)), "NFLOG")

    def close(self) -> None:
        """Give the group back."""
        self.socket.close()

    def read(self) -> Iterator[bytes]:
        """What the kernel sends, read by read, for ever: stop asking when the record that must come has come.

        HostError when nothing comes for `PATIENCE` seconds.
        """
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except TimeoutError as error:
                raise HostError("NFLOG", f"nothing logged for {PATIENCE} s though a packet was sent") from error
            except OSError as error:
                raise HostError("NFLOG", f"records lost: {error.strerror}") from error
            yield data


def records(data: bytes) -> Iterator[Logged]:
    """The records of one netlink read.

    net/netfilter/nfnetlink_log.c writes the packet header attribute first (at 20), the prefix next (at 28) and the
    packet's head last, so that it needs no search.
    """
    at, end = 0, len(data)
    while at < end:
        length, kind = _HEADER(data, at)
        following = at + length
        if kind == ULOG:
            yield data[at + 32], data[at + 26], data[following - SNAP : following]
        at = (following + 3) & ~3


_HEADER = struct.Struct("=IH").unpack_from


def forget_connections() -> None:
    """Delete every conntrack entry of the current namespace (one ctnetlink DELETE that names none)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as channel:
        ask(channel, request(CTNETLINK_DELETE, 0, b""), "ctnetlink")
