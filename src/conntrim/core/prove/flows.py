"""The connections that a policy leaves untracked, as the requests that open them and the answers to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import BROADCAST, LOOPBACK, MULTICAST
from conntrim.core.model.fields import Field, Fields, Key, TcpFlag, mirrored
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.policy import ADDRESSES, Policy, Untrack
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.model.share import told_by
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.icmp import ICMP, any_code
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_vars import PacketVars

SYN, ACK, FIN, RST, PSH = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST, TcpFlag.PSH

REQUESTS: tuple[int, ...] = (SYN, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK)
ANSWERS: tuple[int, ...] = (SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK)
"""The flags of a TCP connection's packets, the opening one first."""

ERRORS: dict[Family, Intervals] = {family: any_code(icmp.vital) for family, icmp in ICMP.items()}
"""ICMP errors that connections live by: unreachable and too big, time exceeded, parameter problem."""

BACK: dict[Direction, Direction] = {
    Direction.INBOUND: Direction.OUTBOUND, Direction.OUTBOUND: Direction.INBOUND,
    Direction.LOOPBACK: Direction.LOOPBACK, Direction.FORWARDED: Direction.FORWARDED,
}  # fmt: skip
"""The direction of the answers."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One service in one family and direction; `fields` tell its requests."""

    label: str
    family: Family
    direction: Direction
    fields: Fields

    @property
    def protocol(self) -> int:
        """Its layer-4 protocol."""
        return next(iter(self.fields[Field.PROTOCOL]))

    def requests(self, space: PacketVars) -> Set:
        """The packets that the policy takes for requests, with any flags and from and to anywhere."""
        return space.told(self.fields)

    def answers(self, space: PacketVars) -> Set:
        """Those that it takes for answers, told by themselves: addresses and ports swapped."""
        return space.told(mirrored(self.fields))

    def connections(self, space: PacketVars) -> Set:
        """The requests between two single hosts: nobody holds a connection with a group of them."""
        many = MULTICAST | BROADCAST
        return self.requests(space) & ~(space.field(Field.DST, many) | space.field(Field.SRC, many))

    def carrying(self, space: PacketVars, found: Set, flags: int) -> Set:
        """The connections whose packet with these flags is in a set; without regard to them where there are none."""
        if self.protocol != Protocol.TCP:
            return found
        here = found & space.field(Field.TCP_FLAGS, Intervals.of(flags))
        return here.exists(space.sets.literals(*space.bits[Field.TCP_FLAGS]))

    def flags(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The flags of requests and answers; one dummy where the protocol has none."""
        return (REQUESTS, ANSWERS) if self.protocol == Protocol.TCP else ((0,), (0,))

    def steps(self) -> Iterator[tuple[str, int]]:
        """All its packets, each as way (`request`, `answer`) and flags."""
        for way, flags in zip(("request", "answer"), self.flags(), strict=True):
            yield from ((way, one) for one in flags)


Steps = tuple[tuple[str, int], ...]
"""Packets of a connection, each as way (`request`, `answer`) and flags."""


def turns(flow: Flow, way: str, flags: int) -> Steps:
    """The packets of a connection up to the one asked for."""
    opening: Steps = (("request", 0),)
    if flow.protocol == Protocol.TCP:
        opening = (("request", SYN), ("answer", SYN | ACK), ("request", ACK))
    last = (way, flags)
    return (*(opening[: opening.index(last)] if last in opening else opening), last)


def conversation(flow: Flow, request: Packet, way: str, flags: int) -> tuple[Packet, ...]:
    """These packets themselves, of the connection whose addresses and ports `request` tells."""
    return tuple(turn(flow, request, *step) for step in turns(flow, way, flags))


def turn(flow: Flow, request: Packet, way: str, flags: int) -> Packet:
    """One of them."""
    packet = replace(request, tcp_flags=int(flags) if flow.protocol == Protocol.TCP else None)
    return reply_to(packet) if way == "answer" else packet


def others(family: Family, direction: Direction) -> tuple[Flow, ...]:
    """All connections of one direction, whoever's they are."""
    whose = f"of connections {direction}"
    return tuple(
        Flow(whose, family, direction, {Field.PROTOCOL: Intervals.of(p)}) for p in (Protocol.TCP, Protocol.UDP)
    )


def flows_of(policy: Policy, local: Intervals, local_ports: tuple[int, int]) -> Iterator[Flow]:
    """All flows of a policy. `local` are the host's addresses (empty: not known), `local_ports` its ephemeral ones."""
    spoken = {f for f in Family if local & ADDRESSES[f]} or set(Family)
    local = local - LOOPBACK
    for entry in policy.untrack:
        able = [f for f in entry.families() if f in spoken] or list(entry.families())
        for family in able:
            yield from _flows(entry, family, local & ADDRESSES[family], local_ports)


def _flows(entry: Untrack, family: Family, local: Intervals, local_ports: tuple[int, int]) -> Iterator[Flow]:
    common: dict[Key, Intervals] = {Field.PROTOCOL: Intervals.of(entry.protocol), Field.DPORT: entry.ports}
    peers = entry.peers & ADDRESSES[family]
    ours = local | (LOOPBACK & ADDRESSES[family])
    label = f"{entry} ({'IPv4' if family is Family.IPV4 else 'IPv6'})"
    if entry.direction is Direction.INBOUND:
        here: dict[Key, Intervals] = {Field.DST: local} if local else {}
        asking: dict[Key, Intervals] = {Field.SRC: peers} if peers else {}
        yield Flow(label, family, Direction.INBOUND, common | here | asking | told_by(entry.share, family))
        if (not peers or peers & ours) and not entry.keep_lo_tracked:
            both: dict[Key, Intervals] = {Field.SRC: peers & ours if peers else ours, Field.DST: ours}
            yield Flow(f"{label} on lo", family, Direction.LOOPBACK, common | both)
        return
    away = peers - ours
    leaves: dict[Key, Intervals] = {Field.SPORT: Intervals.of(local_ports)}
    if away:
        from_here: dict[Key, Intervals] = {Field.SRC: local} if local else {}
        yield Flow(label, family, Direction.OUTBOUND, common | leaves | from_here | {Field.DST: away})
    if peers & ours and not entry.keep_lo_tracked:
        both = {Field.SRC: ours, Field.DST: peers & ours}
        yield Flow(f"{label} on lo", family, Direction.LOOPBACK, common | leaves | both)
