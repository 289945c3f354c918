"""Which packets can meet a difference between two rule sets: nothing else need be looked at.

A packet that matches no rule that only one of the two has meets the same rules in the same order in both. So the
union of those rules' packets, taken generously, is all that a comparison has to walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import DEVICES, FIELDS, ChangedBy, FieldSpec, Source
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import (
    AnyOf,
    Base,
    Chain,
    In,
    InSet,
    Interface,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueMatch,
    Rule,
    Ruleset,
    Table,
    Verdict,
    XtConntrack,
    asked_fields,
)  # fmt: skip
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import CONNTRACK, JOURNEYS
from conntrim.core.prove.alignment import apart, keyed
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder, changes
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.rule_index import Listed
from conntrim.core.prove.turns import in_its_turn

MOST_DEPTH = 16
"""Jumps followed into new chains."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A rule that only one side has; `own` are the chains of its table that only that side has, `hooks` those from
    which a packet may come to the rule."""

    rule: Rule
    table: Table
    early: bool
    own: frozenset[str]
    hooks: frozenset[Hook]


Changes = list[Changed] | None
"""All of them; None where more than rules differ (a table, a base chain, a set)."""


def changed_rules(before: Ruleset, after: Ruleset, listed: Listed) -> Changes:
    """The rules that only one side has."""
    old, new = keyed(before), keyed(after)
    found: list[Changed] = []
    for key in old.keys() | new.keys():
        one, other = old.get(key), new.get(key)
        pair = _in_table(one or _emptied(other), other or _emptied(one), listed)
        if pair is None:
            return None
        found += pair
    return found


def sharing(before: Ruleset, after: Ruleset) -> Ruleset:
    """AFTER, with the chains of BEFORE where both are equal: what is one thing is looked at once."""
    old = {key: {c.name: c for c in table.chains} for key, table in keyed(before).items()}
    tables = []
    for table in after.tables:
        there = old.get((table.dialect, table.family, table.name), {})
        chains = tuple(same if (same := there.get(c.name)) == c and same else c for c in table.chains)
        tables.append(replace(table, chains=chains))
    return replace(after, tables=tuple(tables))


def _emptied(table: Table | None) -> Table:
    """What a table that is not there would be: no rules."""
    assert table is not None, "one side has it"
    return replace(table, chains=())


def _hooked(table: Table, other: Table) -> dict[str, Base]:
    """The base chains that the other side would miss: one that accepts everything does nothing."""
    there = {c.name for c in other.chains}
    return {c.name: c.base for c in table.chains
            if c.base and (c.name in there or c.base.policy is not Verdict.ACCEPT)}  # fmt: skip


def _in_table(one: Table, other: Table, listed: Listed) -> list[Changed] | None:
    old, new = {c.name: c for c in one.chains}, {c.name: c for c in other.chains}
    if _hooked(one, other) != _hooked(other, one):
        return None
    if _sets(one) != _sets(other):
        return None
    early = _early(one, listed) or _early(other, listed)
    found = []
    sides = (one, frozenset(old.keys() - new.keys())), (other, frozenset(new.keys() - old.keys()))
    bases = {n for n, c in [*old.items(), *new.items()] if c.base}
    for name in (old.keys() & new.keys()) | bases:
        if old.get(name) is new.get(name):
            continue
        apart_ = apart(old.get(name, Chain(name, ())), new.get(name, Chain(name, ())))
        for rules, (table, own) in zip(apart_, sides, strict=True):
            hooks = _hooks(table, name) if rules else frozenset()
            found += [Changed(r, table, early, own, hooks) for r in rules]
    return found


def _hooks(table: Table, name: str) -> frozenset[Hook]:
    """The hooks from which packets may come into a chain."""
    callers: dict[str, set[str]] = {}
    for chain in table.chains:
        for rule in chain.rules:
            for statement in rule.statements:
                if type(statement) is Jump:
                    callers.setdefault(statement.chain, set()).add(chain.name)
    seen, todo = {name}, [name]
    while todo:
        todo += (new := callers.get(todo.pop(), set()) - seen)
        seen |= new
    return frozenset(c.base.hook for c in table.chains if c.base and c.name in seen)


def _sets(table: Table) -> dict[str, object]:
    if not table.sets:
        return {}
    asked = {m.set_name for r in table.rules() for m in r.matches if isinstance(m, InSet)}
    return {s.name: (s.elements, s.known, s.dynamic) for s in table.sets if s.name in asked}


def _early(table: Table, listed: Listed) -> bool:
    """Whether a chain of the table runs before conntrack, or changes states behind it."""
    if any(c.base is not None and c.base.priority <= CONNTRACK for c in table.chains):
        return True
    return listed.anywhere(Notrack) and any(listed.having(Notrack, c).any() for c in table.chains)


def parts(changed: Changed) -> Iterator[tuple[Match, ...]]:
    """What a packet must fulfil to meet the rule; of a jump into a new chain, to meet one of that chain's rules."""
    yield from _parts(changed, changed.rule, (), 0)


def _parts(changed: Changed, rule: Rule, outer: tuple[Match, ...], depth: int) -> Iterator[tuple[Match, ...]]:
    matches = outer + rule.matches
    jumps = [s for s in rule.statements if isinstance(s, Jump)]
    plain = all(isinstance(s, NoEffect | Jump) for s in rule.statements)
    if plain and len(jumps) == 1 and not jumps[0].goto and jumps[0].chain in changed.own and depth < MOST_DEPTH:
        target = changed.table.chain(jumps[0].chain)
        for inner in target.rules if target else ():
            yield from _parts(changed, inner, matches, depth + 1)
    else:
        yield matches


def along(changed: Changes, direction: Direction) -> Changes:
    """Those that packets of a direction may come to."""
    return None if changed is None else [c for c in changed if c.hooks & frozenset(JOURNEYS[direction])]


def region(
    space: PacketVars, direction: Direction, changed: Changes, local: Intervals | None = None,
    *, mirrored: bool = False, later: bool = False,
) -> Set:  # fmt: skip
    """All packets, in any ct state, that may be treated differently; `mirrored`: by the packets that they answer;
    `later`: all fragments other than the first."""
    if changed is None:
        return space.everything
    states = {s: space.state(s) for s in CtState}
    ours, to_us = direction is Direction.OUTBOUND, direction is Direction.INBOUND
    view = MatchEncoder(space, states, mirrored, has_out=True, local=local, from_host=ours, to_host=to_us)
    view.later = later
    loops = direction is Direction.LOOPBACK
    found = []
    for one in changed:
        for matches in parts(one):
            here = space.everything
            for match in matches:
                here = here & _wide(view, match, one, loops)
            found.append(here)
    return space.sets.either(found)


def _wide(view: MatchEncoder, match: Match, changed: Changed, loops: bool) -> Set:
    """At least the packets of a match, whatever the hook, the mark and (before conntrack) the state.

    `loops`: on the loopback both halves of the way pass, and what depends on the way is another thing in each.
    """
    everything = view.space.everything
    match match:
        case Interface(way=way, names=names, negated=negated):
            codes = view.space.names.codes(names, negated)
            return everything if 0 in codes else view.space.values(view.key(DEVICES[way]), codes)
        case In() | XtConntrack() | CtIn() | AnyOf() | InSet() | OpaqueMatch():
            loose = any(_moves(FIELDS[field], loops) for field in asked_fields(match))
            early = changed.early and changes(match)
            open_ = view.space.occurrences is not None and in_its_turn(match, changed.table)
            return everything if loose or early or open_ else view.match(match, changed.table)
        case _:
            assert_never(match)


def _moves(spec: FieldSpec, loops: bool) -> bool:
    """Whether a field may be another where the rule asks for it; a translated packet is not followed here, and what
    conntrack changes is told by what is attached to the packet."""
    match spec.changed:
        case ChangedBy.RULES | ChangedBy.HOP:
            return True
        case ChangedBy.WAY:
            return loops or spec.source is Source.DEVICE
        case ChangedBy.NEVER | ChangedBy.NAT | ChangedBy.TRACKING:
            return False
        case _:
            assert_never(spec.changed)
