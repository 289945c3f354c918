"""A finding's witness as dialogues: alone, as an opener of each kind, as an answer, as an error about one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from conntrim.core.model.address import Family, format_address
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import ONE_WAY
from conntrim.lab.claims import unplayable
from conntrim.lab.expect import LOCAL
from conntrim.lab.held.stand import HOST
from conntrim.lab.held.talks import DATA_PORTS, KINDS, LONE, Dialogue, End, Turn, alone, made
from conntrim.lab.replay import BITS
from conntrim.lab.wire import size_of

NAMES = {"": HOST, "lo": HOST, "eth0": "eth0", "eth1": "eth1"}
"""Interfaces of a witness to places."""
EXPLICIT = 61_000
"""Client ports of a witness' dialogues begin here."""
FTP = 21
CARRIED = 12
"""Bytes that every datagram of a dialogue carries at least."""
ECHOING = (Protocol.ICMP, Protocol.ICMPV6)


def dialogues_of(packet: Packet, ports: Sequence[int]) -> list[Dialogue]:
    """All dialogues that a packet may belong to; none where a stand cannot play it."""
    unknown = packet.iif not in NAMES or packet.oif not in NAMES or packet.mark or packet.dscp or packet.ecn
    returning = packet.iif == packet.oif and packet.iif not in ("", "lo")  # who is which end nobody sees
    if unknown or returning or unplayable(packet):
        return []
    source = NAMES[packet.iif]
    target = HOST if packet.oif in ("", "lo") else NAMES[packet.oif]
    a, b = End(source, packet.src, packet.sport or 0), End(target, packet.dst, packet.dport or 0)
    return list(_about(packet, a, b, ports))


def shorter(packet: Packet) -> bool:
    """Whether a datagram is too short for what dialogues carry."""
    return packet.protocol == Protocol.UDP and packet.length is not None and packet.length < size_of(packet) + CARRIED


def _about(packet: Packet, a: End, b: End, ports: Sequence[int]) -> Iterator[Dialogue]:
    family = packet.family
    if packet.protocol in ECHOING:
        echo = packet.icmp is not None and packet.icmp >> 8 in (8, 0, 128, 129)
        if not echo:  # an error: about what its receiver sent
            for kind in ("udp, error", "tcp, error", "echo, error"):
                yield from (_placed(kind, family, b, replace(a, port=port), 0) for port in ports)
            return
        for one, other in ((a, b), (b, a)):
            yield from (_placed(kind, family, one, other, 1) for kind in ("echo", "echo, error"))
        return
    if packet.protocol not in (Protocol.TCP, Protocol.UDP):
        return
    base = alone("SYN", "in from near", family, (a.port, b.port))
    turn = Turn("packet", flags=packet.tcp_flags, payload=b"q" * 16 * (packet.tcp_flags is None))
    lone = replace(base, kind="witness", path="witness", protocol=packet.protocol, a=a, b=b, turns=(turn,))
    opener = LONE["SYN" if packet.protocol == Protocol.TCP else "datagram"][1]
    yield lone
    if packet.tcp_flags is not None:
        yield replace(lone, turns=(opener,), a=replace(a, port=EXPLICIT))
    for kind in _kinds(packet.protocol, {a.port, b.port}):
        if kind not in DATA_PORTS:
            yield _placed(kind, family, a, b, 0)
            yield _placed(kind, family, b, a, 0)
        elif FTP in (a.port, b.port):
            yield _placed(kind, family, *((a, b) if b.port == FTP else (b, a)), 0)


def _kinds(protocol: int, ports: set[int]) -> list[str]:
    """The kinds of dialogue of a protocol that these ports have."""
    one_way = protocol == Protocol.UDP and not ONE_WAY.isdisjoint(ports)
    return ["udp, one way"] if one_way else [kind for kind, (spoken, _) in KINDS.items() if spoken == protocol]


def _placed(kind: str, family: Family, a: End, b: End, identifier: int) -> Dialogue:
    """A dialogue of a kind between two ends; both keep their ports, echoes get an identifier."""
    base = made(kind, "in from near", family, port=b.port)
    return replace(base, path="witness", a=replace(a, port=a.port or EXPLICIT + identifier), b=b)


def routes(dialogues: Sequence[Dialogue]) -> list[str]:
    """What the ends need to be where they are, in `ip`'s words without the verb."""
    found: dict[str, None] = {}
    for dialogue in dialogues:
        bits = BITS[dialogue.family]
        for end in (dialogue.a, dialogue.b):
            text = f"{format_address(end.address)}/{bits}"
            if end.place == HOST and end.address not in LOCAL and not _loops(end.address, dialogue.family):
                found[f"route local {text} dev lo table local"] = None
            elif end.place != HOST:
                found[f"route {text} dev {end.place}"] = None
    return list(found)


def _loops(address: int, family: Family) -> bool:
    return address == 1 if family is Family.IPV6 else address >> 24 & 0xFF == 127
