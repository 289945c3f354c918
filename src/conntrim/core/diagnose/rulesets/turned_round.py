"""A NOTRACK rule names the right port on the wrong side.

What it says:
    No entry of the conntrack table has a packet that this rule takes, and
    many would have one if source and destination port changed places.

Why it matters:
    The rule saves nothing: the entries that it was written for are made all
    the same. What it does take instead may be a hole.

What to do:
    In PREROUTING the answers of other servers have the service's port as
    source port, in OUTPUT the requests to them have it as destination port.
    Only a service of this host has it the other way round.

Caveats:
    Told only where a conntrack table is at hand (--flows, or the kernel's
    own). A rule that works leaves no entries, so a rule that meets none is
    not blamed for that alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from conntrim.core.diagnose.rulesets import rewrite
from conntrim.core.diagnose.rulesets.case import RuleCase
from conntrim.core.diagnose.rulesets.met import Met, count
from conntrim.core.model.address import format_address
from conntrim.core.model.fields import Field, mirror
from conntrim.core.model.finding import Edit, Finding, Severity
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import In, Match, Rule
from conntrim.core.model.service import Hook
from conntrim.core.model.tcp_flags import NOT_SYN

CODE, NAME = "CT108", "port-turned-round"

PORTS = (Field.SPORT, Field.DPORT)
ENOUGH = 2
"""Entries that must speak for the other side: one may be a client that happened to take the port."""


def check(case: RuleCase, local: Intervals, blocks: Iterable[FlowTable]) -> Iterator[Finding]:
    """Rules that meet nothing and would meet something turned round; a pair of twins is one mistake."""
    total, met = count(case, local, blocks)
    told: list[tuple[Rule, str]] = []
    for rule in case.notracks:
        here = met.get(id(rule), Met())
        if here.entries or here.turned < ENOUGH:
            continue
        words = f"0 of {total:,} entries meet it; {here.turned:,} would with source and destination port exchanged"
        far = f"their far ends: {', '.join(map(format_address, sorted(here.peers)))}" if here.peers else ""
        finding = Finding(
            CODE, Severity.WARNING, "this NOTRACK rule has the port on the wrong side: it saves no entry",
            (rule.text, words, *((far,) if far else ())), rule.place, edits=tuple(_edits(case, rule, here)),
            caused_by=next((name for other, name in told if _twins(other, rule)), ""),
        )  # fmt: skip
        told.append((rule, finding.name))
        yield finding


def _twins(one: Rule, other: Rule) -> bool:
    return rewrite.mirrored(one.matches) == rewrite.mirrored(rewrite.mirrored(other.matches))


def _edits(case: RuleCase, rule: Rule, met: Met) -> Iterator[Edit]:
    """The rule as it was meant: ports exchanged, the far ends pinned where they are known and few."""
    home = case.home(rule)
    entering = any(t.hook is Hook.PREROUTING for s in case.sides for t in s.taken if t.rule is rule)
    side = Field.SRC if entering else Field.DST
    matches = [replace(m, field=mirror(m.field)) if isinstance(m, In) and m.field in PORTS else m for m in rule.matches]
    matches = [m for m in matches if not (isinstance(m, In) and m.field is Field.TCP_FLAGS)]
    if entering and rewrite.over_tcp(matches):
        matches.append(NOT_SYN)
    pinned = _pins(matches, met, side, case, rule)
    meant = [rewrite.made(rewrite.ordered((*matches, *peer)), rule.statements, rule.comment) for peer in pinned]
    for one in meant[:-1]:
        yield from rewrite.before(home, rule, one, rule)
    yield from rewrite.replaced(home, rule, meant[-1])


def _pins(matches: Iterable[Match], met: Met, side: Field, case: RuleCase, rule: Rule) -> list[tuple[In, ...]]:
    if rewrite.asks(matches, side):
        return [()]
    if met.peers:
        return [(In(side, Intervals.of(peer)),) for peer in sorted(met.peers)]
    blank = rewrite.blank("SERVER", rewrite.family_of_table(case.home(rule)))
    return [(In(side, blank.values),)]
