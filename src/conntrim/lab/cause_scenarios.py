"""Causes made with real sockets and packets, each with the code that must come first; and busy hosts without any.

More than 400 lines: two tables of scenarios, and the few lines that make each row's.
"""

from __future__ import annotations

import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.host.netns import entered
from conntrim.lab.cause_site import (
    CHALLENGED,
    CLOSED,
    GATEWAY,
    INSIDE,
    LAST_ACK,
    LEFT_OPEN,
    NAT,
    OPENED,
    PLAIN,
    Flow,
    Site,
    inside,
    outside,
    text,
)

OURS = parse_address(GATEWAY)
SERVER = outside(77)
"""One server somewhere."""
PATIENCE = 10.0
"""Seconds that packets under way are waited for."""

ESTABLISHED = "net.netfilter.nf_conntrack_tcp_timeout_established"
CLOSE_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_close_wait"
PORTS = 40_000
"""Client ports in use, from 20,000 on."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cause (code "" for a healthy host), and what fills the table.

    `make` gets the number of entries; what it returns is closed after the diagnosis. `rules` are those it needs beside.
    `nat`: whether it is made on a gateway that translates, on one that does not, or on both. `ends_here`: it is about
    the gateway's own traffic, beside which a translating gateway has that of its clients.
    """

    name: str
    code: str
    make: Callable[[Site, int, ExitStack], None]
    nat: tuple[bool, ...] = (False, True)
    ends_here: bool = False
    rules: str = ""
    timeouts: tuple[tuple[str, int], ...] = ()
    most: int = 1_000_000


def flows(entries: int, dport: int, *, clients: int = 0, server: int = 0) -> Iterator[Flow]:
    """So many flows of so many inner clients (0: each its own) to one server or many; one behind the translation has
    a port of its own towards each server.
    """
    for n in range(entries):
        client = inside(n % clients if clients else n % 50_000)
        yield Flow(client, server or outside(n), 20_000 + (n if server else n % 4_000 * 10 + n // 4_000), dport)


def beside(site: Site, entries: int) -> None:
    """What else goes on: connections in use, of thirty clients."""
    few = [Flow(inside(60_000 + n % 30), outside(2_000 + n), 16_400 + n, 443) for n in range(entries)]
    site.tcp(few, (*OPENED, (True, TcpFlag.ACK, 1, 1)))


# --- forwarded --------------------------------------------------------------------------------------------------------


def through(steps: tuple[tuple[bool, int, int, int], ...], **how: int) -> Callable[[Site, int, ExitStack], None]:
    """Forwarded connections that go so far, beside others in use."""

    def make(site: Site, entries: int, stack: ExitStack) -> None:
        beside(site, entries // 10)
        site.tcp(flows(entries, 443, **how), steps)

    return make


def scan(site: Site, entries: int, stack: ExitStack) -> None:
    """One inner client asks port 23 of everybody."""
    beside(site, entries // 10)
    site.tcp((Flow(inside(7), outside(n), 20_000 + n // 4_000, 23) for n in range(entries)), OPENED, only=True)


def silent(site: Site, entries: int, stack: ExitStack) -> None:
    """A server that does not answer."""
    beside(site, entries // 10)
    site.tcp(flows(entries, 5_432, clients=40, server=SERVER), OPENED[:1])


def challenged(site: Site, entries: int, stack: ExitStack) -> None:
    """A server whose answers to SYNs are bare acknowledgements (K157)."""
    beside(site, entries // 10)
    site.tcp(flows(entries, 9_300, clients=40, server=SERVER), CHALLENGED)


def greedy(site: Site, entries: int, stack: ExitStack) -> None:
    """One inner client has four fifths."""
    beside(site, entries // 5)
    some = (Flow(inside(9), outside(n % 7), 20_000 + n // 7, 443) for n in range(entries * 4 // 5))
    site.tcp(some, CLOSED)


def dht(site: Site, entries: int, stack: ExitStack) -> None:
    """One inner client asks ever other nodes from one port; every eighth answers."""
    beside(site, entries // 10)
    nodes = (Flow(inside(9), outside(n), 51_413, 1_024 + (n * 37 + n // 4_000) % 60_000) for n in range(entries))
    site.udp(nodes, answered=8)


def look_ups(site: Site, entries: int, stack: ExitStack) -> None:
    """Forty inner clients ask one resolver."""
    beside(site, entries // 10)
    site.udp(flows(entries, 53, clients=40, server=SERVER))


def cluster(site: Site, entries: int, stack: ExitStack) -> None:
    """Pods ask a service address, which is translated."""
    beside(site, entries // 10)
    resolver, service = parse_address("10.20.200.3"), parse_address("10.96.0.10")
    for n in range(entries):
        pod, port = inside(n % 60), 20_000 + n // 60
        site.wires["inside"].send(Packet(Family.IPV4, Protocol.UDP, pod, service, port, 53))
        site.wires["inside"].send(Packet(Family.IPV4, Protocol.UDP, resolver, pod, 53, port))


def syslog(site: Site, entries: int, stack: ExitStack) -> None:
    """Many inner hosts tell a collector, which never answers."""
    beside(site, entries // 10)
    site.udp(flows(entries, 514, clients=200, server=SERVER), answered=0)


def asymmetric(site: Site, entries: int, stack: ExitStack) -> None:
    """Connections of which the clients' direction alone passes, without their SYN."""
    site.tcp(flows(entries, 443), ((True, TcpFlag.ACK, 1, 1), (True, TcpFlag.ACK, 1, 1)), only=True)


def dead_peers(site: Site, entries: int, stack: ExitStack) -> None:
    """Connections that were opened under a time-out a day shorter, so that they look idle for a day; one is in use."""
    site.gateway.sysctl(ESTABLISHED, 432_000 - 86_400)
    site.tcp(flows(entries, 5_222), OPENED)
    site.gateway.sysctl(ESTABLISHED, 432_000)
    beside(site, max(entries // 10, 1))


# --- this host's own --------------------------------------------------------------------------------------------------


def sender(number: int) -> int:
    """An address of the 131,072 of RFC 2544."""
    return parse_address("198.18.0.0") + number % 131_072


def asked(dport: int, *, clients: int, answers: bool = True) -> Callable[[Site, int, ExitStack], None]:
    """Questions from outside to a UDP service of the gateway, each answered at once or none."""

    def make(site: Site, entries: int, stack: ExitStack) -> None:
        for n in range(entries):
            client, port = sender(n % clients), 20_000 + n // clients
            site.wires["outside"].send(Packet(Family.IPV4, Protocol.UDP, client, OURS, port, dport))
            if answers:
                site.wires["gateway"].send(Packet(Family.IPV4, Protocol.UDP, OURS, client, dport, port))

    return make


def port_scan(site: Site, entries: int, stack: ExitStack) -> None:
    """One outer address asks all UDP ports of the gateway, which others ask for pages."""
    asked(443, clients=50)(site, entries // 10, stack)
    for n in range(entries):
        site.wires["outside"].send(Packet(Family.IPV4, Protocol.UDP, outside(5), OURS, 40_000, 1 + n % 65_000))


def own(protocol: int, dport: int, *, servers: int, answered: int = 0) -> Callable[[Site, int, ExitStack], None]:
    """What the gateway itself sends: SYNs, or questions of which every so many are answered."""

    def make(site: Site, entries: int, stack: ExitStack) -> None:
        flags = int(TcpFlag.SYN) if protocol == Protocol.TCP else None
        for n in range(entries):
            there, port = outside(n % servers), 20_000 + n // servers % PORTS
            site.wires["gateway"].send(Packet(Family.IPV4, protocol, OURS, there, port, dport, flags))
            if answered and n % answered == 0:
                site.wires["outside"].send(Packet(Family.IPV4, protocol, there, OURS, dport, port))

    return make


def own_dht(site: Site, entries: int, stack: ExitStack) -> None:
    """The gateway itself asks ever other nodes from one port."""
    for n in range(entries):
        packet = Packet(Family.IPV4, Protocol.UDP, OURS, outside(n), 6_881, 1_024 + (n * 37 + n // 4_000) % 60_000)
        site.wires["gateway"].send(packet)


def resolver(site: Site, entries: int, stack: ExitStack) -> None:
    """Clients ask the gateway, and it asks the name servers of the world."""
    for n in range(entries // 2):
        client, port = inside(n % 60), 20_000 + n // 60
        site.wires["inside"].send(Packet(Family.IPV4, Protocol.UDP, client, OURS, port, 53))
        site.wires["gateway"].send(Packet(Family.IPV4, Protocol.UDP, OURS, client, 53, port))
    own(Protocol.UDP, 53, servers=500, answered=2)(site, entries - entries // 2, stack)


def announcements(site: Site, entries: int, stack: ExitStack) -> None:
    """Neighbours tell everybody."""
    everybody, first = parse_address("192.0.2.255"), parse_address("192.0.2.20")
    for n in range(entries):
        port = 17_500 + n // 200
        site.wires["outside"].send(Packet(Family.IPV4, Protocol.UDP, first + n % 200, everybody, port, 17_500))


def syn_flood(site: Site, entries: int, stack: ExitStack) -> None:
    """SYNs from made-up addresses to a port that listens."""
    stack.enter_context(listening(site.gateway.name, 80, 128))
    for n in range(entries):
        packet = Packet(Family.IPV4, Protocol.TCP, sender(n), OURS, 20_000 + n // 131_072, 80, int(TcpFlag.SYN))
        site.wires["outside"].send(packet)


def full_queue(site: Site, entries: int, stack: ExitStack) -> None:
    """A program that does not accept; forty clients try and try."""
    stack.enter_context(listening(site.gateway.name, 8_080, 8))
    site.alive(on=True)
    for n in range(entries):
        stack.enter_context(connecting(site.outside.name, text(outside(n % 40)), 8_080))


def closed(site: Site, entries: int, stack: ExitStack) -> None:
    """The gateway asks a cache, connection by connection, and closes each."""
    site.alive(on=True)
    listener = stack.enter_context(listening(site.outside.name, 11_211, 1_024))
    for _ in range(entries):
        with connecting(site.gateway.name, "", 11_211, text(SERVER)), listener.accept()[0] as accepted:
            accepted.setblocking(False)


def checks(site: Site, entries: int, stack: ExitStack) -> None:
    """Two checkers connect to a dozen ports and reset."""
    site.alive(on=True)
    for n in range(12):
        stack.enter_context(listening(site.gateway.name, 8_000 + n, 4_096))
    for n in range(entries):
        checker = connecting(site.outside.name, text(outside(5 + n % 2)), 8_000 + n % 12)
        checker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        checker.close()


def kept(port: int, *, clients: int, came: bool) -> Callable[[Site, int, ExitStack], None]:
    """Connections that stay open: they come in from so many addresses, or go out to as many."""

    def make(site: Site, entries: int, stack: ExitStack) -> None:
        site.alive(on=True)
        where = site.gateway.name if came else site.outside.name
        listener = stack.enter_context(listening(where, port, 4_096))
        for n in range(entries):
            peer = text(outside(n % clients + (0 if came else 1_000)))
            there = (site.outside.name, peer, port, GATEWAY) if came else (site.gateway.name, "", port, peer)
            stack.enter_context(connecting(*there, wait=True))
            stack.enter_context(listener.accept()[0])

    return make


def relay(site: Site, entries: int, stack: ExitStack) -> None:
    """Relays call, and are called."""
    kept(9_001, clients=900, came=True)(site, entries // 2, stack)
    kept(9_001, clients=900, came=False)(site, entries - entries // 2, stack)


def leak(site: Site, entries: int, stack: ExitStack) -> None:
    """Clients close, the program does not."""
    site.alive(on=True)
    listener = stack.enter_context(listening(site.gateway.name, 8_443, 4_096))
    for n in range(entries):
        connecting(site.outside.name, text(outside(n % 300)), 8_443, wait=True).close()
        stack.enter_context(listener.accept()[0])
    _until_in_state(site, "CLOSE_WAIT", entries)


def _until_in_state(site: Site, state: str, entries: int) -> None:
    """Wait for the last packets of a crowd: a busy machine delivers them late. It goes on after `PATIENCE` as it is."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with entered(site.gateway.name), open("/proc/thread-self/net/nf_conntrack", encoding="ascii") as table:
            if sum(f" {state} " in line for line in table) >= entries:
                return
        time.sleep(0.05)


def pool(site: Site, entries: int, stack: ExitStack) -> None:
    """Kept connections to a database, opened under a time-out that was shorter by ten minutes; one is in use."""
    site.gateway.sysctl(ESTABLISHED, 432_000 - 600)
    kept(5_432, clients=1, came=False)(site, entries, stack)
    site.gateway.sysctl(ESTABLISHED, 432_000)
    kept(5_433, clients=1, came=False)(site, max(entries // 50, 1), stack)


def server_first(port: int) -> Callable[[Site, int, ExitStack], None]:
    """Connections whose entries are gone, if they ever had any: the server's side speaks first."""

    def make(site: Site, entries: int, stack: ExitStack) -> None:
        site.alive(on=True)
        listener = stack.enter_context(listening(site.gateway.name, port, 4_096))
        ends = []
        for n in range(entries):
            client = stack.enter_context(connecting(site.outside.name, text(outside(n % 300)), port, wait=True))
            ends.append((client, stack.enter_context(listener.accept()[0])))
        site.gateway.run("conntrack", "-F")
        for client, server in ends:
            server.send(b"x")
            client.recv(1)

    return make


# --- sockets ----------------------------------------------------------------------------------------------------------


def listening(netns: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens at all addresses."""
    _many_files()
    with entered(netns):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))  # noqa: S104 - in a namespace of the lab
        listener.listen(backlog)
    return listener


def connecting(netns: str, source: str, port: int, target: str = GATEWAY, *, wait: bool = False) -> socket.socket:
    """A socket that connects, without waiting for it unless asked."""
    with entered(netns):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if source:
        client.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        client.bind((source, 0))
    client.setblocking(wait)
    client.connect_ex((target, port))
    client.setblocking(True)
    return client


def _many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


ONE_SIDED = """table ip one {
  chain pre { type filter hook prerouting priority raw; tcp dport 80 notrack
  }
}
"""
FEW = 5_000
"""Most entries of scenarios that hold a socket each."""

ROOM = 100_000
"""Most entries of a healthy host: the usual max leaves room then."""

OWN, TRANSLATED, ROUTED = True, (True,), (False,)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("short connections", "CT010", through(CLOSED, clients=40)),
    Scenario("short connections of the host", "CT010", closed, ends_here=OWN, most=FEW),
    Scenario("dead peers", "CT011", dead_peers),
    Scenario("one-way senders through here", "CT012", syslog, most=PORTS),
    Scenario("one-way senders", "CT012", asked(514, clients=200, answers=False), ends_here=OWN),
    Scenario("a silent server behind here", "CT013", silent, most=PORTS),
    Scenario("a silent server", "CT013", own(Protocol.TCP, 5_432, servers=1), ends_here=OWN, most=PORTS),
    Scenario("one-sided NOTRACK", "CT014", server_first(80), ends_here=OWN, rules=ONE_SIDED, most=FEW),
    Scenario("last packets lost", "CT015", through(LAST_ACK, clients=40)),
    Scenario("port scan by a client", "CT030", scan),
    Scenario("port scan by the host", "CT030", own(Protocol.TCP, 23, servers=4_000), ends_here=OWN),
    Scenario("port scan of the host", "CT031", port_scan, ends_here=OWN, most=60_000),
    Scenario("SYN flood", "CT032", syn_flood, ends_here=OWN),
    Scenario("accept queue full", "CT033", full_queue, ends_here=OWN, most=FEW),
    Scenario("answered, not open", "CT034", challenged, most=PORTS),
    Scenario("asymmetric routing", "CT035", asymmetric, nat=ROUTED),
    Scenario("picked up after a flush", "CT036", server_first(443), ends_here=OWN, most=FEW),
    Scenario("DHT of a client", "CT037", dht),
    Scenario("DHT of the host", "CT037", own_dht, ends_here=OWN),
    Scenario("time server", "CT038", asked(123, clients=131_072), ends_here=OWN),
    Scenario("amplification", "CT039", asked(11_211, clients=3), ends_here=OWN, most=100_000),
    Scenario("resolver", "CT040", resolver, ends_here=OWN),
    Scenario("look-ups of clients", "CT041", look_ups, most=PORTS),
    Scenario("look-ups of the host", "CT041", own(Protocol.UDP, 53, servers=2, answered=1), ends_here=OWN, most=PORTS),
    Scenario("look-ups through a service address", "CT042", cluster, nat=TRANSLATED),
    Scenario("overlay network", "CT043", own(Protocol.UDP, 4_789, servers=5), ends_here=OWN, most=200_000),
    Scenario("broadcasts", "CT044", announcements, ends_here=OWN),
    Scenario("health checks", "CT045", checks, ends_here=OWN, most=FEW),
    Scenario("Tor relay", "CT046", relay, ends_here=OWN, most=FEW),
    Scenario("CLOSE_WAIT leak", "CT047", leak, ends_here=OWN, timeouts=((CLOSE_WAIT, 3_600),), most=FEW),
    Scenario("CLOSE_WAIT of clients", "CT047", through(LEFT_OPEN, clients=40), timeouts=((CLOSE_WAIT, 3_600),)),
    Scenario("idle pool", "CT049", pool, ends_here=OWN, most=FEW),
    Scenario("one client", "CT050", greedy),
)

HEALTHY: tuple[Scenario, ...] = (
    Scenario("busy gateway", "", through((*OPENED, (True, TcpFlag.ACK, 1, 1)), clients=60), most=ROOM),
    Scenario("busy resolver", "", resolver, ends_here=OWN, most=ROOM),
    Scenario("busy time server", "", asked(123, clients=131_072), ends_here=OWN, most=ROOM),
    Scenario("web host with a cache", "", closed, ends_here=OWN, most=FEW),
    Scenario("busy relay", "", relay, ends_here=OWN, most=FEW),
    Scenario("database client", "", pool, ends_here=OWN, most=FEW),
    Scenario("gateway with short connections", "", through(CLOSED, clients=60), most=ROOM),
    Scenario("node with tunnels", "", own(Protocol.UDP, 4_789, servers=5), ends_here=OWN, most=ROOM),
)

__all__ = ["HEALTHY", "INSIDE", "NAT", "PLAIN", "SCENARIOS", "Scenario"]
