"""An accept of UNTRACKED that no untracked packet comes to.

What it says:
    A rule asks for UNTRACKED and nothing else as state, and none of the
    packets that the NOTRACK rules take both comes to it and fits it.

Why it matters:
    It was written for a service whose packets are tracked after all, are
    decided on before, or have another port: what it was to let in is
    refused, or let in by something wider.

What to do:
    Compare its ports and addresses with those of the NOTRACK rules, and
    what stands before it; remove it if the service is gone.

Caveats:
    Only rules that name ports are looked at: the kernel itself makes ICMPv6
    neighbour discovery UNTRACKED.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets import rewrite
from conntrim.core.diagnose.rulesets.asked import names_field, states_asked
from conntrim.core.diagnose.rulesets.case import RuleCase
from conntrim.core.diagnose.rulesets.seen import untracked_at
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Interface, Rule
from conntrim.core.model.service import Direction

CODE, NAME = "CT113", "accept-never-met"

ONLY = Intervals.of(int(CtState.UNTRACKED))


def about_untracked(rule: Rule) -> bool:
    """Whether a rule is about UNTRACKED packets of some port."""
    ported = names_field(rule, Field.SPORT) or names_field(rule, Field.DPORT)
    return ported and any(states_asked(m) == ONLY for m in rule.matches)


def _on_lo(rule: Rule) -> bool:
    """Only a rule about lo is met there by more than chance: any two ports may meet on it."""
    return any(isinstance(m, Interface) and "lo" in m.names for m in rule.matches)


def check(case: RuleCase) -> Iterator[Finding]:
    """Such rules in every family and direction."""
    rules = {id(r): r for r in case.ruleset.those(about_untracked)}
    if not rules or not case.notracks:
        return
    for side in case.sides:
        for direction in Direction:
            for owner, found in untracked_at(side, case.ruleset, about_untracked, direction).items():
                lo = direction is Direction.LOOPBACK
                if found != side.space.nothing and (not lo or (owner in rules and _on_lo(rules[owner]))):
                    rules.pop(owner, None)
    for rule in rules.values():
        yield Finding(
            CODE, Severity.WARNING, "no untracked packet comes to this rule, which is about them alone", (rule.text,),
            rule.place, ("remove it; or, if it is for a service that runs, repair the NOTRACK rules of that service",),
            edits=(rewrite.removed(case.home(rule), rule),),
        )  # fmt: skip
