"""Which entries of a conntrack table meet which NOTRACK rule, as it stands and with its ports exchanged.

An entry that meets a rule would not be there had the rule been loaded before: so what a rule does not meet says
nothing, and what it would meet turned round says everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from conntrim.core.census.membership import Ends, Mask, Membership
from conntrim.core.diagnose.rulesets.case import RuleCase, Taken
from conntrim.core.model.address import Family
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.fields import Field
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ADDRESSES
from conntrim.core.model.protocol import WITH_PORTS
from conntrim.core.model.ruleset import Rule
from conntrim.core.model.service import Direction
from conntrim.core.prove.cube_cover import boxes

COLUMNS = frozenset({
    "family", "protocol", "src", "dst", "sport", "dport", "reply_src", "reply_dst", "reply_sport", "reply_dport",
})  # fmt: skip
"""What has to be read of the entries."""

MOST_BOXES = 8
"""Boxes that a rule's packets may fall into; rules of odder shapes are not counted."""

MOST_PEERS = 4
"""Far ends that are told by name."""

ENDS: dict[Direction, tuple[bool, bool]] = {
    Direction.INBOUND: (False, True), Direction.OUTBOUND: (True, False), Direction.FORWARDED: (False, False),
    Direction.LOOPBACK: (True, True),
}  # fmt: skip
"""Whether source and destination are the host's own."""


@dataclass(slots=True)
class Met:
    """How many entries have a packet that a rule takes, and how many would with source and destination port exchanged.

    `peers` are the far ends of the latter, None where there are more than a few.
    """

    entries: int = 0
    turned: int = 0
    peers: set[int] | None = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Shape:
    """A box of the packets that a rule takes in one direction, ready to be compared with columns."""

    rule: Rule
    family: Family
    direction: Direction
    protocols: Mask
    source: Membership | None
    target: Membership | None
    sport: Mask
    dport: Mask

    def entries(self, block: FlowTable, ours: Ours, way: str, turned: bool) -> Mask:
        """The entries of a block whose packets of this way (`` or `reply_`) are in the box."""
        from_here, to_here = ENDS[self.direction]
        sport, dport = (self.dport, self.sport) if turned else (self.sport, self.dport)
        found: Mask = self.protocols[block.protocol]
        found = found & sport[getattr(block, f"{way}sport")] & dport[getattr(block, f"{way}dport")]
        source, target = ours.ends[f"{way}src"], ours.ends[f"{way}dst"]
        found &= (ours.local(source) == from_here) & (ours.local(target) == to_here)
        for wanted, ends in ((self.source, source), (self.target, target)):
            if wanted is not None and found.any():
                found &= wanted(ends)
        return found


@dataclass(frozen=True, slots=True)
class Ours:
    """The ends of a block's entries, and which are the host's."""

    ends: Mapping[str, Ends]
    local: Membership


def shapes(case: RuleCase) -> Iterator[Shape]:
    """All NOTRACK rules' packets as boxes; rules whose packets are no few boxes are left out."""
    for side in case.sides:
        for taken in side.taken:
            packets = taken.packets & side.space.with_ports
            found, whole = boxes(side.space, packets, side.universe(taken.direction), MOST_BOXES)
            if whole:
                yield from (_shape(taken, side.space.family, box.values) for box in found)


def _shape(taken: Taken, family: Family, values: Mapping[Field, Intervals]) -> Shape:
    def ports(name: Field) -> Mask:
        return _numbers(values.get(name), 1 << 16)

    def addresses(name: Field) -> Membership | None:
        return Membership(values[name]) if name in values else None

    able = Intervals.of(*map(int, WITH_PORTS))
    protocols = _numbers(values.get(Field.PROTOCOL, able) & able, 256)
    return Shape(
        taken.rule, family, taken.direction, protocols, addresses(Field.SRC), addresses(Field.DST), ports(Field.SPORT),
        ports(Field.DPORT),
    )  # fmt: skip


def _numbers(values: Intervals | None, size: int) -> Mask:
    found = np.full(size, values is None)
    for low, high in values.ranges if values else ():
        found[low : high + 1] = True
    return found


def count(case: RuleCase, local: Intervals, blocks: Iterable[FlowTable]) -> tuple[int, dict[int, Met]]:
    """How many entries there are, and what each NOTRACK rule (by identity) meets of them."""
    every, total = list(shapes(case)), 0
    met = {id(shape.rule): Met() for shape in every}
    for block in blocks:
        total += len(block)
        for family in Family:
            rows = block.rows(block.family == family)
            if len(rows):
                _count(rows, family, local, [s for s in every if s.family is family], met)
    return total, met


def _count(block: FlowTable, family: Family, local: Intervals, every: list[Shape], met: dict[int, Met]) -> None:
    mapped = family is Family.IPV4
    columns = ("src", "dst", "reply_src", "reply_dst")
    ends = {name: Ends.of(getattr(block, name), mapped=mapped) for name in columns}
    ours = Ours(ends, Membership((local | LOOPBACK) & ADDRESSES[family]))
    for rule in dict.fromkeys(id(shape.rule) for shape in every):
        mine = [shape for shape in every if id(shape.rule) == rule]
        met[rule].entries += int(_any(block, ours, mine, False).sum())
        turned = _any(block, ours, mine, True)
        met[rule].turned += int(turned.sum())
        _peers(met[rule], block.rows(turned), local)


def _any(block: FlowTable, ours: Ours, mine: list[Shape], turned: bool) -> Mask:
    found = np.zeros(len(block), np.bool_)
    for shape in mine:
        for way in ("", "reply_"):
            found |= shape.entries(block, ours, way, turned)
    return found


def _peers(met: Met, block: FlowTable, local: Intervals) -> None:
    """Remember the far ends of some entries, while they are few."""
    if met.peers is None or not len(block):
        return
    for column in (block.src, block.reply_src):
        for high, low in np.unique(column, axis=0)[: MOST_PEERS + 1]:
            address = int(high) << 64 | int(low)
            if address not in local and address not in LOOPBACK:
                met.peers.add(address)
    if len(met.peers) > MOST_PEERS:
        met.peers = None
