"""REJECT answers an untracked packet with a reset, and OUTPUT drops the reset.

What it says:
    A rule rejects packets that a NOTRACK rule takes with a TCP reset. What
    REJECT sends for a packet without an entry is INVALID, whatever raw says
    (K19), and a rule of OUTPUT refuses INVALID.

Why it matters:
    The refusal never leaves: the client waits for a time-out instead of
    being told. With an entry the reset was RELATED and went out.

What to do:
    Accept INVALID resets in OUTPUT before the rule that drops the rest.

Caveats:
    ICMP errors that REJECT sends are shown by CT106. Resets for forwarded
    packets are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conntrim.core.diagnose.rulesets import rewrite
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, such_as
from conntrim.core.diagnose.rulesets.seen import untracked_at
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.refusal import RESET
from conntrim.core.model.ruleset import End, In, Match, Rule, Verdict
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.hooks import CONNTRACK, arrange
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.reachability import packets_of, reach

CODE, NAME = "CT115", "refusal-silenced"

WITH_RESET = End(Verdict.REJECT, RESET)
ANSWER = Intervals.of(TcpFlag.RST | TcpFlag.ACK)
"""The flags of the reset that answers a SYN."""
ANY_RESET = In(Field.TCP_FLAGS, Intervals.of(int(TcpFlag.RST)), int(TcpFlag.RST))


def resetting(rule: Rule) -> tuple[Match, ...] | None:
    """The matches of a rule that rejects with a reset."""
    return rule.matches if WITH_RESET in rule.statements else None


def silenced(side: Side, rejected: Set) -> Set:
    """Rejected openings whose reset would leave as RELATED and does not as INVALID."""
    space = side.space
    scope = side.flagless(rejected & side.opening()) & packets_of(space, Direction.INBOUND, side.local)
    way = reach(space, side.full, Direction.OUTBOUND, scope & space.protocol(Protocol.TCP), mirrored=True,
                local=side.local)  # fmt: skip
    leaving = way.arrived & space.field(Field.TCP_FLAGS, ANSWER)
    related = side.stateless(leaving & space.state(CtState.RELATED))
    return side.flagless(related & ~side.stateless(leaving & space.state(CtState.INVALID))) & rejected & side.opening()


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules that reject untracked packets with resets which do not leave; what refuses the resets is one cause."""
    rules = {id(r): r for r in case.ruleset.rules() if resetting(r) is not None}
    first: dict[str, str] = {}
    for side in case.sides if rules else ():
        if side.untracked(Direction.INBOUND) == side.space.nothing:
            continue
        for owner, rejected in untracked_at(side, case.ruleset, resetting, Direction.INBOUND).items():
            found = silenced(side, rejected) if owner in rules else side.space.nothing
            if found != side.space.nothing:
                finding, by = _finding(case, side, rules.pop(owner), found)
                cause = first.setdefault(by, finding.name)
                yield replace(finding, caused_by="" if cause == finding.name else cause)


def without_raw(case: RuleCase) -> RuleCase:
    """The rule set as what REJECT sends meets it: raw does not make it UNTRACKED (K19)."""
    late = (
        replace(t, chains=tuple(c for c in t.chains if not c.base or c.base.priority > CONNTRACK))
        for t in case.ruleset.tables
    )
    return replace(case, full=arrange(replace(case.ruleset, tables=tuple(late))))


def _finding(case: RuleCase, side: Side, rule: Rule, found: Set) -> tuple[Finding, str]:
    told = side.told(found, Direction.INBOUND)
    answer = replace(reply_to(told.witness), tcp_flags=int(TcpFlag.RST | TcpFlag.ACK))
    case = without_raw(case)
    refusing, home = case.refusing(answer)
    by = f"{refusing.place}: {refusing.text}" if refusing else f"the policy of {home.chain.name}" if home else ""
    finding = Finding(
        CODE, Severity.WARNING, "this rule resets untracked connections, and its resets do not leave",
        (f"not answered: {told.words}", such_as(told.witness), *((f"its reset is refused by {by}",) if by else ())),
        rule.place, ("accept INVALID resets in OUTPUT: clients wait for a time-out else",), witness=told.witness,
        edits=_edits(case, answer),
    )  # fmt: skip
    return finding, by


def _edits(case: RuleCase, answer: Packet) -> tuple[Edit, ...]:
    place = case.in_front(answer)
    if place is None:
        return ()
    home, anchor = place
    tcp = In(Field.PROTOCOL, Intervals.of(int(Protocol.TCP)))
    asked = (tcp, ANY_RESET, rewrite.state_match(home, CtState.INVALID))
    return rewrite.in_front(home, anchor, rewrite.made(asked, rewrite.ACCEPT))
