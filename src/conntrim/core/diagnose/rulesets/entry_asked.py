"""A rule asks for the conntrack entry of packets that have none.

What it says:
    Untracked packets come to a rule that asks for something kept in the
    connection's entry: connlimit, connbytes, connmark, helper, ct mark, the
    original addresses. Or the rule asks for UNTRACKED or INVALID and for
    such a thing together.

Why it matters:
    Without an entry a limit or a mark never matches: the rule protects
    nothing any more. Together with UNTRACKED iptables ignores everything
    else in the same match: the rule matches wider than it reads.

What to do:
    Ask for what stands in the packet (addresses, ports, hashlimit, mark), or
    leave these packets tracked.

Caveats:
    What the rule would have matched with an entry is not known: told is that
    packets come there that can have none.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets.case import RuleCase, states_asked, such_as
from conntrim.core.diagnose.rulesets.nat_skipped import DIRECTIONS
from conntrim.core.diagnose.rulesets.seen import untracked_at
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.ruleset import Match, NoEffect, Opaque, Rule, XtConntrack

CODE, NAME = "CT111", "entry-asked"

KEPT = frozenset({"connmark", "connlimit", "connbytes", "connlabel", "helper", "ct"})
"""Kinds of matches about what an entry holds."""

WRITERS = frozenset({"CONNMARK", "CONNSECMARK"})
"""Targets that copy marks from and to an entry."""


def of_entry(match: Match) -> bool:
    """Whether a match asks for more of an entry than the state."""
    if isinstance(match, Opaque):
        return bool(match.kind) and match.kind.split()[0] in KEPT
    return isinstance(match, XtConntrack) and bool(match.others)


def asks(rule: Rule) -> bool:
    """Whether a rule that does something hangs on an entry."""
    writes = any(isinstance(s, Opaque) and s.kind in WRITERS for s in rule.statements)
    does = not all(isinstance(s, NoEffect) for s in rule.statements)
    return does and (writes or any(map(of_entry, rule.matches)))


def without(rule: Rule) -> tuple[Match, ...] | None:
    """The rule's other matches: the packets that it wants to ask about."""
    return tuple(m for m in rule.matches if not of_entry(m)) if asks(rule) else None


def wide(rule: Rule) -> bool:
    """K21: states that packets without an entry have, and more that is then not looked at."""
    stateless = CtState.UNTRACKED, CtState.INVALID
    return any(of_entry(m) and any(s in states_asked(m) for s in stateless) for m in rule.matches)


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules about entries to which untracked packets come."""
    rules = {id(r): r for t in case.ruleset.tables for c in t.chains for r in c.rules if asks(r)}
    for side in case.sides if rules else ():
        for direction in DIRECTIONS:
            if side.untracked(direction) == side.space.nothing:
                continue
            for owner, found in untracked_at(side, case.ruleset, without, direction).items():
                rule = rules.pop(owner, None) if found != side.space.nothing else None
                if rule is not None:
                    told = side.told(found, direction)
                    yield Finding(
                        CODE, Severity.WARNING, _title(rule),
                        (rule.text, f"come here: {told.words}", such_as(told.witness)), rule.place,
                        ("ask for what stands in the packet itself, or leave these packets tracked",),
                        witness=told.witness,
                    )  # fmt: skip


def _title(rule: Rule) -> str:
    if wide(rule):
        return "for packets without an entry this rule looks at the state alone, not at what it asks beside"
    return "untracked packets come to this rule, which asks for their conntrack entry"
