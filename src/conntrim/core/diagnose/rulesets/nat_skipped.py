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
    Told where one of the packets, played with and without the NOTRACK rules,
    comes to another end or is lost: what keeps its address and port, and what
    the filter refuses anyway, misses nothing. Where that hangs on a match
    that is not understood it is a warning. Masquerading of what this host
    itself sends changes nothing as a rule and is not told. Another
    translation of its source is a warning: what it opens goes on, from
    another address of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from conntrim.core.diagnose.rulesets import raw
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Told, such_as
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.nat import OF_SOURCES, Nat, NatKind
from conntrim.core.model.ruleset import Rule
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.nat import spans
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.summary import Hit

CODE, NAME = "CT109", "nat-skipped"


def check(case: RuleCase) -> Iterator[Finding]:
    """NOTRACK rules that keep packets from a translation, each with the first NAT rule that loses some."""
    told: dict[int, Finding] = {}
    for side in case.sides:
        for direction in Direction:
            skipped = list(_skipped(side, direction))
            for taken in (t for t in side.taken if t.direction is direction):
                mine = ((hit, packets & taken.packets) for hit, packets in skipped)
                possible = ((hit, packets & side.possible(packets)) for hit, packets in mine)
                losing = [lost for hit, packets in possible for lost in _lost(side, direction, hit, packets)]
                if losing:
                    worst = max(losing, key=lambda each: each.severity)
                    finding = told.get(id(taken.rule))
                    if finding is None or finding.severity < worst.severity:
                        before = finding.edits if finding else ()
                        finding = replace(_finding(taken.rule, worst), edits=before)
                    edits = raw.tracked(case, side, side.space.sets.either([each.packets for each in losing]), taken)
                    told[id(taken.rule)] = replace(finding, edits=tuple(dict.fromkeys((*finding.edits, *edits))))
    yield from told.values()


def _skipped(side: Side, direction: Direction) -> Iterator[tuple[Hit, Set]]:
    """Effects of NAT rules that untracked openings would have had, were they tracked."""
    if side.untracked(direction) == side.space.nothing:
        return
    way, opening = side.way(direction), side.opening() | side.echoes()
    for _, hit in way.hits:
        if isinstance(hit.statement, Nat):
            lost = side.stateless(hit.packets) & way.untracked & opening & _changing(side, hit, direction)
            if lost != side.space.nothing:
                yield hit, lost


@dataclass(frozen=True, slots=True)
class Lost:
    """Packets with which a translation is lost: by which rule, one of them in words, and how bad that is."""

    hit: Hit
    packets: Set
    told: Told
    severity: Severity


def _lost(side: Side, direction: Direction, hit: Hit, skipped: Set) -> Iterator[Lost]:
    """Those of them with which a dialogue is lost, or comes to another end: what the filter refuses anyway, and what
    keeps its address and port, loses nothing. Where nobody knows it is a warning; of what is one anyway it is not
    told."""
    if skipped == side.space.nothing:
        return
    worst, (parts, whole) = _severity(hit, direction), side.stage.parts(skipped, side.universe(direction))
    judged = [(box, part, side.stage.loses(box.witness)) for box, part in parts]
    sure = [(box, part) for box, part, loses in judged if loses]
    kept = sure or [(box, part) for box, part, loses in judged if loses is None and worst is not Severity.WARNING]
    if kept:
        every = whole and len(kept) == len(parts)
        lost = skipped if every else side.space.sets.either([part for _, part in kept])
        yield Lost(hit, lost, side.told_of(kept[0][0], whole=len(kept) == 1), worst if sure else Severity.WARNING)


def _changing(side: Side, hit: Hit, direction: Direction) -> Set:
    """The packets that a translation changes for certain: not those whose source is the host's already, as on lo, nor
    what goes back where it came from."""
    assert isinstance(hit.statement, Nat), "only asked of those"
    if hit.statement.kind not in OF_SOURCES:
        return side.space.everything
    if direction is Direction.LOOPBACK:
        return side.space.nothing
    if direction is not Direction.FORWARDED:
        masqueraded = hit.statement.kind is NatKind.MASQUERADE
        return side.space.nothing if masqueraded else ~_already(side, hit.statement)
    return ~side.space.returning


def _already(side: Side, nat: Nat) -> Set:
    """The packets that come from the one address that a rule gives them."""
    addresses, ports = spans(nat)
    one = addresses is not None and addresses.size == 1 and ports is None
    return side.space.field(Field.SRC, addresses) if one and addresses else side.space.nothing


def _severity(hit: Hit, direction: Direction) -> Severity:
    """What this host opens itself goes on without a translation of its source, from another address."""
    assert isinstance(hit.statement, Nat), "only asked of those"
    own = direction is Direction.OUTBOUND and hit.statement.kind in OF_SOURCES
    return Severity.WARNING if own else Severity.CRITICAL


def _finding(rule: Rule, lost: Lost) -> Finding:
    nat, told = lost.hit.rule, lost.told
    evidence = (f"no longer translated: {told.words}", such_as(told.witness), f"{nat.place}: {nat.text}")
    return Finding(
        CODE, lost.severity, "this NOTRACK rule keeps packets from being translated", evidence, rule.place,
        ("leave them tracked, both ways",), witness=told.witness,
    )  # fmt: skip
