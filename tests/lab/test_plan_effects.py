"""Rules that count, vary or leave a trace, on a real kernel: a plan is proved only where they meet the same packets.

Behind the accept of what is ESTABLISHED such a rule sees what opens a connection; untracked, it would see every packet.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from conntrim.core.model.plan import Plan, Standing
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.compile import Request, compile_plan
from conntrim.host.listing import KernelListing
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import WEB, deadline, facts, load

PEER, PEER_LAST = "192.168.0.66", 66
INBOUND = b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
OUTBOUND = b'[[untrack]]\ndirection = "outbound"\nprotocol = "tcp"\nports = [11211]\nto = ["192.168.0.66"]\n'
PATIENCE = 0.4
"""Seconds for one answer; an answer on the bridge takes a hundredth of that."""

SERVER = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(100))
class Server(socketserver.ThreadingTCPServer):
    daemon_threads, request_queue_size = True, 64
Server(("0.0.0.0", int(sys.argv[1])), Echo).serve_forever()
"""
"""A thread for each connection: one that is cut does not keep the others waiting."""

Hosts = dict[str, LabHost]


@dataclass(frozen=True, slots=True)
class Row:
    """A host's rule, what it is asked for, and whether it sees opening packets only (`behind`) or every packet."""

    name: str
    text: str
    policy: bytes = INBOUND


def xt(*rules: str, front: str = "", out: str = "", mangle: str = "") -> str:
    """An iptables host: `front` before the accept of ESTABLISHED, `rules` behind it, `out` behind that of OUTPUT."""
    established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    lines = [
        *(["*mangle", f"-A PREROUTING {mangle}", "COMMIT"] if mangle else []),
        "*filter", ":INPUT DROP [0:0]", f":OUTPUT {'DROP' if out else 'ACCEPT'} [0:0]", "-A INPUT -i lo -j ACCEPT",
        *([f"-A INPUT {front}"] if front else []), f"-A INPUT {established}", *(f"-A INPUT {r}" for r in rules),
        *([f"-A OUTPUT {established}", f"-A OUTPUT {out}"] if out else []), "COMMIT",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def nft(*rules: str, front: str = "", sets: str = "", mangle: str = "") -> str:
    """The same in nft."""
    pre = f"chain pre {{ type filter hook prerouting priority -150; {mangle}; }}" if mangle else ""
    body = "\n".join((front, "ct state established,related accept", *rules))
    return f"""table inet filter {{
{sets}
{pre}
chain input {{
type filter hook input priority 0; policy drop;
iif "lo" accept
{body}
}}
}}
"""


TO80 = "-p tcp -m tcp --dport 80"
OPEN, NEW80 = f"{TO80} -j ACCEPT", f"{TO80} -m conntrack --ctstate NEW"
HASHLIMIT = "-m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 8 --hashlimit-mode srcip --hashlimit-name x"
MANY = "-m hashlimit --hashlimit-above 900/sec --hashlimit-burst 900 --hashlimit-name y"
METER = "set d { type ipv4_addr; size 999; flags dynamic; }"
OVER = "add @d { ip saddr limit rate over 1/second burst 8 packets } drop"
TIMED = "set d { type ipv4_addr; size 999; flags dynamic,timeout; timeout 60s; }"
WORD = "-m string --string nothing --algo bm"

BEHIND = [
    Row("hashlimit", xt(f"{TO80} {HASHLIMIT} -j ACCEPT")),
    Row("limit", xt(f"{TO80} -m limit --limit 1/sec --limit-burst 8 -j ACCEPT")),
    Row("limit out", xt(out="-p tcp -m tcp --dport 11211 -m limit --limit 1/sec --limit-burst 8 -j ACCEPT"), OUTBOUND),
    Row("statistic", xt(f"{TO80} -m statistic --mode nth --every 3 --packet 2 -j DROP", OPEN)),
    Row("tcpmss", xt(f"{TO80} -m tcpmss --mss 536:65535 -j ACCEPT")),
    Row("tcp-option", xt(f"{TO80} --tcp-option 2 -j ACCEPT")),
    Row("length", xt(f"{TO80} -m length --length 60 -j ACCEPT")),
    Row("u32", xt(f'{TO80} -m u32 --u32 "0x0&0xffff=0x3c" -j ACCEPT')),
    Row("string", xt(f"{TO80} {WORD} -j DROP", OPEN)),
    Row("time", xt(f"{TO80} -m time --timestart 00:00:00 --timestop 23:59:59 -j ACCEPT")),
    Row("ban", xt(f"{TO80} -m recent --update --seconds 60 --name ban --rsource -j DROP", OPEN)),
    Row("hitcount", xt(f"{TO80} -m recent --set --name hits --rsource",
                       f"{TO80} -m recent --rcheck --seconds 60 --hitcount 20 --name hits --rsource -j DROP", OPEN)),
    Row("knock", xt(f"{NEW80} -m recent --set --name knock --rsource",
                    "-p tcp -m tcp --dport 3306 -m recent --rcheck --seconds 9 --name knock -j ACCEPT", OPEN)),
    Row("mark", xt(OPEN, mangle=f"{TO80} -m conntrack --ctstate ESTABLISHED -j MARK --set-xmark 0x1/0xffffffff")),
    Row("log", xt(f"{TO80} -j LOG", OPEN)),
    Row("nft limit", nft("tcp dport 80 limit rate 1/second burst 8 packets accept")),
    Row("nft over", nft("tcp dport 80 limit rate over 1/second burst 8 packets drop", "tcp dport 80 accept")),
    Row("nft set", nft(f"tcp dport 80 {OVER}", "tcp dport 80 accept", sets=METER)),
    Row("nft set by state", nft("tcp dport 80 ct state new update @d { ip saddr limit rate 1/second } accept",
                                sets=METER)),
    Row("nft ban", nft("tcp dport 80 ip saddr @d drop", "tcp dport 80 accept", "tcp dport 23 add @d { ip saddr }",
                       sets=TIMED)),
    Row("nft knock", nft("tcp dport 80 ct state new add @d { ip saddr }", "tcp dport 80 accept",
                         "tcp dport 3306 ip saddr @d accept", sets=TIMED)),
    Row("nft mss", nft("tcp dport 80 tcp option maxseg size 536-65535 accept")),
    Row("nft doff", nft("tcp dport 80 tcp doff 10 accept")),
    Row("nft ackseq", nft("tcp dport 80 tcp ackseq 0 accept")),
    Row("nft length", nft("tcp dport 80 meta length 60 accept")),
    Row("nft raw", nft("tcp dport 80 @th,160,8 2 accept")),
    Row("nft random", nft("tcp dport 80 numgen random mod 4 == 0 drop", "tcp dport 80 accept")),
    Row("nft mark", nft("tcp dport 80 accept", mangle="tcp dport 80 ct state established meta mark set 1")),
]  # fmt: skip

EVERY = [
    Row("hashlimit", xt(OPEN, front=f"{TO80} {MANY} -j DROP")),
    Row("recent", xt(OPEN, front=f"{TO80} -m recent --set --name all --rsource")),
    Row("length", xt(OPEN, front=f"{TO80} -m length --length 0:39 -j DROP")),
    Row("logged last", xt(OPEN, "-m limit --limit 3/min -j LOG")),
    Row("mark", xt(OPEN, mangle=f"{TO80} -j MARK --set-xmark 0x1/0xffffffff")),
    Row("other port", xt(OPEN, "-p tcp -m tcp --dport 22 -m recent --update --seconds 60 --name s -j DROP")),
    Row("nft set", nft("tcp dport 80 accept", sets=METER,
                       front="tcp dport 80 add @d { ip saddr limit rate over 900/second burst 900 packets } drop")),
    Row("nft mss", nft("tcp dport 80 accept", front="tcp flags syn tcp option maxseg size 1-500 drop")),
]  # fmt: skip


CUT = {"hashlimit": (7, 6), "tcpmss": (3, 0), "nft set": (7, 6), "nft doff": (3, 0), "nft length": (3, 0)}
"""Of so many connections that were all answered, at most so many are on trial."""
DOORS = ("knock", "nft knock")
SOURCES = {name: f"192.168.0.{at}" for at, name in enumerate((*CUT, *DOORS), 101)}
"""Each asks from an address of its own: what a connection that was cut sends again counts as somebody else's."""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """The host that is planned for, serving 80 and 3306, and its peer, serving 11211."""
    with bridged(["web=18", f"peer={PEER_LAST}"]) as made:
        for name, port in (("web", 80), ("web", 3306), ("peer", 11211)):
            made[name].start("python3", "-c", SERVER, str(port))
            while str(port) not in made[name].run("ss", "-Htnl", "sport", "=", f":{port}"):
                pass
        for source in SOURCES.values():
            made["peer"].run("ip", "address", "add", f"{source}/24", "dev", "eth0")
        yield made


@pytest.fixture
def web(hosts: Hosts) -> Iterator[LabHost]:
    """The host, without rules and entries at its end."""
    yield hosts["web"]
    hosts["web"].run("nft", "flush", "ruleset")
    hosts["web"].run("conntrack", "-F")


def prepared(host: LabHost, row: Row) -> Plan:
    """The row's rules loaded, and the plan for them as the kernel lists them."""
    if row.text.startswith("table"):
        host.run("nft", "-f", "-", text=row.text)
    else:
        host.run("iptables-nft-restore", text=row.text)
    ruleset = KernelListing().read(host.name).ruleset
    return compile_plan(Request(parse_policy(row.policy, "policy"), ruleset, facts(WEB)))


def open_in(plan: Plan) -> set[str]:
    """The obligations that are not proved; no kernel was asked for `loads`."""
    return {o.name for o in plan.obligations if o.standing is not Standing.PROVED}


def answered(hosts: Hosts, port: int, count: int, source: str = PEER) -> int:
    """How many of so many short connections of the peer, opened side by side, bring an answer."""
    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(lambda _: _ask(hosts["peer"], source, port), range(count)))


def _ask(host: LabHost, source: str, port: int) -> bool:
    with entered(host.name), socket.socket() as mine:
        mine.settimeout(PATIENCE)
        try:
            mine.bind((source, 0))
            mine.connect((WEB, port))
            mine.sendall(b"echo")
            return mine.recv(100) == b"echo"
        except OSError:
            return False


@pytest.mark.parametrize("row", BEHIND, ids=lambda row: row.name)
def test_what_saw_opening_packets_only_is_not_decided(web: LabHost, row: Row) -> None:
    """Such a rule would meet every packet, or none: not proved, by an obligation that names it; nor is it copied."""
    plan = prepared(web, row)
    dependence = next(o for o in plan.obligations if o.name == "no-ct-dependence")
    assert Standing.NOT_DECIDED is dependence.standing
    assert dependence.why
    words = ("limit", "recent", "statistic", "@d", "numgen", "MARK", "mark set", "-j LOG")
    assert [] == [c.rule for c in plan.changes for word in words if word in c.rule]


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.name)
def test_what_saw_every_packet_is_proved_and_goes_on(hosts: Hosts, web: LabHost, row: Row) -> None:
    """Where the rule met the same packets all along the plan is proved, and on trial every question is answered."""
    plan = prepared(web, row)
    assert {"loads"} == open_in(plan)
    assert 6 == answered(hosts, 80, 6)
    load(web, plan.trial, deadline(60))
    web.run("conntrack", "-F")
    assert 6 == answered(hosts, 80, 6)


@pytest.mark.parametrize("name", CUT)
def test_the_kernel_cuts_what_is_not_decided(hosts: Hosts, web: LabHost, name: str) -> None:
    """The doubt is no fancy: with the plan forced into the kernel the service stops."""
    plan, (count, most) = prepared(web, next(r for r in BEHIND if r.name == name)), CUT[name]
    assert count == answered(hosts, 80, count, SOURCES[name])
    prepared_again(web, name)
    load(web, plan.trial, deadline(60))
    web.run("conntrack", "-F")
    assert most >= answered(hosts, 80, count, SOURCES[name])
    assert {"loads"} != open_in(plan)


def prepared_again(host: LabHost, name: str) -> None:
    """The same rules with fresh counters."""
    host.run("nft", "flush", "ruleset")
    prepared(host, next(r for r in BEHIND if r.name == name))


@pytest.mark.parametrize("name", DOORS)
def test_the_kernel_closes_the_door_that_a_knock_opened(hosts: Hosts, web: LabHost, name: str) -> None:
    """A rule that only lets others know of opening packets knows of none of them on trial: the other port is shut."""
    plan = prepared(web, next(r for r in BEHIND if r.name == name))
    assert [1, 1] == [answered(hosts, port, 1, SOURCES[name]) for port in (80, 3306)]
    prepared_again(web, name)
    load(web, plan.trial, deadline(60))
    web.run("conntrack", "-F")
    assert [1, 0] == [answered(hosts, port, 1, SOURCES[name]) for port in (80, 3306)]
    assert {"loads"} != open_in(plan)
