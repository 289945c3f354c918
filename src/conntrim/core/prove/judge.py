"""The obligations of a plan, decided for all packets: before and after, whatever the rules of the two look like.

What a policy's own connections may do is asked of each class of packet of the whole dialogue; what everybody else's
may do is asked of strangers, of connections and of errors, as `compare` does. A set that is empty is a proof. One
that is not holds a witness - unless all its packets hang on a match that nobody here understands: not decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Obligation, Standing
from conntrim.core.model.policy import Policy
from conntrim.core.model.ruleset import Field, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.states import FRESH, Need
from conntrim.core.prove.bounds import Bounds, fields_of, mirrored
from conntrim.core.prove.case import Broken, Case
from conntrim.core.prove.diagram import NotDecided, deciding
from conntrim.core.prove.falling import merged
from conntrim.core.prove.flows import BACK, Flow, flows_of
from conntrim.core.prove.orders import orders
from conntrim.core.prove.packet_text import describe_packet
from conntrim.core.prove.packet_vars import ICMP_OF, PacketVars
from conntrim.core.prove.pair import Asked, Change, Way
from conntrim.core.prove.reachability import told_of
from conntrim.core.prove.rule_index import Listed

NAMES = (
    "two-sided", "delivered", "no-exposure", "no-loss", "nat-kept", "helper-kept", "errors-return", "answers-leave",
    "no-ct-dependence", "falls-back",
)  # fmt: skip
"""What is decided here; the others are about texts and the kernel."""

NOBODY: Mapping[Family, Intervals] = MappingProxyType({})

GIVEN = frozenset(row.fact for row in FRESH if row.need is Need.CHUNK)
"""Questions about the packet alone, whose answer no rule set changes."""

FINE: dict[str, str] = {
    "two-sided": "every packet of the policy's connections and every answer is untracked",
    "delivered": "every packet of the policy's connections that was let through is let through",
    "no-exposure": "no stranger's packet is newly admitted outside the policy's own connections",
    "no-loss": "no packet that was let through is newly dropped outside the policy's own connections",
    "nat-kept": "no connection that a rule may translate becomes untracked, and no answer to one",
    "helper-kept": "no packet that a rule gives a helper becomes untracked",
    "errors-return": "ICMP errors are let in without an entry where they were let in with one",
    "answers-leave": "resets and ICMP errors leave without an entry where they left with one",
    "no-ct-dependence": "what counts, varies or leaves a trace meets the same packets of each connection",
    "falls-back": "whatever a fall back to the rules before it loses is listed",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """`obligations` for the plan; `broken` with packets that the lab can replay; `residual` exposure in words; `costs`
    are the connections that do not survive falling back.

    `assumed` are the matches on the way that nobody here understands: the same text is taken to mean the same before
    and after, which is not so of one that counts packets.
    """

    obligations: tuple[Obligation, ...]
    broken: tuple[Broken, ...]
    residual: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()


def judge(
    before: Ruleset,
    after: Ruleset,
    policy: Policy,
    local: Intervals,
    local_ports: tuple[int, int],
    *,
    loose: bool = True,
    tick: Callable[[], None] = lambda: None,
    listed: Listed | None = None,
    listening: Mapping[Family, Intervals] = NOBODY,
) -> Judgement:
    """Decide the obligations of `NAMES` for a change of rule sets that leaves the policy's services untracked.

    `local` are the host's addresses (empty: not known), `local_ports` the ephemeral range, `tick` may raise
    `NotDecided` when time is up; `listed` is what was listed of BEFORE when it was read; `listening` are the TCP ports
    at which programs listen on all addresses, so that none opens connections from there (K74).
    """
    told = [
        (
            order,
            _judged(Change.of(*pair, listed), policy, local, local_ports, listening=listening, loose=loose, tick=tick),
        )
        for pair, order in orders((before, after))
    ]
    found = told[0][1] if len(told) == 1 else _in_any_order(told)
    unread = before.unread + after.unread
    return replace(found, obligations=tuple(doubted(o, unread) for o in found.obligations))


def doubted(obligation: Obligation, unread: Sequence[str]) -> Obligation:
    """Nothing is proved over rules that were not read: they may do anything."""
    if not unread or obligation.standing is not Standing.PROVED:
        return obligation
    distinct = list(dict.fromkeys(unread))
    more = f" (and {len(distinct) - 1} more)" if len(distinct) > 1 else ""
    return Obligation(obligation.name, Standing.NOT_DECIDED, f"not every rule could be read: {distinct[0]}{more}")


def _in_any_order(told: list[tuple[str, Judgement]]) -> Judgement:
    """K2: what holds in every order holds, what breaks in every order breaks; else it hangs on what nobody knows."""
    judged = [judgement for _, judgement in told]
    same = tuple(_one_of([(order, o) for order, j in told for o in j.obligations if o.name == n]) for n in NAMES)
    broken = {o.name for o in same if o.standing is Standing.BROKEN}
    return Judgement(
        same,
        tuple(b for b in judged[0].broken if b.name in broken),
        tuple(dict.fromkeys(text for j in judged for text in j.residual)),
        tuple(dict.fromkeys(text for j in judged for text in j.assumed)),
        merged(text for j in judged for text in j.costs),
    )


def _one_of(told: list[tuple[str, Obligation]]) -> Obligation:
    standings = {o.standing for _, o in told}
    order, worst = next(((order, o) for order, o in told if o.standing is not Standing.PROVED), told[0])
    if len(standings) == 1:
        return worst
    why = f"if {order}, which no listing tells: {worst.why}"
    return Obligation(worst.name, Standing.NOT_DECIDED, why, worst.witness)


def _judged(
    change: Change,
    policy: Policy,
    local: Intervals,
    local_ports: tuple[int, int],
    *,
    listening: Mapping[Family, Intervals],
    loose: bool,
    tick: Callable[[], None],
) -> Judgement:
    """The same for one order of the chains."""
    broken: list[Broken] = []
    residual: list[str] = []
    costs: list[str] = []
    assumed: dict[str, None] = {}
    open_: dict[str, str] = {}
    flows = list(flows_of(policy, local, local_ports))
    for family in dict.fromkeys(flow.family for flow in flows):
        try:
            with deciding():
                mine = [f for f in flows if f.family is family]
                space, pair = PacketVars(family, change.names, tick), change.pair(family, asked_of(mine, family))
                case = Case(
                    space, pair, mine, told_of(local, family) or Intervals(), loose, listening.get(family, Intervals())
                )
                case.run()
                broken += case.broken
                residual += case.residual
                costs += case.costs
                assumed |= dict.fromkeys(text for text in case.space.free if text not in GIVEN)
                open_ |= dict.fromkeys(NAMES if case.doubts else (), "; ".join(dict.fromkeys(case.doubts)))
                open_ |= {"no-ct-dependence": _said(case.alike.found)} if case.alike.found else {}
        except NotDecided as why:
            open_ |= dict.fromkeys(NAMES, str(why))
    decided = tuple(_obligation(n, broken, open_) for n in NAMES)
    return Judgement(decided, tuple(broken), tuple(dict.fromkeys(residual)), tuple(assumed), merged(costs))


def _said(found: Iterable[str]) -> str:
    first, *more = found
    return first + (f" (and {len(more)} more)" if more else "")


def asked_of(flows: Iterable[Flow], family: Family) -> Asked:
    """The boxes of the packets that flows consist of, and of errors about them, as they go."""
    errors = fields_of([(Field.PROTOCOL, Intervals.of(ICMP_OF[family][1]))], family)
    found: dict[Way, list[Bounds | None]] = {(d, False): [errors] for d in Direction} | {(Direction.LOOPBACK, True): []}
    for flow in flows:
        mine = fields_of(flow.fields.items(), family)
        found[flow.direction, False].append(mine)
        found[BACK[flow.direction], flow.direction is Direction.LOOPBACK].append(mine and mirrored(mine))
    return found


def _obligation(name: str, broken: Iterable[Broken], open_: dict[str, str]) -> Obligation:
    mine = sorted((b for b in broken if b.name == name), key=lambda b: len(b.conditions))
    if mine and not mine[0].conditions:
        more = f" (and {len(mine) - 1} more)" if len(mine) > 1 else ""
        return Obligation(name, Standing.BROKEN, mine[0].why + more, describe_packet(mine[0].witness))
    if mine:
        return Obligation(name, Standing.NOT_DECIDED, mine[0].why, describe_packet(mine[0].witness))
    if name in open_:
        return Obligation(name, Standing.NOT_DECIDED, open_[name])
    return Obligation(name, Standing.PROVED, FINE[name])
