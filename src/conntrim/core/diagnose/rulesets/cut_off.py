"""The filter refuses what NOTRACK makes UNTRACKED.

What it says:
    Packets that a NOTRACK rule takes would pass the filter as part of a
    connection, and are refused as UNTRACKED.

Why it matters:
    The service does not answer, or this host cannot reach it: UNTRACKED is
    neither NEW nor ESTABLISHED.

What to do:
    Accept UNTRACKED for the service's own peers and ports, before the rule
    that refuses the rest.

Caveats:
    Packets that depend on a match which is not understood are not shown, nor
    are those of connections that the filter would not let begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conntrim.core.diagnose.rulesets import narrow
from conntrim.core.diagnose.rulesets.asked import by_target
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Taken, Told, such_as
from conntrim.core.diagnose.rulesets.seen import untracked_at
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inert import proxies

CODE, NAME = "CT105", "untracked-refused"


def lost(side: Side, taken: Taken) -> Set:
    """Openings that passed as NEW; for a rule by source port, none of whose packets passes, what passed as part of a
    connection. Where no connection begins, none is cut."""
    refused = _refused(side, taken) & ~_answered(side, taken.direction)
    if refused == side.space.nothing:
        return refused
    opening, answering = side.begun(taken.direction)
    return refused & (opening | answering)


def _refused(side: Side, taken: Taken) -> Set:
    passing = side.admitted(taken.direction, CtState.ESTABLISHED, untracked=True) & taken.packets
    if not by_target(taken.rule) and passing == side.space.nothing:
        established = side.admitted(taken.direction, CtState.ESTABLISHED, untracked=False) & taken.packets
        return established & side.space.with_ports
    opening = side.admitted(taken.direction, None, untracked=False) & side.opening() & taken.packets
    return opening & ~side.admitted(taken.direction, None, untracked=True)


def _answered(side: Side, direction: Direction) -> Set:
    """What comes untracked to a rule that answers SYNs itself: that refuses none (CT121 tells what becomes of them)."""
    if not any(side.ruleset.those(proxies)):
        return side.space.nothing
    found = untracked_at(side, side.ruleset, proxies, direction)
    return side.space.sets.either(list(found.values())) & side.opening()


def check(case: RuleCase) -> Iterator[Finding]:
    """NOTRACK rules whose packets the filter lets in tracked and not untracked. What one filter rule refuses is one
    cause."""
    told: set[int] = set()
    first: dict[str, str] = {}
    for side in case.sides:
        for taken in side.taken:
            if id(taken.rule) in told or taken.direction is Direction.LOOPBACK:
                continue
            found = lost(side, taken)
            if found != side.space.nothing:
                told.add(id(taken.rule))
                found, certain = side.surest(found)
                finding, by = _finding(case, taken, side.told(found, taken.direction))
                finding = finding if certain else replace(finding, severity=Severity.WARNING)
                cause = first.setdefault(by, finding.name)
                yield replace(finding, caused_by="" if cause == finding.name else cause)


def _finding(case: RuleCase, taken: Taken, told: Told) -> tuple[Finding, str]:
    """The finding, and what refuses the packets."""
    rule, home = case.refusing(told.witness)
    by = f"{rule.place}: {rule.text}" if rule else f"the policy of {home.chain.name}" if home else ""
    evidence = (f"refused: {told.words}", such_as(told.witness), *((f"refused by {by}",) if by else ()))
    finding = Finding(
        CODE, Severity.CRITICAL, "the filter refuses what this rule makes UNTRACKED", evidence, taken.rule.place,
        ("accept UNTRACKED for these peers and ports before what refuses the rest",),
        witness=told.witness, edits=narrow.admitting(case, taken, told),
    )  # fmt: skip
    return finding, by
