"""A NAT gateway with clients behind it and a server before it, in namespaces; and connections through it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, lab_host

LAN, LAN6, SERVER, SERVER6 = "10.9.0", "fd09::", "192.0.2.80", "2001:db8::80"

XT = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -o wan -j ACCEPT
COMMIT
"""
NFT = """\
table inet fw {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan" oifname "wan" accept
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    tcp dport 22 accept
  }
}
table inet nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "wan" masquerade
  }
}
"""
V6 = XT.replace("INPUT -p tcp -m tcp --dport 22", "INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22")
RULES: dict[str, dict[str, str]] = {
    "iptables-nft": {"iptables-nft-restore": XT, "ip6tables-nft-restore": V6},
    "iptables-legacy": {"iptables-legacy-restore": XT, "ip6tables-legacy-restore": V6},
    "nftables": {"nft": NFT},
}


@dataclass
class Gateway:
    """The gateway and its neighbours; `opened` are the connections that are held open."""

    host: LabHost
    clients: LabHost
    server: LabHost
    opened: list[socket.socket] = field(default_factory=list)

    def load(self, dialect: str) -> None:
        """The gateway's rules."""
        for program, text in RULES[dialect].items():
            self.host.run(program, *(["-f", "-"] if program == "nft" else []), text=text)

    def connects(
        self,
        client: str,
        count: int = 1,
        port: int = 80,
        server: str = SERVER,
        *,
        patience: float = 1,
        resets: bool = False,
    ) -> int:
        """How many of so many connections of a client are let through, within `patience` seconds each; they stay open.
        `resets`: they end with a reset, which leaves no entry in TIME_WAIT.
        """
        made = 0
        with entered(self.clients.name):
            for _ in range(count):
                family = socket.AF_INET6 if ":" in client else socket.AF_INET
                mine = socket.socket(family)
                mine.settimeout(patience)
                mine.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(resets), 0))
                mine.bind((client, 0))
                try:
                    mine.connect((server, port))
                except OSError:
                    mine.close()
                    continue
                self.opened.append(mine)
                made += 1
        return made

    def alive(self, sockets: Sequence[socket.socket]) -> int:
        """How many of these connections still carry a word there and back."""
        return sum(map(_echoes, sockets))

    def close(self) -> None:
        """End all of them."""
        for each in self.opened:
            each.close()
        self.opened.clear()


def _echoes(mine: socket.socket) -> bool:
    try:
        mine.sendall(b"word")
        return mine.recv(16) == b"word"
    except OSError:
        return False


SERVE = """
import selectors, socket, sys
poll = selectors.DefaultSelector()
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in map(int, sys.argv[1:]):
        listener = socket.create_server((address, port), family=family, backlog=512)
        poll.register(listener, selectors.EVENT_READ, True)
print("up", flush=True)
while True:
    for key, _ in poll.select():
        if key.data:
            poll.register(key.fileobj.accept()[0], selectors.EVENT_READ, False)
            continue
        try:
            word = key.fileobj.recv(100)
        except OSError:
            word = b""
        if word:
            key.fileobj.sendall(word)
        else:
            poll.unregister(key.fileobj)
            key.fileobj.close()
"""


def echo_server(host: LabHost, *ports: int) -> None:
    """An echo server for many connections at these TCP ports; ready when this returns."""
    host.start("python3", "-c", SERVE, *map(str, ports))
    while len(host.run("ss", "-Htnl").splitlines()) < 2 * len(ports):
        pass


@contextmanager
def gateway(clients: int = 21, ports: Sequence[int] = (80, 443), label: str = "") -> Iterator[Gateway]:
    """Clients at 10.9.0.2 and up (fd09::2 and up, each of a /64 of its own from fd09:N::1 on), behind one gateway."""
    with ExitStack() as stack:
        gate, lan, wan = (stack.enter_context(lab_host(f"{label}{name}")) for name in ("gate", "lan", "wan"))
        gate.run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", lan.name)
        gate.run("ip", "link", "add", "wan", "type", "veth", "peer", "name", "eth0", "netns", wan.name)
        for host, device, addresses in (
            (gate, "lan", (f"{LAN}.1/24", "fd09::1/16")),
            (gate, "wan", ("192.0.2.1/24", "2001:db8::1/64")),
            (lan, "eth0", (*(f"{LAN}.{n}/24" for n in range(2, 2 + clients)), "fd09:1::2/16", "fd09:2::2/16")),
            (wan, "eth0", (f"{SERVER}/24", f"{SERVER6}/64")),
        ):
            batch = "".join(f"address add {a} dev {device}{' nodad' * (':' in a)}\n" for a in addresses)
            host.run("ip", "-batch", "-", text=f"{batch}link set {device} up\n")
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            gate.sysctl(key, 1)
        lan.run("ip", "route", "add", "default", "via", f"{LAN}.1")
        lan.run("ip", "-6", "route", "add", "default", "via", "fd09::1")
        echo_server(wan, *ports)
        made = Gateway(gate, lan, wan)
        try:
            yield made
        finally:
            made.close()
