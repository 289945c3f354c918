"""What a view says of packets whose state nobody told it."""

from __future__ import annotations

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import In, Match, OpaqueMatch, XtConntrack
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.states import in_front

RULES = read("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", "rules")
STATES = Intervals.of(int(CtState.INVALID), int(CtState.UNTRACKED))


def space() -> PacketVars:
    """All IPv4 packets."""
    return PacketVars(Family.IPV4, Names.of((RULES,)))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("match", [In(Field.CT_STATE, STATES), XtConntrack(STATES)])
def test_without_states_the_state_is_a_variable(match: Match, mirrored: bool) -> None:
    """Packets in the states asked for match, for requests and answers, and no others."""
    packets = space()
    found = MatchEncoder(packets, mirrored=mirrored).match(match, RULES.tables[0])
    assert found == packets.state(CtState.INVALID) | packets.state(CtState.UNTRACKED)


def test_without_states_what_asks_for_the_entry_is_told_by_the_state() -> None:
    """connbytes holds for no packet without an entry, and like connlimit may hold for one in any state that has one."""
    packets, table = space(), RULES.tables[0]
    view = MatchEncoder(packets)
    bytes_, limit = (view.match(OpaqueMatch(kind, f"--{kind} 20"), table) for kind in ("connbytes", "connlimit"))
    assert [s for s in CtState if bytes_ & packets.state(s) == packets.nothing] == [CtState.INVALID, CtState.UNTRACKED]
    assert all(limit & packets.state(s) != packets.nothing for s in CtState)


def test_in_front_of_conntrack_all_packets_are_invalid() -> None:
    """A rule of raw that asks for INVALID takes everything, one that asks for NEW nothing."""
    packets = space()
    view = MatchEncoder(packets, in_front(packets))
    invalid, new = (In(Field.CT_STATE, Intervals.of(int(s))) for s in (CtState.INVALID, CtState.NEW))
    assert view.match(invalid, RULES.tables[0]) == packets.everything
    assert view.match(new, RULES.tables[0]) == packets.nothing
