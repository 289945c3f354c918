"""Time-outs of services on a real gateway, in every dialect: whose entries get them, and until when they keep them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conntrim.core.model.conntrack import TcpState
from conntrim.host.flows import KernelFlows
from conntrim.host.netns import entered
from conntrim.lab.gateway import LAN, RULES, SERVER6, Gateway, gateway
from conntrim.lab.netns import LabHost
from tests.lab.commands import conntrim
from tests.lab.test_client_limits import listed, planned, run
from tests.lab.test_rollout import until
from tests.lab.test_rollout_plans import SwiftOperator, listing

POLICY = """\
[[timeout]]
direction = "forwarded"
protocol = "tcp"
ports = [443]
seconds = { established = 600, time_wait = 7 }
accept_below_rfc = true
"""
HOST = 432_000
CLIENT = f"{LAN}.2"


@pytest.fixture
def gate() -> Iterator[Gateway]:
    """A gateway with two clients."""
    with gateway(2) as made:
        yield made


KNOWN = (7, 33, 120, 600, HOST)
"""All time-outs that play a part: an entry has the shortest that it does not exceed."""


def left(gate: Gateway, port: int, state: TcpState = TcpState.ESTABLISHED) -> list[int]:
    """The time-outs of the entries of a server's port in a state."""
    found: list[int] = []
    for block in KernelFlows(gate.host.name).blocks(frozenset({"dport", "state", "timeout"})):
        found += block.timeout[(block.dport == port) & (block.state == state)].tolist()
    return sorted(next(each for each in KNOWN if seconds <= each) for seconds in found)


def outlives_the_trial(gate: Gateway) -> None:
    """What is opened during a trial keeps the service's time-outs when new connections have the host's again (K80)."""
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600])

    def expired() -> bool:
        assert gate.connects(f"{LAN}.3", 1, 443) == 1
        return HOST in left(gate, 443)

    assert until(expired)
    assert gate.alive(gate.opened) == len(gate.opened)
    assert 600 in left(gate, 443)


@pytest.mark.parametrize("dialect", RULES)
def test_new_connections_of_the_service_get_them_and_no_others(gate: Gateway, tmp_path: Path, dialect: str) -> None:
    """Through a trial and a confirm new connections to 443 have 600 s, over both families, translated as they are;
    those to 80, and older ones, the host's. A rollback gives all of them the host's at their next packet (K80)."""
    gate.load(dialect)
    before = listed(gate)
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [HOST])
    assert planned(gate, tmp_path, POLICY).startswith(
        "ready: time-outs of 1 service, entries 1 -> 1; all 6 obligations"
    )
    run(gate, tmp_path, "apply", str(tmp_path / "plan"), "--trial", "60s")
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600, HOST])
    assert (gate.connects("fd09:1::2", 1, 443, SERVER6), left(gate, 443)) == (1, [600, 600, HOST])
    assert (gate.connects(CLIENT, 1, 80), left(gate, 80)) == (1, [HOST])
    run(gate, tmp_path, "confirm")
    assert (gate.connects(CLIENT, 1, 443), left(gate, 443)) == (1, [600, 600, 600, HOST])
    gate.opened.pop().close()
    assert until(lambda: left(gate, 443, TcpState.TIME_WAIT) == [7])
    run(gate, tmp_path, "rollback")
    assert gate.alive(gate.opened) == len(gate.opened)
    assert left(gate, 443) == [HOST] * 3
    assert before == listed(gate)


@pytest.mark.parametrize("dialect", RULES)
def test_the_guard_ends_for_new_connections_and_a_clean_up_for_the_others(
    gate: Gateway, tmp_path: Path, dialect: str
) -> None:
    """Once the trial has expired a new connection has the host's time-outs; one opened meanwhile keeps the service's,
    packets included, until the rules are taken out (K80), which the plan lists."""
    gate.load(dialect)
    assert "keep its time-outs when it expires" in " ".join(planned(gate, tmp_path, POLICY).split())
    run(gate, tmp_path, "apply", str(tmp_path / "plan"), "--trial", "6s")
    outlives_the_trial(gate)
    assert conntrim(gate.host, "status", "--clean", "--state", str(tmp_path / "state")).returncode == 0
    assert gate.alive(gate.opened) == len(gate.opened)
    assert set(left(gate, 443)) == {HOST}


def test_states_that_are_not_named_keep_the_hosts(gate: Gateway, tmp_path: Path) -> None:
    """K167: an object of nft's has nft's own defaults where nothing is said, so a plan says all of them."""
    gate.load("nftables")
    gate.host.sysctl("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", 33)
    planned(gate, tmp_path, POLICY)
    run(gate, tmp_path, "apply", str(tmp_path / "plan"), "--trial", "60s")
    assert (gate.connects(CLIENT, 1, 443, "192.0.2.99"), left(gate, 443, TcpState.SYN_SENT)) == (0, [33])
    bare = "ct timeout bare { protocol tcp; policy = { established : 600 }\n}"
    rule = 'ct state new tcp dport 443 ct timeout set "bare"'
    text = f"table inet bare {{ {bare}; chain f {{ type filter hook forward priority 99\n {rule}\n}}\n}}\n"
    gate.host.run("nft", "-f", "-", text=text)
    assert (gate.connects(f"{LAN}.3", 1, 443, "192.0.2.99"), left(gate, 443, TcpState.SYN_SENT)) == (0, [33, 120])


def test_a_gateway_that_needs_nothing_is_told_so(gate: Gateway, tmp_path: Path) -> None:
    """An empty table: exit code 0, with one sentence."""
    gate.load("iptables-nft")
    said = run(gate, tmp_path, "plan", "-q")
    assert said.startswith("nothing to do: no cure takes 5 % of the table, and its size needs no change")


def test_a_plan_with_what_was_observed_is_taken_and_a_dry_run_leaves_nothing(gate: Gateway, tmp_path: Path) -> None:
    """Readings tell what a time-out would cut; apply compiles without them and takes the plan all the same. Before
    that a dry run says yes, and no rule of ours is there."""
    gate.load("iptables-nft")
    gate.connects(CLIENT, 5, 443)
    before = listed(gate)
    (tmp_path / "policy.toml").write_text(POLICY)
    argv = ("plan", "--policy", str(tmp_path / "policy.toml"), "-o", str(tmp_path / "plan"))
    said = " ".join(run(gate, tmp_path, *argv, "--again", "3", "--every", "1").split())
    assert "may be cut: forwarded tcp/443: of 5 followed for 3 s 0 got a packet after a silence" in said
    assert "at 95 % it is at most" in said
    dry = run(gate, tmp_path, "apply", str(tmp_path / "plan"), "--dry-run")
    assert dry.startswith("Nothing loaded: an apply would pass all checks. Nothing of ours is loaded.")
    assert listed(gate) == before
    run(gate, tmp_path, "apply", str(tmp_path / "plan"), "--trial", "60s")
    assert listed(gate) != before
    run(gate, tmp_path, "rollback")
    assert listed(gate) == before


TRACKS = """\
table {family} t {{
  chain c {{
    type filter hook input priority 10
    {asked} ct state new
  }}
}}
"""


def tracked(host: LabHost) -> set[str]:
    """The families of which a datagram over `lo` makes an entry."""
    with entered(host.name):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as mine:
                mine.sendto(b"word", (address, 9_999))
        with open("/proc/thread-self/net/nf_conntrack", encoding="ascii") as table:
            return {line.split()[0] for line in table}


@pytest.mark.parametrize(
    ("family", "asked", "found"),
    [("inet", "meta nfproto ipv4", {"ipv4", "ipv6"}), ("ip", "", {"ipv4"}), ("ip6", "", {"ipv6"})],
)
def test_a_table_of_both_families_tracks_both(host: LabHost, family: str, asked: str, found: set[str]) -> None:
    """K162: whatever its rules ask for."""
    host.run("ip", "link", "set", "lo", "up")
    assert tracked(host) == set()
    host.run("nft", "-f", "-", text=TRACKS.format(family=family, asked=asked))
    assert tracked(host) == found


@pytest.mark.parametrize("back_end", ["nft", "legacy", "nftables"])
def test_a_family_that_nothing_tracks_stays_untracked(host: LabHost, tmp_path: Path, back_end: str) -> None:
    """Rules for IPv4 alone: the own table of nft is IPv4's, all is proved, and IPv6 has no entry on trial, kept and
    afterwards. A second plan takes its place, and what is undone leaves nothing. On a host of nft what goes untracked
    beside stands in a table of both."""
    host.run("ip", "link", "set", "lo", "up")
    if back_end == "nftables":
        host.run("nft", "-f", "-", text=TRACKS.format(family="ip", asked=""))
    else:
        host.run(f"iptables-{back_end}-restore", text=ONLY_IPV4)
    before, operator = listing(host), SwiftOperator(host, tmp_path)
    for seconds in (33, 66):
        policy = BOTH.format(seconds=seconds)
        (tmp_path / "policy.toml").write_text(policy[policy.index("[[timeout") :] if back_end == "nftables" else policy)
        words = "--policy", str(tmp_path / "policy.toml"), "-o", str(tmp_path / f"plan{seconds}")
        for verb in (("plan", *words), ("apply", str(tmp_path / f"plan{seconds}")), ("confirm",), ("status",)):
            done = operator.does(*verb)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            assert tracked(host) == {"ipv4"}
        assert "table ip conntrim" in host.run("nft", "list", "ruleset")
    for _ in range(2):
        assert operator.does("rollback").returncode == 0
        assert tracked(host) == {"ipv4"}
    assert listing(host) == before


ONLY_IPV4 = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m multiport --dports 22,80,443 -j ACCEPT
COMMIT
"""
BOTH = """\
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80]

[[timeout]]
direction = "inbound"
protocol = "tcp"
ports = [443]
seconds = {{ time_wait = {seconds} }}
"""
