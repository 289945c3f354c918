"""Matches as words of an iptables rule; the text parses to the same matches again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NoReturn

from conntrim.core.model.address import V4_ALL
from conntrim.core.model.address_types import AddressType
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import full
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import (
    CT_STATES,
    NATIVE_SET,
    AnyOf,
    Field,
    In,
    InSet,
    Interface,
    Match,
    OpaqueMatch,
    XtConntrack,
)  # fmt: skip

FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
PACKET_TYPES = {0: "unicast", 1: "broadcast", 2: "multicast"}
PROTOCOL_NAMES = {Protocol.ICMP: "icmp", Protocol.TCP: "tcp", Protocol.UDP: "udp", Protocol.ICMPV6: "ipv6-icmp"}
PORT_MODULES = {
    Protocol.TCP: "tcp", Protocol.UDP: "udp", Protocol.DCCP: "dccp", Protocol.SCTP: "sctp", Protocol.UDPLITE: "udplite",
}  # fmt: skip
SET_WAYS = {
    Field.SRC: "src", Field.SPORT: "src", Field.DST: "dst", Field.DPORT: "dst", Field.MARK: "src", "iif": "src",
    "oif": "dst", "ether saddr": "src", "ether daddr": "dst", "src": "src", "dst": "dst",
}  # fmt: skip
HEADER_ORDER = (Field.SPORT, Field.DPORT, Field.TCP_FLAGS)
"""The options of one protocol match in the order in which they parse."""

V4 = Intervals((V4_ALL,))
V6 = V4.complement(128)


class NotExpressible(ValueError):  # noqa: N818 - it names what is so, not an error of the caller's
    """No rule of that dialect says this."""


Numbers = Callable[[In, Intervals], str | None]
"""Values to an option's value, None where it cannot say them."""


def _either(match: In, domain: Intervals, said: Callable[[Intervals], str | None], option: str) -> str | None:
    """The option with the values, or negated with their complement."""
    text = said(match.values)
    if text is not None:
        return f"{option} {text}"
    text = said(domain - match.values)
    return None if text is None else f"! {option} {text}"


def _one(values: Intervals) -> int | None:
    """The only number of the set."""
    return values.ranges[0][0] if values.size == 1 else None


def _range(values: Intervals) -> tuple[int, int] | None:
    return values.ranges[0] if len(values.ranges) == 1 else None


def _spelt(address: int, v6: bool) -> str:
    """An address in the table's family; in an IPv6 table a mapped address stays one."""
    return str(IPv6Address(address) if v6 else IPv4Address(address & 0xFFFFFFFF))


def _prefix(values: Intervals, v6: bool) -> str | None:
    """One address or prefix; every address of the family is the prefix of length 0."""
    if values == (V6 if v6 else V4):
        return f"{_spelt(0, v6)}/0"
    found = _range(values)
    if found is None:
        return None
    low, size = found[0], found[1] - found[0] + 1
    if size & (size - 1) or low % size:
        return None
    return f"{_spelt(low, v6)}/{(128 if v6 else 32) - (size.bit_length() - 1)}"


def _address(match: In, v6: bool) -> str | None:
    """-s or -d, None where it is no prefix."""
    option = "-s" if match.field is Field.SRC else "-d"
    domain = V6 if v6 else V4
    if not match.values:
        return None
    if match.mask is not None:
        text = _either(match, domain, lambda values: _holes(values, match.mask or 0, v6), option)
    else:
        text = _either(match, domain, lambda values: _prefix(values, v6), option)
    return _refused(match) if text is None and match.mask is not None and match.values else text


def _refused(match: Match) -> NoReturn:
    raise NotExpressible(f"no iptables match says {match}")


def _iprange(match: In, v6: bool) -> str:
    """An address behind the base options, or one that is no prefix."""
    name = "--src-range" if match.field is Field.SRC else "--dst-range"
    text = None
    if not match.values:
        text = f"{name} {_spelt(1, v6)}-{_spelt(0, v6)}"
    elif match.mask is None:
        text = _either(match, V6 if v6 else V4, lambda values: _dashed(values, v6), name)
    return _refused(match) if text is None else text


def _multiport(match: In) -> str:
    text = _either(match, Intervals.full(16), _port_list, f"--{match.field}s") if match.mask is None else None
    return _refused(match) if text is None else text


def _dashed(values: Intervals, v6: bool) -> str | None:
    found = _range(values)
    return None if found is None else "-".join(_spelt(end, v6) for end in found)


def _holes(values: Intervals, mask: int, v6: bool) -> str | None:
    """An address under a mask with holes."""
    value = _one(values)
    return None if value is None else f"{_spelt(value, v6)}/{_spelt(mask, v6)}"


def _port(values: Intervals) -> str | None:
    """One port or range."""
    found = _range(values)
    return None if found is None else f"{found[0]}:{found[1]}" if found[0] != found[1] else str(found[0])


def _port_list(values: Intervals) -> str | None:
    """multiport's list: fifteen places, a range takes two."""
    if not values or sum(1 + (low != high) for low, high in values.ranges) > 15:
        return None
    return ",".join(f"{a}:{b}" if a != b else str(a) for a, b in values.ranges)


def _flags(match: In) -> str | None:
    def names(bits: int) -> str:
        return ",".join(n for i, n in enumerate(FLAGS) if bits >> i & 1) or "NONE"

    mask = 0xFF if match.mask is None else match.mask

    def said(values: Intervals) -> str | None:
        value = _one(values)
        return None if value is None or (mask | value) > 63 else f"{names(mask)} {names(value)}"

    return _either(match, Intervals.full(8), said, "--tcp-flags")


def _header(match: In, protocol: int | None) -> tuple[str, str] | None:
    """A port or the TCP flags as module and option, None where only multiport can say it."""
    module = PORT_MODULES.get(Protocol(protocol)) if protocol in PORT_MODULES else None
    if module is None:
        raise NotExpressible(f"{match.field} needs one protocol with ports")
    if match.field is Field.TCP_FLAGS:
        text = _flags(match)
    else:
        text = _either(match, Intervals.full(16), _port, f"--{match.field}") if match.values else None
    return None if text is None else (module, text)


def _icmp(match: In) -> str | None:
    def said(values: Intervals) -> str | None:
        found = _range(values)
        if found is None or found[0] >> 8 != found[1] >> 8:
            return None
        if found[0] == found[1]:
            return f"{found[0] >> 8}/{found[0] & 255}"
        return str(found[0] >> 8) if found[1] - found[0] == 255 else None

    v6 = match.field is Field.ICMPV6
    option = "--icmpv6-type" if v6 else "--icmp-type"
    if not match.values and not v6:
        return "! --icmp-type any"
    return _either(match, Intervals.full(16), said, option)


def _mark(match: In) -> str | None:
    mask = "" if match.mask is None else f"/{match.mask:#x}"
    return _either(match, Intervals.full(32), lambda v: None if (n := _one(v)) is None else f"{n:#x}{mask}", "--mark")


def _number(option: str, bits: int) -> Callable[[In], str | None]:
    def said(match: In) -> str | None:
        return _either(match, Intervals.full(bits), lambda v: None if (n := _one(v)) is None else str(n), option)

    return said


def _length(match: In) -> str | None:
    return _either(match, Intervals.full(16), _port, "--length")


def _hops(name: str) -> Callable[[In], str | None]:
    def said(match: In) -> str | None:
        found = _range(match.values)
        if found and found[0] == 0 and found[1] < 255:
            return f"--{name}-lt {found[1] + 1}"
        if found and found[1] == 255 and found[0] > 0:
            return f"--{name}-gt {found[0] - 1}"
        return _either(match, Intervals.full(8), lambda v: None if (n := _one(v)) is None else str(n), f"--{name}-eq")

    return said


def _packet_type(match: In) -> str | None:
    return _either(match, Intervals.full(3), lambda v: PACKET_TYPES.get(n) if (n := _one(v)) is not None else None,
                   "--pkt-type")  # fmt: skip


def _types(option: str) -> Callable[[In], str | None]:
    def said(match: In) -> str | None:
        def names(values: Intervals) -> str | None:
            if not values or values.ranges[-1][1] >= len(AddressType):
                return None
            return ",".join(AddressType(n).name for n in values)

        return _either(match, full(match.field), names, option)

    return said


MODULES: dict[Field, tuple[str, Callable[[In], str | None]]] = {
    Field.ICMP: ("icmp", _icmp),
    Field.ICMPV6: ("icmp6", _icmp),
    Field.MARK: ("mark", _mark),
    Field.PACKET_TYPE: ("pkttype", _packet_type),
    Field.SRC_TYPE: ("addrtype", _types("--src-type")),
    Field.DST_TYPE: ("addrtype", _types("--dst-type")),
    Field.LENGTH: ("length", _length),
    Field.DSCP: ("dscp", _number("--dscp", 6)),
}
"""Field to the match that says it."""


def _conntrack(match: XtConntrack) -> str:
    text = ""
    if match.states is not None:
        states = CT_STATES - match.states if match.negated else match.states
        pseudo = [n for n, on in (("SNAT", match.snat), ("DNAT", match.dnat)) if on]
        names = [CtState(n).name for n in states] + pseudo
        # Without a name there is nothing to list: the empty set is what no state is left of.
        text = f"{'! ' if match.negated else ''}--ctstate {','.join(names)}" if names else (
            f"! --ctstate {','.join(state.name for state in CtState)}"
        )  # fmt: skip
    return f"-m conntrack {text} {match.others}".replace("  ", " ").strip()


def _fits(match: In, protocol: int | None, v6: bool) -> tuple[str, str]:
    """Any field that is no address, as module and option."""
    found: tuple[str, str] | None = None
    if match.field in HEADER_ORDER:
        found = _header(match, protocol)
        if found is None and match.field is not Field.TCP_FLAGS:
            found = "multiport", _multiport(match)
    elif match.field is Field.TTL:
        module = "hl" if v6 else "ttl"
        text = _hops(module)(match)
        found = None if text is None else (module, text)
    elif match.field in MODULES:
        module, say = MODULES[match.field]
        text = say(match)
        found = None if text is None else (module, text)
    return _refused(match) if found is None else found


def _said(match: Match, protocol: int | None, v6: bool) -> tuple[str, str]:
    """A match behind the base options, as module and options."""
    match match:
        case In():
            return _fits(match, protocol, v6)
        case XtConntrack():
            return "conntrack", _conntrack(match).removeprefix("-m conntrack").strip()
        case InSet(name, fields, negated) if not name.startswith(NATIVE_SET):
            ways = ",".join(SET_WAYS[f] for f in fields if f is not Field.PROTOCOL)
            return "set", f"{'! ' if negated else ''}--match-set {_word(name)} {ways}"
        case AnyOf(alternatives):
            text = _port_list(alternatives[0].values)
            if {a.field for a in alternatives} == {Field.SPORT, Field.DPORT} and text is not None:
                return "multiport", f"--ports {text}"
        case OpaqueMatch(kind, text) if not text or text.startswith(("--", "! --")):  # else nft's own words
            return kind, text
    _refused(match)


def _word(name: str) -> str:
    """A name as iptables-restore reads it back."""
    if not set(name) & set(" \t\"'\\#"):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


BASE_RANKS = {"-s": 1, "-d": 2, "-i": 3, "-o": 4, "-p": 5, "-f": 6}
"""The base options in the order in which they parse; past an extension there is none."""


def _base(match: Match, v6: bool) -> str | None:
    """The match as a base option (or iprange), None where it has to be an extension."""
    match match:
        case In(Field.SRC | Field.DST):
            return _address(match, v6)
        case In(Field.PROTOCOL):
            return _either(match, Intervals.full(8), _protocol, "-p")
        case In(Field.FRAGMENT):
            return "-f" if match.values == Intervals.of(1) else "! -f"
        case Interface(way, (name,), negated):
            return f"{'! ' if negated else ''}-{way[0]} {name[:-1] + '+' if name.endswith('*') else name}"
    return None


def _protocol(values: Intervals) -> str | None:
    number = _one(values)
    if not number:
        return None
    return PROTOCOL_NAMES.get(Protocol(number), str(number)) if number in list(Protocol) else str(number)


def _rank_of(text: str) -> int:
    return BASE_RANKS.get(text.removeprefix("! ")[:2], 0)


@dataclass(slots=True)
class Writer:
    """Extensions being written from left to right."""

    v6: bool
    protocol: int | None
    module: str = ""
    rank: int = 0

    def words(self, match: Match) -> str:
        """One match; ports and flags of one protocol share one `-m`."""
        if isinstance(match, In) and match.field in (Field.SRC, Field.DST):
            module, options = "iprange", _iprange(match, self.v6)
        else:
            module, options = _said(match, self.protocol, self.v6)
        rank = _rank(match)
        if module == self.module and module not in ALONE and rank > self.rank:
            self.rank = rank
            return options
        if module == self.module and rank and module in PORT_MODULES.values() and isinstance(match, In):
            # Back in order: the nft back end would merge two -m of one protocol and change the order.
            module, options = "multiport", _multiport(match)
        self.module, self.rank = module, rank
        return f"-m {module} {options}".strip()


ALONE = frozenset({"multiport", "iprange"})


def match_words(matches: tuple[Match, ...], v6: bool) -> Iterator[str]:
    """The matches, piece by piece, base options first; NotExpressible for one that iptables cannot say."""
    protocol = next((_one(m.values) for m in matches if isinstance(m, In) and m.field is Field.PROTOCOL), None)
    base: dict[int, str] = {}
    rest = []
    for match in matches:
        text = _base(match, v6)
        if text is not None and _rank_of(text) not in base:
            base[_rank_of(text)] = text
        else:
            rest.append(match)
    yield from (text for _, text in sorted(base.items()))
    writer = Writer(v6, protocol)
    yield from map(writer.words, rest)


def _rank(match: Match) -> int:
    """Where an option stands inside its module; 0: it never shares one."""
    if not isinstance(match, In):
        return 0
    order = (*HEADER_ORDER, Field.SRC_TYPE, Field.DST_TYPE)
    return order.index(match.field) + 1 if match.field in order else 0
