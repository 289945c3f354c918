"""Where a rule set must be told about untracked packets: each leg keeps the fate its tracked self had.

For each passage every filter chain at its hook is walked (walk.py); chains that treat the packets alike anyway get
nothing. The result is a list of additions, each in front of one rule of one chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from conntrim.core.emit.plan_rule import nft_rule, xt_rule
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.ruleset import Chain, Dialect, End, Jump, Rule, Ruleset, Table, TableFamily, Verdict
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import FAMILIES
from conntrim.core.plan.passages import Passage
from conntrim.core.plan.spelling import spell
from conntrim.core.plan.walk import Admission, Doubt, Twin, Walk, hits

CONNTRACK_PRIORITY = -200
"""Chains at or before it, on the hooks where conntrack is, see no state (K1)."""

ACCEPT = (End(Verdict.ACCEPT),)
STATELESS = frozenset({Hook.PREROUTING, Hook.OUTPUT})


@dataclass(frozen=True, slots=True)
class Addition:
    """A rule to add to a chain that is not ours, in front of the rule at `index` (as the chain is without us)."""

    table: Table
    chain: str
    index: int
    rule: Rule
    why: str
    twin: Twin


@dataclass(frozen=True, slots=True)
class Course:
    """One passage through one base chain: what was admitted before, and what speaks against deciding."""

    passage: Passage
    table: Table
    base: Chain
    admitted: tuple[Admission, ...]
    refusing: tuple[Rule, ...]
    doubts: tuple[Doubt, ...]
    twins: tuple[Twin, ...]
    bound: bool = False
    """Whether a rule that counts, varies or leaves a trace met opening packets only."""


@dataclass(slots=True)
class Admissions:
    """All additions, and the courses that they were derived from."""

    additions: list[Addition] = field(default_factory=list)
    courses: list[Course] = field(default_factory=list)
    names: dict[tuple[str, ...], int] = field(default_factory=dict)
    seen: set[tuple[object, ...]] = field(default_factory=set)

    def add(self, course: Course) -> None:
        """Spell a course's twins as rules with comments of their own; the same rule at the same place counts once."""
        table = course.table
        for twin in course.twins:
            for rule in spell(twin.box, twin.statement, course.passage.label, table.dialect, table.family):
                place = (id(table), twin.spot.chain, twin.spot.index)
                if (place, rule) in self.seen:
                    continue
                self.seen.add((place, rule))
                why = _why(course, twin)
                self.additions.append(
                    Addition(table, twin.spot.chain, twin.spot.index, self._named(table, rule), why, twin)
                )
        self.courses.append(course)

    def _named(self, table: Table, rule: Rule) -> Rule:
        """The rule with a comment that no other of its table has."""
        key = (table.dialect, table.family, table.name, rule.comment)
        number = self.names[key] = self.names.get(key, 0) + 1
        comment = rule.comment if number == 1 else f"{rule.comment} {number}"
        return Rule(rule.matches, rule.statements, rule.place, rule.text, comment)


def _why(course: Course, twin: Twin) -> str:
    was, now = course.passage.before.state.name, twin.box.state.name
    verb = twin.statement.verdict if isinstance(twin.statement, End) else "followed"
    words = {"accept": "accepted", "drop": "dropped", "reject": "rejected"}
    place = f"by {twin.original.place}" if twin.original else f"by the policy of {course.base.name}"
    return f"{words.get(verb, verb)} as {was} {place}; as {now} it would not be"


def walked_chains(ruleset: Ruleset, passage: Passage) -> Iterator[tuple[Table, Chain]]:
    """The base chains that a passage's packets run through with a ct state."""
    for table in ruleset.tables:
        if table.dormant or passage.family not in FAMILIES.get(table.family, ()):
            continue
        for chain in table.chains:
            base = chain.base
            if base is None or base.hook is not passage.hook or base.type == "nat":
                continue
            if base.hook not in STATELESS or base.priority > CONNTRACK_PRIORITY:
                yield table, chain


def _settled(table: Table, base: Chain, walk: Walk, passage: Passage) -> bool:
    """Whether every later packet fares as it did without twins: all accepted, or all refused as before."""
    verdicts = _verdicts(table, base, passage)
    if not walk.admitted:
        return Verdict.ACCEPT not in verdicts
    if walk.refusing or any(
        not isinstance(t.statement, Jump) and t.statement != End(Verdict.ACCEPT) for t in walk.twins
    ):
        return False
    return verdicts == {Verdict.ACCEPT}


def _verdicts(table: Table, base: Chain, passage: Passage) -> set[Verdict]:
    """Everything that may become of the later packets in a base chain as it is."""
    policy = base.base.policy if base.base else Verdict.ACCEPT
    return {end[1].verdict if end else policy for end in hits(table, base, passage.later)}


def admissions(ruleset: Ruleset, wanted: Iterable[Passage], *, bind: bool = False) -> Admissions:
    """What must be added to the rule set (which holds nothing of ours) for these passages. `bind`: what counted opening
    packets only is kept from the rest (walk.py)."""
    found = Admissions()
    for passage in wanted:
        for table, base in walked_chains(ruleset, passage):
            walk = Walk(table, base, passage.later, bind=bind).run(passage.before)
            settled = _settled(table, base, walk, passage)
            twins = tuple(t for t in walk.twins if t.rest or not settled)
            doubts = [] if settled else walk.doubts
            if unwritable := [t for t in twins if t.original and not _writable(t, table, passage)]:
                doubts += [
                    Doubt(t.original, "its further conditions cannot be copied") for t in unwritable if t.original
                ]
                twins = ()
            rules = tuple(walk.admitted), tuple(walk.refusing)
            found.add(Course(passage, table, base, *rules, tuple(doubts), twins, bool(walk.bound)))
    return found


def _writable(twin: Twin, table: Table, passage: Passage) -> bool:
    """Whether the dialect has words for a twin."""
    try:
        for rule in spell(twin.box, twin.statement, passage.label, table.dialect, table.family):
            if table.dialect is Dialect.NFTABLES:
                nft_rule(rule, table=table)
            else:
                xt_rule(rule, v6=table.family is TableFamily.IP6)
    except NotExpressible:
        return False
    return True


def merged(found: Admissions) -> tuple[Addition, ...]:
    """The additions without those that a broader one at the same place already says."""
    refusing = {(id(a.table), a.chain, a.index) for a in found.additions if a.rule.statements != ACCEPT}
    free = [a for a in found.additions if (id(a.table), a.chain, a.index) not in refusing]
    return tuple(a for a in found.additions if a not in free or not any(_covers(b, a) for b in free))


def _covers(broad: Addition, narrow: Addition) -> bool:
    """The same place, both accept, and every match of the broad one is among the narrow one's."""
    same = (id(broad.table), broad.chain, broad.index) == (id(narrow.table), narrow.chain, narrow.index)
    if not same or not broad.rule.statements == narrow.rule.statements == ACCEPT:
        return False
    return set(map(repr, broad.rule.matches)) < set(map(repr, narrow.rule.matches))


def excused(rule: Rule, course: Course) -> bool:
    """Whether a refusal after the plan is one that the tracked packets met as well."""
    return any(rule is r for r in course.refusing)
