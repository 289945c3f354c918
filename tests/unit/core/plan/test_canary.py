"""A policy narrowed to some clients: what takes part, and with whom."""

from __future__ import annotations

from conntrim.core.model.address import parse_prefix
from conntrim.core.model.intervals import Intervals
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.canary import Some, for_clients

POLICY = b"""
own_addresses = ["10.0.0.5"]
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80]
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [81]
from = ["10.1.0.0/16"]
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [82]
family = "ipv6"
[[untrack]]
direction = "outbound"
protocol = "tcp"
ports = [83]
to = ["10.2.0.1"]
[[timeout]]
direction = "forwarded"
protocol = "udp"
ports = [53]
seconds = { unreplied = 15 }
[[limit]]
direction = "forwarded"
from = ["10.1.0.0/24", "10.3.0.0/24"]
connections = 20
[table]
max = 1000
[timeouts]
nf_conntrack_udp_timeout = 30
"""


def among(*prefixes: str) -> list[str]:
    """The cures of the policy narrowed to these prefixes, in words."""
    clients = Intervals.of(*map(parse_prefix, prefixes))
    return [cure.what if hasattr(cure, "what") else str(cure) for cure in for_clients(PARSED, Some(clients)).cures]


PARSED = parse_policy(POLICY, "policy.toml")


def test_each_cure_has_its_own_clients_of_these() -> None:
    """A cure for everybody is for those; one that names clients is for those of both; one of the other family, or
    that asks others itself, is for none and left out."""
    assert among("10.1.0.0/20", "192.0.2.1") == [
        "inbound tcp/80 from 10.1.0.0/20, 192.0.2.1",
        "inbound tcp/81 from 10.1.0.0/20",
        "forwarded udp/53 from 10.1.0.0/20, 192.0.2.1",
        "forwarded traffic from 10.1.0.0/24",
    ]
    assert among("2001:db8::/64") == [
        "inbound tcp/80 from 2001:db8::/64",
        "inbound tcp/82 from 2001:db8::/64",
        "forwarded udp/53 from 2001:db8::/64",
    ]


def test_what_is_set_for_everybody_takes_no_part() -> None:
    """Sizes and the host's time-outs are left out; own addresses are the host's all the same."""
    found = for_clients(PARSED, Some(Intervals.of(parse_prefix("10.1.0.0/16"))))
    assert (found.max, found.timeouts, found.own_addresses) == (None, {}, PARSED.own_addresses)
