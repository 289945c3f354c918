"""Hosts of the plan's lab tests: the document's web and cache hosts, their firewall, small servers and strangers."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.facts import Counters, Era, HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import DEADLINE, SECONDS, Batch
from conntrim.host import programs
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost

WEB, CACHE, OUTSIDER = "192.168.0.18", "192.168.0.17", "192.168.0.66"

WEB_POLICY = b"""
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80]

[[untrack]]
direction = "outbound"
protocol = "tcp"
ports = [11211]
to = ["192.168.0.17"]
"""
CACHE_POLICY = b"""
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80, 11211]
"""

RH_FIREWALL = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:RH-Firewall-1-INPUT - [0:0]
-A INPUT -j RH-Firewall-1-INPUT
-A FORWARD -j RH-Firewall-1-INPUT
-A RH-Firewall-1-INPUT -i lo -j ACCEPT
-A RH-Firewall-1-INPUT -p icmp -m icmp --icmp-type any -j ACCEPT
-A RH-Firewall-1-INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
-A RH-Firewall-1-INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A RH-Firewall-1-INPUT -p tcp -m state --state NEW -m tcp --dport 80 -j ACCEPT
-A RH-Firewall-1-INPUT -p tcp -m state --state NEW -m tcp --dport 11211 -s 192.168.0.0/24 -j ACCEPT
-A RH-Firewall-1-INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
RH_FIREWALL_V6 = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT
-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m conntrack --ctstate NEW -m multiport --dports 22,80,11211 -j ACCEPT
-A OUTPUT -m conntrack --ctstate INVALID -j DROP
COMMIT
"""
NFT_FIREWALL = """\
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    ct state invalid drop
    ip protocol icmp icmp type echo-request accept
    ct state established,related accept
    ip saddr 192.168.0.99 drop
    tcp dport 22 ct state new accept
    tcp dport 80 ct state new accept
    ip saddr 192.168.0.0/24 tcp dport 11211 ct state new accept
    reject with icmpx type admin-prohibited
  }
  chain output {
    type filter hook output priority filter; policy accept;
    ct state invalid drop
  }
}
"""

OLD_NFT = """\
#!/bin/sh
case "$*" in
  *-f*) text=$(cat); case "$text" in *"ct timeout"*) echo "syntax error" >&2; exit 1;; esac
        printf '%s\\n' "$text" | exec {nft} "$@";;
esac
exec {nft} "$@"
"""


@contextmanager
def nft_without_timeouts(place: Path) -> Iterator[None]:
    """This process finds an nft that knows no time-outs; it is written to `place`."""
    place.mkdir()
    (place / "nft").write_text(OLD_NFT.format(nft=programs.find("nft")))
    (place / "nft").chmod(0o755)
    with programs.preferring(str(place)):
        yield


def facts(*addresses: str, era: Era = Era.NF, listening: tuple[int, ...] = ()) -> HostFacts:
    """A host with these addresses (and ::1, so that it speaks both families), listening at these TCP ports."""
    local = Intervals.of(*(parse_address(a) for a in (*addresses, "127.0.0.1", "::1")))
    return HostFacts(
        "lab", "6.1", era, 0.0, 0, 65536, 65536, True, Counters(), {}, True, None, None, local, (32768, 60999), (), (),
        listening=dict.fromkeys(Family, Intervals.of(*listening)),
    )  # fmt: skip


def deadline(seconds: float) -> str:
    """The UTC second that many seconds from now, as iptables writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def load(host: LabHost, batches: Sequence[Batch], until: str, seconds: int = 60, *, check: bool = False) -> None:
    """Load (or only check) a plan's batches as a rollout does."""
    for batch in batches:
        text = batch.text.replace(DEADLINE, until).replace(SECONDS, str(seconds))
        if batch.program == "nft":
            host.run("nft", *(["-c"] if check else []), "-f", "-", text=resolved(host, text))
        else:
            host.run(batch.program, *(["--test"] if check else []), "--noflush", text=text)


def resolved(host: LabHost, text: str) -> str:
    """`@HANDLE family table chain "comment"@` as the handle that nft lists."""
    while "@HANDLE " in text:
        start = text.index("@HANDLE ")
        end = text.index('"@', start) + 2
        where, comment = text[start + 8 : end - 2].split(' "', 1)
        listing = host.run("nft", "-a", "list", "chain", *where.split())
        line = next(row for row in listing.splitlines() if f'comment "{comment}"' in row)
        text = text[:start] + line.rsplit("handle ", 1)[1] + text[end:]
    return text


SERVER = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=64, family=socket.AF_INET)
while True:
    peer, _ = listener.accept()
    peer.sendall(peer.recv(100))
    peer.close()
"""


def serve(host: LabHost, port: int) -> None:
    """An echo server on every address of the host; ready when this returns."""
    host.start("python3", "-c", SERVER, "0.0.0.0", str(port))
    while str(port) not in host.run("ss", "-Htnl", "sport", "=", f":{port}"):
        pass


def ask(host: LabHost, address: str, port: int, source_port: int = 0) -> str:
    """Connect from a host, say a word, hear it back: `echo`, or how it failed."""
    with entered(host.name), socket.socket() as mine:
        mine.settimeout(1)
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if source_port:
            mine.bind(("0.0.0.0", source_port))
        try:
            mine.connect((address, port))
            mine.sendall(b"echo")
            return mine.recv(100).decode()
        except OSError as error:
            return type(error).__name__ if isinstance(error, TimeoutError) else str(error.errno)


def entries(host: LabHost) -> int:
    """Entries in the host's table."""
    with entered(host.name), open("/proc/thread-self/net/nf_conntrack", encoding="ascii") as table:
        return len(table.readlines())
