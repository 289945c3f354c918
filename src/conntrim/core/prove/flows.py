"""The connections that a policy leaves untracked, as the requests that open them and the answers to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.policy import ADDRESSES, Policy, Untrack
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Field, TcpFlag
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.space import Space
from conntrim.core.prove.view import BROADCAST, LOOPBACK, MIRROR, MULTICAST

SYN, ACK, FIN, RST, PSH = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST, TcpFlag.PSH

REQUESTS: tuple[int, ...] = (SYN, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK)
ANSWERS: tuple[int, ...] = (SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK)
"""The flags of a TCP connection's packets, the opening one first."""

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
    fields: Mapping[Field, Intervals]

    @property
    def protocol(self) -> int:
        """Its layer-4 protocol."""
        return next(iter(self.fields[Field.PROTOCOL]))

    def requests(self, space: Space) -> Set:
        """The packets that the policy takes for requests, with any flags and from and to anywhere."""
        return _packets(space, self.fields)

    def answers(self, space: Space) -> Set:
        """Those that it takes for answers, told by themselves: addresses and ports swapped."""
        return _packets(space, {_mirrored(f): v for f, v in self.fields.items()})

    def connections(self, space: Space) -> Set:
        """The requests between two single hosts: nobody holds a connection with a group of them."""
        many = MULTICAST | BROADCAST
        return self.requests(space) & ~(space.field(Field.DST, many) | space.field(Field.SRC, many))

    def flags(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The flags of requests and answers; one dummy where the protocol has none."""
        return (REQUESTS, ANSWERS) if self.protocol == Protocol.TCP else ((0,), (0,))


def _packets(space: Space, fields: Mapping[Field, Intervals]) -> Set:
    found = space.everything
    for name, values in fields.items():
        found = found & space.field(name, values)
    return found


def _mirrored(name: Field) -> Field:
    return Field(MIRROR.get(name, name))


def conversation(flow: Flow, request: Packet, way: str, flags: int) -> tuple[Packet, ...]:
    """A connection of the flow, of which `request` tells addresses and ports, up to the packet with these flags.

    `way`: that packet is a `request` or an `answer`.
    """
    tcp = flow.protocol == Protocol.TCP
    opening: tuple[tuple[str, int], ...] = (("request", SYN), ("answer", SYN | ACK), ("request", ACK))
    turns = opening if tcp else (("request", 0),)
    last = (way, flags)
    turns = (*(turns[: turns.index(last)] if last in turns else turns), last)
    made = (replace(request, tcp_flags=int(f) if tcp else None) for _, f in turns)
    return tuple(reply_to(packet) if who == "answer" else packet for (who, _), packet in zip(turns, made, strict=True))


def flows_of(policy: Policy, local: Intervals, local_ports: tuple[int, int]) -> Iterator[Flow]:
    """All flows of a policy. `local` are the host's addresses (empty: not known), `local_ports` its ephemeral ones."""
    spoken = {f for f in Family if local & ADDRESSES[f]} or set(Family)
    local = local - LOOPBACK
    for entry in policy.untrack:
        able = [f for f in entry.families() if f in spoken] or list(entry.families())
        for family in able:
            yield from _flows(entry, family, local & ADDRESSES[family], local_ports)


def _flows(entry: Untrack, family: Family, local: Intervals, local_ports: tuple[int, int]) -> Iterator[Flow]:
    common = {Field.PROTOCOL: Intervals.of(entry.protocol), Field.DPORT: entry.ports}
    peers = entry.peers & ADDRESSES[family]
    ours = local | (LOOPBACK & ADDRESSES[family])
    label = f"{entry} ({'IPv4' if family is Family.IPV4 else 'IPv6'})"
    if entry.direction is Direction.INBOUND:
        here = {Field.DST: local} if local else {}
        yield Flow(label, family, Direction.INBOUND, common | here | ({Field.SRC: peers} if peers else {}))
        if not peers or peers & ours:
            both = {Field.SRC: peers & ours if peers else ours, Field.DST: ours}
            yield Flow(f"{label} on lo", family, Direction.LOOPBACK, common | both)
        return
    away = peers - ours
    leaves = {Field.SPORT: Intervals.of(local_ports)}
    if away:
        here = {Field.SRC: local} if local else {}
        yield Flow(label, family, Direction.OUTBOUND, common | leaves | here | {Field.DST: away})
    if peers & ours:
        both = {Field.SRC: ours, Field.DST: peers & ours}
        yield Flow(f"{label} on lo", family, Direction.LOOPBACK, common | leaves | both)
