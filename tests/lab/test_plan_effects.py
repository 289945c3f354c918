"""Rules that count, vary or leave a trace, on a real kernel: a plan is proved only where they meet the same packets.

Behind the accept of what is ESTABLISHED such a rule sees what opens a connection; untracked, it would see every packet.
Over TCP the plan keeps all but opening packets from it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.compile import Request, compile_plan
from conntrim.host.listing import KernelListing
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import WEB, deadline, entries, facts, load

PEER, PEER_LAST = "192.168.0.66", 66
INBOUND = b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
OUTBOUND = b'[[untrack]]\ndirection = "outbound"\nprotocol = "tcp"\nports = [11211]\nto = ["192.168.0.66"]\n'
QUERIES = b'[[untrack]]\ndirection = "inbound"\nprotocol = "udp"\nports = [53]\n'
PATIENCE = 0.4
"""Seconds for one answer; an answer on the bridge takes a hundredth of that."""

SERVER = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(100))
class Query(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(self.request[0], self.client_address)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads, request_queue_size = True, 64
if sys.argv[1] == "53":
    socketserver.UDPServer(("0.0.0.0", 53), Query).serve_forever()
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

BOUND = [
    Row("hashlimit", xt(f"{TO80} {HASHLIMIT} -j ACCEPT")),
    Row("limit out", xt(out="-p tcp -m tcp --dport 11211 -m limit --limit 1/sec --limit-burst 8 -j ACCEPT"), OUTBOUND),
    Row("tcpmss", xt(f"{TO80} -m tcpmss --mss 536:65535 -j ACCEPT")),
    Row("tcp-option", xt(f"{TO80} --tcp-option 2 -j ACCEPT")),
    Row("length", xt(f"{TO80} -m length --length 60 -j ACCEPT")),
    Row("u32", xt(f'{TO80} -m u32 --u32 "0x0&0xffff=0x3c" -j ACCEPT')),
    Row("string", xt(f"{TO80} -m string --string echo --algo bm -j DROP", OPEN)),
    Row("hitcount", xt(f"{TO80} -m recent --set --name hits --rsource",
                       f"{TO80} -m recent --rcheck --seconds 60 --hitcount 9 --name hits --rsource -j DROP", OPEN)),
    Row("log", xt(f"{TO80} -j LOG", OPEN)),
    Row("nft over", nft("tcp dport 80 limit rate over 1/second burst 8 packets drop", "tcp dport 80 accept")),
    Row("nft set", nft(f"tcp dport 80 {OVER}", "tcp dport 80 accept", sets=METER)),
    Row("nft ban", nft("tcp dport 80 ip saddr @d drop", "tcp dport 80 accept", "tcp dport 23 add @d { ip saddr }",
                       sets=TIMED)),
    Row("nft mss", nft("tcp dport 80 tcp option maxseg size 536-65535 accept")),
    Row("nft doff", nft("tcp dport 80 tcp doff 10 accept")),
    Row("nft ackseq", nft("tcp dport 80 tcp ackseq 0 accept")),
    Row("nft length", nft("tcp dport 80 meta length 60 accept")),
    Row("nft raw", nft("tcp dport 80 @th,160,8 2 accept")),
]  # fmt: skip
"""Rules that met opening packets only, which TCP tells by their flags."""

BEHIND = [
    Row("knock", xt(f"{NEW80} -m recent --set --name knock --rsource",
                    "-p tcp -m tcp --dport 3306 -m recent --rcheck --seconds 9 --name knock -j ACCEPT", OPEN)),
    Row("limit by state", xt(f"{NEW80} -m limit --limit 1/sec --limit-burst 8 -j ACCEPT")),
    Row("mark", xt(OPEN, mangle=f"{TO80} -m conntrack --ctstate ESTABLISHED -j MARK --set-xmark 0x1/0xffffffff")),
    Row("queries", xt("-p udp -m udp --dport 53 -m limit --limit 1/sec --limit-burst 3 -j ACCEPT"), QUERIES),
    Row("nft set by state", nft("tcp dport 80 ct state new update @d { ip saddr limit rate 1/second } accept",
                                sets=METER)),
    Row("nft knock", nft("tcp dport 80 ct state new add @d { ip saddr }", "tcp dport 80 accept",
                         "tcp dport 3306 ip saddr @d accept", sets=TIMED)),
    Row("nft mark", nft("tcp dport 80 accept", mangle="tcp dport 80 ct state established meta mark set 1")),
    Row("nft queries", nft("udp dport 53 limit rate 1/second burst 3 packets accept"), QUERIES),
]  # fmt: skip
"""Rules that met opening packets only, or all others, and would meet all packets or none."""

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


COUNTED = ("hashlimit", "limit out", "hitcount", "nft over", "nft set")
"""Rows that let seven connections pass, and would not let as many packets."""
DOORS = ("knock", "nft knock")
SOURCES = {name: f"192.168.0.{at}" for at, name in enumerate((*(row.name for row in BOUND), *DOORS), 101)}
"""Each asks from an address of its own: what a connection that was cut sends again counts as somebody else's."""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """The host that is planned for, serving 80 and 3306, and its peer, serving 11211."""
    with bridged(["web=18", f"peer={PEER_LAST}"]) as made:
        for name, port in (("web", 80), ("web", 3306), ("web", 53), ("peer", 11211)):
            made[name].start("python3", "-c", SERVER, str(port))
            while str(port) not in made[name].run("ss", "-Htunl", "sport", "=", f":{port}"):
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
    return {o.name for o in plan.obligations if o.standing is not ObligationStatus.PROVED}


def answered(hosts: Hosts, port: int, count: int, source: str = PEER) -> int:
    """How many of so many short connections of the peer, opened side by side, bring an answer."""
    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(lambda _: _ask(hosts["peer"], source, WEB, port), range(count)))


def _ask(host: LabHost, source: str, address: str, port: int) -> bool:
    with entered(host.name), socket.socket() as mine:
        mine.settimeout(PATIENCE)
        try:
            mine.bind((source, 0))
            mine.connect((address, port))
            mine.sendall(b"echo")
            return mine.recv(100) == b"echo"
        except OSError:
            return False


@pytest.mark.parametrize("row", BOUND, ids=lambda row: row.name)
def test_what_saw_opening_packets_only_goes_on_doing_so(hosts: Hosts, web: LabHost, row: Row) -> None:
    """All but opening packets are accepted in front of such a rule: proved, and on trial as many are answered."""
    plan, questions = prepared(web, row), 7 if row.name in COUNTED else 2
    assert {"loads"} == open_in(plan)
    load(web, plan.trial, deadline(60))
    web.run("conntrack", "-F")
    assert questions == row_answered(hosts, row, questions)
    assert 0 == entries(web)


def row_answered(hosts: Hosts, row: Row, count: int) -> int:
    """The answers to a row's own questions."""
    if row.policy == OUTBOUND:
        return sum(_ask(hosts["web"], WEB, PEER, 11211) for _ in range(count))
    return answered(hosts, 80, count, SOURCES[row.name])


@pytest.mark.parametrize("row", BEHIND, ids=lambda row: row.name)
def test_what_would_meet_other_packets_is_not_decided(web: LabHost, row: Row) -> None:
    """Such a rule would meet every packet, or none: not proved, by an obligation that names it; nor is it copied."""
    plan = prepared(web, row)
    dependence = next(o for o in plan.obligations if o.name == "no-ct-dependence")
    assert ObligationStatus.NOT_DECIDED is dependence.standing
    assert dependence.why
    words = ("limit", "recent", "@d", "MARK", "mark set")
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


@pytest.mark.parametrize("name", ["queries", "nft queries"])
def test_the_kernel_cuts_what_is_not_decided(hosts: Hosts, web: LabHost, name: str) -> None:
    """The doubt is no fancy: with the plan forced into the kernel a client's later questions are not answered."""
    plan = prepared(web, next(r for r in BEHIND if r.name == name))
    assert 9 == asked(hosts["peer"], 9)
    prepared_again(web, name)
    load(web, plan.trial, deadline(60))
    web.run("conntrack", "-F")
    assert 6 > asked(hosts["peer"], 9)
    assert {"loads"} != open_in(plan)


def asked(host: LabHost, count: int) -> int:
    """How many of so many questions from one UDP port, one after the other, are answered."""
    with entered(host.name), socket.socket(type=socket.SOCK_DGRAM) as mine:
        mine.settimeout(PATIENCE / 4)
        mine.connect((WEB, 53))
        return sum(_question(mine) for _ in range(count))


def _question(mine: socket.socket) -> bool:
    try:
        mine.send(b"echo")
        return mine.recv(100) == b"echo"
    except OSError:
        return False


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
