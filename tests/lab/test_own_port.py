"""Services whose host also sends from their port: what it asks elsewhere is answered as before."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from conntrim import wiring
from conntrim.app.plan import Inputs, make_plan
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.parse.policy import parse_policy
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import ask, deadline, entries, facts, load, serve

HOST, UPSTREAM = "192.168.0.18", "192.168.0.17"
LAN = "192.168.0.64/26"
XT = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT {xt}-p udp -m udp --dport 123 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT {xt}-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT
COMMIT
"""
NFT = """\
table inet filter {{
  set lan {{ type ipv4_addr; flags interval; elements = {{ 192.168.0.64/26 }} }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    ct state established,related accept
    {nft}udp dport 123 ct state new accept
    {nft}tcp dport 80 ct state new accept
  }}
}}
"""
SOURCES = {
    "lan": {"xt": f"-s {LAN} ", "nft": f"ip saddr {LAN} "},
    "set": {"xt": f"-s {LAN} ", "nft": "ip saddr @lan "},
    "all": {"xt": "", "nft": ""},
}
POLICY = b"".join(
    b'[[untrack]]\ndirection = "inbound"\nprotocol = "%s"\nports = [%d]\nfamily = "ipv4"\n' % entry
    for entry in ((b"udp", 123), (b"tcp", 80))
)
CASES = [
    ("iptables-nft", "lan"), ("iptables-legacy", "lan"), ("nft", "lan"), ("nft", "set"), ("iptables-nft", "all"),
    ("nft", "all"),
]  # fmt: skip

Hosts = dict[str, LabHost]


@pytest.fixture(params=CASES, ids="-".join)
def hosts(request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """A host that serves its network, or all, a client there, and a server elsewhere that it asks itself."""
    program, sources = request.param
    with bridged(["host=18", "client=66", "upstream=17"]) as made:
        if program == "nft":
            made["host"].run("nft", "-f", "-", text=NFT.format(**SOURCES[sources]))
        else:
            made["host"].run(f"{program}-restore", text=XT.format(**SOURCES[sources]))
        yield made


def datagrams(host: LabHost, port: int) -> socket.socket:
    """A socket of a host's for datagrams from and to that port."""
    with entered(host.name):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(1)
    made.bind(("0.0.0.0", port))
    return made


def answered(asking: socket.socket, serving: socket.socket, server: tuple[str, int]) -> bool:
    """Whether a question comes to the server, and its answer back."""
    try:
        asking.sendto(b"question", server)
        word, peer = serving.recvfrom(100)
        serving.sendto(b"answer to " + word, peer)
        return asking.recv(100) == b"answer to question"
    except TimeoutError:
        return False


def tried(host: LabHost) -> Plan:
    """The plan for the host as its kernel lists its rules now, all proved, and loaded."""
    ruleset = wiring.listing().read(host.name).ruleset
    wanted = parse_policy(POLICY, "policy.toml")
    plan = make_plan(Inputs(ruleset, "", facts(HOST), policy=wanted, check=wiring.batch_check(host.name))).plan
    assert {} == {o.name: o.why for o in plan.obligations if o.standing is not ObligationStatus.PROVED}
    load(host, plan.trial, deadline(60))
    return plan


def test_what_it_asks_from_the_port_is_answered(hosts: Hosts) -> None:
    """A time server asks its upstream from port 123 and a program opens a TCP connection from port 80: both go on under
    the plan, and the service itself is untracked."""
    host, client, upstream = (hosts[name] for name in ("host", "client", "upstream"))
    serve(upstream, 9000)
    with ExitStack() as stack:
        mine, theirs, its = (
            stack.enter_context(datagrams(h, p)) for h, p in ((host, 123), (upstream, 123), (client, 0))
        )

        def all_three() -> tuple[bool, str, bool]:
            served = answered(its, mine, (HOST, 123))
            return answered(mine, theirs, (UPSTREAM, 123)), ask(host, UPSTREAM, 9000, source_port=80), served

        assert (True, "echo", True) == all_three()
        tried(host)
        host.run("conntrack", "-F")
        assert (True, 0) == (answered(its, mine, (HOST, 123)), entries(host))
        assert (True, "echo", True) == all_three()
