"""The answers to an untracked packet are INVALID, and refused.

What it says:
    No rule untracks the answers to what a NOTRACK rule takes. They find no
    entry and are INVALID, and the filter, which lets answers of tracked
    connections pass, refuses these.

Why it matters:
    The connection never comes about: the peer sees a time-out.

What to do:
    Write the twin of the NOTRACK rule (CT103). An accept of INVALID is no
    cure: such connections make entries all the same.

Caveats:
    UDP answers without an entry are NEW, not INVALID; they are shown here
    too where the filter refuses them. Connections that the filter would not
    let begin are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets import one_way
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Taken, such_as
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.reachability import packets_of, reach
from conntrim.core.prove.states import known, settled, unsolicited

CODE, NAME = "CT107", "answers-refused"


def lost(side: Side, direction: Direction, packets: Set) -> Set:
    """Requests whose first answer would pass as a known connection's and does not without an entry."""
    space = side.space
    scope = packets_of(space, direction, side.local) & side.flagless(packets) & space.with_ports
    way = reach(space, side.full, BACK[direction], scope, mirrored=True, local=side.local)
    view = MatchEncoder(space, mirrored=True)
    alone = settled(space, way.arrived, unsolicited(view, way.untracked))
    tracked = settled(space, way.arrived, known(view, way.untracked, CtState.ESTABLISHED))
    return side.stateless(scope) & tracked & ~alone & ~way.untracked & side.answering()


def begun(side: Side, taken: Taken) -> Set:
    """The connections that begin, and of which the rule takes the opening packet or the first answer: what comes back
    then finds no entry, or one that has not seen the answer, and is INVALID both times."""
    opening, answering = side.begun(taken.direction)
    opened, answered = (side.flagless(taken.packets & kind) for kind in (side.opening(), side.answering()))
    return (opening & opened) | (answering & answered)


def check(case: RuleCase) -> Iterator[Finding]:
    """One-sided NOTRACK rules whose connections cannot come about; one walk a direction for all of them."""
    lonely = list(one_way.lonely(case))
    refused: dict[tuple[int, Direction], Set] = {}
    for side, taken in lonely:
        key = id(side), taken.direction
        if key not in refused:
            every = [t.packets for s, t in lonely if s is side and t.direction is taken.direction]
            refused[key] = lost(side, taken.direction, side.space.sets.either(every))
        found = refused[key] & side.flagless(taken.packets)
        found = found & begun(side, taken) if found != side.space.nothing else found
        if found == side.space.nothing:
            continue
        found, certain = side.surest(found)
        told = side.told(found, taken.direction)
        answer = reply_to(told.witness)
        rule, home = case.refusing(answer)
        place = rule.place if rule else home.chain.place if home else None
        by = f"refused by {place}: {rule.text if rule else 'the policy'}" if place else "refused"
        yield Finding(
            CODE,
            Severity.CRITICAL if certain else Severity.WARNING,
            "the answers to these packets have no entry, and the filter refuses them",
            (such_as(answer), by),
            taken.rule.place,
            ("write the twin that CT103 names",),
            caused_by=f"{one_way.CODE} {taken.rule.place}",
            witness=answer,
        )
