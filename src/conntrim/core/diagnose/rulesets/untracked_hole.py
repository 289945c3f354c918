"""UNTRACKED is accepted, and strangers can make their packets untracked.

What it says:
    A NOTRACK rule takes packets by their source port alone, and the filter
    accepts whatever is UNTRACKED. A stranger who sends from that port
    reaches ports that the filter refuses to everybody else.

Why it matters:
    The source port is the sender's choice. A database that listens on this
    host is open to anybody who binds port 11211 before connecting.

What to do:
    Pin the servers' addresses in the NOTRACK rule (-s), leave out SYNs
    (! --syn), and accept UNTRACKED service by service, with the same peer
    and ports, instead of everything. `conntrim plan` writes such rules.

Caveats:
    A rule in front of this host may refuse such packets; nothing here knows.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Taken, such_as
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.ruleset import Field, In, Rule
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set

CODE, NAME = "CT101", "untracked-hole"


def by_target(rule: Rule) -> bool:
    """Whether the rule takes packets by their destination port, and not by their source port."""
    fields = {m.field for m in rule.matches if isinstance(m, In)}
    return Field.DPORT in fields and Field.SPORT not in fields


def opened(side: Side, taken: Taken) -> Set:
    """What strangers may open only because this rule makes it untracked."""
    as_they_are = side.admitted(taken.direction, None, untracked=True)
    tracked = side.admitted(taken.direction, None, untracked=False)
    return as_they_are & ~tracked & side.opening() & taken.packets


def exposures(case: RuleCase, targeted: bool) -> Iterator[tuple[Taken, str, tuple[str, ...]]]:
    """NOTRACK rules that open something, once each; coming in rather than forwarded where both."""
    told: set[int] = set()
    for side in case.sides:
        for taken in side.taken:
            if taken.direction not in (Direction.INBOUND, Direction.FORWARDED) or id(taken.rule) in told:
                continue
            found = opened(side, taken) if by_target(taken.rule) is targeted else side.space.nothing
            if found != side.space.nothing:
                told.add(id(taken.rule))
                words, witness = side.told(found, taken.direction)
                by = case.accepting(witness)
                evidence = (
                    f"newly reachable: {words}",
                    such_as(witness),
                    *((f"let in by {by.place}: {by.text}",) if by else ()),
                )
                yield taken, words, evidence


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules by source port through which strangers reach what they could not reach tracked."""
    for taken, _, evidence in exposures(case, targeted=False):
        pinned = any(isinstance(m, In) and m.field is Field.SRC for m in taken.rule.matches)
        who = "these peers reach" if pinned else "strangers reach"
        yield Finding(
            CODE,
            Severity.WARNING if pinned else Severity.CRITICAL,
            f"{who} closed ports: this NOTRACK rule makes their packets UNTRACKED, which is accepted",
            evidence,
            taken.rule.place,
            (
                *(() if pinned else (f"pin the servers in it: -s ADDRESS ... ! --syn (now: {taken.rule.text})",)),
                "accept UNTRACKED for its servers and ports only, and no SYNs",
            ),
        )
