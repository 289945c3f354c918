"""Packets as rules: the matches that say it, split where a dialect cannot say it in one rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product

from conntrim.core.model.address import Family, family_of
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import Field, Masked
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ADDRESSES
from conntrim.core.model.ruleset import (
    Dialect,
    In,
    Interface,
    Match,
    OpaqueMatch,
    Rule,
    Statement,
    TableFamily,
    XtConntrack,
)
from conntrim.core.model.tcp_flags import NOT_BARE_SYN, NOT_SYN
from conntrim.core.plan.described import Described

PLACE = Place("conntrim plan")
MULTIPORT = 15
"""Ports that one `-m multiport` takes; a range counts twice."""
ADDRESS_FIELDS = (Field.SRC, Field.DST)
PORT_FIELDS = (Field.SPORT, Field.DPORT)
ICMP_FIELDS = (Field.ICMP, Field.ICMPV6)
ORDER = (Field.PROTOCOL, *ADDRESS_FIELDS, *PORT_FIELDS, *ICMP_FIELDS)
"""The fields that a rule asks, as it is written."""
ALL_BITS = (1 << 128) - 1
TABLE_FAMILIES = {TableFamily.IP: Family.IPV4, TableFamily.IP6: Family.IPV6}


def prefixes(addresses: Intervals) -> Iterator[Intervals]:
    """A set of addresses as the fewest prefixes: iptables takes one a rule."""
    for first, high in addresses.ranges:
        low = first
        while low <= high:
            size = low & -low or 1 << 128
            while low + size - 1 > high:
                size >>= 1
            yield Intervals.of((low, low + size - 1))
            low += size


def port_groups(ports: Intervals) -> Iterator[Intervals]:
    """A set of ports as sets that one multiport match can take."""
    group: list[tuple[int, int]] = []
    room = MULTIPORT
    for low, high in ports.ranges:
        cost = 1 if low == high else 2
        if cost > room:
            yield Intervals(tuple(group))
            group, room = [], MULTIPORT
        group.append((low, high))
        room -= cost
    yield Intervals(tuple(group))


def icmp_types(values: Intervals) -> Iterator[Intervals]:
    """A set of ICMP types with all their codes, one type a rule."""
    for kind in sorted({value >> 8 for low, high in values.ranges for value in range(low, high + 1, 256)}):
        yield values & Intervals.of((kind << 8, kind << 8 | 255))


def _pieces(field: Field, values: Intervals, dialect: Dialect) -> tuple[Intervals, ...]:
    if dialect is Dialect.NFTABLES:
        return (values,)
    if field in ADDRESS_FIELDS:
        return _addresses(values)
    if field in PORT_FIELDS:
        return tuple(port_groups(values))
    return tuple(icmp_types(values)) if field in ICMP_FIELDS else (values,)


def _addresses(values: Intervals) -> tuple[Intervals, ...]:
    """Prefixes; all but one prefix of a family is one rule too, with `!`."""
    parts = tuple(prefixes(values))
    rest = (ADDRESSES[family_of(values.ranges[0][0])] - values) if len(parts) > 1 else Intervals()
    return (values,) if rest and len(list(prefixes(rest))) == 1 else parts


def state_match(state: CtState, dialect: Dialect) -> Match:
    """The ct state, in the dialect's own match (K21)."""
    states = Intervals.of(int(state))
    return In(Field.CT_STATE, states) if dialect is Dialect.NFTABLES else XtConntrack(states)


def _family(box: Described, family: TableFamily) -> list[Match]:
    """The family, where neither the table nor an address nor ICMP says it."""
    asked = [key.field if isinstance(key, Masked) else key for key in box.fields]
    told = any(f in asked for f in (*ADDRESS_FIELDS, *ICMP_FIELDS))
    if family in TABLE_FAMILIES or told or Field.FAMILY not in box.fields:
        return []
    return [In(Field.FAMILY, box.fields[Field.FAMILY])]


def _types(state: CtState | None) -> tuple[Field, ...]:
    """The address types that are said: of what comes in, raw has picked those to this host, and the filter knows."""
    return (Field.SRC_TYPE, Field.DST_TYPE) if state is None else (Field.SRC_TYPE,)


def _around(box: Described, state: CtState | None, dialect: Dialect) -> list[Match]:
    """The matches that are never split: interfaces, flags, address type, what holds, the state. What is opaque comes
    behind the state: asking it may leave a trace of whoever asks."""
    found: list[Match] = [Interface(way, ("lo",)) for way, name in box.interfaces.items() if name == "lo"]
    if box.fields.get(Field.TCP_FLAGS) == NOT_BARE_SYN:
        found.append(NOT_SYN)
    opaque = [m for m in box.holds if isinstance(m, OpaqueMatch | CtIn)]
    found += [m for m in box.holds if m not in found and m not in opaque]
    found += [t for f in _types(state) if f in box.fields and (t := In(f, box.fields[f])) not in found]
    return [*found, *([] if state is None else [state_match(state, dialect)]), *opaque]


def spell(
    box: Described, statement: Statement, comment: str, dialect: Dialect, family: TableFamily, *, tracked: bool = True
) -> list[Rule]:
    """The rules that do `statement` with the box's packets; `comment` is their label, the plan's mark comes later.

    `tracked` False: in raw, where no state is known yet.
    """
    around = _around(box, box.state if tracked else None, dialect)
    known = _family(box, family)
    pieces = [said for field in ORDER if (said := list(_said(box, field, dialect))) or field in box.fields]
    return [
        Rule((*known, *asked, *around), (statement,), PLACE, "", comment)
        for asked in (tuple(chain(*each)) for each in product(*pieces))
        if _same_family(asked)
    ]


def _said(box: Described, field: Field, dialect: Dialect) -> Iterator[tuple[In, ...]]:
    """What a rule asks of a field, one for each rule that it takes; iptables asks an address once."""
    masks = [In(key.field, v, key.mask) for key, v in box.fields.items() if isinstance(key, Masked)]
    masks = [match for match in masks if match.field is field]
    if field not in box.fields:
        yield from [tuple(masks)] if masks else []
    elif not masks or dialect is Dialect.NFTABLES:
        yield from ((In(field, values), *masks) for values in _pieces(field, box.fields[field], dialect))
    else:
        for values in prefixes(box.fields[field]):
            if (both := _under(values, *masks)) is not None:
                yield (both,)


def _under(prefix: Intervals, masked: In) -> In | None:
    """The addresses of a prefix that an address under a mask tells too, as one match; None where there are none."""
    ((low, high),), ((value, _),), bits = prefix.ranges, masked.values.ranges, masked.mask or 0
    length = ALL_BITS ^ (high - low)
    if (low ^ value) & length & bits:
        return None
    hosts, address = ALL_BITS ^ (length | bits), low | value & bits
    if hosts & (hosts + 1):
        return In(masked.field, Intervals.of(address), length | bits)
    return In(masked.field, Intervals.of((address, address | hosts)))


def _same_family(asked: tuple[In, ...]) -> bool:
    return len({family_of(m.values.ranges[0][0]) for m in asked if m.field in ADDRESS_FIELDS}) < 2
