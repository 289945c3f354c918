"""Which connections an untracking rule takes packets of, packet by packet: a rule for answers alone takes none of a
dialogue that ends before the first one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Rule
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import ERRORS
from conntrim.core.prove.packet_vars import PacketVars


@dataclass(slots=True)
class Taking:
    """What one untracking rule takes of a direction's connections, told by the request: its packets that way and back
    (`ways`, by whether they answer), with the flags and types that they have, and the connections whose answers it may
    take because a rule translates them (`elsewhere`)."""

    rule: Rule
    ways: dict[bool, Set]
    elsewhere: Set
    _carried: dict[tuple[bool, Packet], Set] = field(default_factory=dict)

    @classmethod
    def none(cls, space: PacketVars, rule: Rule) -> Self:
        """A rule of which nothing is known yet."""
        return cls(rule, {False: space.nothing, True: space.nothing}, space.nothing)

    def of(self, space: PacketVars, turns: Iterable[tuple[bool, Packet]]) -> Set:
        """The connections of which it takes one of these packets (whether it answers, and the packet)."""
        return self.here(space, turns) | self.elsewhere

    def here(self, space: PacketVars, turns: Iterable[tuple[bool, Packet]]) -> Set:
        """The same, of packets that have the addresses of the request."""
        return space.sets.either([self._one(space, *turn) for turn in turns])

    def _one(self, space: PacketVars, back: bool, packet: Packet) -> Set:
        """The same of one packet: kinds of dialogue have most of theirs in common."""
        if (back, packet) not in self._carried:
            self._carried[back, packet] = carried(space, self.ways[back], packet)
        return self._carried[back, packet]

    def anyhow(self, space: PacketVars) -> Set:
        """The connections of which it takes packets, whatever their flags and length, or errors, whatever they are
        about."""
        flags, about = (space.sets.literals(*sorted(n for f in fields for n in space.bits[f]))
                        for fields in ((Field.TCP_FLAGS, space.icmp), lost_in_errors(space)))  # fmt: skip
        found = lengthless(space, self.ways[False] | self.ways[True])
        errors = found & space.protocol(space.icmp_protocol)
        return found.exists(flags) | errors.exists(about) | lengthless(space, self.elsewhere)


Touching = list[Taking]
"""All untracking rules that take packets of a direction's connections."""


def carried(space: PacketVars, found: Set, packet: Packet) -> Set:
    """The connections that a set of such packets belongs to; an error says nothing of their ports."""
    bits = space.bits
    found = found & space.protocol(packet.protocol)
    if packet.length is not None:
        found = lengthless(space, found & space.field(Field.LENGTH, Intervals.of(packet.length)))
    if packet.tcp_flags is not None:
        flags = space.field(Field.TCP_FLAGS, Intervals.of(packet.tcp_flags))
        return (found & flags).exists(space.sets.literals(*bits[Field.TCP_FLAGS]))
    if packet.icmp is None:
        return found
    here = found & space.field(space.icmp, Intervals.of(packet.icmp))
    if packet.inner is None:
        return here.exists(space.sets.literals(*bits[space.icmp]))
    return here.exists(space.sets.literals(*sorted(n for f in lost_in_errors(space) for n in bits[f])))


def lengthless(space: PacketVars, found: Set) -> Set:
    """Packets of a set, whatever their length: those of one connection have different ones."""
    return found.exists(space.sets.literals(*space.bits[Field.LENGTH])) if Field.LENGTH in space.bits else found


def lost_in_errors(space: PacketVars) -> tuple[Field, ...]:
    """What the header of an ICMP error does not say of the packet that it is about."""
    return space.icmp, Field.PROTOCOL, Field.SPORT, Field.DPORT, Field.TCP_FLAGS


def errors_about(space: PacketVars, connections: Set) -> Set:
    """ICMP errors about connections: they have their addresses and interfaces."""
    about = space.sets.literals(*sorted(n for f in lost_in_errors(space) for n in space.bits[f]))
    return connections.exists(about) & space.field(space.icmp, ERRORS[space.family])
