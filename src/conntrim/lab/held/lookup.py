"""Conntrack entries asked for and deleted one by one, by their tuples: no walk of the table.

The hash is one for all namespaces (K25), so a dump or a flush of our few entries walks past everybody's.
Messages and attributes: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence

from conntrim.core.model.address import MAPPED
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.memory import Tuple
from conntrim.host.netlink import HEADER, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, attribute, attributes
from conntrim.host.netns import entered
from conntrim.lab.entries import CT_GET, NETLINK_NETFILTER, Kept, kept_of

CT_DELETE, CT_STATS = 1 << 8 | 2, 1 << 8 | 5
NESTED = 1 << 15
TUPLE, ZONE, GLOBAL_ENTRIES = 1, 18, 1
AT_ONCE = 64
"""Requests sent before their answers are read."""


class Lookup:
    """One ctnetlink socket in a namespace."""

    def __init__(self, netns: str) -> None:
        with entered(netns):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self.socket.bind((0, 0))

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()

    def count(self) -> int:
        """How many entries the namespace has; the kernel keeps the number."""
        self.socket.send(HEADER.pack(HEADER.size + 4, CT_STATS, NLM_F_REQUEST, 0, 0) + b"\0\0\0\0")
        _, _, payload = next(self._received())
        return int.from_bytes(attributes(payload[4:])[GLOBAL_ENTRIES], "big")

    def find(self, tuples: Sequence[Tuple], zone: int = 0) -> list[Kept | None]:
        """The entry of each tuple, whichever direction it is of."""
        found: list[Kept | None] = [None] * len(tuples)
        for index, payload in self._each(CT_GET, tuples, zone):
            found[index] = kept_of(payload)
        return found

    def delete(self, tuples: Sequence[Tuple], zone: int = 0) -> None:
        """Delete the entries of these tuples that are there."""
        for _ in self._each(CT_DELETE, tuples, zone):
            pass

    def _each(self, kind: int, tuples: Sequence[Tuple], zone: int) -> Iterator[tuple[int, bytes]]:
        """What the kernel answers to each request, by the request's number; nothing where there is no entry."""
        for start in range(0, len(tuples), AT_ONCE):
            batch = tuples[start : start + AT_ONCE]
            self.socket.send(b"".join(message(kind, start + i, each, zone) for i, each in enumerate(batch)))
            left = len(batch)
            while left:
                for answer, number, payload in self._received():
                    if answer == NLMSG_ERROR:  # no such entry, or the acknowledgement
                        left -= 1
                    else:
                        yield number, payload

    def _received(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, number and payload of each message of one read."""
        data = self.socket.recv(1 << 16)
        at = 0
        while at < len(data):
            length, kind, _, number, _ = HEADER.unpack_from(data, at)
            yield kind, number, data[at + HEADER.size : at + length]
            at += (length + 3) & ~3


def message(kind: int, number: int, tuple_: Tuple, zone: int) -> bytes:
    """One request about the entry of a tuple."""
    v4 = tuple_.src >> 32 == MAPPED >> 32
    family = socket.AF_INET if v4 else socket.AF_INET6
    body = struct.pack(">BBH", family, 0, 0) + attribute(TUPLE | NESTED, tuple_attributes(tuple_, v4=v4))
    if zone:
        body += attribute(ZONE, zone.to_bytes(2, "big"))
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_ACK, number, 0) + body


def tuple_attributes(tuple_: Tuple, *, v4: bool) -> bytes:
    """CTA_TUPLE_IP and CTA_TUPLE_PROTO."""
    size, first = (4, 1) if v4 else (16, 3)
    mask = (1 << 8 * size) - 1
    ends = (attribute(first + i, (end & mask).to_bytes(size, "big")) for i, end in enumerate((tuple_.src, tuple_.dst)))
    echo = {Protocol.ICMP: 4, Protocol.ICMPV6: 7}.get(Protocol(tuple_.protocol)) if tuple_.protocol in ECHOING else None
    number = attribute(1, bytes([tuple_.protocol]))
    if echo is None:
        number += b"".join(attribute(2 + i, (port or 0).to_bytes(2, "big")) for i, port in
                           enumerate((tuple_.sport, tuple_.dport)))  # fmt: skip
    else:
        kind, code = divmod(tuple_.dport, 256)
        number += attribute(echo, tuple_.sport.to_bytes(2, "big"))
        number += attribute(echo + 1, bytes([kind])) + attribute(echo + 2, bytes([code]))
    return attribute(1 | NESTED, b"".join(ends)) + attribute(2 | NESTED, number)


ECHOING = (Protocol.ICMP, Protocol.ICMPV6)
