"""What the checks of a rule set look at: which packets its NOTRACK rules take, and what becomes of them.

Only packets that a NOTRACK rule takes are walked further, so a host of five thousand rules and three of them is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Field, Notrack, Rule, Ruleset, Table, TcpFlag
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import CONNTRACK, FAMILIES, Arranged, arrange
from conntrim.core.netfilter.outcome import StepKind
from conntrim.core.netfilter.walk import walk
from conntrim.core.prove.boxes import boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK
from conntrim.core.prove.journey import Reach, packets_of, reach, told_of
from conntrim.core.prove.names import Names
from conntrim.core.prove.space import Space
from conntrim.core.prove.states import known, settled, strangers
from conntrim.core.prove.view import View
from conntrim.core.prove.words import describe, describe_packet

BARE_SYN = Intervals.of(*(f for f in range(256) if f & 0x17 == TcpFlag.SYN))
WAYS: dict[Hook, tuple[Direction, ...]] = {
    Hook.PREROUTING: (Direction.INBOUND, Direction.FORWARDED),
    Hook.OUTPUT: (Direction.OUTBOUND, Direction.LOOPBACK),
}
"""Which packets meet the raw rules of a hook; on `lo` only those of OUTPUT count (K16)."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The packets of one direction that one NOTRACK rule makes untracked."""

    rule: Rule
    hook: Hook
    direction: Direction
    packets: Set


@dataclass(slots=True)
class Side:
    """One family of a rule set."""

    space: Space
    full: Arranged
    early: Arranged
    local: Intervals | None
    taken: list[Taken] = field(default_factory=list)
    _ways: dict[Direction, Reach] = field(default_factory=dict)

    def universe(self, direction: Direction) -> Set:
        """All packets of a direction, whatever their state."""
        return self.stateless(packets_of(self.space, direction, self.local))

    def stateless(self, found: Set) -> Set:
        """Packets of a set, whatever their state."""
        return found.exists(self.space.sets.literals(*self.space.bits[Field.CT_STATE]))

    def flagless(self, found: Set) -> Set:
        """Packets of a set, whatever their TCP flags."""
        return found.exists(self.space.sets.literals(*self.space.bits[Field.TCP_FLAGS]))

    def untracked(self, direction: Direction) -> Set:
        """The packets of a direction that some rule takes."""
        return self.space.sets.either([t.packets for t in self.taken if t.direction is direction])

    def answers(self, taken: Taken) -> Set:
        """Of a rule's packets those whose answers are untracked as well."""
        scope = taken.packets & packets_of(self.space, taken.direction, self.local)
        back = reach(self.space, self.early, BACK[taken.direction], scope, mirrored=True, local=self.local)
        return back.untracked

    def way(self, direction: Direction) -> Reach:
        """What becomes of the untracked packets of a direction."""
        if direction not in self._ways:
            scope = packets_of(self.space, direction, self.local) & self.untracked(direction)
            self._ways[direction] = reach(self.space, self.full, direction, scope, local=self.local)
        return self._ways[direction]

    def admitted(self, direction: Direction, state: CtState | None, untracked: bool) -> Set:
        """What of them passes, as strangers' (state None) or connections' packets; `untracked` False: had no rule
        taken them."""
        way, view = self.way(direction), View(self.space, {})
        marked = way.untracked if untracked else self.space.nothing
        states = strangers(view, marked) if state is None else known(view, marked, state)
        return settled(self.space, way.arrived, states) & self.universe(direction)

    def opening(self) -> Set:
        """Packets that open something: SYNs, and datagrams with ports."""
        space = self.space
        return space.with_ports & (~space.protocol(6) | space.field(Field.TCP_FLAGS, BARE_SYN))

    def told(self, packets: Set, direction: Direction) -> tuple[str, Packet]:
        """A set in words by its largest part found, and one of its packets."""
        (box, *_), whole = boxes(self.space, packets, self.universe(direction), 1)
        return describe(self.space, box) + ("" if whole else " and more"), box.witness


@dataclass(frozen=True, slots=True)
class RuleCase:
    """A rule set, by families; `notracks` are its NOTRACK rules, whether or not they take anything."""

    ruleset: Ruleset
    sides: tuple[Side, ...]
    notracks: tuple[Rule, ...]

    def accepting(self, packet: Packet) -> Rule | None:
        """The last rule that had its way with a packet."""
        steps = [s for s in walk(self.ruleset, packet).path if s.kind is StepKind.RULE and s.rule]
        return steps[-1].rule if steps else None


def case_of(ruleset: Ruleset, local: Intervals | None, tick: Callable[[], None] = lambda: None) -> RuleCase:
    """Walk the raw rules of every family. May raise `NotDecided`."""
    names = Names.of((ruleset,))
    full, early = arrange(ruleset), arrange(replace(ruleset, tables=tuple(_early(t) for t in ruleset.tables)))
    seen = {f for t in ruleset.tables for f in FAMILIES.get(t.family, ())}
    rules = tuple(r for t in ruleset.tables for c in t.chains for r in c.rules if _notrack(r))
    sides = []
    for family in (f for f in Family if f in seen and rules):
        side = Side(Space(family, names, tick), full, early, told_of(local, family))
        side.taken += _taken(side)
        sides.append(side)
    return RuleCase(ruleset, tuple(sides), rules)


def _notrack(rule: Rule) -> bool:
    return any(isinstance(s, Notrack) for s in rule.statements)


def _early(table: Table) -> Table:
    """The table without the base chains behind conntrack."""
    return replace(table, chains=tuple(c for c in table.chains if not c.base or c.base.priority < CONNTRACK))


def _taken(side: Side) -> Iterator[Taken]:
    for hook, directions in WAYS.items():
        for direction in directions:
            scope = packets_of(side.space, direction, side.local)
            way = reach(side.space, side.early, direction, scope, local=side.local)
            for at, hit in way.hits:
                if at is hook and isinstance(hit.statement, Notrack):
                    yield Taken(hit.rule, hook, direction, side.stateless(hit.packets))


def such_as(packet: Packet) -> str:
    """A witness as evidence."""
    return f"such as {describe_packet(packet)}"
