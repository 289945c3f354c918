"""The obligations of a plan, decided: for all packets by sets, for texts, sizes and names by what the plan is made of.

What a policy's own connections may do is asked of each class of packet of the whole dialogue; what everybody else's
may do is asked of unsolicited packets, of connections and of errors, as `compare` does. A set that is empty is a
proof. One that is not holds a witness - unless all its packets depend on a match that is unknown to the model: then it
is not decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import assert_never

from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Obligation
from conntrim.core.model.policy import Policy
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.registry import BY_SETS, specs_of
from conntrim.core.plan.obligations.spec import BROKEN, OPEN, PROVED, Judgement, Listed, Spec, Undecided
from conntrim.core.prove.diagram import NotDecided, deciding
from conntrim.core.prove.falling import merged
from conntrim.core.prove.flows import flows_of
from conntrim.core.prove.inputs import Broken, Inputs
from conntrim.core.prove.orders import orders
from conntrim.core.prove.packet_text import describe_packet
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change, asked_of
from conntrim.core.prove.reachability import told_of
from conntrim.core.prove.rule_index import Listed as Index

NOBODY: Mapping[Family, Intervals] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Proof:
    """What packet sets say: `obligations`; `broken` with packets that the lab can replay; `residual` exposure in
    words; `costs` are the connections that do not survive falling back, `remarks` what else the operator must know."""

    obligations: tuple[Obligation, ...]
    broken: tuple[Broken, ...]
    residual: tuple[str, ...]
    costs: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def undecided(self) -> frozenset[str]:
        """The obligations that are not proved."""
        return frozenset(o.name for o in self.obligations if o.standing is not PROVED)


def proved(c: Compiled) -> Proof:
    """What packet sets say of a plan's untracked services."""
    loose, facts = c.facts.tcp_loose is not False, c.facts
    return decide(
        c.before, c.untracked, c.policy, facts.local, facts.local_ports,
        loose=loose, tick=c.tick, listed=c.listed, listening=facts.listening,
    )  # fmt: skip


def obligations(c: Compiled, proof: Proof) -> tuple[Obligation, ...]:
    """All of them, decided as far as this can; the kernel's word is asked for elsewhere."""
    by_sets = {o.name: o for o in proof.obligations}
    found = (_of_plan(spec, by_sets.get(spec.name), c) for spec in specs_of(c.policy))
    return tuple(o if o.name == "loads" else doubted(o, c.before.unread) for o in found)


def _of_plan(spec: Spec, by_sets: Obligation | None, c: Compiled) -> Obligation:
    if by_sets is not None and (by_sets.standing is BROKEN or spec.by_plan is None):
        return by_sets
    said = list(spec.by_plan(c)) if spec.by_plan else []
    found = _worst(spec, said)
    return found if by_sets is None or (by_sets.standing is PROVED and found.standing is not PROVED) else by_sets


def _worst(spec: Spec, said: Iterable[Judgement]) -> Obligation:
    """The worst of several judgements, with the number of further ones."""
    distinct = list(dict.fromkeys(said))
    bad = sorted((j for j in distinct if j[0] is not PROVED), key=lambda j: j[0] is not BROKEN)
    if not bad:
        return Obligation(spec.name, PROVED, distinct[0][1] if distinct else spec.fine)
    status, why, witness = bad[0]
    return Obligation(spec.name, status, why + _more(len(bad)), witness)


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""


def decide(
    before: Ruleset,
    after: Ruleset,
    policy: Policy,
    local: Intervals,
    local_ports: tuple[int, int],
    *,
    loose: bool = True,
    tick: Callable[[], None] = lambda: None,
    listed: Index | None = None,
    listening: Mapping[Family, Intervals] = NOBODY,
) -> Proof:
    """Decide the obligations `BY_SETS` for a change of rule sets that leaves the policy's services untracked.

    `local` are the host's addresses (empty: not known), `local_ports` the ephemeral range, `tick` may raise
    `NotDecided` when time is up; `listed` is what was listed of BEFORE when it was read; `listening` are the TCP ports
    at which programs listen on all addresses, so that none opens connections from there (K74).
    """
    case = _Case(policy, local, local_ports, loose, tick, listening)
    told = [(order, case.proof(Change.of(*pair, listed))) for pair, order in orders((before, after))]
    found = told[0][1] if len(told) == 1 else _in_any_order(told)
    unread = before.unread + after.unread
    return replace(found, obligations=tuple(doubted(o, unread) for o in found.obligations))


def doubted(obligation: Obligation, unread: Sequence[str]) -> Obligation:
    """Nothing is proved over rules that were not read: they may do anything."""
    if not unread or obligation.standing is not PROVED:
        return obligation
    distinct = list(dict.fromkeys(unread))
    return Obligation(obligation.name, OPEN, f"not every rule could be read: {distinct[0]}{_more(len(distinct))}")


def _in_any_order(told: list[tuple[str, Proof]]) -> Proof:
    """K2: what holds in every order holds, what breaks in every order breaks; else it depends on what is unknown."""
    proofs = [proof for _, proof in told]
    same = tuple(
        _one_of([(order, o) for order, p in told for o in p.obligations if o.name == spec.name]) for spec in BY_SETS
    )
    broken = {o.name for o in same if o.standing is BROKEN}
    return Proof(
        same,
        tuple(b for b in proofs[0].broken if b.name in broken),
        tuple(dict.fromkeys(text for p in proofs for text in p.residual)),
        merged(text for p in proofs for text in p.costs),
        tuple(dict.fromkeys(text for p in proofs for text in p.remarks)),
    )


def _one_of(told: list[tuple[str, Obligation]]) -> Obligation:
    statuses = {o.standing for _, o in told}
    order, worst = next(((order, o) for order, o in told if o.standing is not PROVED), told[0])
    if len(statuses) == 1:
        return worst
    why = f"if {order}, which no listing shows: {worst.why}"
    return Obligation(worst.name, OPEN, why, worst.witness)


@dataclass(slots=True)
class _Found:
    """What the families said of one obligation."""

    broken: list[Broken] = field(default_factory=list)
    undecided: dict[str, str] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)

    def obligation(self, spec: Spec) -> Obligation:
        """A witness without conditions breaks; one with them, and what was not decided, leaves it open."""
        mine = sorted(self.broken, key=lambda b: len(b.conditions))
        if mine and not mine[0].conditions:
            return Obligation(spec.name, BROKEN, mine[0].why + _more(len(mine)), describe_packet(mine[0].witness))
        if mine:
            return Obligation(spec.name, OPEN, mine[0].why, describe_packet(mine[0].witness))
        if self.undecided:
            why, witness = next(iter(self.undecided.items()))
            return Obligation(spec.name, OPEN, why + _more(len(self.undecided)), witness)
        return Obligation(spec.name, PROVED, spec.fine)


@dataclass(frozen=True, slots=True)
class _Case:
    """What is asked, whichever order the chains run in."""

    policy: Policy
    local: Intervals
    local_ports: tuple[int, int]
    loose: bool
    tick: Callable[[], None]
    listening: Mapping[Family, Intervals]

    def proof(self, change: Change) -> Proof:
        """All families' word."""
        flows = list(flows_of(self.policy, self.local, self.local_ports))
        found = {spec.name: _Found() for spec in BY_SETS}
        for family in dict.fromkeys(flow.family for flow in flows):
            mine = [f for f in flows if f.family is family]
            space, pair = PacketVars(family, change.names, self.tick), change.pair(family, asked_of(mine, family))
            local = told_of(self.local, family) or Intervals()
            inputs = Inputs(space, pair, mine, local, self.loose, self.listening.get(family, Intervals()))
            try:
                with deciding():
                    self._ask(inputs, found)
            except NotDecided as why:
                for each in found.values():
                    each.undecided.setdefault(str(why), "")
        return Proof(
            tuple(found[spec.name].obligation(spec) for spec in BY_SETS),
            tuple(b for each in found.values() for b in each.broken),
            tuple(dict.fromkeys(found["no-exposure"].listed)),
            merged(found["falls-back"].listed),
            tuple(dict.fromkeys((*found["nat-kept"].listed, *found["no-loss"].listed))),
        )

    def _ask(self, inputs: Inputs, found: dict[str, _Found]) -> None:
        """Every obligation of one family. What is in doubt for one packet is so for all obligations."""
        doubts = "; ".join(dict.fromkeys(inputs.doubts()))
        for spec in BY_SETS:
            mine = found[spec.name]
            if doubts:
                mine.undecided.setdefault(doubts, "")
            for said in spec.by_sets(inputs) if spec.by_sets else ():
                match said:
                    case Broken():
                        mine.broken.append(said)
                    case Undecided(why=why, witness=witness):
                        mine.undecided.setdefault(why, witness)
                    case Listed(words=words):
                        mine.listed.append(words)
                    case _:
                        assert_never(said)
