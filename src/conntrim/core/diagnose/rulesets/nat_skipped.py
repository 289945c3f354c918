"""NOTRACK takes packets that a NAT rule is there to translate.

What it says:
    A rule of a nat chain would translate packets that open a connection, and
    a NOTRACK rule makes them untracked: they never come to the nat chains.

Why it matters:
    The translation stops without a word. A redirected or forwarded port
    refuses connections, a masqueraded client sends from its private address.

What to do:
    Leave those packets tracked: accept them in raw before the NOTRACK rule,
    or name in the NOTRACK rule what is not translated.

Caveats:
    Masquerading of what this host itself sends changes nothing as a rule and
    is not told. Another translation of its source is a warning: what it opens
    goes on, from another address of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conntrim.core.diagnose.rulesets import raw
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, such_as
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.ruleset import Rule
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_vars import IIF, OIF
from conntrim.core.prove.summary import Hit

CODE, NAME = "CT109", "nat-skipped"

DIRECTIONS = (Direction.INBOUND, Direction.FORWARDED, Direction.OUTBOUND)
SOURCES = (NatKind.MASQUERADE, NatKind.SNAT)


def check(case: RuleCase) -> Iterator[Finding]:
    """NOTRACK rules that keep packets from a translation, each with the first NAT rule that loses some."""
    told: dict[int, Finding] = {}
    for side in case.sides:
        for direction in DIRECTIONS:
            skipped = list(_skipped(side, direction))
            for taken in (t for t in side.taken if t.direction is direction):
                losing = [(hit, p & taken.packets) for hit, p in skipped if p & taken.packets != side.space.nothing]
                if losing:
                    worst = max(_severity(hit, direction) for hit, _ in losing)
                    hit, first = next(each for each in losing if _severity(each[0], direction) is worst)
                    finding = told.get(id(taken.rule))
                    if finding is None or finding.severity < worst:
                        before = finding.edits if finding else ()
                        finding = replace(_finding(side, taken.rule, hit, direction, first), edits=before)
                    edits = raw.tracked(case, side, side.space.sets.either([p for _, p in losing]), taken)
                    told[id(taken.rule)] = replace(finding, edits=tuple(dict.fromkeys((*finding.edits, *edits))))
    yield from told.values()


def _skipped(side: Side, direction: Direction) -> Iterator[tuple[Hit, Set]]:
    """Effects of NAT rules that untracked openings would have had, were they tracked."""
    if side.untracked(direction) == side.space.nothing:
        return
    way = side.way(direction)
    for _, hit in way.hits:
        if isinstance(hit.statement, Nat):
            lost = side.stateless(hit.packets) & way.untracked & side.opening() & _changing(side, hit, direction)
            if lost != side.space.nothing:
                yield hit, lost


def _changing(side: Side, hit: Hit, direction: Direction) -> Set:
    """The packets that a translation changes for certain: not those whose source is the host's already, nor what goes
    back where it came from."""
    assert isinstance(hit.statement, Nat), "only asked of those"
    if hit.statement.kind not in SOURCES:
        return side.space.everything
    if direction is not Direction.FORWARDED:
        return side.space.nothing if hit.statement.kind is NatKind.MASQUERADE else side.space.everything
    codes = (side.space.names.codes((name,)) for name in side.space.names.known if name)
    return ~side.space.sets.either([side.space.values(IIF, c) & side.space.values(OIF, c) for c in codes])


def _severity(hit: Hit, direction: Direction) -> Severity:
    """What this host opens itself goes on without a translation of its source, from another address."""
    assert isinstance(hit.statement, Nat), "only asked of those"
    own = direction is Direction.OUTBOUND and hit.statement.kind in SOURCES
    return Severity.WARNING if own else Severity.CRITICAL


def _finding(side: Side, rule: Rule, hit: Hit, direction: Direction, found: Set) -> Finding:
    told, nat = side.told(found, direction), hit.rule
    evidence = (f"no longer translated: {told.words}", such_as(told.witness), f"{nat.place}: {nat.text}")
    return Finding(
        CODE, _severity(hit, direction), "this NOTRACK rule keeps packets from being translated", evidence, rule.place,
        ("leave them tracked, both ways",), witness=told.witness,
    )  # fmt: skip
