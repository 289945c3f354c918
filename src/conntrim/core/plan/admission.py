"""Where a rule set must be told about untracked packets: each leg keeps the fate its tracked self had.

For each passage every filter chain at its hook is looked at (placing.py); chains that treat the packets alike anyway
get nothing. The result is a list of additions, each in front of one rule of one chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from conntrim.core.emit.iptables import NotExpressible
from conntrim.core.emit.plan_rule import nft_rule, xt_rule
from conntrim.core.model.address import Family
from conntrim.core.model.ruleset import Chain, Dialect, End, Rule, Table, TableFamily, Verdict
from conntrim.core.plan.ground import Ground
from conntrim.core.plan.passages import Passage
from conntrim.core.plan.placing import Counterpart, Doubt, Placing
from conntrim.core.plan.spelling import spell

ACCEPT = (End(Verdict.ACCEPT),)


@dataclass(frozen=True, slots=True)
class Addition:
    """A rule to add to a chain that is not ours, in front of the rule at `index` (as the chain is without us)."""

    table: Table
    chain: str
    index: int
    rule: Rule
    why: str


@dataclass(frozen=True, slots=True)
class Course:
    """One passage through one base chain: whether any of it was admitted before, and what speaks against deciding."""

    passage: Passage
    table: Table
    base: Chain
    admits: bool
    doubts: tuple[Doubt, ...]
    counterparts: tuple[Counterpart, ...]
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
        """Spell a course's counterparts as rules with comments of their own; the same rule at the same place counts
        once."""
        table = course.table
        for each in course.counterparts:
            for rule in spell(each.told, each.statement, course.passage.label, table.dialect, table.family):
                place = (id(table), each.spot.chain, each.spot.index)
                if (place, rule) not in self.seen:
                    self.seen.add((place, rule))
                    named, why = self._named(table, rule), _why(course, each)
                    self.additions.append(Addition(table, each.spot.chain, each.spot.index, named, why))
        self.courses.append(course)

    def _named(self, table: Table, rule: Rule) -> Rule:
        """The rule with a comment that no other of its table has."""
        key = (table.dialect, table.family, table.name, rule.comment)
        number = self.names[key] = self.names.get(key, 0) + 1
        comment = rule.comment if number == 1 else f"{rule.comment} {number}"
        return Rule(rule.matches, rule.statements, rule.place, rule.text, comment)


def _why(course: Course, each: Counterpart) -> str:
    was, now = course.passage.before.state.name, each.told.state.name
    verb = each.statement.verdict if isinstance(each.statement, End) else "followed"
    words = {"accept": "accepted", "drop": "dropped", "reject": "rejected"}
    place = f"by {each.original.place}" if each.original else f"by the policy of {course.base.name}"
    return f"{words.get(verb, verb)} as {was} {place}; as {now} it would not be"


def admissions(grounds: Mapping[Family, Ground], wanted: Iterable[Passage], *, bind: bool = False) -> Admissions:
    """What must be added to the rules (which hold nothing of ours) for these passages. `bind`: what counted opening
    packets only is kept from the rest (placing.py)."""
    found = Admissions()
    for passage in wanted:
        ground = grounds[passage.family]
        for table, base in ground.chains(passage):
            placing = Placing(ground, passage, table, base, bind).run()
            found.add(_course(placing, ground.whole(table)))
    return found


def _course(placing: Placing, table: Table) -> Course:
    """What is left of the counterparts: none where nothing would change, nor where the dialect lacks the words."""
    settled = placing.settled()
    counterparts = tuple(c for c in placing.counterparts if c.rest or not settled)
    doubts = [] if settled else list(placing.doubts)
    unwritable = [c.original for c in counterparts if c.original and not _writable(c, table, placing.passage)]
    if unwritable:
        doubts += [Doubt(rule, "its further conditions cannot be copied") for rule in unwritable]
        counterparts = ()
    return Course(
        placing.passage, table, placing.base, placing.admits, tuple(doubts), counterparts, bool(placing.bound)
    )


def _writable(each: Counterpart, table: Table, passage: Passage) -> bool:
    """Whether the dialect has words for a counterpart."""
    try:
        for rule in spell(each.told, each.statement, passage.label, table.dialect, table.family):
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
