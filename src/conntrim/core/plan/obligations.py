"""The twelve properties that a plan must have, each decided by an argument about all packets or left undecided.

*Proved* rests on boxes: three-valued walks whose *all* and *none* are exact (box.py), and on what the texts are by
construction. Where a walk ends in *some*, the answer is *not decided*, with the rule that stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from conntrim.core.model.address import Family
from conntrim.core.model.facts import Era, HostFacts
from conntrim.core.model.plan import ARMED, DEADLINE, OWN_TABLE, Change, Obligation, Standing
from conntrim.core.model.policy import Policy
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.ruleset import (
    Chain,
    Dialect,
    End,
    Field,
    Helper,
    In,
    Match,
    Nat,
    NoEffect,
    Opaque,
    Rule,
    Ruleset,
    SetZone,
    Table,
    TableFamily,
    Verdict,
    XtConntrack,
)
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import FAMILIES
from conntrim.core.plan.admission import Addition, Course, excused
from conntrim.core.plan.box import Box, Tri, asks_entry
from conntrim.core.plan.legs import Leg
from conntrim.core.plan.propose import HELPER_PORTS
from conntrim.core.plan.reach import reached, within
from conntrim.core.plan.spelling import PLACE
from conntrim.core.plan.texts import FAMILY_TABLES, XT_GUARD, Texts
from conntrim.core.plan.walk import hits, later_box
from conntrim.core.prove.expired import expired
from conntrim.core.prove.judge import Judgement as Proof
from conntrim.core.prove.judge import judge as judge_all

RAW_HOOKS = frozenset({Hook.PREROUTING, Hook.OUTPUT})


@dataclass(frozen=True, slots=True)
class Compiled:
    """Everything that the obligations look at. `before` holds nothing of ours, `after` the unguarded rules, `trial`
    the guarded ones."""

    policy: Policy
    facts: HostFacts
    dialect: Dialect
    before: Ruleset
    after: Ruleset
    trial: Ruleset
    legs: tuple[Leg, ...]
    courses: tuple[Course, ...]
    additions: tuple[Addition, ...]
    texts: Texts
    changes: tuple[Change, ...]


Judgement = tuple[Standing, str, str]
PROVED, BROKEN, OPEN = Standing.PROVED, Standing.BROKEN, Standing.NOT_DECIDED


def _worst(found: Iterable[Judgement], fine: str) -> Judgement:
    """The worst of several judgements, with the number of further ones; `fine` where there is none."""
    bad = sorted((j for j in found if j[0] is not PROVED), key=lambda j: j[0] is not BROKEN)
    if not bad:
        return PROVED, fine, ""
    distinct = list(dict.fromkeys(bad))
    more = f" (and {len(distinct) - 1} more)" if len(distinct) > 1 else ""
    return distinct[0][0], distinct[0][1] + more, distinct[0][2]


def _seen_at(leg: Leg) -> Iterator[tuple[Hook, Box]]:
    """A leg's packets, the first ones, at every hook they pass; addresses of ours where we know them."""
    for hook in leg.route():
        side = "in" if hook in (Hook.PREROUTING, Hook.INPUT) else "out"
        yield hook, within(leg, {side: "lo" if leg.loopback else "other"})


def _rules_on_the_way(c: Compiled, types: frozenset[str]) -> Iterator[tuple[Leg, Table, Rule, Tri]]:
    """Every rule of chains of these types that a leg's packets may meet."""
    for leg in c.legs:
        for hook, box in _seen_at(leg):
            for table in c.before.tables:
                if table.dormant or leg.family not in FAMILIES.get(table.family, ()):
                    continue
                for chain in table.chains:
                    if chain.base and chain.base.hook is hook and chain.base.type in types:
                        for rule, matched in reached(table, chain, box):
                            yield leg, table, rule, matched


def _two_sided(c: Compiled) -> Judgement:
    zones = [
        (
            OPEN,
            f"{rule.place} sets a zone or helper for packets of {leg.label}; NOTRACK may do nothing there",
            rule.text,
        )
        for leg, _, rule, _ in _rules_on_the_way(c, frozenset({"filter"}))
        if leg.hook in RAW_HOOKS and any(isinstance(s, SetZone | Helper) for s in rule.statements)
    ]
    pairs = len(c.legs)
    fine = f"each of the {pairs} legs has its mirror image; the first rule of raw reaches them, nothing comes before it"
    return _worst(zones, fine if pairs else "no service goes untracked")


def _course(c: Compiled, course: Course) -> Judgement:
    """Whether every packet that was let through is let through by one base chain."""
    label = f"{course.passage.label} over {course.passage.family.name} in {course.table.name} {course.base.name}"
    if course.doubts:
        doubt = course.doubts[0]
        return OPEN, f"{label}: {doubt.rule.place} is not copied: {doubt.why}", doubt.rule.text
    table, chain = _after(c, course)
    for admission in course.admitted:
        box = later_box(admission.box, course.passage.later)
        ends = list(hits(table, chain, box))
        bad = [e for e in ends if not _passes(e, chain, course)]
        if bad:
            rule = bad[0][0] if bad[0] else None
            place = str(rule.place) if rule else f"the policy of {chain.name}"
            standing = BROKEN if len(bad) == len(ends) else OPEN
            return standing, f"{label}: {place} may refuse it as {box.state.name}", rule.text if rule else ""
    return PROVED, "", ""


def _passes(end: tuple[Rule, End] | None, chain: Chain, course: Course) -> bool:
    """Accepted, or refused where the tracked packets were refused as well."""
    if end is None:
        return chain.base is None or chain.base.policy is Verdict.ACCEPT
    rule, verdict = end
    twins = {id(t.original) for t in course.twins if t.original is not None}
    ours = rule.place.source == PLACE.source
    return verdict.verdict is Verdict.ACCEPT or (ours and bool(twins)) or excused(rule, course)


def _after(c: Compiled, course: Course) -> tuple[Table, Chain]:
    key = (course.table.dialect, course.table.family, course.table.name)
    table = next(t for t in c.after.tables if (t.dialect, t.family, t.name) == key)
    return table, table.chain(course.base.name) or course.base


def _courses(c: Compiled, wanted: Callable[[Course], bool], fine: str) -> Judgement:
    return _worst((_course(c, course) for course in c.courses if course.admitted and wanted(course)), fine)


def _delivered(c: Compiled) -> Judgement:
    count = sum(1 for course in c.courses if course.passage.leg and course.admitted)
    fine = f"walked {count} ways of legs through filter chains: whatever was let through still is, with all TCP flags"
    return _courses(c, lambda course: course.passage.leg is not None, fine)


def _errors_return(c: Compiled) -> Judgement:
    fine = "ICMP errors about untracked flows are let in where those about tracked ones were"
    return _courses(
        c, lambda x: x.passage.label.startswith("icmp errors") and not x.passage.label.endswith("out"), fine
    )


def _answers_leave(c: Compiled) -> Judgement:
    fine = "resets and ICMP errors about untracked packets leave where those about tracked ones did"
    return _courses(c, lambda x: x.passage.leg is None and x.passage.label != "icmp errors in", fine)


def _no_loss(c: Compiled) -> Judgement:
    inside = [(s, w, x) for s, w, x in (_delivered(c), _errors_return(c), _answers_leave(c)) if s is not PROVED]
    return _worst(inside, "packets outside the legs meet no new rule that matches them; the legs are delivered")


def _no_exposure(c: Compiled) -> Judgement:
    found: list[Judgement] = []
    for course in c.courses:
        if course.passage.leg is None or _open_before(course):
            continue
        found += [(OPEN, f"{d.rule.place}: {d.why}", d.rule.text) for d in course.doubts]
        found += _newly_accepting(c, course)
    fine = "every added accept matches a leg, an ICMP error or a reset only, and stands behind what refused it before"
    return _worst(found, fine)


def _newly_accepting(c: Compiled, course: Course) -> Iterator[Judgement]:
    """Rules and policies of the operator's that accept packets of a leg which they did not meet before."""
    table, chain = _after(c, course)
    met = {id(end[0]) if end else 0 for end in hits(course.table, course.base, course.passage.before)}
    policy = chain.base.policy if chain.base else Verdict.ACCEPT
    for end in hits(table, chain, course.passage.later):
        if (end[1].verdict if end else policy) is not Verdict.ACCEPT or (end and end[0].place.source == PLACE.source):
            continue
        if (id(end[0]) if end else 0) not in met:
            place, text = (str(end[0].place), end[0].text) if end else (f"the policy of {chain.name}", "")
            why = f"{place} accepts {course.passage.later.state.name} packets of {course.passage.label}"
            yield BROKEN, f"{why}, of which some were refused before", text


def _open_before(course: Course) -> bool:
    """Whether every first packet of the passage was accepted before."""
    policy = course.base.base.policy if course.base.base else Verdict.ACCEPT
    ends = hits(course.table, course.base, course.passage.before)
    return all((e[1].verdict if e else policy) is Verdict.ACCEPT for e in ends)


def _nat_kept(c: Compiled) -> Judgement:
    """Boxes do not follow a packet through its translation: what the packet sets find alone counts."""
    return PROVED, "no connection that a rule may translate becomes untracked, and no answer to one", ""


def _helper_kept(c: Compiled) -> Judgement:
    found: list[Judgement] = []
    for leg, _, rule, _ in _rules_on_the_way(c, frozenset({"filter"})):
        if helper := next((s for s in rule.statements if isinstance(s, Helper)), None):
            found.append((BROKEN, f"{rule.place} gives {leg.label} the helper {helper.name}", rule.text))
    for entry in c.policy.untrack:
        for (protocol, port), helper_name in HELPER_PORTS.items():
            if protocol == entry.protocol and port in entry.ports:
                why = f"{protocol_name(protocol)}/{port} is where the {helper_name} helper looks, if it is loaded"
                found.append((OPEN, f"{entry}: {why}", ""))
    return _worst(found, "no rule gives a leg a helper, and no leg's port is one of a helper")


def _no_ct_dependence(c: Compiled) -> Judgement:
    found: list[Judgement] = []
    untranslated = _nat_kept(c)[0] is PROVED
    for leg, _, rule, _ in _rules_on_the_way(c, frozenset({"filter", "route"})):
        if untranslated and any(_translated_only(m) for m in rule.matches):
            continue
        asking = next((m for m in rule.matches if asks_entry(m)), None)
        doing = next((s for s in rule.statements if isinstance(s, Opaque | NoEffect) and _keeps_marks(s)), None)
        if asking is not None or doing is not None:
            what = "asks" if asking is not None else "writes to"
            found.append(
                (OPEN, f"{rule.place} {what} the conntrack entry of {leg.label}, which will not exist", rule.text)
            )
    return _worst(found, "no rule on the way of a leg asks more of conntrack than the state")


TRANSLATED_ONLY = (["ct", "status", "dnat"], ["ct", "status", "snat"])


def _translated_only(match: Match) -> bool:
    """Whether it holds for translated flows only (firewalld asks so): for no leg, where no rule translates one."""
    return isinstance(match, Opaque) and match.text.replace("==", "").split() in TRANSLATED_ONLY


def _keeps_marks(statement: Opaque | NoEffect) -> bool:
    text = f"{statement.kind} {statement.text}".upper()
    return "CONNMARK" in text or "CONNSECMARK" in text or text.startswith("CT ") or "CT MARK" in text


def _fragments(c: Compiled) -> Judgement:
    """K5, K6: while anything uses conntrack, fragments are reassembled before raw.

    In a family where nothing uses it, before or after, nothing is tracked and nothing asks: NOTRACK of some fragments
    and not of others cannot be told apart.
    """
    families = dict.fromkeys(leg.family for leg in c.legs)
    fragile = [f.name for f in families if not _tracked(c.before, f) and _tracked(c.after, f)]
    if fragile:
        why = f"until the plan's own rules use conntrack for {' and '.join(fragile)}, packets come in parts"
        return OPEN, why, ""
    unused = [f.name for f in families if not _tracked(c.before, f)]
    why = "conntrack stays in use by other rules, so packets are whole before raw (raw_before_defrag is off)"
    return PROVED, why + (f"; nothing uses it for {' and '.join(unused)}" if unused else ""), ""


def _tracked(ruleset: Ruleset, family: Family) -> bool:
    """Whether anything makes conntrack active for that family (K5)."""
    reach = (TableFamily.INET, FAMILY_TABLES[family])
    return any(_uses_conntrack(table) for table in ruleset.tables if table.family in reach)


def _uses_conntrack(table: Table) -> bool:
    rules = [r for c in table.chains for r in c.rules]
    nat = any(isinstance(s, Nat) for r in rules for s in r.statements)
    return nat or any(
        isinstance(m, XtConntrack) or (isinstance(m, In) and m.field is Field.CT_STATE)
        for r in rules
        for m in r.matches
    )


def _guard_expired(c: Compiled) -> Judgement:
    """By the trial's own text, every line of which adds and is guarded or reached through a guarded jump only, and by
    the sets of packets that its rules leave as they were once the guard is false."""
    if c.facts.era is Era.IP and c.texts.trial:
        return BROKEN, "kernels of the ip_conntrack era have no match on the date: nothing expires by itself", ""
    lines = [line for b in c.texts.trial for line in b.text.splitlines()]
    bare = [
        (BROKEN, "a line of the trial is neither guarded nor in a chain of ours", line)
        for line in lines
        if not guarded(line)
    ]
    by_sets = expired(c.before, c.trial, XT_GUARD, c.facts.local)
    found = [*bare, (by_sets.standing, by_sets.why, by_sets.witness)]
    return _worst(found, f"all {len(lines)} lines of the trial add; each in a chain that is not ours carries the guard")


def guarded(line: str) -> bool:
    """Whether a line of a trial has no effect once the guard has expired."""
    words = line.split()
    if not words or words[0] in ("COMMIT",) or line.startswith(("*", ":CONNTRIM-", "-A CONNTRIM-")):
        return True
    if words[0] == "-I":
        return f"--datestop {DEADLINE}" in line
    if words[:2] in (["add", "set"], ["flush", "set"], ["add", "element"]):
        return words[4] == ARMED
    own = words[2:4] == ["inet", OWN_TABLE]
    if words[:2] in (["add", "table"], ["add", "chain"], ["flush", "chain"]):
        return own
    if words[:2] in (["insert", "rule"], ["add", "rule"]):
        return f"@{ARMED} " in line or (own and words[4].startswith("untrack_"))
    return False


def _loads(c: Compiled) -> Judgement:
    if not c.texts.trial:
        return PROVED, "there is nothing to load", ""
    return OPEN, "no kernel was asked to check the texts", ""


TABLE: dict[str, Callable[[Compiled], Judgement]] = {
    "two-sided": _two_sided,
    "delivered": _delivered,
    "no-exposure": _no_exposure,
    "no-loss": _no_loss,
    "nat-kept": _nat_kept,
    "helper-kept": _helper_kept,
    "errors-return": _errors_return,
    "answers-leave": _answers_leave,
    "no-ct-dependence": _no_ct_dependence,
    "fragments": _fragments,
    "guard-expired": _guard_expired,
    "loads": _loads,
}
"""Every obligation, in the order of the manual."""


def proved(c: Compiled) -> Proof:
    """What packet sets say of the change."""
    loose = c.facts.tcp_loose is not False
    return judge_all(c.before, c.after, c.policy, c.facts.local, c.facts.local_ports, loose=loose)


def obligations(c: Compiled, proof: Proof) -> tuple[Obligation, ...]:
    """All twelve, decided as far as this can: the boxes' word, and the packet sets' where they decide."""
    by_sets = {o.name: o for o in proof.obligations}
    return tuple(
        _settled(Obligation(name, *decide(c)), by_sets.get(name), bool(proof.assumed)) for name, decide in TABLE.items()
    )


WORST = (BROKEN, OPEN, PROVED)


def _settled(by_boxes: Obligation, by_sets: Obligation | None, assuming: bool) -> Obligation:
    """Two arguments about one property. Sets are exact where no match is taken to answer as it did before: one that
    counts packets would see more of an untracked connection. Helpers are also known by their ports."""
    if by_sets is None or by_sets.standing is by_boxes.standing:
        return by_boxes
    if by_sets.standing is OPEN or by_sets.name == "helper-kept" or (assuming and by_sets.standing is PROVED):
        return min(by_boxes, by_sets, key=lambda o: WORST.index(o.standing))
    return by_sets
