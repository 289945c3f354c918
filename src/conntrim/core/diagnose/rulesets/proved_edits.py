"""Edits are shown only where they were carried out in memory first: the finding is gone then, none came, and nothing
else changed. Each is proved with the earlier ones done, so all of a report can be carried out together.
"""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from conntrim.core.change.apply import NotThereError, apply
from conntrim.core.change.edits import change_of
from conntrim.core.diagnose.rulesets.dialogues import ABOUT_ERRORS
from conntrim.core.diagnose.rulesets.rewrite import has_blank
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
from conntrim.core.model.ruleset import Dialect, Rule, Ruleset, SetZone
from conntrim.core.model.service import Direction
from conntrim.core.model.tcp_flags import SYN_MASK
from conntrim.core.prove.compare import Comparison, Difference, compare
from conntrim.core.prove.diagram import NotDecided
from conntrim.core.prove.inert import inert, untracks
from conntrim.core.prove.match_encoder import FRAGMENT
from conntrim.core.prove.populations import Population
from conntrim.core.prove.translations_cut import cuts_translations

MOST_RULES = 40_000
"""Rules looked at again for the sake of edits, all edits together; beyond, they are not shown."""

OPENING = frozenset({"CT104", "CT105", "CT106", "CT115"})
"""Findings whose advice says what it newly lets in."""
WIDENED = "CT105"
"""An accept of what a rule makes UNTRACKED; where the rule takes packets by their source port, that may open more than
it says."""
HOLE = "CT101"
"""What is then found, unless it was found before: the finding is the same, whatever else gets in."""
RESTORING = frozenset({"CT109"})
"""Findings about translations that stop: what is translated again comes through again."""
REASSEMBLED = "CT112"
"""Datagrams in fragments are lost (K48), and then come through."""
TURNED = "CT108"
"""A rule that stands the wrong way round: the table shows that nobody has the connections that it meets."""
CLOSING = frozenset({"CT101", "CT102", "CT111", "CT114", TURNED})
"""Findings about what gets in that should not: unsolicited packets are to be dropped."""

TRACKED = frozenset({Population.CONNECTIONS, Population.ERRORS})
BESIDE = "CT106"
"""What untracking both ways may bring, and how it is cured: errors about these connections are accepted."""


class Recheck(typing.Protocol):
    """What is found in rules; what has one of the codes `first` comes first, since it may be what was to be cured."""

    def __call__(self, ruleset: Ruleset, *, first: Collection[str]) -> Iterable[Finding]:
        """It."""
        ...


def proved(findings: Sequence[Finding], trial: Trial) -> Iterator[Finding]:
    """The findings, each with its edits if they were proved.

    First all of them together, for one may need another (the two halves of a service); then the causes without what
    follows from them, then those of one kind, then each by itself. A finding whose own edits do not do it has all that
    it needs.
    """
    taken, refused = dict[int, tuple[Edit, ...]](), set[tuple[int, ...]]()
    if not any(finding.edits for finding in findings):
        yield from findings
        return
    causes = [f for f in findings if not f.caused_by]
    kinds = [[f for f in findings if f.code == code] for code in dict.fromkeys(f.code for f in findings)]
    for group in (findings, causes, *kinds, *([f] for f in findings)):
        rest = [f for f in group if f.edits and id(f) not in taken]
        asked = len(taken), *map(id, rest)  # the same again may be taken where others were meanwhile
        if not rest or asked in refused:
            continue
        if trial.takes(rest) is None:
            refused.add(asked)
        else:
            every, lone = trial.done, len(rest) == 1 and not taken
            for finding in rest:
                own = () if lone else trial.alone(finding)
                taken[id(finding)] = own if own and set(own) <= set(every) else every  # of what is proved together
    told: tuple[Edit, ...] = ()
    for finding in findings:
        edits = tuple(dict.fromkeys(taken.get(id(finding), ())))  # as they were carried out: each once
        if not trial.follow((*told, *edits)):
            edits = ()  # a rule beside which they go is gone by then: the next report has them
        told = tuple(dict.fromkeys((*told, *edits)))
        yield replace(finding, edits=edits)


@dataclass(slots=True)
class Trial:
    """The rules with the edits done that were proved so far; `recheck` finds in other rules what is `found` here, more
    than what is told. `loose`: nf_conntrack_tcp_loose."""

    ruleset: Ruleset
    local: Intervals | None
    recheck: Recheck
    cuts: Callable[[Ruleset, Ruleset], bool]
    tick: Callable[[], None]
    found: Sequence[Finding]
    loose: bool = True
    done: tuple[Edit, ...] = ()
    now: Ruleset = field(init=False)
    first: Sequence[Finding] = field(init=False)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.now, self.first = self.ruleset, self.found
        self.left = MOST_RULES // max(sum(len(chain.rules) for t in self.ruleset.tables for chain in t.chains), 1)

    def takes(self, findings: Sequence[Finding]) -> tuple[Edit, ...] | None:
        """What else is to be done with the edits of these findings so that they are proved, None where they are not; if
        they are, all of it is done from here on. Where more is untracked, errors about it may need an accept."""
        more = tuple[Edit, ...]()
        left = self._left(findings, more)
        if left and (losing := self._losing(findings, left)):
            more = tuple(edit for f in losing for edit in f.edits)
            if not all(edit.place.source for edit in more):
                return None  # beside a rule that an edit puts somewhere: nobody can name its place
            left = self._left(findings, more)
        if left is None or self._losing(findings, left) or _hides(findings, left):
            return None
        if not self._harmless(findings, more):
            return None
        self.done = self._edits(findings, more)
        self.now, self.found = apply(change_of(self.done), self.ruleset), left
        return more

    def alone(self, finding: Finding) -> tuple[Edit, ...]:
        """The edits of this finding with what else they need, from the rules as they are; none where that is not
        enough."""
        kept = self.done, self.now, self.found
        self.done, self.now, self.found = (), self.ruleset, self.first
        try:
            return self.done if self.takes([finding]) is not None else ()
        finally:
            self.done, self.now, self.found = kept

    def follow(self, edits: Sequence[Edit]) -> bool:
        """Whether these edits can be carried out in this order: nft finds rules by handles, which go with their rules;
        lines of a file stay where they are."""
        ruleset = self.ruleset
        try:
            for edit in dict.fromkeys(edit for edit in edits if edit.table.dialect is Dialect.NFTABLES):
                ruleset = apply(change_of((edit,)), ruleset)
        except NotThereError:
            return False
        return True

    def _edits(self, findings: Sequence[Finding], more: tuple[Edit, ...]) -> tuple[Edit, ...]:
        """Each once, as they are carried out."""
        return tuple(dict.fromkeys((*self.done, *(edit for finding in findings for edit in finding.edits), *more)))

    def _left(self, findings: Sequence[Finding], more: tuple[Edit, ...]) -> list[Finding] | None:
        """What is found with these edits; None where a finding stays that they are for, one comes that no further edit
        cures, or that is not decided."""
        if self.left <= 0:
            return None
        self.left -= 1
        left, cured, known = list[Finding](), set(map(_kind, findings)), Counter(map(_kind, self.found))
        codes = {finding.code for finding in findings}
        try:
            for found in self.recheck(apply(change_of(self._edits(findings, more)), self.ruleset), first=codes):
                kind = _kind(found)
                known[kind] -= 1
                if kind in cured or (known[kind] < 0 and found.code != BESIDE):
                    return None  # to look for more is dear
                left.append(found)
        except (NotThereError, NotDecided):
            return None
        return left

    def _untracks_more(self, edits: Sequence[Edit]) -> bool:
        """Whether those of these edits that are not done yet untrack other packets."""
        return any(map(_untracks_more, edits[len(self.done) :]))

    def _losing(self, findings: Sequence[Finding], left: Iterable[Finding]) -> list[Finding]:
        """What tells of errors that are lost with these edits and were not without them."""
        known = {_kind(f): f.evidence for f in self.found}
        more = self._untracks_more(self._edits(findings, ()))
        told = [f for f in left if f.code in ABOUT_ERRORS]
        return [f for f in told if _kind(f) not in known or (more and f.evidence != known[_kind(f)])]

    def _harmless(self, findings: Sequence[Finding], more: tuple[Edit, ...]) -> bool:
        """Whether these edits change nothing else: the dearer question, asked last."""
        edits = self._edits(findings, more)
        after, moving = apply(change_of(edits), self.ruleset), any(map(_untracks, edits))
        codes = {f.code for f in findings} | ({BESIDE} if more else set())
        try:
            if moving and cuts_translations(self.now, after, self.local, self.loose, self.tick):
                return False
            found = compare(self.now, after, self.local, self.loose, self.tick)
            closes = any(not d.admitted for d in found.differences)
            if closes and codes & CLOSING and any(after.those(_zones)):
                return False  # an answer that comes into another zone finds no entry: no set says which are answers
            if _harm(found, codes, moving=moving):
                return False
            if any(has_blank(edit.text) for edit in edits):
                return True  # nobody knows whom it is about
            if codes & CLOSING and self._closes_more(after):
                return False
            asked = TURNED not in codes and (closes or self._untracks_more(edits))
            return not (asked and self.cuts(self.now, after))
        except NotDecided:
            return False

    def _closes_more(self, after: Ruleset) -> bool:
        """Whether packets of tracked connections are refused as well: a rule that let both in is gone."""
        tracked = compare(inert(self.now), inert(after), self.local, self.loose, self.tick)
        return any(not d.admitted and d.population in TRACKED for d in tracked.differences)


def _harm(found: Comparison, codes: set[str], *, moving: bool) -> bool:
    """Whether connections are cut, or something is opened or closed that the findings are not about. `moving`: other
    packets go untracked than before, so connections are judged whole, not by packets with entries of before."""
    for difference in found.differences:
        meant = bool(codes & (OPENING if difference.admitted else CLOSING))
        meant |= REASSEMBLED in codes and difference.admitted and _in_parts(difference)
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


def _kind(finding: Finding) -> str:
    """What a finding is found again by. CT106 is told of each family and way, at one place where a policy refuses."""
    return f"{finding.name} {finding.title}" if finding.code == BESIDE else finding.name


def _hides(findings: Sequence[Finding], left: Sequence[Finding]) -> bool:
    """Whether what these edits open would be no new finding, because there is one at the same rule, or goes to another
    port or host where it is tracked: nobody meant this one to be open."""
    beside = {f.place for f in left if f.code == HOLE or f.code in RESTORING}
    return any(f.code == WIDENED and f.place in beside for f in findings)


def _zones(rule: Rule) -> bool:
    return any(isinstance(s, SetZone) for s in rule.statements)


def _rules_of(edit: Edit) -> tuple[Rule | None, Rule | None]:
    """The rule that goes with an edit and the one that comes."""
    match edit.operation:
        case AppendRule(rule=rule) | InsertRule(rule=rule):
            return None, rule
        case ReplaceRule(old=old, rule=rule):
            return old, rule
        case DeleteRule(rule=rule):
            return rule, None
        case (
            FlushChain() | AddTable() | AddChain() | AddSet() | AddObject()
            | DeleteChain() | DeleteSet() | DeleteObject() | DeleteTable() | FillSet()
        ):  # fmt: skip
            return None, None
        case _:
            assert_never(edit.operation)


def _untracks(edit: Edit) -> bool:
    """Whether an edit is about a NOTRACK rule, or about iptables' table of them."""
    return any(rule and (edit.table.name == "raw" or untracks(rule)) for rule in _rules_of(edit))


def _untracks_more(edit: Edit) -> bool:
    """Whether an edit puts a NOTRACK rule somewhere, or one in another's place that takes other packets."""
    old, new = _rules_of(edit)
    return new is not None and untracks(new) and not (old and set(old.matches) <= set(new.matches))


def _certain(difference: Difference) -> bool:
    """Whether it is so whatever a match says that is unknown to the model."""
    return any(not region.conditions for region in difference.regions)


def _in_parts(difference: Difference) -> bool:
    """Whether it is about datagrams in fragments alone."""
    return difference.whole and all(FRAGMENT in region.conditions for region in difference.regions)


def _opens(difference: Difference) -> bool:
    """Whether packets are among them that open a connection: others come to nothing by themselves."""
    return not difference.whole or any(_opener(region.witness) for region in difference.regions)


def _opener(packet: Packet) -> bool:
    flags = packet.tcp_flags
    return packet.protocol != Protocol.TCP or flags is None or flags & SYN_MASK == TcpFlag.SYN
