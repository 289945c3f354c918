"""ICMP in both families: which types ask, which answer, which are errors about another packet."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.address import Family
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol


@dataclass(frozen=True, slots=True)
class Icmp:
    """One family's ICMP. Sets are of types unless said otherwise.

    `answers`: query to answer, and back; other types have no opposite and so no entry. `silent`: the kernel itself
    leaves them untracked. `errors`: conntrack looks for the packet that they are about. `defined`: those of them that
    an RFC defines, `vital` those that connections live by. `unanswered`: never answered by another error (RFC 1122
    section 3.2.2, RFC 4443 section 2.4). `unreachable`: the type of REJECT's answers; `too_big` is type << 8 | code,
    what path MTU discovery lives on; `echo` the request's type.
    """

    field: Field
    protocol: Protocol
    name: str
    answers: dict[int, int]
    silent: Intervals
    errors: Intervals
    defined: Intervals
    vital: Intervals
    unanswered: Intervals
    unreachable: int
    too_big: int
    echo: int

    @property
    def queries(self) -> Intervals:
        """The types that ask: of two that are each other's opposite the one that comes first in `answers`."""
        return Intervals.of(*list(self.answers)[::2])

    @property
    def replies(self) -> Intervals:
        """The types that answer a query."""
        return Intervals.of(*list(self.answers)[1::2])


ICMP: dict[Family, Icmp] = {
    # RFC 792: destination unreachable (fragmentation needed is its code 4), source quench, redirect, time exceeded,
    # parameter problem. icmp_send() takes every type that it does not know for an error (`icmp_pointers`).
    Family.IPV4: Icmp(
        Field.ICMP, Protocol.ICMP, "ICMP", {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17},
        silent=Intervals(), errors=Intervals.of((3, 5), (11, 12)), defined=Intervals.of((3, 5), (11, 12)),
        vital=Intervals.of(3, 11, 12), unanswered=Intervals.of(0, 8, (13, 18)).complement(8), unreachable=3,
        too_big=3 << 8 | 4, echo=8,
    ),
    # RFC 4443: destination unreachable, packet too big, time exceeded, parameter problem; all below 128 are errors.
    Family.IPV6: Icmp(
        Field.ICMPV6, Protocol.ICMPV6, "ICMPv6", {128: 129, 129: 128, 139: 140, 140: 139},
        silent=Intervals.of((130, 136), 143), errors=Intervals.of((0, 127)), defined=Intervals.of((1, 4)),
        vital=Intervals.of((1, 4)), unanswered=Intervals.of((0, 127)), unreachable=1, too_big=2 << 8, echo=128,
    ),
}  # fmt: skip

ANSWERS: dict[int, dict[int, int]] = {int(each.protocol): each.answers for each in ICMP.values()}
"""ICMP type of a query to that of its answer, and back, by protocol."""


def any_code(types: Intervals) -> Intervals:
    """Types as values of the field: whatever their code."""
    return Intervals.of(*((low << 8, high << 8 | 0xFF) for low, high in types.ranges))
