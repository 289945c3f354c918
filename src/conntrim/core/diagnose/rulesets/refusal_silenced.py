"""REJECT answers an untracked packet, and OUTPUT drops the answer.

What it says:
    A rule rejects packets that a NOTRACK rule takes, with a TCP reset or an
    ICMP error. What REJECT sends for a packet without an entry is INVALID,
    whatever raw says (K19), and a rule of OUTPUT refuses INVALID.

Why it matters:
    The refusal never leaves: the client waits for a time-out instead of
    being told. With an entry the answer was RELATED and went out.

What to do:
    Accept INVALID resets, or the ICMP types 3, 11 and 12 (ICMPv6: 1 to 4),
    in OUTPUT before the rule that drops the rest.

Caveats:
    Of ICMP errors, and of refusals of what is forwarded or stays on lo, some
    are tried, one of each kind of packet that the rule rejects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conntrim.core.diagnose.rulesets import errors_refused, rewrite
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, such_as
from conntrim.core.diagnose.rulesets.seen import untracked_at
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.refusal import RESET
from conntrim.core.model.ruleset import End, In, Rule, Verdict
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.hooks import CONNTRACK, arrange
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.reachability import packets_of, reach

CODE, NAME = "CT115", "refusal-silenced"

DIRECTIONS = (Direction.INBOUND, Direction.FORWARDED, Direction.LOOPBACK)

WITH_RESET = End(Verdict.REJECT, RESET)
ANSWER = Intervals.of(TcpFlag.RST | TcpFlag.ACK)
"""The flags of the reset that answers a SYN."""
ANY_RESET = In(Field.TCP_FLAGS, Intervals.of(int(TcpFlag.RST)), int(TcpFlag.RST))


def resetting(rule: Rule) -> bool:
    """Whether a rule rejects with a reset."""
    return WITH_RESET in rule.statements


def silenced(side: Side, rejected: Set) -> Set:
    """Rejected openings whose reset would leave as RELATED and does not as INVALID."""
    space = side.space
    scope = side.flagless(rejected & side.opening()) & packets_of(space, Direction.INBOUND, side.local)
    way = reach(space, side.full, Direction.OUTBOUND, scope & space.protocol(Protocol.TCP), mirrored=True,
                local=side.local)  # fmt: skip
    leaving = way.arrived & space.field(Field.TCP_FLAGS, ANSWER)
    related = side.stateless(leaving & space.state(CtState.RELATED))
    return side.flagless(related & ~side.stateless(leaving & space.state(CtState.INVALID))) & rejected & side.opening()


def rejecting(rule: Rule) -> bool:
    """Whether a rule rejects, with a reset or an ICMP error."""
    return any(isinstance(s, End) and s.verdict is Verdict.REJECT for s in rule.statements)


def unheard(side: Side, rejected: Set, direction: Direction) -> Set:
    """Rejected packets whose refusal leaves where they are tracked and does not where they are not, of those tried: it
    is another packet than the one that it is about."""
    scope = rejected & (side.opening() | side.echoes())
    if scope == side.space.nothing:
        return scope
    parts, _ = side.stage.parts(scope, side.universe(direction))
    return side.space.sets.either([part for box, part in parts if side.stage.silences(box.witness)])


def lost(case: RuleCase, side: Side, direction: Direction) -> Iterator[tuple[int, Set]]:
    """Rules (their identity) and the untracked packets of a direction that they refuse without being heard."""
    if side.untracked(direction) == side.space.nothing:
        return
    resets = set(map(id, case.ruleset.those(resetting)))
    found = untracked_at(side, case.ruleset, rejecting, direction)
    for owner, rejected in sorted(found.items(), key=lambda each: each[0] in resets):
        whole = owner in resets and direction is Direction.INBOUND
        yield owner, silenced(side, rejected) if whole else unheard(side, rejected, direction)


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules whose refusals of untracked packets do not leave; what refuses the answers is one cause."""
    rules = {id(r): r for r in case.ruleset.those(rejecting)}
    told: dict[int, tuple[Finding, str]] = {}
    for side, direction in ((s, d) for s in case.sides for d in DIRECTIONS if rules):
        for owner, found in lost(case, side, direction):
            if owner in rules and found != side.space.nothing:
                finding, by = told.get(owner) or _finding(case, side, rules[owner], found, direction)
                lines = (*finding.evidence, *_takers(side, found, direction))
                told[owner] = replace(finding, evidence=tuple(dict.fromkeys(lines))), by
    first: dict[str, str] = {}
    for finding, by in told.values():
        cause = first.setdefault(by, finding.name)
        yield replace(finding, caused_by="" if cause == finding.name else cause)


def _takers(side: Side, found: Set, direction: Direction) -> Iterator[str]:
    """The rules that untrack these packets."""
    for taken in side.taken:
        mine = taken.direction is direction and taken.packets & found != side.space.nothing
        if mine and taken.rule.place.source:
            yield f"untracked by {taken.rule.place}"


def without_raw(case: RuleCase) -> RuleCase:
    """The rule set as what REJECT sends meets it: raw does not make it UNTRACKED (K19)."""
    late = (
        replace(t, chains=tuple(c for c in t.chains if not c.base or c.base.priority > CONNTRACK))
        for t in case.ruleset.tables
    )
    return replace(case, full=arrange(replace(case.ruleset, tables=tuple(late))))


def _finding(case: RuleCase, side: Side, rule: Rule, found: Set, direction: Direction) -> tuple[Finding, str]:
    told = side.told(found, direction)
    reset = WITH_RESET in rule.statements
    answer = _reset(told.witness) if reset else side.stage.refusal(told.witness)
    case = without_raw(case)
    refusing, home = case.refusing(answer)
    by = f"{refusing.place}: {refusing.text}" if refusing else f"the policy of {home.chain.name}" if home else ""
    word, what = ("resets", "reset") if reset else ("refuses", "ICMP error")
    finding = Finding(
        CODE, Severity.WARNING, f"this rule {word} untracked connections, and its {what}s do not leave",
        (f"not answered: {told.words}", such_as(told.witness), *((f"its {what} is refused by {by}",) if by else ())),
        rule.place, (f"accept INVALID {what}s in OUTPUT: clients wait for a time-out else",), witness=told.witness,
        edits=_edits(case, answer) if reset else errors_refused.accepts(case, answer),
    )  # fmt: skip
    return finding, by


def _reset(packet: Packet) -> Packet:
    """What answers a SYN."""
    return replace(reply_to(packet), tcp_flags=int(TcpFlag.RST | TcpFlag.ACK))


def _edits(case: RuleCase, answer: Packet) -> tuple[Edit, ...]:
    place = case.in_front(answer)
    if place is None:
        return ()
    home, anchor = place
    tcp = In(Field.PROTOCOL, Intervals.of(int(Protocol.TCP)))
    asked = (tcp, ANY_RESET, rewrite.state_match(home, CtState.INVALID))
    return rewrite.in_front(home, anchor, rewrite.made(asked, rewrite.ACCEPT))
