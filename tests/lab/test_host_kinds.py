"""Hosts of other kinds: no rules at all, no IPv6, IPv6 only, both kinds of iptables at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conntrim.lab.netns import LabHost, lab_host
from tests.lab.planning import RH_FIREWALL, RH_FIREWALL_V6
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


@pytest.mark.parametrize("made", [no_rules, no_ipv6, ipv6_only, both])
def test_a_host_of_that_kind(tmp_path: Path, made: Callable[[LabHost], None]) -> None:
    """Planned with all obligations proved, kept, seen as kept, and rolled back to the same listing."""
    (tmp_path / "web.toml").write_bytes(POLICY)
    plan = str(tmp_path / "plan")
    with lab_host("kind") as host:
        made(host)
        operator, before = SwiftOperator(host, tmp_path), listing(host)
        for verb in (
            ("plan", "--policy", str(tmp_path / "web.toml"), "-o", plan),
            ("apply", plan),
            ("confirm",),
            ("status",),
        ):
            done = operator.does(*verb)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert listing(host) != before
        undone = operator.does("rollback")
        assert (undone.returncode, undone.stderr) == (0, ""), undone.stdout
        assert listing(host) == before
