"""A service's time-outs are given to all of its new connections, and to nobody else's.

How it is decided:
    All packets are walked through the rules. Those that meet a rule that
    gives time-outs must open connections of that service, and all packets
    that do and are let through must meet it. Rules of others that give
    time-outs, or hand connections to a flowtable, are looked for besides.
    Where iptables' raw table gives them, of packets that a connection knows
    nothing is asked, because they keep what they have; multicast and
    broadcast keep the host's; and it is not decided where a rule translates
    destinations, or gives zones or helpers by templates of its own.

Broken means:
    Connections of others get the time-outs, or some of the service's do not.

What to do:
    Read the witness. Where another rule gives time-outs the last one holds:
    take one of them away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import BROADCAST, MULTICAST
from conntrim.core.model.fields import Field
from conntrim.core.model.nat import OF_SOURCES, Nat
from conntrim.core.model.plan import SLOTS
from conntrim.core.model.policy import ADDRESSES
from conntrim.core.model.ruleset import CtTemplate, Helper, NoEffect, OpaqueStatement, Rule, SetZone
from conntrim.core.model.service import Direction
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import OPEN, Judgement, Spec
from conntrim.core.plan.timed import opened_by
from conntrim.core.plan.timed_xt import template
from conntrim.core.prove.classes import Asked, Class, met_by

NAME = "exact-entries"
THEIRS = ("ct timeout", "flow")


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """Who meets the rules, and who else may give time-outs."""
    for rule in c.before.rules():
        if _gives_time(rule):
            yield OPEN, f"{rule.where} gives connections time-outs, or takes them from conntrack", rule.text
    if c.in_raw:
        yield from _unknown_to_raw(c)
    asked = Asked(c.limited, c.after, c.facts.local, c.tick)
    for number, each in enumerate(c.timeouts, 1):
        classes = [Class(each.direction, family, opened_by(each, family)) for family in each.families()]
        if c.in_raw:
            told = list(map(told_in_raw, classes))
            yield from met_by(asked, partial(_names, number), told, early=True)
        else:
            yield from met_by(asked, partial(_sets, f'set "timeout_{number}"'), classes)


def _unknown_to_raw(c: Compiled) -> Iterator[Judgement]:
    statements = (s for rule in c.before.rules() for s in rule.statements)
    if any(isinstance(s, Nat) and s.kind not in OF_SOURCES for s in statements):
        yield OPEN, "rules translate destinations, and raw, where the time-outs are given without nft, comes before", ""
    for rule in c.before.rules():
        if any(isinstance(s, SetZone | CtTemplate | Helper) for s in rule.statements):
            yield OPEN, f"{rule.where} gives packets a template, of which there is one a packet (K10)", rule.text


def told_in_raw(each: Class) -> Class:
    """What raw can tell of a class: of what comes in, packets to one host."""
    if each.direction is Direction.OUTBOUND:
        return each
    everybody = ADDRESSES[each.family]
    one = each.fields.get(Field.DST, everybody) & (MULTICAST | BROADCAST).complement(128)
    return replace(each, fields={**each.fields, Field.DST: one & everybody})


def _sets(name: str, rule: Rule) -> bool:
    return any(isinstance(s, NoEffect) and (s.kind, s.text) == ("ct timeout", name) for s in rule.statements)


def _names(number: int, rule: Rule) -> bool:
    mine = [template(number, family, slot) for family in Family for slot in SLOTS]
    return any(s in mine for s in rule.statements)


def _gives_time(rule: Rule) -> bool:
    return any(
        (isinstance(s, NoEffect | OpaqueStatement) and s.kind in THEIRS)
        or (isinstance(s, CtTemplate) and "--timeout" in s.options)
        for s in rule.statements
    )


SPEC = Spec(NAME, "all packets that open connections of the services meet their rule, and no others", by_plan=by_plan)
