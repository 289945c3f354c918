"""Hosts of other kinds: no rules at all, no IPv6, IPv6 only, both kinds of iptables at once, Docker's chains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conntrim.lab.netns import LabHost, lab_host
from tests.lab.planning import RH_FIREWALL, RH_FIREWALL_V6, serve
from tests.lab.test_rollout_plans import SwiftOperator, listing

POLICY = b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
OF_NFT = """\
*filter
:INPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -j DROP
COMMIT
"""
OF_DOCKER = """\
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -i eth0 -j DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -o docker0 ! -i docker0 -j DROP
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
"""
"""One container with a published port, as Docker makes it; the host serves port 80 itself."""


def no_rules(host: LabHost) -> None:
    """Nothing."""


def no_ipv6(host: LabHost) -> None:
    """Switched off, as many do, with rules for IPv4 only."""
    host.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    host.run("iptables-nft-restore", text=RH_FIREWALL)


def ipv6_only(host: LabHost) -> None:
    """No address of IPv4, not even on lo."""
    host.run("ip", "-4", "address", "flush", "dev", "lo")
    host.run("ip", "address", "add", "2001:db8::1/128", "dev", "lo")
    host.run("ip6tables-nft-restore", text=RH_FIREWALL_V6)


def both(host: LabHost) -> None:
    """Old rules in the legacy tables, new ones in those of nft: packets pass both."""
    host.run("iptables-legacy-restore", text=RH_FIREWALL)
    host.run("iptables-nft-restore", text=OF_NFT)


def docker(host: LabHost) -> None:
    """Its bridge and its chains beside the host's own rules; nobody but who serves has the port (K74)."""
    host.run("ip", "link", "add", "docker0", "type", "bridge")
    host.run("ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
    host.run("ip", "link", "set", "docker0", "up")
    host.run("iptables-nft-restore", text=OF_DOCKER)
    serve(host, 80)


def stand_in(before: str, after: str) -> bool:
    """Are all lines of the first listing in the second, in their order?"""
    lines = iter(after.splitlines())
    return all(line in lines for line in before.splitlines())


@pytest.mark.parametrize("made", [no_rules, no_ipv6, ipv6_only, both, docker])
def test_a_host_of_that_kind(tmp_path: Path, made: Callable[[LabHost], None]) -> None:
    """Planned with all obligations proved, kept, seen as kept, and rolled back to the same listing."""
    (tmp_path / "web.toml").write_bytes(POLICY)
    plan = str(tmp_path / "plan")
    with lab_host("kind") as host:
        made(host)
        operator, before = SwiftOperator(host, tmp_path), listing(host)
        planning = ("plan", "--policy", str(tmp_path / "web.toml"), "-o", plan)
        for verb in (planning, ("apply", plan), ("rollback",), ("apply", plan), ("confirm",), ("status",)):
            done = operator.does(*verb)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            assert stand_in(before, listing(host))
            assert (listing(host) == before) == (verb[0] in ("plan", "rollback"))
        undone = operator.does("rollback")
        assert (undone.returncode, undone.stderr) == (0, ""), undone.stdout
        assert listing(host) == before
