"""Packets as bytes, with right checksums: what a TUN device or a raw socket is given.

A packet carries a number that survives every hook: IPv4's identification, IPv6's flow label. Conntrack verifies
checksums in PREROUTING (`nf_conntrack_checksum`), so a wrong one would show as INVALID.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from conntrim.core.model.address import Family
from conntrim.core.model.fields import FIELDS, Field, TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.netfilter.states import CHECKED, SANE

MAX_NUMBER = 0xFFFF
"""The largest number that fits both families' field; 0 is left out, a raw socket would replace it."""

TTL = 64
FIRST = 1000
"""The first sequence number of both ends."""
WINDOW = 0xFFFF
V4_HEADER, V6_HEADER = 20, 40
V6_FRAGMENT, V6_FRAGMENT_HEADER = 44, 8
"""The fragment header's protocol number and bytes (RFC 8200 section 4.5)."""

PARTED, CUT = bytes(range(1, 29)), 24
"""What a datagram in two fragments carries behind its header of 8 bytes, and how much of both is in the first one. The
second follows at once: it has the number of the packet before it (RFC 791 section 3.2)."""

TRAFFIC_CLASS: dict[Field, int] = {Field.DSCP: 2, Field.ECN: 0}
"""Fields of IPv4's TOS byte and IPv6's traffic class, by the bits that stand below them (RFC 2474, RFC 3168)."""

FILLED_IN = frozenset({Field.PROTOCOL, Field.SRC, Field.DST, Field.LENGTH, Field.TTL})
"""The other fields that every packet has: what `build` writes, or what comes of it."""

ECHO = frozenset((icmp.protocol, kind) for icmp in ICMP.values() for kind in (icmp.echo, icmp.answers[icmp.echo]))
"""ICMP types (protocol, type) whose header carries an identifier and a sequence number."""


@dataclass(slots=True)
class Numbers:
    """What the rules do not look at but conntrack does: the packet's number, TCP's counters."""

    number: int = 1
    seq: int = 0
    ack: int = 0
    payload: bytes = b""


End = tuple[int, int | None]
"""An address and port."""


@dataclass(slots=True)
class TcpSides:
    """The sequence numbers of both ends of one connection, told by source address and port.

    An end that answers under another address, because the packets to it were translated, is still the same end.
    """

    next: dict[End, int] = field(default_factory=dict)
    closed: dict[End, int] = field(default_factory=dict)
    spoken: set[End] = field(default_factory=set)
    opened: set[End] = field(default_factory=set)
    known_as: dict[End, End] = field(default_factory=dict)
    last: Packet | None = None

    def take(self, packet: Packet) -> tuple[int, int]:
        """The packet's seq and ack; a side's SYN and FIN count one each (RFC 9293 section 3.4), repeated or not.

        Nonsense counts nothing, nor does a SYN amid a connection: conntrack takes a RST at its word only where its
        number fits exactly. A SYN/ACK answers the other side's SYN, wherever that came.
        """
        near, far = self._ends(packet)
        flags = packet.tcp_flags or 0
        seq = self.next.setdefault(near, FIRST)
        ack = self.next.setdefault(far, FIRST)
        if flags & CHECKED not in SANE:
            return seq, ack if flags & TcpFlag.ACK else 0
        silent = near not in self.spoken
        if not flags & TcpFlag.RST:  # one that comes first belongs to nothing
            self.spoken.add(near)
        if flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN | TcpFlag.ACK and far in self.opened:
            ack = FIRST + 1
        if flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN:
            self.opened.add(near)
        if flags & TcpFlag.SYN:
            seq, self.next[near] = FIRST, max(seq, FIRST + 1) if silent else seq
        elif flags & TcpFlag.FIN:
            seq = self.closed.setdefault(near, seq)
            self.next[near] = seq + 1
        return seq, ack if flags & TcpFlag.ACK else 0

    def _ends(self, packet: Packet) -> tuple[End, End]:
        """Sender and receiver; a stranger who answers the packet before is the one that it went to."""
        near, far = (packet.src, packet.sport), (packet.dst, packet.dport)
        last, self.last = self.last, packet
        if last is not None and not {near, far} <= self.known_as.keys() and _answers(packet, last):
            self.known_as.setdefault(near, self.known_as[last.dst, last.dport])
            self.known_as.setdefault(far, self.known_as[last.src, last.sport])
        return self.known_as.setdefault(near, near), self.known_as.setdefault(far, far)


def _answers(packet: Packet, last: Packet) -> bool:
    """Whether a packet comes from where the one before went; translated, it may leave by yet another device, or be for
    the host itself, which then answers, or not be for the host any more."""
    here = not packet.iif and bool(last.iif)
    sent_on = bool(packet.iif) and not last.oif
    return packet.iif == last.oif or here or sent_on or "lo" in (packet.iif, packet.oif)


def ones_complement(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes: 2^16 is 1 modulo 2^16 - 1, so a sum is a modulus."""
    return 0xFFFF - (int.from_bytes(data, "big") % 0xFFFF)


def build(packet: Packet, numbers: Numbers) -> bytes:
    """The packet with its network header."""
    parted = packet.first or packet.fragment
    body = _BODIES.get(packet.protocol, _other)(packet, replace(numbers, payload=PARTED) if parted else numbers)
    body = body[:CUT] if packet.first else body[CUT:] if packet.fragment else body
    at = CUT * packet.fragment
    if packet.family is Family.IPV4:
        head = struct.pack(
            ">BBHHHBBH4s4s", 0x45, traffic_class(packet), V4_HEADER + len(body), numbers.number - packet.fragment,
            packet.first << 13 | at >> 3, TTL, packet.protocol, 0, _v4(packet.src), _v4(packet.dst),
        )  # fmt: skip
        return head[:10] + ones_complement(head).to_bytes(2, "big") + head[12:] + body
    first = 6 << 28 | traffic_class(packet) << 20 | numbers.number
    addresses = packet.src.to_bytes(16, "big") + packet.dst.to_bytes(16, "big")
    if parted:
        body = struct.pack(">BBHI", packet.protocol, 0, at | packet.first, numbers.number - packet.fragment) + body
    return struct.pack(">IHBB", first, len(body), V6_FRAGMENT if parted else packet.protocol, TTL) + addresses + body


def traffic_class(packet: Packet) -> int:
    """The byte that says how routers treat the packet."""
    return sum((getattr(packet, FIELDS[field].attribute) or 0) << low for field, low in TRAFFIC_CLASS.items())


def _v4(address: int) -> bytes:
    return (address & 0xFFFFFFFF).to_bytes(4, "big")


def summed(packet: Packet, body: bytes, offset: int) -> bytes:
    """The body with its checksum at `offset`, over the pseudo header as well (RFC 9293, RFC 8200 section 8.1)."""
    if packet.family is Family.IPV4:
        pseudo = _v4(packet.src) + _v4(packet.dst) + struct.pack(">HH", packet.protocol, len(body))
    else:
        addresses = packet.src.to_bytes(16, "big") + packet.dst.to_bytes(16, "big")
        pseudo = addresses + struct.pack(">II", len(body), packet.protocol)
    odd = b"\0" if len(body) % 2 else b""
    # A sum of zero is sent as all ones: zero would mean "no checksum" in UDP (RFC 768).
    value = ones_complement(pseudo + body + odd) or 0xFFFF
    return body[:offset] + value.to_bytes(2, "big") + body[offset + 2 :]


def _tcp(packet: Packet, numbers: Numbers) -> bytes:
    head = struct.pack(
        ">HHIIBBHHH", packet.sport or 0, packet.dport or 0, numbers.seq, numbers.ack, 5 << 4, packet.tcp_flags or 0,
        WINDOW, 0, 0,
    )  # fmt: skip
    return summed(packet, head + numbers.payload, 16)


def _udp(packet: Packet, numbers: Numbers) -> bytes:
    length = 8 + len(numbers.payload)
    head = struct.pack(">HHHH", packet.sport or 0, packet.dport or 0, length, 0)
    return summed(packet, head + numbers.payload, 6)


def _icmp(packet: Packet, numbers: Numbers) -> bytes:
    kind, code = divmod(packet.icmp or 0, 256)
    rest = struct.pack(">HH", packet.icmp_id, 1) if (packet.protocol, kind) in ECHO else b"\0\0\0\0"
    inner = build(packet.inner, replace(numbers, payload=b"")) if packet.inner else b""
    body = struct.pack(">BBH", kind, code, 0) + rest + inner + numbers.payload
    if packet.protocol == Protocol.ICMPV6:
        return summed(packet, body, 2)
    odd = b"\0" if len(body) % 2 else b""
    return body[:2] + ones_complement(body + odd).to_bytes(2, "big") + body[4:]


def _crc32c_table() -> tuple[int, ...]:
    """The table of the Castagnoli polynomial, reflected: SCTP's checksum (RFC 9260 appendix A)."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901 - the usual shift register
        table.append(value)
    return tuple(table)


_CRC32C = _crc32c_table()


def _sctp_init(payload: bytes = b"") -> bytes:
    """An INIT chunk: the only one that opens an SCTP association for conntrack. It comes alone, so a payload is its."""
    return struct.pack(">BBHIIHHI", 1, 0, 20 + len(payload), 1, 65536, 1, 1, 1) + payload


def _sctp(packet: Packet, numbers: Numbers) -> bytes:
    # The verification tag of a packet with an INIT chunk is 0 (RFC 9260 section 8.5.1).
    head = struct.pack(">HHI", packet.sport or 0, packet.dport or 0, 0)
    crc, chunk = 0xFFFFFFFF, _sctp_init(numbers.payload)
    for byte in head + b"\0\0\0\0" + chunk:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return head + (crc ^ 0xFFFFFFFF).to_bytes(4, "little") + chunk


def _other(packet: Packet, numbers: Numbers) -> bytes:
    # REJECT answers an unknown protocol only if its payload sums up right, in IPv6 with the pseudo header
    # (nf_reject_verify_csum in net/netfilter/nf_reject.h).
    rest = b"\0" * 6 + numbers.payload
    return summed(packet, b"\0\0" + rest, 0) if packet.family is Family.IPV6 else b"\xff\xff" + rest


def _udplite(packet: Packet, numbers: Numbers) -> bytes:
    """Coverage 0: the checksum is over everything (RFC 3828 section 3.1), summed as UDP: K51."""
    head = struct.pack(">HHHH", packet.sport or 0, packet.dport or 0, 0, 0)
    return summed(replace(packet, protocol=Protocol.UDP), head + numbers.payload, 6)


def size_of(packet: Packet) -> int:
    """The bytes that `build` makes of a packet."""
    network = V4_HEADER if packet.family is Family.IPV4 else V6_HEADER
    if packet.first or packet.fragment:
        network += V6_FRAGMENT_HEADER if packet.family is Family.IPV6 else 0
        return network + (CUT if packet.first else 8 + len(PARTED) - CUT)
    return network + SIZES.get(packet.protocol, 8) + (size_of(packet.inner) if packet.inner else 0)


SIZES: dict[int, int] = {Protocol.TCP: 20, Protocol.SCTP: 12 + len(_sctp_init())}
"""Bytes of the headers that are not 8."""

_BODIES: dict[int, Callable[[Packet, Numbers], bytes]] = {
    Protocol.TCP: _tcp,
    Protocol.UDP: _udp,
    Protocol.ICMP: _icmp,
    Protocol.ICMPV6: _icmp,
    Protocol.SCTP: _sctp,
    Protocol.UDPLITE: _udplite,
}
"""How each protocol's packet continues after the network header."""
