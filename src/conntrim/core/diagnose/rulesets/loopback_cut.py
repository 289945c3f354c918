"""NOTRACK in OUTPUT takes packets on lo, and the filter cuts those connections.

What it says:
    A rule of OUTPUT does not ask for the interface, so it takes packets that
    this host sends to itself as well. The mark of OUTPUT stays with them
    into PREROUTING and INPUT (K16), where the filter refuses them, or their
    answers, though it lets such connections through when they are tracked.

Why it matters:
    Programs of this host no longer reach its own service, health checks and
    local proxies among them; from outside all is well.

What to do:
    Leave lo tracked: accept what leaves by lo in raw OUTPUT, first of all.
    Or accept what comes in by lo in the filter, as most rule sets do.

Caveats:
    Which programs of this host talk to each other is not known. Where the
    filter accepts lo, requests without entries cost nothing and break
    nothing, and are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets import rewrite
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Taken, such_as
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.ruleset import Interface, Rule
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.scripts import Harm

CODE, NAME = "CT116", "loopback-cut"

LO = Direction.LOOPBACK


def check(case: RuleCase) -> Iterator[Finding]:
    """One finding a family, at the first rule that takes such packets or their answers."""
    told: set[int] = set()
    for side in case.sides:
        found = side.harmed(Harm.CUT, LO)
        cutting = {id(r) for d in side.differences() if (d.harm, d.direction) == (Harm.CUT, LO) for r, _ in d.rules}
        mine = [t for t in side.taken if t.direction is LO and id(t.rule) in cutting]
        if found != side.space.nothing and mine and id(mine[0].rule) not in told:
            told |= {id(t.rule) for t in mine}
            yield _finding(case, side, mine, found)


def _finding(case: RuleCase, side: Side, taken: list[Taken], found: Set) -> Finding:
    within = side.space.field(Field.SRC, LOOPBACK) & side.space.field(Field.DST, LOOPBACK)
    told = side.told(found & within if found & within != side.space.nothing else found, LO)
    edits = tuple(_edits(case, taken))
    advice = "leave lo tracked" if edits else "yours to decide: leave lo tracked, or accept UNTRACKED on lo"
    return Finding(
        CODE, Severity.CRITICAL, "connections of this host to itself are cut: OUTPUT untracks packets on lo",
        (f"cut: {told.words}", such_as(told.witness), *(f"taken by {t.rule.place}" for t in taken[1:])),
        taken[0].rule.place, (advice,), witness=told.witness, edits=edits,
    )  # fmt: skip


def _edits(case: RuleCase, taken: list[Taken]) -> Iterator[Edit]:
    """An accept before the first rule of each chain; none where somebody wants lo untracked."""
    if any(_names_lo(t.rule) for t in taken):
        return
    chains: dict[int, Rule] = {}
    for one in taken:
        chains.setdefault(id(case.home(one.rule).chain), one.rule)
    for rule in chains.values():
        accept = rewrite.made([Interface("out", ("lo",))], rewrite.ACCEPT)
        yield from rewrite.before(case.home(rule), rule, accept, rule)


def _names_lo(rule: Rule) -> bool:
    return any(isinstance(m, Interface) and "lo" in m.names for m in rule.matches)
