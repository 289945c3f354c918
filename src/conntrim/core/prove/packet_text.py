"""Boxes and packets in words, for a reader who knows iptables."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from conntrim.core.model.address import format_range
from conntrim.core.model.fields import FIELDS, Field, Reading, TcpFlag
from conntrim.core.model.intervals import Intervals, span_text
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS, protocol_name
from conntrim.core.netfilter.trace_text import describe as address_line
from conntrim.core.netfilter.trace_text import name_of
from conntrim.core.prove.cube_cover import Box
from conntrim.core.prove.packet_vars import PacketVars

MOST = 5
"""Ranges named of one property before the rest is only counted."""

Wording = Callable[[PacketVars, Intervals], list[str]]


def _ranges(space: PacketVars, values: Intervals) -> list[str]:
    return [span_text(*each) for each in values.ranges]


def _addresses(space: PacketVars, values: Intervals) -> list[str]:
    return [format_range(*r) for r in values.ranges]


def _protocols(space: PacketVars, values: Intervals) -> list[str]:
    return [protocol_name(n) for n in values]


def _names(space: PacketVars, values: Intervals) -> list[str]:
    return [space.names.known[code] for code in values if 0 < code < len(space.names.known)]


def _types(space: PacketVars, values: Intervals) -> list[str]:
    """Types where all codes are meant, else `type/code`."""
    found = []
    for low, high in values.ranges:
        if low & 0xFF == 0 and high & 0xFF == 0xFF:
            found += _ranges(space, Intervals.of((low >> 8, high >> 8)))
        else:
            found.append(f"{low >> 8}/{low & 0xFF}" + (f"-{high >> 8}/{high & 0xFF}" if high > low else ""))
    return found


def _flags(space: PacketVars, values: Intervals) -> list[str]:
    """Combinations of the flags that matter: those whose change may lead out of the set."""
    held = set(values)
    matter = [f for f in TcpFlag if any((v ^ f) not in held for v in held)]
    mask = sum(matter)
    return ["+".join(f.name for f in matter if v & f) or "none" for v in sorted({v & mask for v in held})]


WORDINGS: dict[Reading, Wording] = {
    Reading.NUMBERS: _ranges, Reading.ADDRESSES: _addresses, Reading.PROTOCOLS: _protocols, Reading.DEVICES: _names,
    Reading.TYPES: _types, Reading.FLAGS: _flags,
}  # fmt: skip
"""How a field's values are told."""


def _few(parts: list[str]) -> str:
    more = len(parts) - MOST
    return ", ".join(parts[:MOST]) + (f" and {more} more" if more > 0 else "")


def _shorter(space: PacketVars, box: Box, key: Field) -> str:
    """`80, 443`, or `any but 22, 80` where that is shorter."""
    wording = WORDINGS[FIELDS[key].reading]
    some, without = wording(space, box.values[key]), wording(space, box.without[key])
    inverse = len(without) < len(some) or (box.without[key].size == 1 and box.values[key].size > 1 and not _one(some))
    return f"any but {_few(without)}" if inverse and without else _few(some)


def _one(parts: list[str]) -> bool:
    return len(parts) == 1


def describe(space: PacketVars, box: Box) -> str:
    """`tcp, source port 11211, destination port any but 22, 80; where ... matches`."""
    parts = [_shorter(space, box, Field.PROTOCOL) if Field.PROTOCOL in box.values else "any protocol"]
    fields = (field for field, spec in FIELDS.items() if spec.phrase and field in box.values)
    parts += [f"{FIELDS[field].phrase} {_shorter(space, box, field)}" for field in fields]
    conditions = [f"`{q}` {'matches' if yes else 'does not match'}" for q, yes in box.conditions.items()]
    return ", ".join(parts) + (f"{WHERE}{' and '.join(conditions)}" if conditions else "")


WHERE = "; where "
"""What stands in front of the answers to unknown matches on which a set hangs."""


def conditional(lines: Iterable[str]) -> bool:
    """Whether one of these lines says on which answer of an unknown match it hangs."""
    return any(f"{WHERE}`" in line for line in lines)


COUNTED = ((Field.SRC, "peer"), (Field.SPORT, "source port"), (Field.DPORT, "port here"))
"""What tells how far a box reaches: who may send, and from how many ports to how many of this host's."""


def reach_of(box: Box) -> str:
    """`any peer x 1 source port x 28,232 ports here`: how many unsolicited flows a box holds, as three numbers."""
    ported = set(box.values.get(Field.PROTOCOL, Intervals())) <= WITH_PORTS and Field.PROTOCOL in box.values
    return " x ".join(_count(box, key, what) for key, what in COUNTED if ported or key is Field.SRC)


def _count(box: Box, key: Field, what: str) -> str:
    if key not in box.values:
        return f"any {what}"
    size = box.values[key].size
    first, *rest = what.split(" ")
    many = f"{first}s here" if rest == ["here"] else f"{what}s"
    return f"{size:,} {what if size == 1 else many}"


def describe_packet(packet: Packet) -> str:
    """`tcp SYN 198.51.100.7:40000 > 192.0.2.1:3306, in eth0`."""
    protocol, name = protocol_name(packet.protocol), name_of(packet)
    full = name if name.lower().startswith(protocol) else f"{protocol} {name}"
    return f"{full} {address_line(packet)}"
