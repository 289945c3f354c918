"""Sets of packets and single packets: two evaluators, one meaning."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conntrim.core.model.address import Family
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.compare import compare
from conntrim.core.prove.cube_cover import contains
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.populations import Population
from conntrim.core.prove.reachability import packets_of, reach
from conntrim.core.prove.states import settled, unsolicited
from tests.property.rulesets import WAYS, packets, saves

MANY = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def admitted(ruleset: Ruleset, direction: Direction) -> tuple[PacketVars, Set]:
    """The unsolicited packets that a rule set lets through, as a set."""
    space = PacketVars(Family.IPV4, Names.of((ruleset,)))
    way = reach(space, arrange(ruleset), direction, packets_of(space, direction))
    return space, settled(space, way.arrived, unsolicited(MatchEncoder(space), way.untracked))


@MANY
@given(saves(), st.sampled_from(sorted(WAYS)), st.data())
def test_the_set_holds_exactly_the_packets_that_the_walk_accepts(
    text: str, direction: Direction, data: st.DataObject
) -> None:
    """For a random rule set, membership in the set of admitted unsolicited packets is the evaluator's verdict."""
    ruleset = read(text, "random")
    space, found = admitted(ruleset, direction)
    arranged = arrange(ruleset)
    for packet in data.draw(st.lists(packets(direction), min_size=10, max_size=10)):
        told = simulate(arranged, packet).verdict
        assert (told is Fate.ACCEPT) == contains(space, found, packet), packet


@MANY
@given(saves(), saves())
def test_every_witness_replays(one: str, other: str) -> None:
    """A packet shown as newly admitted is refused by BEFORE and accepted by AFTER; newly dropped, the reverse."""
    before, after = read(one, "before"), read(other, "after")
    found = [d for d in compare(before, after).differences if d.population is Population.UNSOLICITED]
    assume(found)
    for difference in found:
        for region in difference.regions:
            verdicts = [simulate(r, region.witness, assume=region.conditions).verdict for r in (before, after)]
            assert [not difference.admitted, difference.admitted] == [v is Fate.ACCEPT for v in verdicts]


@MANY
@given(saves(), st.data())
def test_the_same_means_the_same(text: str, data: st.DataObject) -> None:
    """Two rule sets of the same rules but for one that moved: if compared as the same, no packet tells them apart."""
    lines = text.splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("-A ")]
    i = data.draw(st.sampled_from(rules))
    del lines[i]
    before, after = read(text, "before"), read("\n".join(lines) + "\n", "after")
    changed = {
        (d.direction, d.admitted) for d in compare(before, after).differences if d.population is Population.UNSOLICITED
    }
    for direction in WAYS:
        for packet in data.draw(st.lists(packets(direction), min_size=5, max_size=5)):
            told = [simulate(r, packet).verdict is Fate.ACCEPT for r in (before, after)]
            if told[0] != told[1]:
                assert (direction, told[1]) in changed, packet


def test_contains_reads_every_field() -> None:
    """A set of one packet holds that packet and not its neighbours in any field."""
    space = PacketVars(Family.IPV4, Names(("", "eth0", "eth1", "lo", "x")))
    packet = Packet(Family.IPV4, 6, 0xFFFF0A000001, 0xFFFF0A000002, 1000, 80, 2, None, "eth0", "eth1")
    assert contains(space, space.everything, packet)
    assert not contains(space, space.nothing, packet)
