"""A Policy to the commented TOML file that the operator edits; the opposite of parse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from conntrim.core.model.address import Family, format_range
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ClientLimit, Cure, Policy, ServiceTimeout, Untrack
from conntrim.core.model.printable import shown
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.service import Direction

HEADER = """\
# Policy of conntrim: which services this host no longer tracks, what a client may have, how large its table is.
# Edit it, then: conntrim plan --policy THIS-FILE
#
# [[untrack]] names one service:
#   direction  "inbound" (this host serves) or "outbound" (this host asks)
#   protocol   "tcp", "udp", "sctp", "dccp" or "udplite"
#   ports      the server's ports: [80], [80, 443] or ["8000-8010"]
#   to         outbound only, and never left out: the servers, as addresses or prefixes
#   from       inbound only: the clients; leave it out for whoever the filter admits
#   family     "ipv4" or "ipv6"; leave it out for both
#   keep_lo_tracked  true where connections over lo are to stay tracked
# [[timeout]] gives the connections of one service time-outs of their own:
#   direction  "inbound", "outbound" or "forwarded"
#   protocol   "tcp" or "udp"; ports as above; from, to, family as above, each may be left out
#   seconds    { unreplied = 15, replied = 30 }, of TCP { established = 7440, time_wait = 30, ... }
#   accept_below_rfc  true where translated connections may have less than NAT's minima
# [[limit]] refuses new connections of a client that has too many:
#   direction  "inbound" or "forwarded"
#   protocol, ports, from, family   as above, each may be left out
#   per        "client" (an address of IPv4, a /64 of IPv6), or the length of a prefix: "24"
#   connections, per_second   the most that may be open, and that may begin in a second
#   action     "reject" or "drop"
# own_addresses, before the first of these: addresses that this host has at times (VRRP)
"""
FAMILY_NAMES: dict[Family, str] = {Family.IPV4: "ipv4", Family.IPV6: "ipv6"}


def _ports(ports: Intervals) -> str:
    return ", ".join(str(low) if low == high else f'"{low}-{high}"' for low, high in ports.ranges)


def _addresses(addresses: Intervals) -> str:
    return ", ".join(f'"{p}"' for low, high in addresses.ranges for p in _prefixes(low, high))


def _prefixes(low: int, high: int) -> list[str]:
    """An inclusive range as the fewest prefixes."""
    found = []
    while low <= high:
        size = low & -low or 1 << 128
        while low + size - 1 > high:
            size >>= 1
        found.append(format_range(low, low + size - 1))
        low += size
    return found


def _entry(cure: Cure, note: str) -> str:
    """An entry behind its comment."""
    lines = [f"# {shown(line)}" for line in note.split("\n") if line]
    match cure:
        case Untrack():
            lines += ["[[untrack]]", *_untrack(cure)]
        case ClientLimit():
            lines += ["[[limit]]", *_limit(cure)]
        case ServiceTimeout():
            lines += ["[[timeout]]", *_timeout(cure)]
        case _:
            assert_never(cure)
    return "\n".join(lines) + "\n"


def _untrack(entry: Untrack) -> Iterator[str]:
    yield f'direction = "{entry.direction}"'
    yield f'protocol = "{protocol_name(entry.protocol)}"'
    yield f"ports = [{_ports(entry.ports)}]"
    if entry.peers:
        yield f"{'to' if entry.direction is Direction.OUTBOUND else 'from'} = [{_addresses(entry.peers)}]"
    yield from _family(entry.family)
    if entry.keep_lo_tracked:
        yield "keep_lo_tracked = true"


def _limit(entry: ClientLimit) -> Iterator[str]:
    yield f'direction = "{entry.direction}"'
    if entry.protocol is not None:
        yield f'protocol = "{protocol_name(entry.protocol)}"'
    if entry.ports:
        yield f"ports = [{_ports(entry.ports)}]"
    if entry.clients:
        yield f"from = [{_addresses(entry.clients)}]"
    yield from _family(entry.family)
    yield f'per = "{"client" if entry.prefix is None else entry.prefix}"'
    if entry.connections is not None:
        yield f"connections = {entry.connections}"
    if entry.per_second is not None:
        yield f"per_second = {entry.per_second}"
    yield f'action = "{entry.action}"'


def _timeout(entry: ServiceTimeout) -> Iterator[str]:
    yield f'direction = "{entry.direction}"'
    yield f'protocol = "{protocol_name(entry.protocol)}"'
    yield f"ports = [{_ports(entry.ports)}]"
    for key, ends in (("from", entry.clients), ("to", entry.servers)):
        if ends:
            yield f"{key} = [{_addresses(ends)}]"
    yield from _family(entry.family)
    yield f"seconds = {{ {', '.join(f'{state} = {seconds}' for state, seconds in entry.seconds.items())} }}"
    if entry.accept_below_rfc:
        yield "accept_below_rfc = true"


def _family(family: Family | None) -> Iterator[str]:
    if family is not None:
        yield f'family = "{FAMILY_NAMES[family]}"'


def emit_policy(policy: Policy, notes: Sequence[str] = (), remarks: Sequence[str] = ()) -> str:
    """The file's text. `notes` are comments, one for each cure; `remarks` what was left out, and why."""
    blocks = [HEADER]
    if remarks:
        blocks.append("".join(f"# {shown(line)}\n" for line in remarks))
    if policy.own_addresses:
        blocks.append(f"own_addresses = [{_addresses(policy.own_addresses)}]\n")
    padded = [*notes, *[""] * len(policy.cures)]
    blocks += [_entry(cure, note) for cure, note in zip(policy.cures, padded, strict=False)]
    sizes = [(key, value) for key, value in (("max", policy.max), ("buckets", policy.buckets)) if value is not None]
    if sizes:
        blocks.append("# Entries, and hash buckets to hold them.\n[table]\n" + _pairs(sizes))
    if policy.timeouts:
        blocks.append("# Seconds.\n[timeouts]\n" + _pairs(sorted(policy.timeouts.items())))
    return "\n".join(blocks)


def _pairs(pairs: Sequence[tuple[str, int]]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in pairs)
