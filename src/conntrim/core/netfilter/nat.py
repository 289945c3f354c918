"""Translation, as far as tuples go: what an entry's reply tuple becomes, and how its packets are rewritten."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from conntrim.core.model.address import Family, family_of, format_address, parse_address
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS
from conntrim.core.model.ruleset import Nat
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import ANY_PORT, Entry, Tuple, tuple_of
from conntrim.core.netfilter.states import ICMP_ANSWERS

DST_HOOKS = (Hook.PREROUTING, Hook.OUTPUT)
"""Here destinations are rewritten, sources at the other two."""

LOOPBACK: dict[Family, int] = {Family.IPV4: parse_address("127.0.0.1"), Family.IPV6: parse_address("::1")}

_PORT = r"(?P<port>\d+)(?P<more>-\d+)?"
_FORMS = tuple(re.compile(form) for form in (
    rf":?{_PORT}",
    rf"(?P<address>\d+\.\d+\.\d+\.\d+)(?P<to>-[\d.]+)?(?::{_PORT})?",
    rf"\[(?P<address>[0-9a-fA-F:.]+)\]?(?P<to>-\[?[0-9a-fA-F:.]+)?\]?(?::{_PORT})?",
    r"(?P<address>[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)(?P<to>-[0-9a-fA-F:.]+)?",
))  # fmt: skip
"""How a target is written: a port, IPv4 with or without one, IPv6 in brackets with one, IPv6 alone."""

_ADDRESSES = re.compile(r" map \{ (?:[^:{}]+ : \d+\.\d+\.\d+\.\d+(?:, | \}$))+$")
"""A map that gives IPv4 addresses and nothing else."""


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
    words = nat.text.replace(",", " ").split()
    if "map" in words or nat.kind == "netmap":
        return Target(None, None, certain=False)
    target = replace(_parse(_target(nat)), any_port=any("random" in w for w in words))
    if nat.kind == "masquerade":
        address, certain = _masqueraded(packet, kernel)
        return replace(target, address=address, certain=certain)
    if nat.kind == "redirect":
        return replace(target, address=_redirected(packet, kernel, hook))
    return target


EVERY_PORT = Intervals.of((0, 65535))


def spans(nat: Nat) -> tuple[Intervals | None, Intervals | None]:
    """Every address and port that a nat statement may give; None: any address, and the port stays as far as it can."""
    if "map" in nat.text.split():
        return None, None if _ADDRESSES.search(nat.text) else EVERY_PORT
    word = _target(nat)
    found = next((m.groupdict() for form in _FORMS if (m := form.fullmatch(word.strip(",")))), None)
    if found is None or nat.kind == "netmap":
        return None, EVERY_PORT if word else None
    address, port, more = found.get("address"), found.get("port"), found.get("more") or ""
    ports = Intervals.of((int(port), int(more[1:] or port))) if port else None
    return (Intervals.of(parse_address(address)) if address and not found.get("to") else None), ports


def _target(nat: Nat) -> str:
    """The word that names where a nat statement points; empty where none does."""
    return next((w for w in reversed(nat.text.split()) if re.search(r"\d", w) and not w.startswith("-")), "")


def _masqueraded(packet: Packet, kernel: Kernel) -> tuple[int | None, bool]:
    """The host's own address at the outgoing interface; without routes it is certain only where there is one at all."""
    there = kernel.own(packet.oif, packet.family)
    if there is not None and packet.oif != "lo":  # there it takes an address of some other interface
        return there, True
    own = [low for low, _ in kernel.local.ranges if family_of(low) is packet.family and low not in LOOPBACK.values()]
    own = [a for a in own if not format_address(a).startswith(("127.", "fe80:"))]
    return (own[0] if own else None), len(own) == 1 and packet.oif != "lo"


def _redirected(packet: Packet, kernel: Kernel, hook: Hook) -> int:
    """Our own packets go to the loopback address, others to that of the interface they came in by."""
    if hook is Hook.OUTPUT:
        return LOOPBACK[packet.family]
    there = kernel.own(packet.iif, packet.family)
    ours = packet.dst in kernel.local or (not kernel.local and not packet.oif)
    return there if there is not None else packet.dst if ours else LOOPBACK[packet.family]


def _parse(word: str) -> Target:
    """`10.0.0.1:80`, `[2001:db8::1]:80`, `8080`, `10.0.0.1-10.0.0.9`: the first of a range, not certain then."""
    found = next((m.groupdict() for form in _FORMS if (m := form.fullmatch(word.strip(",")))), None)
    if found is None:
        return Target(None, None, not word)
    address, port, more = found.get("address"), found.get("port"), found.get("more")
    try:
        return Target(
            parse_address(address) if address else None, int(port) if port else None, not found.get("to"),
            int(more[1:]) if more else None,
        )  # fmt: skip
    except ValueError:
        return Target(None, None, certain=False)


def translated(entry: Entry, target: Target, hook: Hook) -> Entry:
    """The entry once a nat statement at this hook has set it up: its answers then come from or go elsewhere."""
    reply, destination = entry.reply, hook in DST_HOOKS
    address = (reply.src if destination else reply.dst) if target.address is None else target.address
    port = reply.sport if destination else reply.dport
    port = _port(target, port) if entry.original.protocol in WITH_PORTS else port
    after = reply._replace(src=address, sport=port) if destination else reply._replace(dst=address, dport=port)
    if after == reply:
        return replace(entry, guessed=entry.guessed or not target.certain)
    return replace(
        entry, reply=after, dnat=entry.dnat or destination, snat=entry.snat or not destination,
        guessed=entry.guessed or not target.certain,
    )  # fmt: skip


def _port(target: Target, port: int) -> int:
    """The port that a target gives: one that lies in its range stays."""
    if target.any_port:
        return ANY_PORT
    if target.port is None:
        return port
    if target.last is None:
        return target.port
    return port if target.port <= port <= target.last else ANY_PORT


def evaded(entry: Entry) -> Entry:
    """An entry whose tuples are taken, as the NAT core's last step leaves it: with another source port or number."""
    if entry.original.protocol in WITH_PORTS:
        return replace(entry, reply=entry.reply._replace(dport=ANY_PORT), snat=True)
    return replace(entry, guessed=entry.original.protocol in ICMP_ANSWERS)


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
