"""Hosts whose tables are full, in namespaces, with real programs: how each is filled, kept busy, and what is held open.

nf_conntrack_max is one for the whole kernel; `MOST` is enough, since each namespace counts for itself (K25).
"""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from conntrim.host.netns import entered
from conntrim.lab.gateway import LAN, RULES, Gateway, echo_server, gateway
from conntrim.lab.netns import LabHost, bridged, lab_host
from conntrim.lab.site import connect
from tests.lab import managed
from tests.lab.planning import entries
from tests.lab.test_rollout import until

MOST = 2_048
"""Entries of each host's table."""
SSH = 40
"""Connections to port 22 that are held open on every host: less than 5 % of the table, so no cure is for them."""
TIMEOUT = "net.netfilter.nf_conntrack_udp_timeout"
UDP = 30
"""Seconds: the kernel's default of that."""


@dataclass
class Full:
    """A host at a full table. `ask` makes so many requests as its clients do, and says how many failed; `held` are
    connections that must not be cut; `pace` are requests a second that come all the while, and `rate` the same where
    the table is full of what they leave, `each` so many entries; `quiet` tells whether everybody has an answer;
    `after` is done before the measurement."""

    host: LabHost
    ask: Callable[[int], int]
    held: list[socket.socket] = field(default_factory=list)
    rate: int = 0
    each: int = 1
    quiet: Callable[[], bool] = lambda: True
    pace: int = 4
    after: Callable[[], None] = lambda: None
    word: bytes = b"word"

    def fill(self) -> None:
        """Until the kernel drops packets or entries. What comes at a rate gets the ages that it has at a table that is
        full all the time: each part the time-out that is left to it, as many as go in that second."""
        fits = (MOST - len(self.held)) // (UDP * self.each)
        for left in range(1, UDP + 1) if self.rate else ():
            self.host.sysctl(TIMEOUT, left)
            self.ask(min(fits, self.rate))
            assert until(self.quiet)
        while not self.dropped():
            self.ask(10 if self.rate else 50)  # faster than they end, on a slow machine too

    def dropped(self) -> int:
        """Packets and entries that were dropped for want of room."""
        found = self.host.run("conntrack", "-S")
        return sum(int(word.partition("=")[2]) for word in found.split() if word.startswith(("drop=", "early_drop=")))

    def entries(self) -> int:
        """In the table, those that are over left out."""
        return entries(self.host)

    @contextmanager
    def busy(self) -> Iterator[list[int]]:
        """With requests coming; how many of them failed."""
        failed, done = [0], Event()

        def asking() -> None:
            due = time.monotonic()
            while not done.wait(max(0, due - time.monotonic())):
                failed[0] += self.ask(1)
                step = 1 / (self.rate or self.pace)
                due = max(due + step, time.monotonic() - LATE * step)  # no burst after the machine stood still

        thread = Thread(target=asking)
        thread.start()
        try:
            yield failed
        finally:
            done.set()
            thread.join()

    def cut(self) -> int:
        """How many of the held connections carry nothing any more."""
        return sum(not echoes(each, self.word) for each in self.held)


def echoes(mine: socket.socket, word: bytes = b"word") -> bool:
    """Whether a connection carries a word there and something back."""
    try:
        mine.sendall(word)
        return bool(mine.recv(4096))
    except OSError:
        return False


def hold(client: LabHost, address: str, port: int, count: int) -> list[socket.socket]:
    """So many connections, open and used once."""
    held = [connect(client, address, port) for _ in range(count)]
    for each in held:
        each.settimeout(3)
    return held


def short(client: LabHost, address: str, ports: Sequence[int], word: bytes = b"word") -> Callable[[int], int]:
    """Asks over a new connection each time, at one port after the other."""
    turn = [0]

    def ask(count: int) -> int:
        failed = 0
        with entered(client.name):
            for _ in range(count):
                turn[0] += 1
                try:
                    with socket.create_connection((address, ports[turn[0] % len(ports)]), timeout=2) as mine:
                        failed += not echoes(mine, word)
                except OSError:
                    failed += 1
        return failed

    return ask


LATE = 5
"""Requests that are caught up with."""
QUERY = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0)
NAMES = 300


PATIENCE = 2.0
"""Seconds for an answer."""


@dataclass
class Queries:
    """Asks a resolver, each time from another port and for a name of another zone, and waits for nobody: who is not
    answered within `PATIENCE` is told by a later call."""

    client: LabHost
    resolver: str
    number: int = 0
    asking: deque[tuple[float, socket.socket]] = field(default_factory=deque)

    def __call__(self, count: int) -> int:
        with entered(self.client.name):
            for _ in range(count):
                self._ask()
        failed, now = 0, time.monotonic()
        for _ in range(len(self.asking)):
            since, mine = self.asking.popleft()
            if answered(mine) or now - since > PATIENCE:
                failed += mine.fileno() >= 0
                mine.close()
            else:
                self.asking.append((since, mine))
        return failed

    def pending(self) -> int:
        """How many are not answered yet."""
        time.sleep(0.1)
        self(0)
        return len(self.asking)

    def _ask(self) -> None:
        self.number += 1
        mine = socket.socket(type=socket.SOCK_DGRAM)
        mine.setblocking(False)
        mine.bind(("", 20_000 + self.number % 40_000))
        mine.connect((self.resolver, 53))
        labels = b"n%d" % self.number, b"z%d" % (self.number % NAMES)
        mine.send(QUERY + b"".join(bytes([len(each)]) + each for each in labels) + b"\0\0\1\0\1")
        self.asking.append((time.monotonic(), mine))


def answered(mine: socket.socket) -> bool:
    """Whether an answer is there; then the socket is closed."""
    try:
        found = bool(mine.recv(512))
    except OSError:
        return False
    mine.close()
    return found


NAMESERVER = """
import socket, struct
mine = socket.socket(type=socket.SOCK_DGRAM)
mine.setsockopt(socket.IPPROTO_IP, 8, 1)
mine.bind(("0.0.0.0", 53))
while True:
    asked, extra, _, peer = mine.recvmsg(2048, 256)
    end = asked.index(b"\\0", 12) + 5
    answer = asked[:2] + struct.pack(">HHHHH", 0x8580, 1, 1, 0, 0) + asked[12:end]
    answer += struct.pack(">HHHIH4B", 0xC00C, 1, 1, 60, 4, 192, 0, 2, 9)
    to = extra[0][2]
    mine.sendmsg([answer], [(socket.IPPROTO_IP, 8, struct.pack("=I4s4s", 0, to[8:12], bytes(4)))], 0, peer)
"""
"""Answers every question at every address of its host, by IP_PKTINFO."""


@contextmanager
def abused_gateway(dialect: str, _: Path) -> Iterator[Full]:
    """A NAT gateway with 20 clients, and one that opens connections until there is no room."""
    with gateway(ports=(80, 22)) as made:
        made.host.sysctl("net.netfilter.nf_conntrack_tcp_timeout_close", 2)
        made.load(dialect)
        for n in range(2, 22):
            made.connects(f"{LAN}.{n}", 6)
        others = list(made.opened)
        yield Full(made.host, abuse(made), others, pace=100, after=lambda: over(made, others))


def abuse(made: Gateway) -> Callable[[int], int]:
    """The abuser opens connections and keeps them; what is refused to it is no failure of ours."""

    def ask(count: int) -> int:
        made.connects(f"{LAN}.22", count, patience=0.05, resets=True)
        return 0

    return ask


def over(made: Gateway, others: Sequence[socket.socket]) -> None:
    """The abuser's connections end, with a reset each."""
    for each in made.opened[len(others) :]:
        each.close()
    del made.opened[len(others) :]


DOCKER = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.17.0.3:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""
DOCKER_NFT = """\
table ip docker-bridges {
  map published { type inet_service : ipv4_addr . inet_service
    elements = { 8080 : 172.17.0.2 . 80, 8443 : 172.17.0.3 . 80 }
  }
  chain prerouting { type nat hook prerouting priority dstnat
    iifname != "docker0" fib daddr type local tcp dport 8080 dnat to 172.17.0.2:80
    iifname != "docker0" fib daddr type local tcp dport 8443 dnat to 172.17.0.3:80
  }
  chain postrouting { type nat hook postrouting priority srcnat
    ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
  }
  chain forward { type filter hook forward priority filter; policy drop
    oifname "docker0" ct state established,related accept
    iifname "docker0" accept
    oifname "docker0" ip daddr { 172.17.0.2, 172.17.0.3 } tcp dport 80 accept
  }
}
"""


@contextmanager
def docker_host(dialect: str, _: Path) -> Iterator[Full]:
    """Two containers with published ports, and the names that they look up at a resolver outside."""
    with ExitStack() as stack:
        hosts = stack.enter_context(bridged(["node=1", "outside=80"]))
        node, outside = hosts["node"], hosts["outside"]
        box, shop = (stack.enter_context(lab_host(name)) for name in ("box", "shop"))
        node.run("ip", "link", "add", "docker0", "type", "bridge")
        node.run("ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
        node.run("ip", "link", "set", "docker0", "up")
        node.sysctl("net.ipv4.ip_forward", 1)
        for n, each in enumerate((box, shop), 2):
            node.run("ip", "link", "add", f"box{n}", "type", "veth", "peer", "name", "eth0", "netns", each.name)
            node.run("ip", "link", "set", f"box{n}", "master", "docker0", "up")
            each.run("ip", "address", "add", f"172.17.0.{n}/16", "dev", "eth0")
            each.run("ip", "link", "set", "eth0", "up")
            each.run("ip", "route", "add", "default", "via", "172.17.0.1")
            echo_server(each, 80)
        echo_server(node, 22)
        outside.start("python3", "-c", NAMESERVER)
        if dialect == "nftables":
            node.run("nft", "-f", "-", text=DOCKER_NFT)
        else:
            node.run("iptables-nft-restore", text=DOCKER)
        held = hold(outside, "192.168.0.1", 22, SSH)
        held += [*hold(outside, "192.168.0.1", 8080, 40), *hold(outside, "192.168.0.1", 8443, 40)]
        ask = Queries(box, "192.168.0.80")
        yield Full(node, ask, held, rate=72, quiet=lambda: not ask.pending())


UNBOUND = """\
server:
  username: ""
  chroot: ""
  directory: "{place}"
  pidfile: "{place}/unbound.pid"
  do-daemonize: no
  use-syslog: no
  logfile: "{place}/log"
  interface: 0.0.0.0
  access-control: 192.168.0.0/24 allow
  module-config: "iterator"
  do-ip6: no
  prefetch: no
  do-not-query-localhost: no
remote-control:
  control-enable: no
"""
FIREWALL = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p tcp -m conntrack --ctstate NEW -m multiport --dports 22,{ports} -j ACCEPT
-A INPUT -p udp -m conntrack --ctstate NEW -m udp --dport 53 -j ACCEPT
COMMIT
"""
FIREWALL_NFT = """\
table inet filter {{
  chain input {{ type filter hook input priority filter; policy drop
    iif "lo" accept
    ct state established,related accept
    ct state invalid drop
    tcp dport {{ 22, {ports} }} ct state new accept
    udp dport 53 ct state new accept
  }}
}}
"""


def firewall(host: LabHost, dialect: str, ports: str) -> None:
    """Open for ssh, DNS and these TCP ports."""
    if dialect == "nftables":
        host.run("nft", "-f", "-", text=FIREWALL_NFT.format(ports=ports.replace(":", "-")))
    else:
        for program in ("iptables-nft-restore", "ip6tables-nft-restore"):
            host.run(program, text=FIREWALL.format(ports=ports))


@contextmanager
def elsewhere(network: str, *labels: str) -> Iterator[dict[str, LabHost]]:
    """Hosts on one wire; the one called `far` has all addresses of a network."""
    with bridged(labels) as hosts:
        hosts["far"].run("ip", "route", "add", "local", network, "dev", "lo")
        for name, host in hosts.items():
            if name != "far":
                host.run("ip", "route", "add", network, "via", "192.168.0.80")
        yield hosts


@contextmanager
def resolver(dialect: str, place: Path) -> Iterator[Full]:
    """unbound, which asks 300 name servers of the internet from ports of its own choice."""
    with elsewhere("198.18.0.0/15", "resolver=53", "client=20", "far=80") as hosts:
        zones = (
            f'forward-zone:\n  name: "z{n}."\n  forward-addr: 198.18.{n // 200}.{n % 200 + 1}\n' for n in range(NAMES)
        )
        (place / "unbound.conf").write_text(UNBOUND.format(place=place) + "".join(zones))
        hosts["far"].start("python3", "-c", NAMESERVER)
        echo_server(hosts["resolver"], 22)
        hosts["resolver"].start("unbound", "-c", str(place / "unbound.conf"))
        firewall(hosts["resolver"], dialect, "853")
        held = hold(hosts["client"], "192.168.0.53", 22, SSH)
        ask = Queries(hosts["client"], "192.168.0.53")
        assert until(lambda: not (ask(1) or ask.pending()))
        yield Full(hosts["resolver"], ask, held, rate=45, each=2, quiet=lambda: not ask.pending())


HAPROXY = """\
global
  maxconn 4000
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
"""
SERVICES, UPSTREAMS = range(8001, 8051), 300


@contextmanager
def proxy(dialect: str, place: Path) -> Iterator[Full]:
    """haproxy with 50 services before 300 upstreams."""
    with elsewhere("10.30.0.0/16", "proxy=18", "client=20", "far=80") as hosts:
        servers = [f"10.30.{n // 200}.{n % 200 + 1}" for n in range(UPSTREAMS)]
        each = UPSTREAMS // len(SERVICES)
        text = HAPROXY
        for n, port in enumerate(SERVICES):
            text += f"listen s{port}\n  bind :{port}\n"
            text += "".join(f"  server u{k} {s}:8080\n" for k, s in enumerate(servers[n * each : n * each + each]))
        (place / "haproxy.cfg").write_text(text)
        echo_server(hosts["far"], 8080)
        echo_server(hosts["proxy"], 22)
        hosts["proxy"].start("haproxy", "-db", "-f", str(place / "haproxy.cfg"))
        firewall(hosts["proxy"], dialect, "8001:8050")
        held = hold(hosts["client"], "192.168.0.18", 22, SSH)
        held += [s for port in SERVICES[:20] for s in hold(hosts["client"], "192.168.0.18", port, 1)]
        yield Full(hosts["proxy"], short(hosts["client"], "192.168.0.18", SERVICES), held)


@contextmanager
def web(manager: str, place: Path) -> Iterator[Full]:
    """A web server whose rules ufw or firewalld makes, as they are."""
    with bridged(["web=18", "client=20"]) as hosts:
        {"ufw": managed.ufw, "firewalld": managed.firewalld}[manager](hosts["web"], place)
        echo_server(hosts["web"], 80, 22)
        held = hold(hosts["client"], "192.168.0.18", 22, SSH)
        held += hold(hosts["client"], "192.168.0.18", 80, 60)
        yield Full(hosts["web"], short(hosts["client"], "192.168.0.18", (80,)), held)


HOSTS: dict[str, tuple[Callable[[str, Path], AbstractContextManager[Full]], str]] = {
    **{f"gateway, {dialect}": (abused_gateway, dialect) for dialect in RULES},
    **{f"resolver, {dialect}": (resolver, dialect) for dialect in ("iptables-nft", "nftables")},
    **{f"docker, {dialect}": (docker_host, dialect) for dialect in ("iptables-nft", "nftables")},
    **{f"proxy, {dialect}": (proxy, dialect) for dialect in ("iptables-nft", "nftables")},
    **{f"web, {manager}": (web, manager) for manager in ("ufw", "firewalld")},
}
"""A host by its name, and the dialect, or the program, that makes its rules."""
EACH_ONCE = ("gateway, nftables", "proxy, iptables-nft")
"""What `make test` has time for; `make full-tables` has all."""
