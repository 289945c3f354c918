"""Dialogues as text and as bytes: one packet a line, `eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 S`.

First the way: `eth0>` comes in there, `>eth0` is sent by this host, `eth0>eth1` is forwarded, `>lo` goes round. Then
protocol, source, destination with their ports, TCP's flags as letters (`.` for none); for ICMP `type/code`, the
identifier of an echo (`id 7`), `first` or `later` for the two fragments of a datagram, and what an error is about in
parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from conntrim.core.model.address import family_of, format_address, parse_address
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import FIELDS
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import NUMBERS, WITH_PORTS, Protocol, protocol_name
from conntrim.lab.oracle import HOST
from conntrim.lab.wire import TRAFFIC_CLASS, Numbers, TcpSides, build, size_of

FLAG_LETTERS = "FSRPAUEC"
"""The letters of the TCP flags, lowest bit first."""

_LINE = re.compile(
    r"(?P<iif>[\w.]*)>(?P<oif>[\w.]*) (?P<proto>\S+)"
    r" (?P<src>\S+)(?: (?P<sport>\d+))? > (?P<dst>\S+)(?: (?P<dport>\d+))?"
    r"(?: (?P<flags>[FSRPAUEC]+|\.))?(?: (?P<type>\d+)/(?P<code>\d+))?(?: id (?P<id>\d+))?"
    + "".join(rf"(?: {field} (?P<{field}>\d+))?" for field in TRAFFIC_CLASS)
    + r"(?: (?P<part>first|later))?(?: \((?P<inner>.*)\))?"
)


def format_packet(packet: Packet) -> str:
    """One line without its end."""
    parts = [f"{packet.iif}>{packet.oif}", protocol_name(packet.protocol), format_address(packet.src)]
    ports = packet.protocol in WITH_PORTS
    parts += [str(packet.sport)] * ports + [">", format_address(packet.dst)] + [str(packet.dport)] * ports
    if packet.tcp_flags is not None:
        parts.append("".join(x for i, x in enumerate(FLAG_LETTERS) if packet.tcp_flags >> i & 1) or ".")
    if packet.icmp is not None:
        parts.append(f"{packet.icmp >> 8}/{packet.icmp & 255}")
        if packet.icmp_id:
            parts.append(f"id {packet.icmp_id}")
    values = ((field, getattr(packet, FIELDS[field].attribute)) for field in TRAFFIC_CLASS)
    parts += [f"{field} {value}" for field, value in values if value]
    parts += [name for name, there in (("first", packet.first), ("later", packet.fragment)) if there]
    if packet.inner is not None:
        parts.append(f"({format_packet(packet.inner)})")
    return " ".join(parts)


def parse_packet(text: str, source: str = "packet", line: int = 0) -> Packet:
    """The opposite of `format_packet`; InputError where the text is no packet."""
    found = _LINE.fullmatch(text.strip())
    if found is None:
        raise InputError(source, f"no packet: {text.strip()!r}", line=line, advice="eth0> tcp A 4000 > B 80 S")
    number = found["proto"].removeprefix("proto-")
    try:
        src, dst = parse_address(found["src"]), parse_address(found["dst"])
        protocol = NUMBERS[number] if number in NUMBERS else int(number)
    except ValueError as error:
        raise InputError(source, str(error), line=line) from error
    classes: dict[str, Any] = {FIELDS[field].attribute: _number(found[field]) for field in TRAFFIC_CLASS}
    return Packet(
        family_of(src), protocol, src, dst, _number(found["sport"]), _number(found["dport"]),
        tcp_flags=_flags(found["flags"]) if protocol == Protocol.TCP else None,
        icmp=int(found["type"]) << 8 | int(found["code"]) if found["type"] else None,
        iif=found["iif"], oif=found["oif"],
        inner=parse_packet(found["inner"], source, line) if found["inner"] else None,
        icmp_id=int(found["id"] or 0), first=found["part"] == "first", fragment=found["part"] == "later", **classes,
    )  # fmt: skip


def parse_packets(text: str, source: str = "packets") -> tuple[Packet, ...]:
    """A packet a line; empty lines and `#` comments are skipped."""
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return tuple(parse_packet(line, source, number) for number, line in lines if line and not line.startswith("#"))


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _flags(text: str | None) -> int:
    return sum(1 << FLAG_LETTERS.index(letter) for letter in (text or ".") if letter != ".")


def way_of(packet: Packet) -> str:
    """The device that the packet must be injected into; `HOST` where a program sends it."""
    return HOST if packet.iif == "lo" else packet.iif


def shots(dialogues: Iterable[Sequence[Packet]], start: int = 0) -> list[tuple[str, bytes]]:
    """All packets of some dialogues as bytes, numbered from `start` + 1; each dialogue has its own TCP counters."""
    made: list[tuple[str, bytes]] = []
    for packets in dialogues:
        sides = TcpSides()
        for packet in packets:
            seq, ack = sides.take(packet) if packet.protocol == Protocol.TCP else (0, 0)
            filled = bytes(max(0, (packet.length or 0) - size_of(packet)))
            made.append((way_of(packet), build(packet, Numbers(start + len(made) + 1, seq, ack, filled))))
    return made
