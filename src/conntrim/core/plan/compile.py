"""Policy, rule set and host to a plan: legs, the accepts they need, the texts that load and undo them, the proofs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from conntrim.core.model.address import Family, family_of
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.census import Census
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Era, HostFacts
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import OWN_TABLES, SLOTS, Obligation, ObligationStatus, Plan
from conntrim.core.model.policy import Policy, Untrack, format_ports, only_in
from conntrim.core.model.raw_text import bytes_of
from conntrim.core.model.ruleset import (
    Dialect,
    Notrack,
    Rule,
    Ruleset,
    Table,
)
from conntrim.core.model.service import Direction
from conntrim.core.model.silences import Silences
from conntrim.core.netfilter.hooks import sees
from conntrim.core.plan.added import added_rules, marked
from conntrim.core.plan.admission import Admissions, Course, admissions, merged
from conntrim.core.plan.changes import changes_of
from conntrim.core.plan.clients import Asked, asked, closed, remarks
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.described import Described
from conntrim.core.plan.freshness import made_for
from conntrim.core.plan.ground import Ground
from conntrim.core.plan.harm import harm
from conntrim.core.plan.legs import Leg, Way, kept_on_lo, legs_of
from conntrim.core.plan.limited import in_tracked_families, over_now, refused, untracked_families
from conntrim.core.plan.managers import managers_of
from conntrim.core.plan.nat_exemption import exempted
from conntrim.core.plan.obligations.decide import Proof, decide, obligations, proved
from conntrim.core.plan.obligations.room import room
from conntrim.core.plan.own import has_trial, marks, own_comments, parts, slots, without_own, without_trial
from conntrim.core.plan.own_rules import free_priority, owns_of, protocols_of, raws_of
from conntrim.core.plan.passages import leg_passages, passages
from conntrim.core.plan.propose import predicted
from conntrim.core.plan.replacing import replacing_of
from conntrim.core.plan.residual import residual_exposure
from conntrim.core.plan.sizing import files_of, remarks_of, settings_now, settings_of
from conntrim.core.plan.timed import lasting_timers, timed
from conntrim.core.prove.diagram import NotDecided, deciding
from conntrim.core.prove.rule_index import Listed


def dialect_of(ruleset: Ruleset) -> Dialect:
    """The host's own: iptables where one of its tables is in use, by its back end; else nftables."""
    used = [t.dialect for t in ruleset.tables if any(c.rules for c in t.chains)]
    order = (Dialect.IPTABLES_NFT, Dialect.IPTABLES_LEGACY, Dialect.NFTABLES)
    return next((d for d in order if d in used), Dialect.NFTABLES)


def refuse_ephemeral(policy: Policy, local_ports: tuple[int, int]) -> None:
    """InputError for an inbound range among the ports that this host's own clients use: they would be untracked too."""
    for entry in policy.untrack:
        if entry.direction is not Direction.INBOUND:
            continue
        shared = [r for r in (entry.ports & Intervals.of(local_ports)).ranges if r[0] != r[1]]
        if shared:
            raise InputError(
                entry.place.source,
                f"ports {format_ports(Intervals(tuple(shared)))} overlap this host's ephemeral ports "
                f"{local_ports[0]}-{local_ports[1]}",
                line=entry.place.line,
                advice="name single ports, or move net.ipv4.ip_local_port_range",
            )


def families_of(entry: Untrack, facts: HostFacts) -> Untrack:
    """The entry in the families that the host speaks; a host whose addresses are not known speaks both."""
    spoken = {family_of(low) for low, _ in facts.local.ranges} or set(Family)
    return only_in(entry, spoken)


def free_slot(current: Ruleset) -> int:
    """The set of own names for a plan beside what stands there; the first where nothing of ours does."""
    return next((slot for slot in SLOTS if slot not in slots(current)), SLOTS[0])


@dataclass(frozen=True, slots=True)
class Request:
    """What a plan is compiled from. `dialect` None: the host's own; `digest` is that of `ruleset` as it is loaded.

    `tick` is called now and then by the proofs, and may raise `NotDecided` when time is up.
    """

    policy: Policy
    ruleset: Ruleset
    facts: HostFacts
    dialect: Dialect | None = None
    digest: str = ""
    census: Census | None = None
    tick: Callable[[], None] = lambda: None
    silences: Silences | None = None


def compile_plan(request: Request) -> Plan:
    """The plan, its obligations decided but for `loads`, which the host is asked. InputError for a range too wide."""
    policy, facts, done = request.policy, request.facts, compiled(request)
    entries = predicted(policy, request.census, facts) if request.census else (None, None)
    proof, settings = proved(done), settings_of(policy, facts.era, facts.max)
    plan = Plan(
        name="",
        dialect=done.dialect,
        era=facts.era,
        policy=policy.unplaced(),
        trial=done.texts.trial,
        confirm=done.texts.confirm,
        rollback_trial=done.texts.rollback_trial,
        rollback_confirmed=done.texts.rollback_confirmed,
        files=files_of(policy, facts.era, facts.max),
        obligations=_obligations(request, done, proof, entries[1]),
        settings=settings,
        settings_before=settings_now(settings, facts),
        ruleset_digest=request.digest,
        ruleset_parts=parts(request.ruleset),
        entries_before=entries[0],
        entries_after=entries[1],
        residual=(*residual_exposure(done), *proof.residual),
        managers=tuple(manager.name for manager in managers_of(request.ruleset)),
        remarks=(*_remarks(request, done), *proof.remarks, *remarks_of(policy, facts)),
        changes=done.changes,
        circumstances=made_for(facts, request.ruleset, policy),
        closed=(*closed(done.services), *_closed(done.courses)),
        costs=(*proof.costs, *lasting_timers(done.timeouts)),
        untracked=untracked(done.services, facts.local | policy.own_addresses),
        refused=tuple(refused(done.limits)),
        harm=tuple(harm(done.timeouts, request.silences)),
        over_now=tuple(over_now(done.limits, request.census)) if request.census else (),
    )
    current = without_trial(request.ruleset)
    present, wanted = _present(current), _present(done.after)
    if present and present == wanted:
        plan = _nothing_to_do(plan)
    elif present:
        plan = _replacing(plan, current, done)
    return replace(plan, name=_name(plan))


def untracked(services: Sequence[Asked], local: Intervals) -> tuple[Untrack, ...]:
    """The services as the raw rules have them: where nobody may ask over the network, only `lo` goes untracked."""
    found = []
    for each in services:
        service = replace(each.service, place=Place("policy"))
        if each.clients is not None:
            ours = Intervals() if service.keep_lo_tracked else local | LOOPBACK
            service = replace(service, peers=each.clients | (ours & service.peers if service.peers else ours))
            if not service.peers:
                continue
        found.append(service)
    return tuple(found)


def _obligations(request: Request, done: Compiled, proof: Proof, entries: int | None) -> tuple[Obligation, ...]:
    """Settings alone move no packet: of them only the room for the entries is asked."""
    about_rules = obligations(done, proof) if request.policy.cures else ()
    counted = entries if entries is not None else request.facts.count
    return (*about_rules, *room(request.policy, request.facts, counted))


def compiled(request: Request) -> Compiled:
    """Everything that a plan and its proofs are made of. InputError for a range too wide.

    Where a rule that counts would meet other packets than before, all but opening packets are kept from it, if that
    helps and does no harm elsewhere.
    """
    facts = request.facts
    if request.policy.own_addresses and facts.local:
        request = replace(request, facts=replace(facts, local=facts.local | request.policy.own_addresses))
    plain = _compiled(request, bind=False)
    if not any(course.bound for course in plain.courses):
        return plain
    left = proved(plain).undecided()
    if "no-ct-dependence" not in left:
        return plain
    bound = _compiled(request, bind=True)
    return bound if proved(bound).undecided() < left else plain


def _compiled(request: Request, *, bind: bool) -> Compiled:
    policy, facts, current = request.policy, request.facts, without_trial(request.ruleset)
    refuse_ephemeral(policy, facts.local_ports)
    base, old = without_own(request.ruleset), facts.era is Era.IP
    dialect = request.dialect or (Dialect.IPTABLES_LEGACY if old else dialect_of(base))
    listed = Listed((base,))
    placed = _placed(request, base, listed, dialect, bind=bind)
    services, legs, found = placed.services, placed.legs, placed.found
    limits = in_tracked_families(policy.limits, base)
    waits = in_tracked_families(policy.service_timeouts, base)
    additions, raws = merged(found), raws_of(legs, dialect, free_priority(current), placed.exempted)
    by_kind = owns_of(current, dialect, raws, limits, timed(waits, facts), nft=facts.nft)
    mark = _short("".join(f"{c.chain} {c.rule}\n" for c in added_rules(additions, sum(by_kind, ()), old=old)))
    additions, owns = marked(additions, sum(by_kind, ()), mark)
    loaded = marks(current) == (mark,)
    slot = min(slots(current), default=SLOTS[0]) if loaded else free_slot(current)
    owns = tuple(own.in_slot(slot) for own in owns)
    changes = added_rules(additions, owns, old=old)
    changing = partial(changes_of, base, additions, mark=mark, protocols=protocols_of(policy), old=old)
    operations = changing(owns)
    after, trial = operations.after, operations.on_trial
    most = len(by_kind[0]) + len(by_kind[1])
    limiting = changing(owns[:most]) if len(owns) > most else operations
    untracking = changing(owns[: len(raws)]) if by_kind[1] else limiting
    replacing = None
    if slots(current) and not loaded:
        replacing = replacing_of(operations, untracking.plain, current, protocols_of(policy))
    return Compiled(
        policy=policy,
        facts=facts,
        dialect=dialect,
        before=base,
        listed=listed,
        already=placed.already,
        after=after,
        untracked=after if untracking is operations else untracking.after,
        limited=after if limiting is operations else limiting.after,
        trial=trial,
        limits=limits,
        timeouts=waits,
        services=services,
        legs=legs,
        courses=tuple(found.courses),
        additions=additions,
        operations=operations,
        texts=replacing.texts if replacing else operations.texts(trial, after),
        replacing=replacing,
        changes=changes,
        tick=request.tick,
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """What the rules say of the services: whom they let ask, what must be added, what stays tracked."""

    services: tuple[Asked, ...]
    legs: tuple[Leg, ...]
    found: Admissions
    exempted: tuple[Leg, ...] = ()
    already: tuple[str, ...] = ()


def _placed(request: Request, base: Ruleset, listed: Listed, dialect: Dialect, *, bind: bool) -> _Placed:
    """By sets of packets. Where those grow out of bounds nothing is added, and the proofs say what is then broken."""
    facts = request.facts
    entries = [families_of(u, facts) for u in request.policy.untrack]
    where = facts.local, facts.local_ports
    widest = tuple(leg for entry in entries for leg in legs_of(entry, *where))
    wanted = passages(widest)
    try:
        with deciding():
            families = dict.fromkeys(passage.family for passage in wanted)
            grounds = {family: Ground.of(base, family, wanted, facts.local, listed) for family in families}
            services = tuple(each for entry in entries for each in asked(grounds, entry, *where, dialect))
            legs = tuple(leg for each in services for leg in legs_of(each.service, *where, each.clients))
            found = admissions(grounds, passages(legs), bind=bind)
            already = tuple(_already(base, grounds, legs))
            kept = (*(leg for entry in entries for leg in kept_on_lo(entry, *where)), *exempted(grounds, legs))
            return _Placed(services, legs, found, kept, already)
    except NotDecided as why:
        said = f"where accepts for untracked packets belong is not decided: {why}"
        return _Placed(tuple(map(Asked, entries)), widest, Admissions(), already=(said,))


def _present(ruleset: Ruleset) -> frozenset[tuple[str, str, str, str]]:
    """Our rules by place and comment; the own chains' names differ between dialects and slots, and say nothing."""
    return frozenset(
        (family, OWN_TABLES[SLOTS[0]] if table in OWN_TABLES.values() else table, "", comment)
        for family, table, _, comment in own_comments(ruleset)
        if comment
    )


def _nothing_to_do(plan: Plan) -> Plan:
    return replace(
        plan,
        trial=(),
        confirm=(),
        rollback_trial=(),
        changes=(),
        costs=(),
        obligations=_decided(plan, Obligation("loads", ObligationStatus.PROVED, "the rules are loaded already")),
        remarks=("the rules of this policy are loaded already: there is nothing to change", *plan.remarks),
    )


def _replacing(plan: Plan, current: Ruleset, done: Compiled) -> Plan:
    """A plan that stands on trial beside what an earlier one holds, and takes its place when it is confirmed."""
    earlier = marks(current)
    if done.replacing is None or set(earlier) & set(marks(done.after)):
        why = "some rules of this plan are loaded already, and not all: conntrim rollback first"
        return replace(plan, obligations=_decided(plan, Obligation("guard-expired", ObligationStatus.BROKEN, why)))
    obligations, costs = _weighed(done, plan.obligations, plan.costs)
    reinstate = done.replacing.reinstate
    return replace(plan, replaces=earlier, reinstate=reinstate, obligations=obligations, costs=costs)


TOGETHER = "while both plans' rules stand"
"""What is said of the time between a trial's load and its confirm's end."""


def _weighed(
    done: Compiled, alone: tuple[Obligation, ...], costs: tuple[str, ...]
) -> tuple[tuple[Obligation, ...], tuple[str, ...]]:
    """The obligations with what both plans' rules do together; what falling back costs is what it costs from there."""
    assert done.replacing is not None
    changes, facts = done.replacing.changes, done.facts
    proof = decide(
        changes.before, done.replacing.untracked, done.policy, facts.local, facts.local_ports,
        loose=facts.tcp_loose is not False, tick=done.tick, listening=facts.listening,
    )  # fmt: skip
    worse = {o.name: o for o in proof.obligations if o.standing is not ObligationStatus.PROVED}
    found = tuple(
        replace(worse[o.name], why=f"{TOGETHER}: {worse[o.name].why}")
        if o.standing is ObligationStatus.PROVED and o.name in worse
        else o
        for o in alone
    )
    return found, proof.costs


def _decided(plan: Plan, decided: Obligation) -> tuple[Obligation, ...]:
    return tuple(decided if o.name == decided.name else o for o in plan.obligations)


def _name(plan: Plan) -> str:
    """A short name that changes with what the plan does."""
    text = "".join(b.text for b in (*plan.trial, *plan.confirm)) + plan.ruleset_digest + repr(plan.settings)
    return f"plan-{_short(text)}"


def _short(text: str) -> str:
    return hashlib.sha256(bytes_of(text)).hexdigest()[:8]


def _remarks(request: Request, done: Compiled) -> tuple[str, ...]:
    found = [f"{m.name} makes rules here: {m.means}" for m in managers_of(request.ruleset)]
    if has_trial(request.ruleset):
        found.append("rules of an earlier trial are still loaded: conntrim rollback takes them out")
    found += done.already
    doubts = [d for course in done.courses for d in course.doubts]
    found += [f"{d.rule.place} is not copied for untracked packets: {d.why}: {d.rule.text}" for d in doubts]
    found += remarks(done.services)
    found += untracked_families(done.policy.limits, done.before, "limited")
    found += untracked_families(done.policy.service_timeouts, done.before, "given time-outs")
    for passage in (c.passage for c in done.courses if c.passage.leg and not c.admits):
        on_lo = " on lo" if "lo" in passage.later.interfaces.values() and not passage.label.endswith("lo") else ""
        where = f"{passage.label}{on_lo} over {passage.family.name}"
        found.append(f"{where}: the rules at {passage.hook} do not let it through today, nor afterwards")
    return tuple(dict.fromkeys(found))


def _already(ruleset: Ruleset, grounds: Mapping[Family, Ground], legs: Sequence[Leg]) -> Iterator[str]:
    """What becomes of an operator's own NOTRACK rules: the plan may say the same, more tightly."""
    after = "delete it once the plan is confirmed, and what else it exposes is gone"
    for table, rule in ((t, r) for t in ruleset.tables for r in t.rules()):
        if not any(isinstance(s, Notrack) for s in rule.statements):
            continue
        mine = [leg for leg in legs if not leg.loopback and sees(table, leg.family)]
        same = dict.fromkeys(leg.label for leg in mine if _untracks(grounds[leg.family], leg, table, rule))
        if same:
            said = f"untracks {', '.join(same)} already, and the plan does so more tightly; {after}"
        else:
            said = "untracks packets already; it stays as it is, and so does what it exposes"
        yield f"{rule.place} {said}: {rule.text}"


def _untracks(ground: Ground, leg: Leg, table: Table, rule: Rule) -> bool:
    """Whether a rule's matches hold for all packets of a leg, on whatever interface."""
    view = ground.view(next(leg_passages(leg, on_lo=False)), known=False)
    packets = Described(leg.fields, CtState.UNTRACKED, {}).packets(view, table)
    return packets & ~view.rule(rule, table) == view.space.nothing


def _closed(courses: Sequence[Course]) -> tuple[str, ...]:
    """The services whose requests from or to the network the filter does not let through, in any family."""
    shut: dict[Untrack, dict[Family, bool]] = {}
    for course in courses:
        leg, around = course.passage.leg, course.passage.later.interfaces.values()
        if leg and leg.way is Way.REQUEST and "lo" not in around:
            families = shut.setdefault(leg.service, {})
            families[leg.family] = families.get(leg.family, False) or not course.admits
    return tuple(str(service) for service, families in shut.items() if all(families.values()))
