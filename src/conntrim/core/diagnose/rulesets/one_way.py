"""NOTRACK in one direction only.

What it says:
    A NOTRACK rule takes packets of a direction, and no rule takes their
    answers.

Why it matters:
    The answers find no entry. TCP's first answer is INVALID, and most
    filters refuse it: time-outs. Where they do not, the connection is picked
    up in the middle and makes an entry all the same: nothing is saved.

What to do:
    Write the twin: the other hook (PREROUTING for OUTPUT, OUTPUT for
    PREROUTING), addresses and ports swapped. Forwarded packets meet
    PREROUTING both ways: both rules stand there.

Caveats:
    On a host whose answers go another way (direct server return) the twin
    stands on that way.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets import no_effect, raw, rewrite
from conntrim.core.diagnose.rulesets.case import Home, RuleCase, Side, Taken, such_as
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.ruleset import Interface, Rule
from conntrim.core.model.service import Direction, Hook
from conntrim.core.model.tcp_flags import NOT_SYN
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.states import in_front

CODE, NAME = "CT103", "one-way-notrack"

FEW = 0.1
"""Less of a rule's packets than this have untracked answers: what overlaps by chance (equal ports) is no twin."""


def covered(side: Side, taken: Taken) -> float:
    """The part of a rule's packets whose answers are untracked as well, 0 to 1. By which interface a peer is reached
    nobody told: a twin for one of them is a twin."""
    return side.share(side.answers(taken), taken.packets)


def lonely(case: RuleCase) -> Iterator[tuple[Side, Taken]]:
    """Rules hardly any of whose packets has an untracked answer. Packets on `lo` are another matter (K16)."""
    for rule in {id(t.rule): t.rule for s in case.sides for t in s.taken}.values():
        mine = [(s, t) for s in case.sides for t in s.taken if t.rule is rule and t.direction is not Direction.LOOPBACK]
        ported = [(s, t) for s, t in mine if t.packets & s.space.with_ports != s.space.nothing]
        if ported and not any(covered(s, t) > FEW for s, t in ported):
            yield ported[0]


def check(case: RuleCase) -> Iterator[Finding]:
    """What the lonely rules take, the twin that they lack, and the one that stands there without effect."""
    for side, taken in lonely(case):
        told = side.told(taken.packets, taken.direction)
        idle = _idle_twin(case, side, taken)
        yield Finding(
            CODE,
            Severity.WARNING,
            "no rule untracks the answers to what this one untracks",
            (f"untracked: {told.words}", such_as(told.witness)),
            taken.rule.place,
            () if idle else tuple(_forwarded(case, taken)),
            caused_by=f"{no_effect.CODE} {idle.place}" if idle else "",
            witness=told.witness,
            edits=() if idle else tuple(_twin(case, taken)),
        )


def _idle_twin(case: RuleCase, side: Side, taken: Taken) -> Rule | None:
    """A NOTRACK rule without effect that would take these answers."""
    view = MatchEncoder(side.space, in_front(side.space), mirrored=True)
    for rule in no_effect.idle(case):
        matches = [m for m in rule.matches if not isinstance(m, Interface)]
        table = case.home(rule).table
        found = taken.packets
        for match in matches:
            found = found & view.match(match, table)
        if side.share(found, taken.packets) > FEW:
            return rule
    return None


def _twin(case: RuleCase, taken: Taken) -> Iterator[Edit]:
    """The rule for the answers, on the other hook; for packets that are only forwarded on the same one."""
    rule, home = taken.rule, case.home(taken.rule)
    if taken.direction is Direction.FORWARDED:
        yield from rewrite.behind(home, rule, _mirrored(home, rule, taken.hook), rule)
        return
    hook = Hook.OUTPUT if taken.hook is Hook.PREROUTING else Hook.PREROUTING
    twin, there = _mirrored(raw.hung(home, hook), rule, hook), raw.chain_at(home, hook)
    if rule.place.line and there:
        yield from rewrite.beside(Home(home.table, there), rule, twin)
    else:
        yield from raw.appended(home, hook, twin, rule)


def _mirrored(home: Home, rule: Rule, hook: Hook) -> Rule:
    """The twin. What comes in by a server's port is no SYN: nobody shall open a connection from there."""
    matches = list(rewrite.mirrored(rule.matches, hook is Hook.OUTPUT))
    answers = hook is Hook.PREROUTING and rewrite.asks(matches, Field.SPORT)
    if answers and rewrite.over_tcp(matches):
        matches.append(NOT_SYN)
    elif answers and not rewrite.asks(matches, Field.SRC):
        matches.append(rewrite.blank("SERVER", rewrite.family_of_table(home)))
    return rewrite.made(rewrite.ordered(matches), rule.statements)


def _forwarded(case: RuleCase, taken: Taken) -> Iterator[str]:
    """Where nobody told the host's addresses the packets may be forwarded ones, whose answers enter at PREROUTING."""
    other = [t for s in case.sides for t in s.taken if t.rule is taken.rule and t.direction is Direction.FORWARDED]
    told = any(s.local for s in case.sides)
    if taken.hook is Hook.PREROUTING and taken.direction is not Direction.FORWARDED and other and not told:
        home = case.home(taken.rule)
        text = rewrite.spelt(home, _mirrored(home, taken.rule, taken.hook), taken.rule)
        if text and any(rewrite.asks(taken.rule.matches, f) for f in rewrite.ADDRESSES):
            yield f"if these addresses are behind this host, not its own: {text}"
