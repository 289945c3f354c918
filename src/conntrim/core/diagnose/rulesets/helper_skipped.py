"""NOTRACK takes packets that a rule gives a conntrack helper.

What it says:
    A rule sets a helper (FTP, TFTP, SIP ...) for packets that a NOTRACK rule
    makes untracked.

Why it matters:
    A helper reads the connection's entry and there is none: the data
    channels that it would have announced are refused.

What to do:
    Leave the control connections tracked: name the ports of other services
    in the NOTRACK rule, or accept these packets in raw before it.

Caveats:
    Who connects from a port that the NOTRACK rule names, or from one below
    1024, does so by chance: where nobody else is meant it is a warning. What
    the filter refuses anyway is not told.
    Kernels before 6.0 may give helpers by port without any rule; that is not
    seen here. Where the filter lets in what a helper announces without one,
    too, it is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets import raw, rewrite
from conntrim.core.diagnose.rulesets.case import PAST_LO, RuleCase, Side, Taken, such_as
from conntrim.core.diagnose.rulesets.raw import FEW
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.ruleset import Helper, Rule, Statement
from conntrim.core.model.service import Direction
from conntrim.core.prove.cube_cover import contains
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK
from conntrim.core.prove.inert import FREE, services
from conntrim.core.prove.reachability import packets_of, reach

CODE, NAME = "CT110", "helper-skipped"


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules that set a helper in vain."""
    told: set[int] = set()
    for side in case.sides:
        for direction in PAST_LO:
            if side.untracked(direction) == side.space.nothing:
                continue
            helped = (h for _, h in side.way(direction, inert=True).hits if _helped(h.statement, side))
            for hit in (h for h in helped if id(h.rule) not in told):
                found = _begun(side, direction, side.stateless(hit.packets) & side.way(direction).untracked)
                if found != side.space.nothing:
                    told.add(id(hit.rule))
                    yield _finding(case, side, hit.rule, direction, found)


def _helped(statement: Statement, side: Side) -> bool:
    """Whether it is a helper for packets of this family."""
    return isinstance(statement, Helper) and statement.serves(side.space.family)


def _begun(side: Side, direction: Direction, found: Set) -> Set:
    """Those whose connections come about where they are tracked, as far as some of them were played."""
    if found == side.space.nothing:
        return found
    parts, whole = side.stage.parts(found, side.universe(direction))
    kept = [part for box, part in parts if side.stage.begins(box.witness)]
    return found if whole and len(kept) == len(parts) else side.space.sets.either(kept)


def _needed(side: Side, direction: Direction, found: Set) -> bool:
    """Whether connections between these ends, either way, pass as RELATED alone, more than a few ports of them: those
    that a helper announces."""
    space = side.space
    said = (Field.SPORT, Field.DPORT, Field.PROTOCOL, Field.TCP_FLAGS)
    ends = found.exists(space.sets.literals(*sorted(n for f in said for n in space.bits[f])))
    scope = packets_of(space, direction, side.local) & ends
    for way, mirrored in ((direction, False), (BACK[direction], True)):
        walk = reach(space, side.full, way, scope, mirrored=mirrored, local=side.local)
        opening = walk.arrived & side.opening()
        related, new = (side.stateless(opening & space.state(state)) for state in (CtState.RELATED, CtState.NEW))
        if side.share(side.certain(related & ~new), related) > FEW:
            return True
    return False


def _finding(case: RuleCase, side: Side, rule: Rule, direction: Direction, found: Set) -> Finding:
    told = side.told(found, direction)
    every = [t for t in side.taken if t.direction is direction and t.packets & found != side.space.nothing]
    taken = next((t for t in every if contains(side.space, t.packets, told.witness)), every[0])
    by = taken.rule
    names = " and ".join(s.name for s in rule.statements if isinstance(s, Helper))
    clients = side.space.field(Field.SPORT, FREE - services(case.ruleset)) | ~side.space.with_ports
    harmed = found & clients != side.space.nothing and _needed(side, direction, found)
    usual = Severity.CRITICAL if harmed else Severity.WARNING
    return Finding(
        CODE, usual, f"packets for the helper {names} are untracked",
        (f"without helper: {told.words}", such_as(told.witness), f"untracked by {by.place}: {by.text}"), rule.place,
        ("leave them tracked, both ways",), witness=told.witness, edits=_edits(case, side, found, taken, rule),
    )  # fmt: skip


def _edits(case: RuleCase, side: Side, found: Set, taken: Taken, rule: Rule) -> tuple[Edit, ...]:
    """The helper before NOTRACK where both stand in raw (K10), and the answers accepted; or no NOTRACK at all."""
    edits = tuple(raw.tracked(case, side, found, taken))
    home = case.home(rule)
    if home.chain is not case.home(taken.rule).chain or rewrite.removed(case.home(taken.rule), taken.rule) in edits:
        return edits
    first = (*rewrite.before(home, taken.rule, rewrite.copied(rule), rule), rewrite.removed(home, rule))
    return *first, *(e for e in edits if e.place != taken.rule.place)
