"""ctnetlink messages about one entry, packed; and batches of them with the kernel's word on each."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from conntrim.core.model.address import Family
from conntrim.core.model.flows import FlowTable
from conntrim.core.rollout.alive import LASTS
from conntrim.host.netlink import (
    HEADER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    READ,
    Netlink,
    attribute,
    messages,
)  # fmt: skip

CT_NEW, CT_DELETE = 1 << 8, (1 << 8) | 2
"""IPCTNL_MSG_CT_NEW and IPCTNL_MSG_CT_DELETE of NFNL_SUBSYS_CTNETLINK."""
CREATE = 0x600
"""NLM_F_CREATE | NLM_F_EXCL; without them a message changes the entry that is there."""
NESTED = 0x8000
BATCH = 100
"""Entries a send: the acknowledgements of two messages each fit into one socket buffer."""

TUPLE_ORIG, TUPLE_REPLY, STATUS, PROTOINFO, TIMEOUT, MARK = 1, 2, 3, 4, 7, 8
"""CTA_*."""
STATE, SCALE, REPLY_SCALE, FLAGS, REPLY_FLAGS = 1, 2, 3, 4, 5
"""CTA_PROTOINFO_TCP_*."""


def word(kind: int, value: int) -> bytes:
    """An attribute of 32 bits."""
    return attribute(kind, value.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Ends:
    """The original tuple of an entry, its addresses in the family's own length."""

    family: Family
    protocol: int
    src: bytes
    dst: bytes
    sport: int
    dport: int

    @classmethod
    def of(cls, flows: FlowTable, row: int) -> Ends:
        """That of one row."""
        family = Family(int(flows.family[row]))
        size = 4 if family is Family.IPV4 else 16
        src, dst = (column[row].astype(">u8").tobytes()[-size:] for column in (flows.src, flows.dst))
        return cls(family, int(flows.protocol[row]), src, dst, int(flows.sport[row]), int(flows.dport[row]))

    def original(self) -> bytes:
        """CTA_TUPLE_ORIG."""
        return self._tuple(TUPLE_ORIG, (self.src, self.dst), (self.sport, self.dport))

    def reply(self) -> bytes:
        """CTA_TUPLE_REPLY."""
        return self._tuple(TUPLE_REPLY, (self.dst, self.src), (self.dport, self.sport))

    def _tuple(self, kind: int, addresses: tuple[bytes, bytes], ports: tuple[int, int]) -> bytes:
        first = 1 if self.family is Family.IPV4 else 3
        ip = attribute(first, addresses[0]) + attribute(first + 1, addresses[1])
        proto = attribute(1, bytes([self.protocol]))
        proto += attribute(2, ports[0].to_bytes(2, "big")) + attribute(3, ports[1].to_bytes(2, "big"))
        return attribute(kind | NESTED, attribute(1 | NESTED, ip) + attribute(2 | NESTED, proto))

    def deletion(self) -> bytes:
        """Deletes the entry."""
        return self._message(CT_DELETE, 0, self.original())

    def change(self, what: bytes) -> bytes:
        """Changes the entry, if it is there."""
        return self._message(CT_NEW, 0, self.original() + what)

    def creation(self, what: bytes) -> bytes:
        """Makes the entry, unless it is there."""
        return self._message(CT_NEW, CREATE, self.original() + self.reply() + what)

    def _message(self, kind: int, flags: int, body: bytes) -> bytes:
        length, asked = HEADER.size + 4 + len(body), NLM_F_REQUEST | NLM_F_ACK | flags
        return HEADER.pack(length, kind, asked, 0, 0) + struct.pack("=BBH", self.family, 0, 0) + body


def tcp(*parts: bytes) -> bytes:
    """CTA_PROTOINFO of a TCP entry."""
    return attribute(PROTOINFO | NESTED, attribute(1 | NESTED, b"".join(parts)))


def flags(value: int, mask: int) -> bytes:
    """The same flags both ways."""
    return b"".join(attribute(kind, bytes([value, mask])) for kind in (FLAGS, REPLY_FLAGS))


def window(state: int, original: tuple[int, int], reply: tuple[int, int]) -> bytes:
    """CTA_PROTOINFO of a TCP entry without a window: its state, and flags and scale of each direction."""
    return tcp(
        attribute(STATE, bytes([state])),
        *(attribute(k, bytes([v])) for k, v in ((SCALE, original[1]), (REPLY_SCALE, reply[1]))),
        *(attribute(k, bytes([v & LASTS, 0xFF])) for k, v in ((FLAGS, original[0]), (REPLY_FLAGS, reply[0]))),
    )


def exchange(link: Netlink, requests: Sequence[bytes], size: int) -> list[int]:
    """Send messages, so many at a time in one call of the kernel; the error number of each, 0 where it was done."""
    numbers: list[int] = []
    for at in range(0, len(requests), size):
        batch = requests[at : at + size]
        link.send_raw(b"".join(batch))
        numbers += _numbers(link, len(batch))
    return numbers


def _numbers(link: Netlink, wanted: int) -> list[int]:
    found: list[int] = []
    buffer = memoryview(bytearray(READ))
    while len(found) < wanted:
        for kind, payload in messages(bytes(buffer[: link.receive_into(buffer)])):
            if kind == NLMSG_ERROR:
                found.append(-struct.unpack_from("=i", payload)[0])
    return found
