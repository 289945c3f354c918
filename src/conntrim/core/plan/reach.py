"""Which rules of a chain a box of packets may meet, jumps followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Chain, Field, Jump, Return, Rule, Table
from conntrim.core.model.tcp_flags import BARE_SYN
from conntrim.core.plan.box import Box, Tri, judge, narrow, remaining
from conntrim.core.plan.legs import Leg, Way
from conntrim.core.plan.walk import decisive


def within(leg: Leg, interfaces: Mapping[str, str]) -> Box:
    """The first packets of a leg, tracked, at a hook with these interfaces."""
    opening = leg.way is Way.REQUEST
    fields = dict(leg.fields)
    if opening and leg.service.protocol == Protocol.TCP:
        fields[Field.TCP_FLAGS] = BARE_SYN
    return Box(fields, CtState.NEW if opening else CtState.ESTABLISHED, interfaces)


def reached(table: Table, chain: Chain, box: Box, path: tuple[str, ...] = ()) -> Iterator[tuple[Rule, Tri]]:
    """Every rule that matches some packet of the box, with how much it matches; an accept hides what comes after."""
    for rule in chain.rules:
        matched = judge(box, rule)
        if matched is Tri.NO:
            continue
        yield rule, matched
        statement = decisive(rule)
        if isinstance(statement, Jump):
            target = table.chain(statement.chain)
            if target is not None and target.name not in path:
                yield from reached(table, target, narrow(box, rule.matches), (*path, chain.name))
        elif statement is not None and not isinstance(statement, Return):
            if matched is Tri.ALL:
                return
            box = remaining(box, rule)
