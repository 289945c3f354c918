"""What iptables' matches mean: a field in a set where that says it all, else `OpaqueMatch` with the exact text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from conntrim.core.dialect import names
from conntrim.core.dialect.xt import MODULE_ALIASES, NEEDS_PROTOCOL, OPTIONS, Says, XtOption
from conntrim.core.model.fields import FIELDS, Field, full
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import CT_STATES, AnyOf, In, InSet, Match, OpaqueMatch, XtConntrack
from conntrim.core.parse.xt import entry
from conntrim.core.parse.xt.asks import asked
from conntrim.core.parse.xt.canonical import Given, Option, written
from conntrim.core.parse.xt.numbers import address_range, masked, matched, number, ports, span
from conntrim.core.parse.xt.options import MATCHES

Meaning = Callable[[Option, bool], Match | None]
"""One option of the family (v6 or not) to its match; None where it matches whatever the module matches."""


def _port(row: XtOption, option: Option, v6: bool) -> Match | None:
    """libxt_tcp checks that a range runs forwards, libxt_udp does not."""
    text = option.values[0]
    if "," in text:
        raise ValueError(f"{text!r} is a list; only multiport takes lists")
    values = ports(text)
    if not values and row.module == "tcp":
        raise ValueError(f"port range {text!r} runs backwards")
    every = values == full(row.field) and not option.negated
    return None if every else matched(row.field, values, option.negated)


def _flags(row: XtOption, option: Option, v6: bool) -> Match:
    def bits(text: str) -> int:
        found = 0
        for name in text.split(","):
            if name not in row.names:
                raise ValueError(f"{name!r} is no TCP flag")
            found |= row.names[name]
        return found

    mask, wanted = map(bits, option.values)
    return matched(row.field, Intervals.of(wanted), option.negated, mask)


def _bits(row: XtOption, option: Option, v6: bool) -> Match:
    mask, value = row.bits
    return matched(row.field, Intervals.of(value), option.negated, mask)


def _type(row: XtOption, option: Option, v6: bool) -> Match | None:
    text, table = option.values[0], names.TYPES[row.field]
    kind, code = table[text] if text in table else _icmp_numbers(text)
    if kind == names.ANY_ICMP or (kind == 255 and row.field is Field.ICMP):
        # The kernel takes type 255 as "any" (icmp_type_code_match in ip_tables.c), iptables prints it so.
        return In(row.field, Intervals()) if option.negated else None
    low, high = (code, code) if code is not None else (0, 255)
    return matched(row.field, Intervals.of((kind << 8 | low, kind << 8 | high)), option.negated)


def _icmp_numbers(text: str) -> tuple[int, int | None]:
    kind, slash, code = text.partition("/")
    return number(kind, 255, "ICMP type"), number(code, 255, "ICMP code") if slash else None


def _addresses(row: XtOption, option: Option, v6: bool) -> Match:
    return address_range(row.field, option.values[0], option.negated, v6)


def _mark(row: XtOption, option: Option, v6: bool) -> Match:
    value, mask = masked(option.values[0], FIELDS[row.field].bits, row.option)
    return matched(row.field, Intervals.of(value), option.negated, mask)


def _number(row: XtOption, option: Option, v6: bool) -> Match:
    text = option.values[0]
    value = row.names[text] if text in row.names else number(text, (1 << FIELDS[row.field].bits) - 1, option.name)
    return matched(row.field, Intervals.of(value), option.negated)


def _span(row: XtOption, option: Option, v6: bool) -> Match:
    wanted = span(option.values[0], (1 << FIELDS[row.field].bits) - 1, row.option)
    return matched(row.field, Intervals.of(wanted), option.negated)


def _hops(row: XtOption, option: Option, v6: bool) -> Match:
    value = number(option.values[0], 255, "TTL")
    wanted = {"lt": Intervals.of((0, value - 1)) if value else Intervals(), "gt": Intervals.of((value + 1, 255))}
    if value == 255:
        wanted["gt"] = Intervals()
    return matched(row.field, wanted.get(option.name[-2:], Intervals.of(value)), option.negated)


READERS: dict[Says, Callable[[XtOption, Option, bool], Match | None]] = {
    Says.ADDRESSES: _addresses,
    Says.PORT: _port,
    Says.FLAGS: _flags,
    Says.BITS: _bits,
    Says.TYPE: _type,
    Says.MARK: _mark,
    Says.NUMBER: _number,
    Says.NAME: _number,
    Says.SPAN: _span,
    Says.HOPS: _hops,
}
"""How each kind of option is read that stands for itself."""


def _independent() -> dict[str, dict[str, Meaning]]:
    found: dict[str, dict[str, Meaning]] = {}
    for row in OPTIONS:
        if row.says in READERS:
            meaning = partial(READERS[row.says], row)
            found.setdefault(row.module, {}).update(dict.fromkeys((row.option, *row.also), meaning))
    return found | {alias: found[module] for alias, module in MODULE_ALIASES.items()}


INDEPENDENT = _independent()
"""Matches whose options each stand for themselves; an option that is not here stays opaque by itself."""

TOGETHER: dict[str, XtOption] = {
    name: row for row in OPTIONS if row.says in (Says.PORTS, Says.NAMES) for name in (row.option, *row.also)
}
"""Options of matches that are read as a whole."""


def _conntrack(given: Given, v6: bool) -> tuple[Match, ...]:
    order = list(MATCHES["conntrack"])
    chosen = [o for o in given if o.name in ("ctstate", "state")]
    others = sorted((o for o in given if o not in chosen), key=lambda o: order.index(o.name))
    asked = tuple(entry.asked(option, v6) for option in others)
    if not chosen:
        return (XtConntrack(None, others=asked),) if others else ()
    listed = set(chosen[-1].values[0].upper().split(","))
    pseudo, negated = listed & {"SNAT", "DNAT"}, chosen[-1].negated
    unknown = listed - set(names.STATES) - pseudo
    if unknown:
        raise ValueError(f"{min(unknown)!r} is no connection state")
    states = Intervals.of(*(int(names.STATES[name]) for name in listed - pseudo))
    return (
        XtConntrack(
            CT_STATES - states if negated else states,
            "SNAT" in pseudo,
            "DNAT" in pseudo,
            asked,
            negated and bool(pseudo),
        ),
    )


def _opaque(module: str, given: Given, v6: bool) -> OpaqueMatch:
    negated = any(option.negated for option in given)
    return OpaqueMatch(module, written(module, given, v6), negated, asks=asked(module, given))


def _multiport(given: Given, v6: bool) -> tuple[Match, ...]:
    if len(given) != 1:
        raise ValueError("multiport takes exactly one list of ports")
    negated, name, (text,) = given[0]
    values = ports(text)
    if any(not ports(part) for part in text.split(",")):
        raise ValueError(f"a port range of {text!r} runs backwards")
    if name in TOGETHER:
        return (matched(TOGETHER[name].field, values, negated),)
    both = tuple(matched(field, values, negated) for field in (Field.SPORT, Field.DPORT))
    return both if negated else (AnyOf(both),)


def _addrtype(given: Given, v6: bool) -> tuple[Match, ...]:
    limited = any(o.name.startswith("limit-iface") for o in given)
    if limited or (v6 and any(o.values[0].upper() != "LOCAL" for o in given)):
        # Over IPv6 the kinds of a list must all be so, and UNICAST includes the host's own addresses (K43).
        return (_opaque("addrtype", given, v6),)
    found = []
    for negated, name, (text,) in sorted(given, key=lambda o: o.name, reverse=True):
        row = TOGETHER[name]
        unknown = set(text.upper().split(",")) - row.names.keys()
        if unknown:
            raise ValueError(f"{min(unknown)!r} is no address type")
        values = Intervals.of(*(row.names[kind] for kind in text.upper().split(",")))
        found.append(matched(row.field, values, negated))
    return tuple(found)


def _set(given: Given, v6: bool) -> tuple[Match, ...]:
    first = given[0]
    if len(given) != 1 or first.name not in ("match-set", "set"):
        return (_opaque("set", given, v6),)
    name, ways = first.values
    fields = tuple(ways.split(","))
    if not set(fields) <= {"src", "dst"}:
        raise ValueError(f"{ways!r} is no list of src and dst")
    return (InSet(name, fields, first.negated),)


WHOLE: dict[str, Callable[[Given, bool], tuple[Match, ...]]] = {
    "conntrack": _conntrack,
    "state": _conntrack,
    "connmark": entry.connmark,
    "multiport": _multiport,
    "addrtype": _addrtype,
    "set": _set,
}
"""Matches whose options have a meaning only together."""


@lru_cache(maxsize=65536)
def meaning(module: str, given: Given, protocol: int | None, v6: bool) -> tuple[Match, ...]:
    """One module with its options as matches; ValueError for a value that makes no sense."""
    if protocol not in NEEDS_PROTOCOL.get(module, (protocol,)):
        wanted = sorted(Protocol(p).name.lower().replace("icmpv6", "ipv6-icmp") for p in NEEDS_PROTOCOL[module])
        raise ValueError(f"-m {module} needs -p {' or '.join(wanted)}")
    if module in WHOLE and given:
        return WHOLE[module](given, v6)
    if module not in INDEPENDENT:
        return (_opaque(module, given, v6),)
    table = INDEPENDENT[module]
    order = [*table, *MATCHES.get(module, ())]
    found: list[Match] = []
    for option in sorted(given, key=lambda o: order.index(o.name)):
        match = table[option.name](option, v6) if option.name in table else _opaque(module, (option,), v6)
        if match is not None:
            found.append(match)
    return tuple(found)
