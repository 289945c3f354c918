"""Limits as rules: which packets open connections of a limited class, and what counts them.

What counts stands once, in a chain of its own that all of a class's packets are sent to: two rules of iptables that
count are two counts. It counts from its loading on (K164), only connections that it has seen open, and none that wait
for their end (K86). It hangs behind the operator's own rules where the dialect allows it: who is refused there is not
counted. In iptables only the filter table refuses with an answer, and the jump stands in front.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from conntrim.core.model.address import Family, format_address
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, Fields
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Purpose
from conntrim.core.model.policy import ADDRESSES, ClientLimit, Refusal
from conntrim.core.model.refusal import Answered, Reject
from conntrim.core.model.ruleset import (
    Dialect,
    End,
    In,
    Interface,
    Jump,
    Match,
    NamedSet,
    NoEffect,
    OpaqueMatch,
    Return,
    Rule,
    Statement,
    TableFamily,
    Verdict,
)
from conntrim.core.model.service import Direction, Hook
from conntrim.core.model.share import told_by
from conntrim.core.plan.changes import FAMILY_TABLES, Own, own_chain
from conntrim.core.plan.described import Described, by_family
from conntrim.core.plan.spelling import PLACE, spell

HOOKS: dict[Direction, Hook] = {Direction.INBOUND: Hook.INPUT, Direction.FORWARDED: Hook.FORWARD}
"""Where a limited class's packets are met, with the addresses of its clients: sources are translated later (K1)."""
BEHIND = 10
"""The first priority for nft's chains: behind the filters at 0, whose refusals are not counted."""
MOST_CLIENTS = 1 << 18
"""Clients that a set of nft's or a table of hashlimit's holds. Beyond it nft's rule stops matching (K86), hashlimit
drops whoever is not in it (K166); both forget a client a minute after its last connection."""
FORGET = 60
"""Seconds after which a client's rate is forgotten."""
REJECTS: dict[Family, Reject] = {Family.IPV4: Reject(Answered.ICMP, 3), Family.IPV6: Reject(Answered.ICMPV6, 4)}
"""Port unreachable: what TCP takes for refused, and UDP's resolvers for an answer."""
SADDR: dict[Family, tuple[str, str, str, int]] = {
    Family.IPV4: ("ip", "ip saddr", "ipv4_addr", 32), Family.IPV6: ("ip6", "ip6 saddr", "ipv6_addr", 128),
}  # fmt: skip
"""By family: its name in sets of ours, nft's words for the source and a set's type, and an address's bits."""


def limit_chains(limits: Sequence[ClientLimit], dialect: Dialect, priority: int) -> tuple[Own, ...]:
    """The own chains of all limits: for iptables a set for each family, for nft one of family inet."""
    nft = dialect is Dialect.NFTABLES
    tables = {TableFamily.INET: tuple(Family)} if nft else {FAMILY_TABLES[f]: (f,) for f in Family}
    found = []
    for table, families in tables.items():
        mine = [(n, each) for n, each in enumerate(limits, 1) if set(families) & set(each.families())]
        if mine:
            rules = {hook: tuple(_sending(mine, hook, dialect, table)) for hook in HOOKS.values()}
            counting = {_name(n, dialect): tuple(_counting(n, each, dialect, families)) for n, each in mine}
            sets = tuple(s for n, each in mine for s in _sets(n, each)) if nft else ()
            hooked = {hook: said for hook, said in rules.items() if said}
            apart = () if nft else tuple(_apart(mine, families))
            found.append(Own(dialect, table, hooked, priority, Purpose.LIMIT, counting, sets, apart=apart))
    return tuple(found)


def _apart(limits: Iterable[tuple[int, ClientLimit]], families: Iterable[Family]) -> Iterator[tuple[Match, Match]]:
    """What counts by a name, and the same by the name that it has beside an earlier plan's."""
    for number, limit in limits:
        if limit.per_second is not None:
            yield from ((_xt_rate(number, limit, f), _xt_rate(number, limit, f, "conntrim2")) for f in families)


def openers(limit: ClientLimit, family: Family) -> Fields:
    """The fields of the packets that a limit is about; their state is NEW besides."""
    told = {
        Field.PROTOCOL: Intervals() if limit.protocol is None else Intervals.of(limit.protocol),
        Field.SRC: limit.clients & ADDRESSES[family],
        Field.DPORT: limit.ports,
    }
    return {field: values for field, values in told.items() if values} | told_by(limit.share, family)


def _name(number: int, dialect: Dialect) -> str:
    return f"limit_{number}" if dialect is Dialect.NFTABLES else own_chain(f"limit-{number}")


def _sending(
    limits: Iterable[tuple[int, ClientLimit]], hook: Hook, dialect: Dialect, table: TableFamily
) -> Iterator[Rule]:
    """The rules at one hook; what goes over `lo` is nobody's client."""
    mine = [(n, each) for n, each in limits if HOOKS[each.direction] is hook]
    if mine and hook is Hook.INPUT:
        yield Rule((Interface("in", ("lo",)),), (Return(),), PLACE, "", "limit lo")
    for number, limit in mine:
        jump, comment = Jump(_name(number, dialect)), f"limit {number}"
        able = [f for f in limit.families() if table in (TableFamily.INET, FAMILY_TABLES[f])]
        for fields in by_family(able, partial(openers, limit), inet=table is TableFamily.INET):
            yield from spell(Described(fields, CtState.NEW, {}), jump, comment, dialect, table)


def _counting(number: int, limit: ClientLimit, dialect: Dialect, families: Iterable[Family]) -> Iterator[Rule]:
    """What counts, the rate first: what it refuses opens nothing."""
    for family in (f for f in families if f in limit.families()):
        if limit.per_second is not None:
            yield _rule(number, "rate", limit, family, dialect)
        if limit.connections is not None:
            yield _rule(number, "open", limit, family, dialect)


def _rule(number: int, kind: str, limit: ClientLimit, family: Family, dialect: Dialect) -> Rule:
    end = End(Verdict.REJECT, REJECTS[family]) if limit.action is Refusal.REJECT else End(Verdict.DROP)
    comment = f"limit {number} {kind}"
    if dialect is not Dialect.NFTABLES:
        count = _xt_open if kind == "open" else _xt_rate
        return Rule((count(number, limit, family),), (end,), PLACE, "", comment)
    statements: tuple[Statement, ...] = (NoEffect("counter", ""), end)
    count_nft = OpaqueMatch("set", _nft_counted(number, kind, limit, family))
    return Rule((In(Field.FAMILY, Intervals.of(family)), count_nft), statements, PLACE, "", comment)


def _nft_counted(number: int, kind: str, limit: ClientLimit, family: Family) -> str:
    _, source, _, width = SADDR[family]
    bits = limit.bits(family)
    client = source if bits == width else f"{source} & {_mask(bits, family)}"
    name = f"@{_set_name(number, kind, family)}"
    if kind == "open":
        return f"add {name} {{ {client} ct count over {limit.connections} }}"
    rate = f"{limit.per_second}/second burst {limit.per_second} packets"
    return f"update {name} {{ {client} limit rate over {rate} }}"


def _mask(bits: int, family: Family) -> str:
    """A prefix's length as a mask in nft's words."""
    width = SADDR[family][3]
    return format_address(ADDRESSES[family].ranges[0][0] | (1 << width) - (1 << (width - bits)))


def _set_name(number: int, kind: str, family: Family) -> str:
    return f"limit_{number}_{kind}_{SADDR[family][0]}"


def _sets(number: int, limit: ClientLimit) -> Iterator[NamedSet]:
    for family in limit.families():
        kind = SADDR[family][2]
        if limit.per_second is not None:
            declared = f"flags dynamic,timeout; timeout {FORGET}s; size {MOST_CLIENTS}"
            yield NamedSet(_set_name(number, "rate", family), (), kind=kind, dynamic=True, declaration=declared)
        if limit.connections is not None:
            declared = f"flags dynamic; size {MOST_CLIENTS}"
            yield NamedSet(_set_name(number, "open", family), (), kind=kind, dynamic=True, declaration=declared)


def _xt_open(number: int, limit: ClientLimit, family: Family) -> OpaqueMatch:
    options = f"--connlimit-above {limit.connections} --connlimit-mask {limit.bits(family)} --connlimit-saddr"
    return OpaqueMatch("connlimit", options)


def _xt_rate(number: int, limit: ClientLimit, family: Family, name: str = "conntrim") -> OpaqueMatch:
    bits, rate = limit.bits(family), limit.per_second
    mask = "" if bits == SADDR[family][3] else f" --hashlimit-srcmask {bits}"
    options = (
        f"--hashlimit-above {rate}/sec --hashlimit-burst {rate} --hashlimit-mode srcip"
        f" --hashlimit-name {name}-{number} --hashlimit-htable-max {MOST_CLIENTS}"
        f" --hashlimit-htable-expire {FORGET * 1000}{mask}"
    )
    return OpaqueMatch("hashlimit", options)
