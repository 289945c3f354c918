"""Where translation stands between two rule sets and their comparison.

A packet whose destination a rule changes is not followed further. That is no matter where no packet that comes out of
such a rule could meet the difference, whatever mark it carries, and where both rule sets translate the same packets in
the same way, with the same marks.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Rule
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.nat import target_of
from conntrim.core.netfilter.question_text import translation as translated
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Arrangements
from conntrim.core.prove.reachability import Reach, reach

HOOKS: dict[Direction, Hook] = {
    Direction.INBOUND: Hook.PREROUTING, Direction.FORWARDED: Hook.PREROUTING, Direction.OUTBOUND: Hook.OUTPUT,
    Direction.LOOPBACK: Hook.OUTPUT,
}  # fmt: skip
"""Where destinations of a direction's packets are translated; what comes in may be forwarded because of it."""


def rules_at(space: PacketVars, arranged: Arranged, hook: Hook) -> Iterator[tuple[Rule, Nat]]:
    """Every rule of the tables with a nat chain at this hook that translates."""
    tables = {id(t): t for group in arranged.groups[space.family, hook] for s in group for t, c in s.chains
              if c.base and c.base.type == "nat"}  # fmt: skip
    for table in tables.values():
        for chain in table.chains:
            if chain.base is None or chain.base.hook is hook:
                for rule in chain.rules:
                    yield from ((rule, s) for s in rule.statements if isinstance(s, Nat))


def _image(space: PacketVars, nat: Nat, hook: Hook) -> Set:
    """At least the packets that come out of a translation."""
    nowhere = Packet(space.family, Protocol.TCP, 0, space.whole(Field.DST, 0))
    target = target_of(nat, nowhere, Kernel(), hook)
    found = space.everything
    if not target.certain or nat.kind is not NatKind.DNAT:
        return found
    if target.address is not None:
        found = found & space.field(Field.DST, Intervals.of(target.address))
    if target.port is None:
        return found
    return found & space.field(Field.DPORT, Intervals.of((target.port, target.last or target.port)))


def _first(space: PacketVars, found: Set) -> Set:
    """Vectors of first packets of tracked flows, whatever their state's variables."""
    return space.any_state(found & (space.state(CtState.NEW) | space.state(CtState.RELATED)))


def met(
    space: PacketVars, whole: Arrangements, met_by: Arrangements, direction: Direction, scope: Set,
    *, local: Intervals | None,
) -> list[str]:  # fmt: skip
    """The rules of both rule sets whose packets may come out where the two differ; `scope` are what the change meets,
    `met_by` the rules that those can meet."""
    hook = HOOKS[direction]
    rules = [(rule, nat) for arranged in whole for rule, nat in rules_at(space, arranged, hook)]
    if not rules:
        return []
    ways = (reach(space, arranged, direction, scope, local=local, image=True) for arranged in met_by)
    before, after = (way.arrived for way in ways)
    differing = _first(space, before ^ after)
    if differing == space.nothing:
        return []
    comes = {nat: differing & _image(space, nat, hook) != space.nothing for nat in {nat: None for _, nat in rules}}
    found = {str(rule.place): None for rule, nat in rules if comes[nat]}
    return [
        f"{place} translates packets, perhaps into some that the two rule sets treat differently" for place in found
    ]


def marked(space: PacketVars, direction: Direction, before: Reach, after: Reach) -> list[str]:
    """Whether translated packets have another mark than before: what that does to them behind is not followed."""
    both = before.translated & after.translated
    differ = any(both & (old ^ new) != space.nothing for old, new in zip(before.marks, after.marks, strict=False))
    return [f"{direction}: the two rule sets mark packets differently that they translate"] if differ else []


def by_kind(space: PacketVars, way: Reach, new: Set) -> dict[str, Set]:
    """The unsolicited packets that each translation takes; `new` are those that conntrack takes for NEW."""
    found: dict[str, Set] = {}
    for hook, hit in way.hits:
        if isinstance(hit.statement, Nat) and hook in HOOKS.values():
            name = translated(hit.statement)
            found[name] = found.get(name, space.nothing) | (
                space.any_state(hit.packets & space.state(CtState.NEW)) & new
            )
    return found
