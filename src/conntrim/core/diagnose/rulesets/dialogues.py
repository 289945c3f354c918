"""What untracking changes, as findings: patterns name the differences that they explain, and what none of them names is
told by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from conntrim.core.diagnose.rulesets.case import RuleCase, Side, such_as
from conntrim.core.diagnose.rulesets.unfollowed import untracking
from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import OF_SOURCES, Nat
from conntrim.core.model.packet import Packet
from conntrim.core.model.place import Place
from conntrim.core.model.ruleset import Chain, End, Rule, Ruleset, Table, Verdict
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.dialogue import course, run
from conntrim.core.netfilter.hooks import direction_of
from conntrim.core.netfilter.outcome import Fate, Outcome
from conntrim.core.prove.cube_cover import contains
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_text import conditional, describe_packet
from conntrim.core.prove.scripts import HANDSHAKE, Harm
from conntrim.core.prove.untracking import Difference


@dataclass(frozen=True, slots=True)
class Found:
    """One difference of one family, as far as one rule is concerned."""

    side: Side
    difference: Difference
    rule: Rule
    part: Set


@dataclass(frozen=True, slots=True)
class Shown:
    """A dialogue that shows a difference, which is told in words: its first packet, and what refuses which packet of
    it."""

    words: str
    opener: Packet
    lost: Packet | None = None
    by: Outcome | None = None
    others: tuple[Rule, ...] = ()
    """The untracking rules that take the packet that is lost, or those before it, where it is not the rule told of."""
    anyway: bool = False
    """Whether it is lost without them as well."""


DEATH = frozenset({Harm.CUT, Harm.UNFOLLOWED})
BACKING: dict[str, frozenset[Harm]] = {
    "CT103": DEATH | {Harm.ONE_SIDED, Harm.NO_ERRORS}, "CT105": DEATH,
    "CT107": DEATH, "CT116": DEATH,
}  # fmt: skip
"""What must become of dialogues of a rule where a pattern says that it does harm."""
REFUSED = "CT106"
"""What tells of errors by the rule that refuses them."""
ABOUT_ERRORS = frozenset({REFUSED, "CT119"})
"""What tells of errors, and of nothing else."""
ABOUT_FRAGMENTS = "CT112"
LOST = DEATH | {Harm.PASSED_BY}
ABOUT_HOLES = frozenset({"CT101", "CT102"})
"""What tells who gets in, and of no dialogue that dies."""
ON_LOOPBACK = frozenset({"CT116"})
BY_WITNESS = frozenset({"CT109"})
"""What says nothing of a host's dialogues with itself, or of nothing else, as its witness is."""


@dataclass(frozen=True, slots=True)
class Differences:
    """All of a rule set, with the findings of patterns held against them."""

    case: RuleCase
    local: Intervals | None

    @property
    def every(self) -> Iterator[tuple[Side, Difference]]:
        """Those of all families."""
        return ((side, difference) for side in self.case.sides for difference in side.differences())

    def backed(self, finding: Finding) -> Finding | None:
        """What a pattern says of an untracking rule, if a dialogue shows it, with that dialogue for its witness; others
        than TCP, UDP and echoes are not played."""
        harms = BACKING.get(finding.code)
        rules = [r for r in self.case.notracks if r.place == finding.place]
        if harms is None or not rules:
            return finding
        if finding.code == "CT103" and any(_proxied(d) and r in rules for _, d in self.every for r, _ in d.rules):
            return None
        lo = finding.code in ON_LOOPBACK
        showing = [
            Found(side, d, rule, part)
            for side, d in self.every
            if d.harm in harms and not _proxied(d) and (not lo or d.direction is Direction.LOOPBACK)
            for rule, part in d.rules
            if any(rule is r for r in rules)
        ]
        if showing:
            found = _witnessed(finding, showing)
            return found and _conditioned(found, showing)
        taken = [(s, t.packets) for s in self.case.sides for t in s.taken if any(t.rule is r for r in rules)]
        played = any(s.space.sets.either([s.space.protocol(p) for p in (6, 17)]) & found != s.space.nothing
                     for s, found in taken)  # fmt: skip
        return None if played else finding

    def unexplained(
        self, findings: Sequence[Finding], harm: Harm, directions: frozenset[Direction], *, lone: bool = False
    ) -> Iterator[Found]:
        """The differences that no finding about their rules tells: at the first rule that takes each. `lone`: a rule
        of which it is told has to take packets of a dialogue played; round lo none is taken that has an entry."""
        elsewhere, on_loopback = (self._named([f for f in findings if _tells_of_lo(f) is not lo], harm)
                                  for lo in (True, False))  # fmt: skip
        for side, difference in self.every:
            if difference.harm is not harm or difference.direction not in directions:
                continue
            if harm is Harm.NO_ERRORS and _refused(findings, side, difference):
                continue
            named = on_loopback if difference.direction is Direction.LOOPBACK else elsewhere
            rest = difference.openers
            for rule, part in difference.rules:
                told = id(rule) in named and not (lone and _spares(side, difference, rule, part))
                rest = rest & ~part if told else rest
            for rule, part in difference.rules:
                if id(rule) not in named and rest & part != side.space.nothing:
                    yield Found(side, difference, rule, rest & part)
                    rest = rest & ~part

    def shown(self, found: Found) -> Shown | None:
        """A dialogue of it, played by the readable evaluator; None where that sees no difference."""
        told = found.side.told(found.part, found.difference.direction)
        packets = found.difference.script.between(found.difference.played or told.witness)
        kernel = found.side.stage.kernel
        given = found.side.newcomer | told.box.conditions | dict(found.difference.answers)
        played = course(self.case.full, packets, kernel, given)
        if found.difference.harm is Harm.PASSED_BY:
            answer = played.outcomes[0].answer
            if answer is None or answer.verdict is not Fate.ACCEPT:
                return None  # nobody is told that the connection is open
            ack = run(self.case.full, packets[1:], kernel=kernel)[0]
            return Shown(told.words, packets[0], packets[1], ack, anyway=not found.side.stage.begins(packets[0]))
        last, others = played.outcomes[-1], _others(found.rule, played.outcomes)
        if last.verdict is Fate.ANSWERED and last.answer is not None:
            return Shown(told.words, packets[0], last.answer.packet, last.answer, others)
        if played.complete is not False and last.verdict is Fate.ACCEPT:
            return Shown(told.words, packets[0]) if found.difference.harm is Harm.ONE_SIDED else None
        return Shown(told.words, packets[0], last.packet, last, others)

    def _named(self, findings: Sequence[Finding], harm: Harm) -> set[int]:
        """The rules of whose dialogues these findings tell so much, and those that leave entries to a proxy."""
        rules = {id(rule): rule for _, d in self.every for rule, _ in d.rules}
        named = {key for key, rule in rules.items() if _tells(findings, rule, harm)}
        if harm is Harm.ONE_SIDED:
            named |= {id(rule) for _, d in self.every if d.harm is Harm.PROXIED for rule, _ in d.rules}
        return named


def _spares(side: Side, difference: Difference, rule: Rule, part: Set) -> bool:
    """Whether an untracking rule takes no packet of one of the dialogues of which it may take some."""
    opener = difference.played or side.told(part, difference.direction).witness
    return not side.stage.takes(rule, difference.script, opener)


def _tells_of_lo(finding: Finding) -> bool | None:
    """Whether a finding is about a host's dialogues with itself alone, or about others alone; None: about any."""
    if finding.code not in BY_WITNESS or finding.witness is None:
        return None
    return direction_of(finding.witness) is Direction.LOOPBACK


def _proxied(difference: Difference) -> bool:
    """Whether SYNPROXY answers the SYN: it wants that untracked, and nothing else, one way alone then."""
    return difference.script.turns == HANDSHAKE.turns


def _tells(findings: Iterable[Finding], rule: Rule, harm: Harm) -> bool:
    """Whether a finding about a rule says that much of it."""
    telling = (f for f in findings if f.code not in ABOUT_ERRORS or harm is Harm.NO_ERRORS)
    telling = (f for f in telling if f.code != ABOUT_FRAGMENTS and not (harm in LOST and f.code in ABOUT_HOLES))
    return any((harm not in LOST or f.severity is Severity.CRITICAL) and names(f, rule.place) for f in telling)


def _witnessed(finding: Finding, showing: Sequence[Found]) -> Finding | None:
    """The finding with a witness of which one of these tells, where its own is none: its way may be closed anyway. None
    where their rules take no packet of any of them: others do the harm."""
    worst = [f for f in showing if f.difference.harm is not Harm.NO_ERRORS] or showing
    witness = finding.witness
    if witness is None or any(_tells_of(found, witness) for found in worst):
        return finding
    for found in sorted(worst, key=lambda f: f.difference.conditional):
        packet = found.difference.played or found.side.told(found.part, found.difference.direction).witness
        if found.side.stage.takes(found.rule, found.difference.script, packet):
            lines = (such_as(packet) if line.startswith(such_as(witness)) else line for line in finding.evidence)
            return replace(finding, witness=packet, evidence=tuple(lines))
    return None


def _conditioned(finding: Finding, showing: Sequence[Found]) -> Finding:
    """With what it hangs on, where dialogues show it for one answer alone of a match that is unknown to the model."""
    if not all(found.difference.conditional for found in showing):
        return finding
    evidence = finding.evidence
    if not conditional(evidence):
        told = ((f.difference, f.side.told(f.part, f.difference.direction)) for f in showing)
        evidence += tuple([f"{d.harm}, {d.direction}: {told.words}" for d, told in told if told.conditional][:1])
    return replace(finding, severity=min(finding.severity, Severity.WARNING), evidence=evidence)


def _tells_of(found: Found, witness: Packet) -> bool:
    """Whether a packet opens one of these dialogues, or answers what does, whatever its flags, and the rule takes
    packets of it."""
    space, difference = found.side.space, found.difference
    if witness.family is not space.family:
        return False
    if difference.played:
        return difference.played in (witness, reply_to(witness))
    opening = found.side.flagless(found.side.stateless(found.part))
    openers = [packet for packet in (witness, reply_to(witness)) if contains(space, opening, packet)]
    return any(found.side.stage.takes(found.rule, difference.script, packet) for packet in openers)


def _refused(findings: Iterable[Finding], side: Side, difference: Difference) -> bool:
    """Whether CT106 tells it: errors of this family and way that no rule takes, and that the filter refuses."""
    where = side.space.family, difference.last
    told = any(
        f.code == REFUSED and f.witness and (f.witness.family, direction_of(f.witness)) == where for f in findings
    )
    return told and side.way(difference.last).untracked & side.errors == side.space.nothing


def names(finding: Finding, place: Place) -> bool:
    """Whether a finding is at a place or names it; its edits do not count, they may prove to be none. Nobody can name
    a rule that an edit puts somewhere: it has no place yet."""
    return finding.place == place or (
        bool(place.source) and any(f"{place}:" in f"{line}:" or line.endswith(str(place)) for line in finding.evidence)
    )


def forwards(ruleset: Ruleset) -> bool:
    """Whether somebody wrote rules for packets that pass through: chains which INPUT does not see, and that let some
    go, by a rule or behind all rules; or rules that give packets another source, as gateways do."""
    if any(ruleset.those(_masks)):
        return True
    for table in ruleset.tables:
        shared = below(table, Hook.INPUT)
        apart = [chain for name, chain in below(table, Hook.FORWARD).items() if name not in shared]
        for chain in apart:
            ends = [s.verdict for r in chain.rules for s in r.statements if isinstance(s, End)]
            passing = chain.base is not None and bool(ends) and chain.base.policy is Verdict.ACCEPT
            if passing or Verdict.ACCEPT in ends:
                return True
    return False


def _masks(rule: Rule) -> bool:
    return any(isinstance(s, Nat) and s.kind in OF_SOURCES for s in rule.statements)


def below(table: Table, hook: Hook) -> dict[str, Chain]:
    """The chains that packets of a hook may come to, by name."""
    bases = [c for c in table.chains if c.base and c.base.hook is hook]
    return {chain.name: chain for base in bases for chain in table.below(base)}


def unsure(differences: Differences, told: Sequence[Finding]) -> Iterator[str]:
    """On what it depends whether dialogues die, where no critical finding stands at a rule that takes their packets."""
    worst = [f for f in told if f.severity is Severity.CRITICAL]
    found = (
        d for _, d in differences.every if d.unsure and not any(names(f, r.place) for f in worst for r, _ in d.rules)
    )
    for difference in found:
        yield f"{difference.script.name}, {difference.direction}: {difference.unsure}"


def notes(differences: Differences, told: Sequence[Finding]) -> Iterator[str]:
    """What costs an entry and harms nobody: answers alone are untracked where the rule was not meant."""
    places: dict[Direction, dict[str, None]] = {}
    for found in differences.unexplained(told, Harm.ONE_SIDED, BESIDE, lone=True):
        places.setdefault(found.difference.direction, {})[str(found.rule.place)] = None
    for direction, named in places.items():
        yield f"connections {WORDS[direction]} leave entries: {', '.join(named)} takes one way of them (K14)"


BESIDE = frozenset({Direction.LOOPBACK, Direction.FORWARDED})
WORDS = {Direction.LOOPBACK: "of this host to itself", Direction.FORWARDED: "that this host passes on"}


class Kind(Protocol):
    """What a page says of a kind of difference (a module)."""

    CODE: str
    HARM: Harm
    SEVERITY: Severity
    TITLE: str
    ADVICE: str


def findings(differences: Differences, told: Sequence[Finding], kind: Kind) -> Iterator[Finding]:
    """One for each rule, with all that is lost in its evidence."""
    case, harm = differences.case, kind.HARM
    by_rule: dict[int, list[Found]] = {}
    passing = frozenset(Direction) if forwards(case.ruleset) else frozenset(Direction) - {Direction.FORWARDED}
    for found in differences.unexplained(told, harm, passing - BESIDE if harm is Harm.ONE_SIDED else passing):
        by_rule.setdefault(id(found.rule), []).append(found)
    for mine in by_rule.values():
        evidence: list[str] = []
        witness: Packet | None = None
        certain = False
        ways: set[tuple[Family, Direction]] = set()
        for found in sorted(mine, key=lambda each: each.difference.conditional):  # the witness is one for certain
            way = found.side.space.family, found.difference.direction
            if harm is Harm.NO_ERRORS and way in ways:
                continue  # of each kind of error and connection it is the same
            shown = differences.shown(found)
            if shown is None:
                continue
            ways.add(way)
            witness = witness or shown.opener
            evidence += _evidence(found, shown)
            certain = certain or not (found.difference.conditional or shown.anyway)
        if witness is not None:
            worst = kind.SEVERITY if certain else Severity.WARNING
            lines = tuple(dict.fromkeys(evidence))
            yield Finding(kind.CODE, worst, kind.TITLE, lines, mine[0].rule.place, (kind.ADVICE,), witness=witness)


def _evidence(found: Found, shown: Shown) -> Iterator[str]:
    yield f"{found.difference.harm}, {found.difference.direction}: {shown.words}"
    if shown.lost is None or shown.by is None:
        yield such_as(shown.opener)
        yield from _taken_too(found)
        return
    if found.difference.harm is Harm.PASSED_BY:
        yield f"{such_as(shown.opener)}: {_passing(shown.by)}"
        return
    if shown.by.verdict is Fate.ACCEPT:
        yield f"{such_as(shown.opener)}: not translated back is {describe_packet(shown.lost)}"
        return
    step = shown.by.by
    where = ""
    if step is not None and step.rule is not None:
        where = f", by {step.rule.place}: {step.rule.text}"
    elif step is not None:
        where = f", by the policy of {step.chain}"
    yield f"{such_as(shown.opener)}: refused is {describe_packet(shown.lost)}{where}"
    if shown.others:
        yield f"untracked by {', '.join(str(rule.place) for rule in shown.others)}"


def _others(rule: Rule, outcomes: Sequence[Outcome]) -> tuple[Rule, ...]:
    """Who untracks the last of these packets, or where nobody does those before it; nobody where `rule` does."""
    taking = untracking(outcomes[-1:]) or untracking(outcomes)
    return () if any(rule is each for each in taking) else tuple(taking)


def _taken_too(found: Found) -> Iterator[str]:
    """The other rules that take packets of these dialogues: a refused one may meet one of them alone."""
    nothing = found.side.space.nothing
    others = (rule for rule, part in found.difference.rules if part & found.part != nothing and rule is not found.rule)
    if places := ", ".join(dict.fromkeys(str(rule.place) for rule in others if rule.place.source)):
        yield f"packets of theirs are untracked by {places} as well"


def _passing(ack: Outcome) -> str:
    """Why what answers SYNs opens no connection."""
    if ack.state is CtState.NEW:
        return "the ACK that ends its handshake is picked up as NEW and passes by the proxy (nf_conntrack_tcp_loose 1)"
    return "the SYN alone is to be untracked, and its ACK to come to the proxy as INVALID"
