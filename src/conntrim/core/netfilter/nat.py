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
from conntrim.core.netfilter.memory import Entry, Tuple, tuple_of

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
    """Where a nat statement points; None: that part stays. `certain` False: the kernel picks one of several."""

    address: int | None
    port: int | None
    certain: bool = True


def target_of(nat: Nat, packet: Packet, local: Intervals, hook: Hook) -> Target:
    """The address and port that a nat statement gives a packet."""
    if "map" in nat.text.split():
        return Target(None, None, certain=False)
    address, port, certain = _parse(_target(nat))
    if nat.kind == "masquerade":
        return Target(*_own(packet, local, port))
    if nat.kind == "redirect":
        ours = packet.dst in local or (not local and not packet.oif)
        there = packet.dst if ours else LOOPBACK[packet.family]
        return Target(LOOPBACK[packet.family] if hook is Hook.OUTPUT else there, port, certain)
    return Target(address, port, certain and nat.kind != "netmap")


ANY_PORT = Intervals.of((0, 65535))


def spans(nat: Nat) -> tuple[Intervals | None, Intervals | None]:
    """Every address and port that a nat statement may give; None: any address, and the port stays as far as it can."""
    if "map" in nat.text.split():
        return None, None if _ADDRESSES.search(nat.text) else ANY_PORT
    word = _target(nat)
    found = next((m.groupdict() for form in _FORMS if (m := form.fullmatch(word.strip(",")))), None)
    if found is None or nat.kind == "netmap":
        return None, ANY_PORT if word else None
    address, port, more = found.get("address"), found.get("port"), found.get("more") or ""
    ports = Intervals.of((int(port), int(more[1:] or port))) if port else None
    return (Intervals.of(parse_address(address)) if address and not found.get("to") else None), ports


def _target(nat: Nat) -> str:
    """The word that names where a nat statement points; empty where none does."""
    return next((w for w in reversed(nat.text.split()) if re.search(r"\d", w) and not w.startswith("-")), "")


def _own(packet: Packet, local: Intervals, port: int | None) -> tuple[int | None, int | None, bool]:
    """The host's own address that masquerading takes: certain where there is only one."""
    own = [low for low, _ in local.ranges if family_of(low) is packet.family and low not in LOOPBACK.values()]
    own = [a for a in own if not format_address(a).startswith(("127.", "fe80:"))]
    return (own[0] if own else None), port, len(own) == 1


def _parse(word: str) -> tuple[int | None, int | None, bool]:
    """`10.0.0.1:80`, `[2001:db8::1]:80`, `8080`, `10.0.0.1-10.0.0.9`: the first of a range, not certain then."""
    found = next((m.groupdict() for form in _FORMS if (m := form.fullmatch(word.strip(",")))), None)
    if found is None:
        return None, None, not word
    address, port = found.get("address"), found.get("port")
    certain = not found.get("to") and not found.get("more")
    try:
        return (parse_address(address) if address else None), (int(port) if port else None), certain
    except ValueError:
        return None, None, False


def translated(entry: Entry, target: Target, hook: Hook) -> Entry:
    """The entry once a nat statement at this hook has set it up: its answers then come from or go elsewhere."""
    reply, ported = entry.reply, entry.original.protocol in WITH_PORTS
    port = target.port if ported else None
    if hook in DST_HOOKS:
        after = reply._replace(
            src=reply.src if target.address is None else target.address, sport=reply.sport if port is None else port
        )
    else:
        after = reply._replace(
            dst=reply.dst if target.address is None else target.address, dport=reply.dport if port is None else port
        )
    if after == reply:
        return entry
    return replace(entry, reply=after, dnat=entry.dnat or hook in DST_HOOKS, snat=entry.snat or hook not in DST_HOOKS)


def rewritten(packet: Packet, entry: Entry, reply: bool, hook: Hook) -> Packet:
    """A packet of a translated entry as this hook leaves it."""
    if not (entry.snat or entry.dnat):
        return packet
    goal = (entry.original if reply else entry.reply).inverted()
    return packet if goal is None else _aimed(packet, goal, hook in DST_HOOKS)


def _aimed(packet: Packet, goal: Tuple, destination: bool) -> Packet:
    ported = packet.protocol in WITH_PORTS and packet.protocol == goal.protocol
    if destination:
        return replace(packet, dst=goal.dst, dport=goal.dport if ported else packet.dport)
    return replace(packet, src=goal.src, sport=goal.sport if ported else packet.sport)


def answered(packet: Packet, sent: Packet, left: Packet) -> Packet:
    """`packet`, an answer to `sent`, as the other end makes it, that saw `left` instead."""
    if sent == left or tuple_of(packet) != tuple_of(sent).inverted():
        return packet
    ported = packet.protocol in WITH_PORTS
    return replace(
        packet,
        src=left.dst, dst=left.src,
        sport=left.dport if ported else packet.sport, dport=left.sport if ported else packet.dport,
    )  # fmt: skip
