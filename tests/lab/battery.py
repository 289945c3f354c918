"""Real packets that tell a host's rule sets apart: its services' dialogues, everybody else's, and strangers'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from conntrim.core.model.address import Family, family_of, parse_address
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.policy import Policy
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.dialogue import Talk, dialogue, error_about
from conntrim.lab.claims import arrived
from conntrim.lab.dialogue import format_packet, shots
from conntrim.lab.oracle import Trace
from conntrim.lab.replay import Stage, batches_of

LOCAL_PORTS = (32_768, 60_999)
CLIENTS = {
    Family.IPV4: ("198.51.100.7", "192.168.0.66", "192.168.0.17", "192.168.0.18"),
    Family.IPV6: ("2001:db8:c::7",),
}
"""Strangers and neighbours; a host is no client of its own behind an interface."""
OURS = {Family.IPV6: "2001:db8::18"}
THERE = {Family.IPV4: "203.0.113.9", Family.IPV6: "2001:db8:2::9"}
"""A host behind this one: what goes there is forwarded."""
OTHER_PORTS = (22, 79, 80, 81, 3306, 11210, 11211, 11212, 45_000)
FROM_PORTS = (80, 11211, 40_000)
FLAGS = (TcpFlag.SYN, TcpFlag.ACK, TcpFlag.SYN | TcpFlag.ACK, TcpFlag.FIN | TcpFlag.ACK, TcpFlag.RST)


@dataclass(frozen=True, slots=True)
class Line:
    """One dialogue. `own`: of a service that the policy leaves untracked."""

    packets: tuple[Packet, ...]
    own: bool = False


Act = tuple[Line, ...]
"""Dialogues that may share a table: none is about another one's connection."""


def acts(address: str, policy: Policy) -> list[Act]:
    """Everything that is sent; the strangers' packets come one by one, an act for each kind."""
    ours = {Family.IPV4: parse_address(address), Family.IPV6: parse_address(OURS[Family.IPV6])}
    return [tuple(_services(ours, policy)), *_unsolicited(ours)]


def _opener(ends: tuple[int, int], ports: tuple[int, int], iif: str = "eth0", oif: str = "") -> Packet:
    (src, dst), (sport, dport) = ends, ports
    return Packet(family_of(src), Protocol.TCP, src, dst, sport, dport, iif=iif, oif=oif)


def _services(ours: dict[Family, int], policy: Policy) -> Iterator[Line]:
    for entry in policy.untrack:
        (port, _), *_ = entry.ports.ranges
        for family in entry.families():
            if entry.direction is Direction.INBOUND:
                yield from _inbound(ours[family], family, port)
            else:
                server = entry.peers.ranges[0][0]
                yield from _outbound(ours[family], server, port)
    for family in Family:
        for client in _clients(ours[family], family):
            yield from _talk(_opener((client, ours[family]), (50_022, 22)), own=False)
            yield from _talk(_opener((ours[family], client), (50_443, 443), "", "eth0"), own=False)
            query = replace(_opener((ours[family], client), (50_053, 53), "", "eth0"), protocol=Protocol.UDP)
            yield Line(dialogue(Talk.UDP, query))


def _clients(host: int, family: Family) -> Iterator[int]:
    return (client for client in map(parse_address, CLIENTS[family]) if client != host)


def _inbound(host: int, family: Family, port: int) -> Iterator[Line]:
    for client in _clients(host, family):
        for sport in (1024, *FROM_PORTS):
            yield from _talk(_opener((client, host), (sport, port)), own=True)
    loop = parse_address("127.0.0.1" if family is Family.IPV4 else "::1")
    for here in (host, loop):
        yield from _talk(_opener((here, here), (40_000, port), "", "lo"), own=True)


def _outbound(host: int, server: int, port: int) -> Iterator[Line]:
    for sport in (LOCAL_PORTS[0], 45_000, LOCAL_PORTS[1]):
        yield from _talk(_opener((host, server), (sport, port), "", "eth0"), own=True)
    for sport in (LOCAL_PORTS[0] - 1, LOCAL_PORTS[1] + 1):
        yield from _talk(_opener((host, server), (sport, port), "", "eth0"), own=False)
    for other, there in ((server ^ 1, port), (server, port - 1), (server, port + 1)):
        yield from _talk(_opener((host, other), (45_000, there), "", "eth0"), own=False)


def _talk(opener: Packet, *, own: bool) -> Iterator[Line]:
    """A whole connection with an ICMP error about it, and another one that is reset."""
    error = "lo" not in (opener.iif, opener.oif)
    yield Line(dialogue(Talk.TCP, opener, error=error), own)
    aborted = replace(opener, sport=(opener.sport or 0) + 100)
    if own and opener.oif == "eth0":
        aborted = replace(opener, sport=46_000 + (opener.sport or 0) % 1000)
    *opening, _ = dialogue(Talk.TCP, aborted)[:4]
    yield Line((*opening, replace(reply_to(aborted), tcp_flags=int(TcpFlag.RST))), own)


def _unsolicited(ours: dict[Family, int]) -> Iterator[Act]:
    for flags in (*map(int, FLAGS), None):
        yield tuple(
            Line((replace(p, tcp_flags=flags) if flags is not None else replace(p, protocol=Protocol.UDP),))
            for p in _unsolicited_packets(ours)
        )
    errors = (error_about(replace(reply_to(p), protocol=Protocol.UDP)) for p in _unsolicited_packets(ours) if not p.oif)
    yield tuple(Line((replace(e, iif="eth0", oif=""),)) for e in errors)


def _unsolicited_packets(ours: dict[Family, int]) -> Iterator[Packet]:
    for family in Family:
        for client in _clients(ours[family], family):
            for sport in FROM_PORTS:
                for dport in OTHER_PORTS:
                    yield _opener((client, ours[family]), (sport, dport))
                yield _opener((client, parse_address(THERE[family])), (sport, 3306), "eth0", "eth1")
                yield _opener((ours[family], client), (sport, 3306), "", "eth0")


# --- what became of it ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """The kernel's traces of one rule set, dialogue by dialogue in the order of the acts."""

    traces: tuple[tuple[Trace, ...], ...]


def asked(stage: Stage, ruleset: Ruleset, made: Sequence[Act]) -> Answer:
    """Send all acts under a rule set, each with an empty table."""
    stage.oracle.load(batches_of(ruleset))
    found: list[tuple[Trace, ...]] = []
    try:
        for act in made:
            stage.oracle.forget()
            fired = iter(stage.oracle.fire(shots([line.packets for line in act])))
            found += [tuple(next(fired) for _ in line.packets) for line in act]
    finally:
        stage.oracle.unload()
    return Answer(tuple(found))


def harm(made: Sequence[Act], before: Answer, plan: Answer, mutant: Answer) -> list[str]:
    """What a mutant does that the plan does not: a packet lost, a stranger let in, a service's packet tracked."""
    lines = [line for act in made for line in act]
    found = []
    for line, old, good, now in zip(lines, before.traces, plan.traces, mutant.traces, strict=True):
        for packet, b, p, m in zip(line.packets, old, good, now, strict=True):
            if arrived(packet, b) and arrived(packet, p) and not arrived(packet, m):
                found.append(f"lost: {format_packet(packet)}")
            if len(line.packets) == 1 and arrived(packet, m) and not arrived(packet, b) and not arrived(packet, p):
                found.append(f"let in: {format_packet(packet)}")
            if line.own and packet.inner is None and untracked(p) and m and not untracked(m):
                found.append(f"tracked: {format_packet(packet)}")
    return found


def untracked(trace: Trace) -> bool:
    """Whether conntrack let the packet alone."""
    return bool(trace) and trace[0].state is CtState.UNTRACKED
