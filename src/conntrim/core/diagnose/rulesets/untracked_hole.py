"""UNTRACKED is accepted, and senders of unsolicited packets can make them so.

What it says:
    A NOTRACK rule takes packets by their source port alone, and the filter
    accepts whatever is UNTRACKED. Whoever sends from that port
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

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from conntrim.core.diagnose.rulesets import narrow
from conntrim.core.diagnose.rulesets.asked import by_target
from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Taken, Told, such_as
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.nat import OF_SOURCES, Nat
from conntrim.core.model.ruleset import In, Rule
from conntrim.core.model.service import Direction
from conntrim.core.prove.assumed import answered
from conntrim.core.prove.diagram import Set

CODE, NAME = "CT101", "untracked-hole"


Title = Callable[["Exposure"], str]
Advice = Callable[["Exposure"], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Exposure:
    """What one NOTRACK rule opens, and the filter's rule that lets it in."""

    taken: Taken
    told: Told
    by: Rule | None
    certain: bool

    @property
    def evidence(self) -> tuple[str, ...]:
        """In words, by a packet, and whose doing it is."""
        let_in = (f"let in by {self.by.place}: {self.by.text}",) if self.by else ()
        return f"newly reachable: {self.told.words}", such_as(self.told.witness), *let_in

    @property
    def pinned(self) -> bool:
        """Whether the rule names the peers."""
        return any(isinstance(m, In) and m.field is Field.SRC for m in self.taken.rule.matches)

    @property
    def severity(self) -> Severity:
        """Worst where everybody may, and for certain."""
        return Severity.CRITICAL if self.certain and not self.pinned else Severity.WARNING


def opened(side: Side, taken: Taken) -> Set:
    """What anybody may open only because this rule makes it untracked."""
    opening = (side.opening() | side.echoes()) & taken.packets & ~side.meant[taken.direction]
    as_they_are = side.admitted(taken.direction, None, untracked=True) & opening
    found = as_they_are & ~side.admitted(taken.direction, None, untracked=False)
    return answered(side.space, found, side.of_first) | _not_sent_on(side, taken.direction, as_they_are)


def _not_sent_on(side: Side, direction: Direction, admitted: Set) -> Set:
    """Untracked packets that are let in where their headers say, and that a rule would have sent elsewhere, where they
    are refused; of a few of them."""
    hits = (
        h for _, h in side.way(direction).hits if isinstance(h.statement, Nat) and h.statement.kind not in OF_SOURCES
    )
    sent = admitted & side.stateless(side.space.sets.either([hit.packets for hit in hits]))
    if sent == side.space.nothing:
        return sent
    parts, _ = side.stage.parts(sent, side.universe(direction))
    return side.space.sets.either([part for box, part in parts if side.stage.lets_in(box.witness)])


def exposures(case: RuleCase, targeted: bool) -> Iterator[Exposure]:
    """NOTRACK rules that open something, each with the worst of it, what comes in first."""
    told: dict[int, Exposure] = {}
    for side in case.sides:
        for taken in side.taken:
            if taken.direction not in (Direction.INBOUND, Direction.FORWARDED):
                continue
            found = opened(side, taken) if by_target(taken.rule) is targeted else side.space.nothing
            if found != side.space.nothing:
                found, certain = side.surest(found)
                words = side.told(found, taken.direction)
                one = Exposure(taken, words, case.accepting(words.witness), certain)
                before = told.get(id(taken.rule))
                told[id(taken.rule)] = one if before is None or one.severity > before.severity else before
    yield from told.values()


def findings(
    case: RuleCase, code: str, found: Iterable[Exposure], title: Title, advice: Advice
) -> Iterator[Finding]:  # fmt: skip
    """A finding each, the worst first. What one filter rule lets in is one cause: its first finding has the cure."""
    first: dict[int, str] = {}
    for one in sorted(found, key=lambda e: -e.severity):
        finding = Finding(code, one.severity, title(one), one.evidence, one.taken.rule.place, witness=one.told.witness)
        cause = first.setdefault(id(one.by), finding.name)
        if cause == finding.name:
            finding = replace(finding, advice=advice(one), edits=narrow.edits(case, one.taken, one.by))
        yield replace(finding, caused_by="" if cause == finding.name else cause)


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules by source port through which unsolicited packets reach what they could not reach tracked."""
    yield from findings(case, CODE, exposures(case, targeted=False), _title, _advice)


def _advice(one: Exposure) -> tuple[str, ...]:
    return ("accept UNTRACKED for the services' own peers and ports only, and no SYNs from a server's port",)


def _title(one: Exposure) -> str:
    who = "the peers it names reach" if one.pinned else "unsolicited packets reach"
    return f"{who} closed ports: this NOTRACK rule makes the packets UNTRACKED, which is accepted"
