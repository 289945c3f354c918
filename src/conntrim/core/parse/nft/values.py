"""Values of nft's types as numbers of our fields."""

from __future__ import annotations

from conntrim.core.dialect.names import DSCP_CLASSES, SERVICES
from conntrim.core.model.address import Family, parse_address, parse_prefix
from conntrim.core.model.address_types import AddressType
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nft_words import Json
from conntrim.core.model.protocol import NUMBERS
from conntrim.core.model.ruleset import TcpFlag
from conntrim.core.parse.nft.left import Unread

SYMBOLS: dict[str, dict[str, int]] = {
    "nf_proto": {"ipv4": int(Family.IPV4), "ipv6": int(Family.IPV6)},
    "ether_type": {"ip": int(Family.IPV4), "ip6": int(Family.IPV6)},
    "inet_proto": NUMBERS,
    "inet_service": SERVICES,
    "mark": {},
    "integer8": {},
    "integer16": {},
    "dscp": {name.lower(): value for name, value in DSCP_CLASSES.items()} | {"lephb": 1},
    "pkt_type": {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3},
    "fib_addrtype": {kind.name.lower(): int(kind) for kind in AddressType},
    "ct_state": {state.name.lower(): int(state) for state in CtState},
    "tcp_flag": {flag.name.lower(): int(flag) for flag in TcpFlag} | {"ecn": 64},
    "icmp_type": {
        "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
        "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
        "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
        "address-mask-request": 17, "address-mask-reply": 18,
    },
    "icmp_code": {
        "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3,
        "frag-needed": 4, "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
    },
    "icmpv6_type": {
        "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
        "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
        "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
        "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
        "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
    },
    "icmpv6_code": {
        "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
        "reject-route": 6,
    },
}  # fmt: skip
"""nft's type to its symbols; types that are not here (addresses aside) are not read."""

ADDRESSES = frozenset({"ipv4_addr", "ipv6_addr"})
BITMASKS = frozenset({"ct_state", "tcp_flag"})
"""Types whose values are flags: `X a,b` asks for any of them."""


def number(kind: str, value: Json) -> int:
    """One value; Unread where the type has no such symbol."""
    if isinstance(value, int) and not isinstance(value, bool):
        if kind in ADDRESSES or kind in ("ct_state", "nf_proto", "ether_type") or value < 0:
            raise Unread
        return value
    if not isinstance(value, str):
        raise Unread
    if kind in ADDRESSES:
        try:
            return parse_address(value)
        except ValueError:
            raise Unread from None
    if kind not in SYMBOLS:
        raise Unread
    found = SYMBOLS[kind].get(value)
    if found is None:
        return int(value, 0) if value[:2] == "0x" or value.isdecimal() else _no_symbol()
    return found


def _no_symbol() -> int:
    raise Unread


def _flags(kind: str, value: Json) -> int:
    """Flags put together: one, a list, or joined by `|`."""
    match value:
        case list() as parts:
            return sum({_flags(kind, part) for part in parts})
        case {"|": list() as parts}:
            bits = 0
            for part in parts:
                bits |= _flags(kind, part)
            return bits
        case int() if not isinstance(value, bool):
            return value
    one = number(kind, value)
    return 1 << one if kind == "ct_state" else one


def flags(kind: str, value: Json) -> int:
    """Flags as bits: nft's own bit for a ct state (`1 << CtState`)."""
    return _flags(kind, value)


def spans(kind: str, value: Json) -> list[tuple[int, int]]:
    """A value, range, prefix or set as inclusive ranges; Unread for anything else."""
    match value:
        case {"range": [low, high]}:
            first, last = number(kind, low), number(kind, high)
            if first > last:
                raise Unread
            return [(first, last)]
        case {"prefix": {"addr": str(addr), "len": int(length)}} if kind in ADDRESSES:
            try:
                return [parse_prefix(f"{addr}/{length}")]
            except ValueError:
                raise Unread from None
        case {"set": list() as members}:
            return [each for member in members for each in spans(kind, member)]
        case {"elem": {"val": inner}}:
            return spans(kind, inner)
        case {"|": _} if kind == "tcp_flag":
            bits = flags(kind, value)
            return [(bits, bits)]
    one = number(kind, value)
    return [(one, one)]


def intervals(kind: str, value: Json, shift: int = 0) -> Intervals:
    """The same as a set, moved to its place in the field."""
    found = spans(kind, value)
    return Intervals.union_of((low << shift, (high + 1 << shift) - 1) for low, high in found)
