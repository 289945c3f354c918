"""Edits are shown only where they were carried out in memory first: the finding is gone then, none came, and nothing
else changed. Each is proved with the earlier ones done, so all of a report can be carried out together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from conntrim.core.change.apply import NotThereError, apply
from conntrim.core.change.edits import change_of
from conntrim.core.model.change import (
    AddChain,
    AddObject,
    AddSet,
    AddTable,
    AppendRule,
    DeleteChain,
    DeleteObject,
    DeleteRule,
    DeleteSet,
    DeleteTable,
    FillSet,
    FlushChain,
    InsertRule,
    ReplaceRule,
)
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.finding import Edit, Finding
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Notrack, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.model.tcp_flags import SYN_MASK
from conntrim.core.prove.compare import Comparison, Difference, compare
from conntrim.core.prove.diagram import NotDecided
from conntrim.core.prove.populations import Population
from conntrim.core.prove.translations_cut import cuts_translations

MOST_RULES = 40_000
"""Rules looked at again for the sake of edits, all edits together; beyond, they are not shown."""

OPENING = frozenset({"CT104", "CT105", "CT106", "CT115"})
"""Findings whose advice says what it newly lets in."""
RESTORING = frozenset({"CT109"})
"""Findings about translations that stop: what is translated again comes through again."""
TURNED = "CT108"
"""A rule that stands the wrong way round: the table shows that nobody has the connections that it meets."""
CLOSING = frozenset({"CT101", "CT102", "CT111", "CT114", TURNED})
"""Findings about what gets in that should not: unsolicited packets are to be dropped."""

Recheck = Callable[[Ruleset], Iterable[Finding]]


def proved(findings: Sequence[Finding], trial: Trial) -> Iterator[Finding]:
    """The findings, each with its edits if they were proved.

    First all of them together, for one may need another (the two halves of a service); then the causes without what
    follows from them, then those of one kind, then each by itself.
    """
    taken = set[int]()
    if not any(finding.edits for finding in findings):
        yield from findings
        return
    causes = [f for f in findings if not f.caused_by]
    kinds = [[f for f in findings if f.code == code] for code in dict.fromkeys(f.code for f in findings)]
    for group in (findings, causes, *kinds, *([f] for f in findings)):
        rest = [f for f in group if f.edits and id(f) not in taken]
        if rest and trial.takes(rest):
            taken.update(map(id, rest))
    for finding in findings:
        yield finding if id(finding) in taken else replace(finding, edits=())


@dataclass(slots=True)
class Trial:
    """The rules with the edits done that were proved so far; `recheck` finds in other rules what is found here, which
    has these `names`, and others than those that are told. `loose`: nf_conntrack_tcp_loose."""

    ruleset: Ruleset
    local: Intervals | None
    recheck: Recheck
    tick: Callable[[], None]
    names: frozenset[str]
    loose: bool = True
    done: tuple[Edit, ...] = ()
    now: Ruleset = field(init=False)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.ruleset
        self.left = MOST_RULES // max(sum(len(chain.rules) for t in self.ruleset.tables for chain in t.chains), 1)

    def takes(self, findings: Sequence[Finding]) -> bool:
        """Whether the edits of these findings are proved; if so they are done from here on."""
        edits = (*self.done, *(edit for finding in findings for edit in finding.edits))
        if self.left <= 0:
            return False
        self.left -= 1
        try:
            after = apply(change_of(edits), self.ruleset)
            moving = any(map(_untracks, edits))
            if moving and cuts_translations(self.now, after, self.local, self.loose, self.tick):
                return False
            found = compare(self.now, after, self.local, self.loose, self.tick)
            there = frozenset(f.name for f in self.recheck(after))
        except (NotThereError, NotDecided):
            return False
        gone = not there & {f.name for f in findings}
        if not gone or not there <= self.names or _harm(found, {f.code for f in findings}, moving=moving):
            return False
        self.done, self.now, self.names = edits, after, there
        return True


def _harm(found: Comparison, codes: set[str], *, moving: bool) -> bool:
    """Whether connections are cut, or something is opened or closed that the findings are not about. `moving`: other
    packets go untracked than before, so connections are judged whole, not by packets with entries of before."""
    for difference in found.differences:
        meant = codes & (OPENING if difference.admitted else CLOSING)
        match difference.population:
            case Population.WHOLE:
                harm = not difference.admitted and TURNED not in codes and _certain(difference)
            case Population.UNSOLICITED | Population.EXPECTED:
                harm = not meant and difference.direction is not Direction.LOOPBACK and _opens(difference)
            case Population.TRANSLATED:
                harm = not meant and not (difference.admitted and codes & RESTORING)
            case Population.CONNECTIONS | Population.ERRORS:
                harm = not difference.admitted and not meant and not moving
            case _:
                assert_never(difference.population)
        if harm:
            return True
    return False


def _untracks(edit: Edit) -> bool:
    """Whether an edit is about a NOTRACK rule, or about iptables' table of them."""
    match edit.operation:
        case AppendRule(rule=rule) | InsertRule(rule=rule) | ReplaceRule(rule=rule) | DeleteRule(rule=rule):
            return edit.table.name == "raw" or any(isinstance(s, Notrack) for s in rule.statements)
        case (
            FlushChain() | AddTable() | AddChain() | AddSet() | AddObject()
            | DeleteChain() | DeleteSet() | DeleteObject() | DeleteTable() | FillSet()
        ):  # fmt: skip
            return False
        case _:
            assert_never(edit.operation)


def _certain(difference: Difference) -> bool:
    """Whether it is so whatever a match says that is unknown to the model."""
    return any(not region.conditions for region in difference.regions)


def _opens(difference: Difference) -> bool:
    """Whether packets are among them that open a connection: others come to nothing by themselves."""
    return not difference.whole or any(_opener(region.witness) for region in difference.regions)


def _opener(packet: Packet) -> bool:
    flags = packet.tcp_flags
    return packet.protocol != Protocol.TCP or flags is None or flags & SYN_MASK == TcpFlag.SYN
