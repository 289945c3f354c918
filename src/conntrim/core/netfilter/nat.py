"""Translation, as far as tuples go: what an entry's reply tuple becomes, and how its packets are rewritten."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from conntrim.core.model.address import Family, family_of, format_address, parse_address
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Nat, NatFlag, NatKind
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.icmp import ANSWERS
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import ANY_PORT, EMPTY, Entry, Memory, Tuple, tuple_of

DST_HOOKS = (Hook.PREROUTING, Hook.OUTPUT)
"""Here destinations are rewritten, sources at the other two."""

LOOPBACK: dict[Family, int] = {Family.IPV4: parse_address("127.0.0.1"), Family.IPV6: parse_address("::1")}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a nat statement points; None: that part stays. `certain` False: the kernel picks one of several addresses.

    `last` ends a range of ports; `any_port`: the kernel draws one.
    """

    address: int | None
    port: int | None
    certain: bool = True
    last: int | None = None
    any_port: bool = False


def target_of(nat: Nat, packet: Packet, kernel: Kernel, hook: Hook) -> Target:
    """The address and port that a nat statement gives a packet."""
    if nat.elsewhere is not None or nat.kind is NatKind.NETMAP:
        return Target(None, None, certain=False)
    address, certain = _address(nat, packet, kernel, hook)
    port, last = nat.ports or (None, None)
    drawn = NatFlag.RANDOM in nat.flags or NatFlag.FULLY_RANDOM in nat.flags
    return Target(address, port, certain, last, drawn)


def _address(nat: Nat, packet: Packet, kernel: Kernel, hook: Hook) -> tuple[int | None, bool]:
    """The address, of a range the first, and whether the kernel has no choice."""
    match nat.kind:
        case NatKind.MASQUERADE:
            return _masqueraded(packet, kernel)
        case NatKind.REDIRECT:
            return _redirected(packet, kernel, hook), True
        case NatKind.SNAT | NatKind.DNAT | NatKind.NETMAP:
            first, last = nat.addresses or (None, None)
            return first, first == last
    assert_never(nat.kind)


EVERY_PORT = Intervals.of((0, 65535))


def spans(nat: Nat) -> tuple[Intervals | None, Intervals | None]:
    """Every address and port that a nat statement may give; None: any address, and the port stays as far as it can."""
    if nat.elsewhere is not None:
        return None, None if nat.elsewhere.keeps_port else EVERY_PORT
    addresses, ports = (Intervals.union_of([span]) if span else None for span in (nat.addresses, nat.ports))
    return addresses, ports


def _masqueraded(packet: Packet, kernel: Kernel) -> tuple[int | None, bool]:
    """The host's own address at the outgoing interface; without routes it is certain only where there is one at all."""
    there = kernel.own(packet.oif, packet.family)
    if there is not None and packet.oif != "lo":  # there it takes an address of some other interface
        return there, True
    own = own_addresses(kernel, packet.family)
    return (own[0] if own else None), len(own) == 1 and packet.oif != "lo"


def own_addresses(kernel: Kernel, family: Family) -> list[int]:
    """The host's own addresses that a packet may leave with."""
    own = [low for low, _ in kernel.local.ranges if family_of(low) is family and low not in LOOPBACK.values()]
    return [a for a in own if not format_address(a).startswith(("127.", "fe80:"))]


def _redirected(packet: Packet, kernel: Kernel, hook: Hook) -> int:
    """Our own packets go to the loopback address, others to that of the interface they came in by."""
    if hook is Hook.OUTPUT:
        return LOOPBACK[packet.family]
    there = kernel.own(packet.iif, packet.family)
    if there is not None:
        return there
    if packet.dst in kernel.local or (not kernel.local and not packet.oif):
        return packet.dst
    own = own_addresses(kernel, packet.family) if packet.iif != "lo" else []
    return own[0] if own else LOOPBACK[packet.family]  # nobody told which it is; what comes from outside to ::1 is lost


def translated(entry: Entry, target: Target, hook: Hook, memory: Memory = EMPTY) -> Entry:
    """The entry once a nat statement at this hook has set it up: its answers then come from or go elsewhere.

    `memory` tells which ports are taken.
    """
    reply, destination = entry.reply, hook in DST_HOOKS
    address = (reply.src if destination else reply.dst) if target.address is None else target.address
    moved = reply._replace(src=address) if destination else reply._replace(dst=address)
    guessed = entry.guessed or not target.certain
    entry = replace(entry, guessed=guessed)
    after = replace(entry, reply=moved)
    if entry.original.protocol in WITH_PORTS:
        after = _ported(after, target, destination, memory)
    elif not destination and memory.taken(after):
        after = evaded(after)
    if after.reply == reply:
        return after
    return replace(after, dnat=entry.dnat or destination, snat=entry.snat or not destination)


PORTS_TRIED = 16
"""Of a range of ports for destinations so many are tried from its start on: the kernel would try more."""


def _ported(entry: Entry, target: Target, destination: bool, memory: Memory) -> Entry:
    """The entry with the port that the kernel takes: the one that it has, one of the range, or another of its class.

    K55: a destination's port becomes the first free one of the range, a source's any of it. A single port is taken even
    if its tuple is not free.
    """
    port = entry.reply.sport if destination else entry.reply.dport
    if target.any_port:
        return _with_port(entry, ANY_PORT, destination)
    if not destination and (before := _as_before(entry, target, memory)) is not None:
        return before
    if target.port is None:
        return entry if destination or not memory.taken(entry) else evaded(entry)
    last = target.port if target.last is None else target.last
    if last == target.port:
        return _with_port(entry, last, destination)
    tried = [port] if target.port <= port <= last else []
    tried += range(target.port, min(last + 1, target.port + PORTS_TRIED)) if destination else ()
    ways = (_with_port(entry, each, destination) for each in tried)
    return next((way for way in ways if not memory.taken(way)), _with_port(entry, ANY_PORT, destination))


def _as_before(entry: Entry, target: Target, memory: Memory) -> Entry | None:
    """The entry with the port that an earlier flow of the same source has behind the same address (K57)."""
    low, high = target.port or 0, (target.last or target.port) if target.port is not None else 0xFFFF
    if entry.reply.dst == entry.original.src and low <= entry.original.sport <= (high or 0):
        return None
    for other in reversed(memory.entries):
        port, same = other.reply.dport, source_of(other) == source_of(entry) and other.reply.dst == entry.reply.dst
        if same and (port == ANY_PORT or low <= port <= (high or 0)):
            way = _with_port(entry, port, destination=False)
            return None if memory.taken(way) else way
    return None


def source_of(entry: Entry) -> tuple[int, int, int, int]:
    """What the NAT core remembers the translation of sources by."""
    return entry.original.protocol, entry.original.src, entry.original.sport, entry.zone.of("original")


def _with_port(entry: Entry, port: int, destination: bool) -> Entry:
    reply = entry.reply
    return replace(entry, reply=reply._replace(sport=port) if destination else reply._replace(dport=port))


def evaded(entry: Entry) -> Entry:
    """An entry whose tuples are taken, as the NAT core leaves it: with another source port or number (K44)."""
    if entry.original.protocol in WITH_PORTS:
        return replace(entry, reply=entry.reply._replace(dport=ANY_PORT), snat=True)
    return replace(entry, guessed=entry.guessed or entry.original.protocol in ANSWERS)


def rewritten(packet: Packet, entry: Entry, reply: bool, hook: Hook) -> Packet:
    """A packet of a translated entry as this hook leaves it: what a hook does to one direction undoes the other's."""
    destination = hook in DST_HOOKS
    if not (entry.dnat if destination is not reply else entry.snat):
        return packet
    goal = (entry.original if reply else entry.reply).inverted()
    return packet if goal is None else _aimed(packet, goal, destination)


def _aimed(packet: Packet, goal: Tuple, destination: bool) -> Packet:
    ported = packet.protocol in WITH_PORTS and packet.protocol == goal.protocol
    if destination:
        return replace(packet, dst=goal.dst, dport=goal.dport if ported else packet.dport)
    return replace(packet, src=goal.src, sport=goal.sport if ported else packet.sport)


def answered(packet: Packet, sent: Packet, left: Packet) -> Packet:
    """`packet`, an answer to `sent` or an error about it, as the other end makes it, that saw `left` instead."""
    if ANY_PORT in (left.sport, left.dport) or tuple_of(sent) == tuple_of(left):
        return packet
    if packet.inner is not None:
        return _complained(packet, packet.inner, sent, left)
    if tuple_of(packet) != tuple_of(sent).inverted():
        return packet
    ported = packet.protocol in WITH_PORTS
    return replace(
        packet,
        src=left.dst, dst=left.src, iif=left.oif, oif=left.iif,
        sport=left.dport if ported else packet.sport, dport=left.sport if ported else packet.dport,
    )  # fmt: skip


def _complained(packet: Packet, inner: Packet, sent: Packet, left: Packet) -> Packet:
    """An ICMP error of the receiver, or of a router on the way, about a packet that left as `left`."""
    if tuple_of(inner) != tuple_of(sent):
        return packet
    src = left.dst if packet.src == sent.dst else packet.src
    about = replace(inner, src=left.src, dst=left.dst, sport=left.sport, dport=left.dport)
    return replace(packet, src=src, dst=left.src, iif=left.oif, oif=left.iif, inner=about)
