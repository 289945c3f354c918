"""The peer's formulas, which other tests and the bench compare with, mean what the rules mean."""

from __future__ import annotations

from dataclasses import replace

import z3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.peer_z3 import Peer
from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.ipset import with_ipsets
from conntrim.core.parse.ruleset import read
from tests.property.rulesets import WAYS, packets, saves


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(saves(), st.sampled_from(sorted(WAYS)), st.data())
def test_a_stranger_is_admitted_by_the_formula_where_the_walk_accepts_it(
    text: str, direction: Direction, data: st.DataObject
) -> None:
    """For random rule sets and packets the formula of admitted unsolicited packets is the evaluator's verdict."""
    ruleset = read(text, "random")
    peer = Peer(Family.IPV4, (ruleset,))
    admitted = peer.strangers(ruleset, direction)
    arranged = arrange(ruleset)
    for packet in data.draw(st.lists(packets(direction), min_size=5, max_size=5)):
        solver = z3.Solver()
        solver.add(peer.holding(packet), admitted)
        assert (simulate(arranged, packet).verdict is Fate.ACCEPT) == (solver.check() == z3.sat), packet


WITHOUT_PORTS = """create services hash:net,port family inet
add services 192.0.2.0/24,tcp:80
"""
REJECTS = """*filter
:OUTPUT ACCEPT [0:0]
-A OUTPUT -m set ! --match-set services dst,dst -j DROP
COMMIT
"""


def test_a_packet_without_ports_is_in_no_set_that_holds_them() -> None:
    """K50: `! --match-set` matches an echo, for the formula as for the walk."""
    ruleset = with_ipsets(read(REJECTS, "rules") + read(WITHOUT_PORTS, "ipset"))
    echo = Packet(Family.IPV4, Protocol.ICMP, parse_address("192.0.2.1"), parse_address("192.0.2.9"), icmp=8 << 8)
    echo = replace(echo, oif="eth0")
    solver, peer = z3.Solver(), Peer(Family.IPV4, (ruleset,))
    solver.add(peer.holding(echo), peer.strangers(ruleset, Direction.OUTBOUND))
    assert (Fate.DROP, z3.unsat) == (simulate(arrange(ruleset), echo).verdict, solver.check())


def test_no_ipv6_packet_carries_an_ipv4_address() -> None:
    """The host's IPv4 addresses, which the model writes as IPv6 ones, are no ends of IPv6 packets."""
    peer = Peer(Family.IPV6, (), Intervals.of(parse_address("192.0.2.1")))
    solver = z3.Solver()
    solver.add(peer.packets(Direction.OUTBOUND))
    assert z3.unsat == solver.check()
