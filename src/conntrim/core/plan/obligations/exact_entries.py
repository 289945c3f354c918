"""A service's time-outs are given to all of its new connections, and to nobody else's.

How it is decided:
    All packets are walked through the rules. Those that meet a rule that
    gives time-outs must open connections of that service, and all packets
    that do and are let through must meet it. Rules of others that give
    time-outs, or hand connections to a flowtable, are looked for besides.

Broken means:
    Connections of others get the time-outs, or some of the service's do not.

What to do:
    Read the witness. Where another rule gives time-outs the last one holds:
    take one of them away.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from conntrim.core.model.ruleset import CtTemplate, NoEffect, OpaqueStatement, Rule
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import OPEN, Judgement, Spec
from conntrim.core.plan.timed import opened_by
from conntrim.core.prove.classes import Asked, Class, met_by

NAME = "exact-entries"
THEIRS = ("ct timeout", "flow")


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """Who meets the rules, and who else may give time-outs."""
    for rule in c.before.rules():
        if _gives_time(rule):
            yield OPEN, f"{rule.where} gives connections time-outs, or takes them from conntrack", rule.text
    asked = Asked(c.limited, c.after, c.facts.local, c.tick)
    for number, each in enumerate(c.timeouts, 1):
        classes = [Class(each.direction, family, opened_by(each, family)) for family in each.families()]
        yield from met_by(asked, partial(_sets, f'set "timeout_{number}"'), classes)


def _sets(name: str, rule: Rule) -> bool:
    return any(isinstance(s, NoEffect) and (s.kind, s.text) == ("ct timeout", name) for s in rule.statements)


def _gives_time(rule: Rule) -> bool:
    return any(
        (isinstance(s, NoEffect | OpaqueStatement) and s.kind in THEIRS)
        or (isinstance(s, CtTemplate) and "--timeout" in s.options)
        for s in rule.statements
    )


SPEC = Spec(NAME, "all packets that open connections of the services meet their rule, and no others", by_plan=by_plan)
