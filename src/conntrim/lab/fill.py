"""Fills a namespace's table with made-up entries by ctnetlink batches (K35): big tables, and one of every kind."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from socket import AF_INET, AF_INET6, inet_pton

from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.netfilter.icmp import ANSWERS
from conntrim.host.flows import NETLINK_NETFILTER
from conntrim.host.netlink import HEADER, NLM_F_ACK, NLM_F_REQUEST, Netlink
from conntrim.host.programs import run

CT_NEW, EXPECTATION_NEW = 1 << 8, 2 << 8
NLM_F_CREATE_EXCL = 0x600
BATCH = 200
"""Entries a send; an answer is asked for the last of them only, errors come for each."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry to make. For ICMP `sport` is the id, `dport` type << 8 | code; `nat` is where the kernel shall
    translate the destination to, the reply's source then.

    `replied` entries are ASSURED too. `state` counts for TCP (and as the kernel's number for SCTP).
    """

    protocol: int
    src: str
    dst: str
    sport: int = 0
    dport: int = 0
    state: int = TcpState.ESTABLISHED
    timeout: int = 300
    replied: bool = True
    mark: int = 0
    zone: int = 0
    nat: str = ""
    helper: str = ""


def fill(netns: str, entries: Iterable[Entry]) -> int:
    """Make the entries in a namespace; how many were made. HostError with the kernel's word on the first refused."""
    todo, made = iter(entries), 0
    with Netlink(NETLINK_NETFILTER, "filling the table", netns) as link:
        while batch := list(islice(todo, BATCH)):
            link.send_raw(b"".join(_messages(batch, link.seq)))
            for _ in link.answers():
                pass
            made += len(batch)
    return made


def expect(netns: str, master: Entry, wanted: Entry) -> None:
    """Make an entry with a helper, and its expectation of just that connection (K124). HostError."""
    fill(netns, [master])
    every = ":".join(["ffff"] * 8) if ":" in wanted.src else "255.255.255.255"
    mask = Entry(wanted.protocol, every, every, 0xFFFF, 0xFFFF)
    family = AF_INET6 if ":" in wanted.src else AF_INET
    tuples = (
        _attr(kind, _original(family, each), nested=True) for kind, each in enumerate((master, wanted, mask), start=1)
    )
    body = struct.pack("=BBH", family, 0, 0) + b"".join(tuples) + _attr(4, struct.pack(">I", master.timeout))
    with Netlink(NETLINK_NETFILTER, "expecting a connection", netns) as link:
        flags = NLM_F_REQUEST | NLM_F_CREATE_EXCL | NLM_F_ACK
        link.send_raw(HEADER.pack(HEADER.size + len(body), EXPECTATION_NEW, flags, link.seq, 0) + body)
        for _ in link.answers():
            pass


def _messages(batch: list[Entry], seq: int) -> Iterator[bytes]:
    for index, entry in enumerate(batch):
        body = message_body(entry)
        last = NLM_F_ACK if index == len(batch) - 1 else 0
        flags = NLM_F_REQUEST | NLM_F_CREATE_EXCL | last
        yield HEADER.pack(HEADER.size + len(body), CT_NEW, flags, seq, 0) + body


def _attr(kind: int, payload: bytes, nested: bool = False) -> bytes:
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind | (0x8000 if nested else 0)) + payload + b"\0" * (-length % 4)


def message_body(entry: Entry) -> bytes:
    """The nfgenmsg and attributes of IPCTNL_MSG_CT_NEW for one entry."""
    family = AF_INET6 if ":" in entry.src else AF_INET
    status = Status.CONFIRMED | (Status.SEEN_REPLY | Status.ASSURED if entry.replied else 0)
    parts = [
        _tuple(family, entry, (entry.src, entry.dst), reply=False),
        _tuple(family, entry, (entry.dst, entry.src), reply=True),
        _attr(3, struct.pack(">I", status)),
        _attr(7, struct.pack(">I", entry.timeout)),
        _attr(8, struct.pack(">I", entry.mark)),
    ]
    if entry.protocol == Protocol.TCP:
        parts.append(_attr(4, _attr(1, _attr(1, bytes([entry.state])), nested=True), nested=True))
    if entry.protocol == Protocol.SCTP:
        tags = _attr(2, struct.pack(">I", 1)) + _attr(3, struct.pack(">I", 2))
        parts.append(_attr(4, _attr(3, _attr(1, bytes([entry.state])) + tags, nested=True), nested=True))
    if entry.nat:
        parts.append(_attr(13, _attr(1 if family == AF_INET else 4, inet_pton(family, entry.nat)), nested=True))
    if entry.helper:
        parts.append(_attr(5, _attr(1, entry.helper.encode() + b"\0"), nested=True))
    if entry.zone:
        parts.append(_attr(18, struct.pack(">H", entry.zone)))
    return struct.pack("=BBH", family, 0, 0) + b"".join(parts)


def _original(family: int, entry: Entry) -> bytes:
    return _ends(family, entry, (entry.src, entry.dst), reply=False)


def _tuple(family: int, entry: Entry, ends: tuple[str, str], *, reply: bool) -> bytes:
    return _attr(2 if reply else 1, _ends(family, entry, ends, reply=reply), nested=True)


def _ends(family: int, entry: Entry, ends: tuple[str, str], *, reply: bool) -> bytes:
    first = 1 if family == AF_INET else 3
    ip = _attr(first, inet_pton(family, ends[0])) + _attr(first + 1, inet_pton(family, ends[1]))
    proto = _attr(1, bytes([entry.protocol]))
    if entry.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        base, asked = (4 if entry.protocol == Protocol.ICMP else 7), entry.dport >> 8
        kind = ANSWERS[entry.protocol][asked] if reply else asked
        proto += _attr(base, struct.pack(">H", entry.sport)) + _attr(base + 1, bytes([kind]))
        proto += _attr(base + 2, bytes([entry.dport & 0xFF]))
    elif entry.protocol in WITH_PORTS or entry.protocol == Protocol.GRE:
        ports = (entry.dport, entry.sport) if reply else (entry.sport, entry.dport)
        proto += _attr(2, struct.pack(">H", ports[0])) + _attr(3, struct.pack(">H", ports[1]))
    return _attr(1, ip, nested=True) + _attr(2, proto, nested=True)


TRACKED = """table inet conntrim_lab {
  chain in {
    type filter hook input priority 0;
    ct state invalid counter
  }
}
"""


def track(netns: str) -> None:
    """Give the namespace a user of conntrack, without which nothing is tracked (K5)."""
    run(["nft", "-f", "-"], text=TRACKED, netns=netns)
