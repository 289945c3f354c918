"""A NOTRACK rule that never takes effect.

What it says:
    No packet is untracked by this rule, and why: its chain stands behind
    conntrack or on no hook, on `lo` conntrack has seen the packet in OUTPUT
    already, an earlier rule accepts, drops or untracks it all, or gives it a
    zone or helper first.

Why it matters:
    The entries that the rule was to save are made all the same.

What to do:
    Move the rule to the front of raw PREROUTING or OUTPUT (nftables: a chain
    of priority raw, -300), or remove it.

Caveats:
    Rules are compared as they stand; a set that is filled later may make the
    rule useful. Rules by a mark are not told: ingress and BPF set marks that
    no rule set shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from conntrim.core.diagnose.rulesets import raw, rewrite
from conntrim.core.diagnose.rulesets.asked import names_field
from conntrim.core.diagnose.rulesets.case import WAYS, Home, RuleCase, Side, Taken, such_as
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.packet import Packet
from conntrim.core.model.place import Place
from conntrim.core.model.ruleset import (
    Base,
    CtTemplate,
    End,
    Helper,
    Interface,
    Jump,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    Rule,
    SetZone,
    Verdict,
)
from conntrim.core.model.service import Direction, Hook
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.netfilter.hooks import CONNTRACK, DEFRAG
from conntrim.core.netfilter.outcome import StepKind
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.reachability import COMES, GOES, packets_of
from conntrim.core.prove.states import in_front
from conntrim.core.prove.taking import errors_about

CODE, NAME = "CT104", "notrack-no-effect"

OR_REMOVE = "or remove the rule, which changes nothing"
UNCLEAR = f"yours to decide: move it in front of them, {OR_REMOVE}"


@dataclass(frozen=True, slots=True)
class Why:
    """The reason as the end of a sentence, the evidence, what to do, and a packet that shows it."""

    reason: str
    evidence: tuple[str, ...] = ()
    advice: str = "remove it: nothing changes without it"
    witness: Packet | None = None
    edits: tuple[Edit, ...] | None = None
    """None: the rule goes."""


def idle(case: RuleCase) -> Iterator[Rule]:
    """The NOTRACK rules that take no packet of any family and direction."""
    taking = {_written(t.rule) for s in case.sides for t in (*s.taken, *_answering(s))}
    return (rule for rule in case.notracks if _written(rule) not in taking)


def _written(rule: Rule) -> Place | int:
    """The rule as it is written, of which reading may have made several, one for each alternative; a rule that an edit
    puts somewhere has no place yet."""
    return rule.place if rule.place.source else id(rule)


def _answering(side: Side) -> Iterator[Taken]:
    """What is taken of the answers to what OUTPUT untracks on lo, and of errors about either: they may have no entry
    when they come back (K108)."""
    untracked = side.untracked(Direction.LOOPBACK)
    if side.back and untracked != side.space.nothing:
        answers = side.space.ends_swapped(untracked)
        lone = answers | errors_about(side.space, untracked | answers)
        yield from (taken for taken in side.back if taken.packets & lone != side.space.nothing)


def check(case: RuleCase) -> Iterator[Finding]:
    """NOTRACK rules without effect, each with its reason."""
    for rule in idle(case):
        why = _why(case, rule)
        if why is None:
            continue
        gone = (rewrite.removed(case.home(rule), rule),)
        yield Finding(
            CODE,
            Severity.WARNING,
            f"this NOTRACK rule never takes effect: {why.reason}",
            (rule.text, *why.evidence),
            rule.place,
            (why.advice,),
            witness=why.witness,
            edits=gone if why.edits is None else why.edits,
        )


def _why(case: RuleCase, rule: Rule) -> Why | None:
    """None: it takes packets that nobody here sees, marked ones (from ingress or BPF) or fragments before they are put
    together."""
    home = case.home(rule)
    bases = list(bases_of(home))
    if home.table.dormant:
        return Why(f"its table {home.table.name} is dormant", advice=f"yours to decide: wake the table up, {OR_REMOVE}")
    if not bases:
        return Why(
            f"no hook leads to its chain {home.chain.name}", advice=f"yours to decide: jump there from raw, {OR_REMOVE}"
        )
    early = [b for b in bases if b.hook in WAYS and b.priority < CONNTRACK]
    if not early:
        base = bases[0]
        hook = Hook.OUTPUT if base.hook in (Hook.OUTPUT, Hook.POSTROUTING) else Hook.PREROUTING
        move = (
            f"move it to a chain `type filter hook {hook} priority raw`: from then on its packets are UNTRACKED, for"
            " the filter too"
        )
        where = "" if base.hook in WAYS else f" at the {base.hook} hook,"
        return Why(
            f"its chain stands{where} behind conntrack (priority {base.priority}, conntrack -200)",
            (),
            move,
            None,
            raw.moved(case, rule, hook),
        )
    if names_field(rule, Field.FRAGMENT) and any(b.priority < DEFRAG for b in early):
        return None  # K6 is about what comes behind reassembly
    return _unreached(case, rule, home, {b.hook for b in early})


def bases_of(home: Home) -> Iterator[Base]:
    """The base chains of its table that lead to its chain."""
    reached, front = {home.chain.name}, [home.chain]
    while front:
        chain = front.pop()
        if chain.base is not None:
            yield chain.base
        for other in home.table.chains:
            jumps = (s for r in other.rules for s in r.statements if isinstance(s, Jump))
            if other.name not in reached and any(jump.chain == chain.name for jump in jumps):
                reached.add(other.name)
                front.append(other)


def _unreached(case: RuleCase, rule: Rule, home: Home, hooks: set[Hook]) -> Why | None:
    """What the rule's matches fit, and where those packets go instead."""
    for side in case.sides:
        for hook in sorted(hooks):
            for direction in WAYS[hook]:
                found = _fitting(side, rule, home, direction)
                if found != side.space.nothing:
                    witness = side.told(side.stateless(found), direction).witness
                    return _shadow(case, rule, witness, hook)
    lo = Direction.LOOPBACK
    if Hook.PREROUTING in hooks and any(_fitting(s, rule, home, lo, True) != s.space.nothing for s in case.sides):
        return Why(
            "on lo every packet was seen by conntrack in OUTPUT, before it comes to PREROUTING",
            advice="untrack it in OUTPUT, requests and answers: from then on they are UNTRACKED, for the filter too",
            edits=tuple(_leaving(case, rule, home)),
        )
    if names_field(rule, Field.FRAGMENT):
        return Why("conntrack puts fragments together before they come to raw (K6)")
    return Why("its matches fit no packet of this hook")


def _fitting(side: Side, rule: Rule, home: Home, direction: Direction, entering: bool = False) -> Set:
    """The packets of a direction that the rule's matches fit; `entering`: in PREROUTING, also on `lo`."""
    entered = entering or direction in COMES
    view = MatchEncoder(
        side.space, in_front(side.space), local=side.local,
        has_in=entered, has_out=not entered and direction in (*GOES, Direction.LOOPBACK),
        from_host=direction not in COMES, to_host=direction not in GOES,
    )  # fmt: skip
    return packets_of(side.space, direction, side.local) & view.rule(rule, home.table)


def _shadow(case: RuleCase, rule: Rule, witness: Packet, hook: Hook) -> Why | None:
    """The rule that keeps a packet from this one; None where it is this one that takes it."""
    for step in case.path(witness):
        if step.kind is StepKind.CONNTRACK:
            break
        if step.rule is rule and step.kind is StepKind.RULE:
            return None
        if step.hook is hook and step.kind is StepKind.RULE and step.rule and (word := _does(step.rule)):
            evidence = f"{step.rule.place}: {step.rule.text}"
            advice, edits = _cure(case, rule, step.rule)
            return Why(f"{word} {step.rule.place}", (evidence, such_as(witness)), advice, witness, edits)
    return Why("earlier rules or chains end its packets' way", (such_as(witness),), UNCLEAR, witness, ())


ENDED: dict[Verdict, str] = {
    Verdict.ACCEPT: "its packets are accepted before, by",
    Verdict.DROP: "its packets are dropped before, by",
    Verdict.REJECT: "its packets are refused before, by",
    Verdict.QUEUE: "its packets go to a program before, by",
}
"""What a verdict did to packets that never came."""


def _does(rule: Rule) -> str:
    """What an earlier rule does to a packet that NOTRACK then leaves alone (K9, K10)."""
    for statement in rule.statements:
        match statement:
            case Notrack():
                return "its packets are untracked already by"
            case SetZone():
                return "its packets have a zone already, by"
            case Helper():
                return "its packets have a helper already, by"
            case CtTemplate():
                return "its packets have a template already, by"
            case End():
                return ENDED[statement.verdict]
            case Jump() | Return() | SetMark() | Nat() | SetField() | AddToSet() | NoEffect() | OpaqueStatement():
                continue
            case _:
                assert_never(statement)
    return ""


def _cure(case: RuleCase, rule: Rule, other: Rule) -> tuple[str, tuple[Edit, ...] | None]:
    """What to do about the rule that keeps packets from this one."""
    if any(
        isinstance(s, Notrack) or (isinstance(s, End) and s.verdict is not Verdict.ACCEPT) for s in other.statements
    ):
        return "remove it: nothing changes without it", None
    if any(isinstance(s, Helper) for s in other.statements):
        return f"yours to decide: these connections lose their helper without {other.place}, {OR_REMOVE}", ()
    home = case.home(rule)
    if home.chain is not case.home(other).chain:
        return f"yours to decide: move it in front of what leads to {other.place}, {OR_REMOVE}", ()
    advice = f"put it before {other.place}: from then on its packets are UNTRACKED, for the filter too"
    return advice, (*rewrite.before(home, other, rewrite.copied(rule), rule), rewrite.removed(home, rule))


def _leaving(case: RuleCase, rule: Rule, home: Home) -> Iterator[Edit]:
    """A rule about `lo`, both ways, at the hook where packets on `lo` meet conntrack (K16)."""
    request = tuple(Interface("out", m.names) if isinstance(m, Interface) else m for m in rule.matches)
    answers = rewrite.mirrored(rule.matches, leaving=True)
    for matches in (request, answers):
        leaving = rewrite.made(rewrite.ordered(matches), rule.statements, rule.comment)
        yield from raw.appended(home, Hook.OUTPUT, leaving, rule)
    yield rewrite.removed(home, rule)
