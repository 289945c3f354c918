"""Hosts that send from addresses which are none of theirs: a transparent proxy's answers, and its own connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from conntrim import wiring
from conntrim.app.plan import Inputs, make_plan
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.parse.policy import parse_policy
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import ask, deadline, entries, facts, load, serve

PROXY, BACKEND, ELSEWHERE = "192.168.0.18", "192.168.0.17", "203.0.113.7"
IP_TRANSPARENT = 19
XT = """\
*mangle
-A PREROUTING -p tcp -m socket --transparent -j MARK --set-mark 1
-A PREROUTING -p tcp -m socket --transparent -j ACCEPT
-A PREROUTING -p tcp -m addrtype ! --dst-type LOCAL -m tcp --dport 80 -j TPROXY --on-port 3129 --tproxy-mark 1
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 80 -j ACCEPT
COMMIT
"""
NFT = """\
table ip proxy {
  chain prerouting {
    type filter hook prerouting priority mangle
    meta l4proto tcp socket transparent 1 meta mark set 1 accept
    fib daddr type != local tcp dport 80 tproxy to :3129 meta mark set 1
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    ct state established,related accept
    tcp dport 80 ct state new accept
  }
}
"""
LISTENER = """
import socket
listener = socket.socket()
listener.setsockopt(socket.SOL_IP, 19, 1)
listener.bind(("0.0.0.0", 3129))
listener.listen(64)
while True:
    peer, _ = listener.accept()
    peer.sendall(peer.recv(100))
    peer.close()
"""
RULES = {"iptables-nft": XT, "iptables-legacy": XT, "nft": NFT}
SERVED = b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\nfamily = "ipv4"\n'
ASKED = b'[[untrack]]\ndirection = "outbound"\nprotocol = "tcp"\nports = [8080]\nto = ["192.168.0.17"]\n'

Hosts = dict[str, LabHost]


@pytest.fixture(params=RULES)
def hosts(request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """A proxy with such rules on the way to elsewhere, a client that goes through it, and a backend behind it."""
    with bridged(["proxy=18", "backend=17", "client=66"]) as made:
        proxy = made["proxy"]
        if request.param == "nft":
            proxy.run("nft", "-f", "-", text=NFT)
        else:
            proxy.run(f"{request.param}-restore", text=XT)
        proxy.run("ip", "rule", "add", "fwmark", "1", "lookup", "100")
        proxy.run("ip", "route", "add", "local", "default", "dev", "lo", "table", "100")
        for key in ("all", "eth0", "lo"):
            proxy.sysctl(f"net.ipv4.conf.{key}.rp_filter", 0)
        for name in ("client", "backend"):
            made[name].run("ip", "route", "add", "203.0.113.0/24", "via", PROXY)
        yield made


def tried(proxy: LabHost, policy: bytes) -> Plan:
    """The plan for the proxy as its kernel lists its rules now, all proved, and loaded."""
    ruleset = wiring.listing().read(proxy.name).ruleset
    wanted = parse_policy(policy, "policy.toml")
    check = wiring.batch_check(proxy.name)
    plan = make_plan(Inputs(ruleset, "", facts(PROXY), policy=wanted, check=check)).plan
    assert {} == {o.name: o.why for o in plan.obligations if o.standing is not ObligationStatus.PROVED}
    load(proxy, plan.trial, deadline(60))
    return plan


def test_intercepted_connections_go_on(hosts: Hosts) -> None:
    """The proxy serves port 80 itself and answers for elsewhere: the plan for the former leaves the latter tracked."""
    proxy = hosts["proxy"]
    serve(proxy, 80)
    proxy.start("python3", "-c", LISTENER)
    while "3129" not in proxy.run("ss", "-Htnl", "sport", "=", ":3129"):
        pass
    before = [ask(hosts["client"], address, 80) for address in (PROXY, ELSEWHERE)]
    tried(proxy, SERVED)
    proxy.run("conntrack", "-F")
    served = ask(hosts["client"], PROXY, 80), entries(proxy)
    intercepted = ask(hosts["client"], ELSEWHERE, 80), entries(proxy)
    assert (["echo", "echo"], ("echo", 0), ("echo", 1)) == (before, served, intercepted)


def ask_as(host: LabHost, source: str, address: str, port: int) -> str:
    """As `ask`, from an address that is none of the host's."""
    with entered(host.name), socket.socket() as mine:
        mine.settimeout(1)
        mine.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        mine.bind((source, 0))
        try:
            mine.connect((address, port))
            mine.sendall(b"echo")
            return mine.recv(100).decode()
        except OSError as error:
            return type(error).__name__


def test_connections_under_a_clients_address_go_on(hosts: Hosts) -> None:
    """The proxy asks its backend under its own address, untracked, and under a client's, tracked in both directions."""
    proxy = hosts["proxy"]
    serve(hosts["backend"], 8080)
    before = ask(proxy, BACKEND, 8080), ask_as(proxy, ELSEWHERE, BACKEND, 8080)
    tried(proxy, ASKED)
    proxy.run("conntrack", "-F")
    own = ask(proxy, BACKEND, 8080), entries(proxy)
    foreign = ask_as(proxy, ELSEWHERE, BACKEND, 8080), entries(proxy)
    assert (("echo", "echo"), ("echo", 0), ("echo", 1)) == (before, own, foreign)
