"""What a probe asks, and whether its answer says anything about a plan's rules."""

import json

import pytest

from conntrim.core.model.address import parse_address
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Plan
from conntrim.core.parse.policy import parse_policy
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.counts import counted_nft, met
from conntrim.core.rollout.probe import How, Probe, probe_of, service_of, session_of, unproved
from tests.lab.handmade import handmade

FORMS = {
    "192.0.2.1:80": Probe("192.0.2.1", 80),
    "tcp://[2001:db8::1]:80": Probe("2001:db8::1", 80),
    "udp://dns:53?send=0x0a1B&expect=ok%0a": Probe("dns", 53, How.UDP, b"\x0a\x1b", b"ok\n"),
    "udp://192.0.2.1:53?send=": Probe("192.0.2.1", 53, How.UDP),
    "http://web:8080/a?b=c": Probe("web", 8080, How.HTTP, path="/a?b=c"),
    "http://web:8080": Probe("web", 8080, How.HTTP),
}  # fmt: skip
BAD = [
    "web", "web:0", "web:65536", "web:99999", ":80", "tcp://web:80/x", "udp://web:53", "udp://web:53?send=0x1",
    "udp://web:53?send=a&other=b", "ftp://web:21", "http://u@web:80/", "http://web:80/\r\nX: y", "[::1:80", "web:٨٠",
    "http://web:80?x", "http://web:80/a b",
]  # fmt: skip


@pytest.mark.parametrize(("text", "probe"), FORMS.items(), ids=FORMS)
def test_a_probe_is_read(text: str, probe: Probe) -> None:
    """Three protocols, names and addresses of both families."""
    assert probe_of(text) == probe


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_probe_is_none(text: str) -> None:
    """Nothing is guessed, and nothing gets into a request that is no path."""
    assert probe_of(text) is None


def asking() -> Plan:
    """A plan for a service over UDP that this host asks, and one over TCP that it gives."""
    text = b"""[[untrack]]
direction = "outbound"
protocol = "udp"
ports = [53]
to = ["192.0.2.53"]
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80]
"""
    plan = handmade("iptables-nft")
    return Plan(**{name: getattr(plan, name) for name in plan.__slots__} | {"policy": parse_policy(text, "p")})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("udp://192.0.2.53:53?send=x", ""), ("tcp://192.0.2.53:53", "no connection of a service"),
        ("udp://192.0.2.54:53?send=x", "no connection of a service"), ("192.0.2.1:80", "goes over lo|go over lo"),
        ("198.51.100.9:80", "no connection of a service"), ("udp://192.0.2.53:54?send=x", "no connection of a service"),
    ],
)  # fmt: skip
def test_only_a_connection_of_a_planned_service_proves_something(text: str, why: str) -> None:
    """Another protocol, port or server, and this host itself, say nothing about the rules; each is told why."""
    probe = probe_of(text)
    assert probe
    own = Intervals.of((parse_address("192.0.2.1"),) * 2)
    said = unproved(probe, asking(), probe.host, own)
    assert bool(said) is bool(why)
    assert not why or any(part in said for part in why.split("|"))
    assert (service_of(probe, asking(), parse_address(probe.host)) is not None) is (why == "")


def test_packets_are_counted_for_their_own_service() -> None:
    """Rules of another service that count meanwhile prove nothing."""
    plan = asking()
    dns, web = plan.policy.untrack
    before = {"outbound udp/53 reply": 3, "inbound tcp/80 request": 10, "inbound tcp/80 reply": 9}
    after = {"outbound udp/53 reply": 3, "inbound tcp/80 request": 25, "inbound tcp/80 reply": 19}
    assert met((dns, web), before, after) == {"inbound tcp/80": 15}
    assert met((dns,), before, after) == {}
    assert met((dns,), {}, {"outbound udp/53 request": 1, "outbound udp/53 reply": 1}) == {"outbound udp/53": 2}


def test_what_goes_over_lo_meets_no_client_s_rules() -> None:
    """It is counted in OUTPUT and once more in PREROUTING; only what is left of that came from the network."""
    web = asking().policy.untrack[1]
    over_lo = {"inbound tcp/80 request lo": 6, "inbound tcp/80 request": 6, "inbound tcp/80 reply": 5}
    assert met((web,), {}, over_lo) == {}
    assert met((web,), {}, over_lo | {"inbound tcp/80 request": 8}) == {"inbound tcp/80": 2}


def test_only_untracking_rules_of_the_own_table_count() -> None:
    """Jumps, accepts and rules of others do not, nor what nft lists as text, nor the table of another plan."""

    def rule(table: str, chain: str, comment: str, *expr: object) -> dict[str, object]:
        return {"rule": {"family": "inet", "table": table, "chain": chain, "comment": comment, "expr": [*expr]}}

    jump = rule("conntrim", "prerouting", "conntrim:0a1b2c3d untrack (trial)", {"counter": {"packets": 900}})
    counts = ({"counter": {"packets": 7, "bytes": 420}}, {"notrack": None})
    listing = json.dumps(
        {
            "nftables": [
                jump,
                *(rule("conntrim", c, "conntrim:0a1b2c3d inbound tcp/80 request", *counts) for c in ("a", "b")),
                rule(
                    "conntrim", "a", "conntrim:0a1b2c3d inbound tcp/80 request translated", counts[0], {"return": None}
                ),
                rule("filter", "raw", "conntrim:0a1b2c3d inbound tcp/80 reply", *counts),
                rule("filter", "raw", "", "update @match { ip saddr : 0x00000001 }"),
            ]
        }
    )
    assert counted_nft(listing, Claim()) == {"inbound tcp/80 request": 14}
    assert counted_nft(listing, Claim(frozenset({("nft inet conntrim prerouting", "other")}))) == {}


def test_a_session_is_one_of_addresses() -> None:
    """$SSH_CONNECTION of another process is from outside: what is no address is no session."""
    assert session_of("192.0.2.9 50000 192.0.2.1 22")
    assert session_of("\x1b[2J 50000 192.0.2.1 22") is None
