"""Made-up dialogues: whole and broken connections, queries, echoes, ICMP errors about them, in all four directions.

No two dialogues of one batch share a conntrack tuple, so each can be judged by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.dialogue import Talk, dialogue
from conntrim.core.netfilter.icmp import ANSWERS, ICMP
from conntrim.core.netfilter.memory import Tuple, tuple_of
from conntrim.lab.words import PORTS

Made = tuple[Packet, ...]
Key = tuple[int, ...]
"""What tells a flow from all others."""

SYN, ACK, FIN, RST, PSH = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST, TcpFlag.PSH
ODD_FLAGS = (
    SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, FIN, 0, FIN | PSH | TcpFlag.URG, SYN | FIN, SYN | RST,
    SYN | TcpFlag.ECE | TcpFlag.CWR, ACK | TcpFlag.URG,
)  # fmt: skip
"""Flags of a packet out of turn: sane ones and nonsense."""

NETS: dict[Family, dict[str, str]] = {
    Family.IPV4: {"host": "192.0.2.1", "near": "192.0.2.{}", "far": "203.0.113.{}", "behind": "198.51.100.{}",
                  "inner": "198.51.100.1", "loop": "127.0.0.{}"},
    Family.IPV6: {"host": "2001:db8::1", "near": "2001:db8::{:x}", "far": "2001:db8:2::{:x}",
                  "behind": "2001:db8:1::{:x}", "inner": "2001:db8:1::1", "loop": "::1"},
}  # fmt: skip
"""Addresses by where they are: the host's on eth0 and eth1, its neighbours, the world, the network behind it."""

ERRORS: dict[Family, tuple[int, tuple[int, ...]]] = {
    Family.IPV4: (Protocol.ICMP, (3 << 8 | 1, 3 << 8 | 3, 3 << 8 | 4, 11 << 8)),
    Family.IPV6: (Protocol.ICMPV6, (1 << 8, 1 << 8 | 4, 2 << 8, 3 << 8)),
}
"""Protocol and types of ICMP errors."""

ODD_ICMP = {
    Family.IPV4: (Protocol.ICMP, (0, 13 << 8, 14 << 8, 42 << 8, 9 << 8)),
    Family.IPV6: (Protocol.ICMPV6, (129 << 8, 133 << 8, 135 << 8, 143 << 8, 200 << 8)),
}
"""ICMP types that nobody asked for, or that conntrack does not know."""


CLASSES = (None, None, 10, 46)
"""DSCP: mostly none."""

ECN = (None, None, None, 1, 2, 3)
"""ECN: mostly not spoken."""


def dialogues(random: Random, packets: int) -> list[Made]:
    """Dialogues of that many packets together, no two of one flow."""
    taken: set[Key] = set()
    made: list[Made] = []
    left = packets
    while left > 0:
        talk = _dialogue(random)[:left]
        keys = set(map(key_of, talk))
        if not keys & taken:
            taken |= keys
            made.append(talk)
            left -= len(talk)
    return made


def key_of(packet: Packet) -> Key:
    """The same for all packets of a flow, whichever way they go, and for ICMP errors about it."""
    return key(tuple_of(packet.inner or packet))


def key(tuple_: Tuple) -> Key:
    """The same for both directions of a flow."""
    if tuple_.protocol in ANSWERS:  # one number tells an exchange, and the types differ by direction
        return (tuple_.protocol, *sorted((tuple_.src, tuple_.dst)), tuple_.sport)
    ends = sorted([(tuple_.src, tuple_.sport), (tuple_.dst, tuple_.dport)])
    return (tuple_.protocol, *ends[0], *ends[1])


def _dialogue(random: Random) -> Made:
    opener = _opener(random)
    return random.choices(list(KINDS), list(KINDS.values()))[0](random, opener)


def _opener(random: Random) -> Packet:
    """A packet without a protocol's own fields: direction, addresses, ports."""
    family = random.choice(tuple(Family))
    way = random.choices(tuple(Direction), (4, 3, 2, 1))[0]
    nets = NETS[family]
    peer = nets[random.choice(("near", "near", "far"))].format(random.randint(2, 250))
    behind = nets["behind"].format(random.randint(2, 250))
    local = random.choice((nets["host"], nets["host"], nets["inner"]))
    loop = nets["loop"].format(random.randint(1, 250))
    src, dst, iif, oif = {
        Direction.INBOUND: (peer, local, "eth0", ""),
        Direction.OUTBOUND: (nets["host"], peer, "", "eth0"),
        Direction.FORWARDED: random.choice(((peer, behind, "eth0", "eth1"), (behind, peer, "eth1", "eth0"))),
        Direction.LOOPBACK: random.choice(((loop, loop, "", "lo"), (nets["host"], nets["host"], "", "lo"))),
    }[way]
    client = random.randint(1024, 65535) if random.random() < 0.8 else random.choice(PORTS)
    return Packet(
        family, Protocol.TCP, parse_address(src), parse_address(dst), client, random.choice(PORTS), iif=iif, oif=oif,
        dscp=random.choice(CLASSES), ecn=random.choice(ECN),
    )  # fmt: skip


# --- kinds ----------------------------------------------------------------------------------------------------------


def _tcp(random: Random, opener: Packet) -> Made:
    """A whole connection."""
    return dialogue(Talk.TCP, replace(opener, tcp_flags=SYN))


def _broken_tcp(random: Random, opener: Packet) -> Made:
    """A connection of which some packets are missing, or come twice."""
    times = [random.choice((0, 1, 1, 1, 2)) for _ in range(8)]
    packets = tuple(p for p, n in zip(_tcp(random, opener), times, strict=True) for _ in range(n))
    return packets or (replace(opener, tcp_flags=SYN),)


def _odd_tcp(random: Random, opener: Packet) -> Made:
    """Any flags from either side."""
    return tuple(
        replace(opener if random.random() < 0.6 else reply_to(opener), tcp_flags=int(random.choice(ODD_FLAGS)))
        for _ in range(random.randint(1, 7))
    )


def _udp(random: Random, opener: Packet) -> Made:
    """Queries and answers in any order."""
    there = replace(opener, protocol=Protocol.UDP)
    return tuple(random.choice((there, reply_to(there))) for _ in range(random.randint(1, 5)))


def _query(random: Random, opener: Packet) -> Made:
    """A query, its answer, and again."""
    return dialogue(Talk.UDP, replace(opener, protocol=Protocol.UDP))


def _parted(random: Random, opener: Packet) -> Made:
    """Queries and answers, some of them in two fragments."""
    talk = _udp(random, opener) if random.random() < 0.8 else _echo(random, opener)
    return tuple(part for packet in talk for part in _parts(packet, random.random() < 0.8))


def _parts(packet: Packet, parted: bool) -> Made:
    return (replace(packet, first=True), replace(packet, fragment=True)) if parted else (packet,)


def _echo(random: Random, opener: Packet) -> Made:
    """Echo requests and replies in any order."""
    icmp = ICMP[opener.family]
    there = replace(_portless(opener), protocol=icmp.protocol, icmp=icmp.echo << 8, icmp_id=random.randint(1, 65535))
    return tuple(random.choice((there, there, reply_to(there))) for _ in range(random.randint(1, 4)))


def _odd_icmp(random: Random, opener: Packet) -> Made:
    """One ICMP packet that nobody asked for."""
    protocol, types = ODD_ICMP[opener.family]
    return (replace(_portless(opener), protocol=protocol, icmp=random.choice(types)),)


def _error(random: Random, opener: Packet) -> Made:
    """A conversation with an ICMP error about it in the middle: from the far end, or from a router on the way."""
    base = _udp(random, opener) if random.random() < 0.5 else _tcp(random, opener)
    at = random.randint(0, len(base))
    about = random.choice(base)
    protocol, types = ERRORS[opener.family]
    back = _portless(reply_to(about))
    router = parse_address(NETS[opener.family]["far"].format(251))
    src = router if back.iif == "eth0" and random.random() < 0.3 else back.src
    error = replace(back, src=src, protocol=protocol, icmp=random.choice(types), inner=replace(about, iif="", oif=""))
    return (*base[:at], error, *base[at:])


def _sctp(random: Random, opener: Packet) -> Made:
    """The chunk that opens an association, some times over: what follows the model does not know."""
    return (replace(opener, protocol=Protocol.SCTP),) * random.randint(1, 3)


def _udplite(random: Random, opener: Packet) -> Made:
    """Queries and answers of UDP-Lite."""
    there = replace(opener, protocol=Protocol.UDPLITE)
    return tuple(random.choice((there, reply_to(there))) for _ in range(random.randint(1, 4)))


def _generic(random: Random, opener: Packet) -> Made:
    """A protocol that conntrack knows only by its number."""
    there = replace(_portless(opener), protocol=99)
    return tuple(random.choice((there, reply_to(there))) for _ in range(random.randint(1, 3)))


def _portless(packet: Packet) -> Packet:
    return replace(packet, sport=None, dport=None, tcp_flags=None)


KINDS: dict[Callable[[Random, Packet], Made], int] = {
    _tcp: 4, _broken_tcp: 3, _odd_tcp: 5, _udp: 4, _query: 2, _echo: 3, _odd_icmp: 2, _error: 5, _generic: 1, _sctp: 1,
    _udplite: 1, _parted: 2,
}  # fmt: skip
"""Kinds of dialogues and their odds."""
