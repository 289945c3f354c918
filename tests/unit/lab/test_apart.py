"""Dialogues that get in each other's way in the table that they share."""

from dataclasses import replace

from conntrim.core.model.plan import Batch
from conntrim.core.netfilter.memory import Tuple
from conntrim.lab.apart import MOVED, TAKEN, apart, clear
from conntrim.lab.dialogue import parse_packet
from conntrim.lab.entries import Kept
from conntrim.lab.expect import Believed, expected, observed, ruleset_of

UDP = 17
OUT, BACK = Tuple(UDP, 1, 2, 10, 20), Tuple(UDP, 2, 9, 20, 10)
OTHER = Tuple(UDP, 3, 2, 30, 20)


def believed(*tuples: Tuple, doubt: str = "") -> Believed:
    """What is believed of a dialogue with these tuples."""
    return Believed((), (), None if doubt else (), doubt, frozenset(tuples))


def doubts(found: list[Believed]) -> list[str]:
    """Why nothing is believed of each."""
    return [each.doubt for each in found]


def test_a_shared_tuple_leaves_both_open() -> None:
    """Two dialogues that were translated to one tuple are not decided, the third is."""
    found = apart([believed(OUT, BACK), believed(OTHER, BACK), believed(Tuple(UDP, 5, 6))])
    assert [TAKEN, TAKEN, ""] == doubts(found)
    assert [None, None, ()] == [each.entries for each in found]


def test_a_source_goes_with_what_it_became_elsewhere() -> None:
    """One source that became two ends in two dialogues is not decided in either; where it became one, it is."""
    source = (UDP, 1, 10, 0)
    first, second = (replace(believed(Tuple(UDP, 1, n, 10, 20)), sources=frozenset({(source, (9, n))})) for n in (2, 3))
    assert [MOVED, MOVED] == doubts(apart([first, second]))
    same = replace(second, sources=first.sources)
    assert ["", ""] == doubts(apart([first, same]))


def test_what_an_undecided_dialogue_left_is_in_the_way() -> None:
    """An entry of an undecided dialogue leaves open whoever shares its tuple or its translated source."""
    undecided, met, alike, free = believed(doubt="unknown"), believed(OTHER), believed(), believed(Tuple(UDP, 7, 8))
    alike = replace(alike, sources=frozenset({((UDP, 1, 10, 0), (9, 10))}))
    found = clear([undecided, met, alike, free], [[Kept(OUT, OTHER, snat=True)], [], [], []])
    assert ["unknown", TAKEN, MOVED, ""] == doubts(found)
    assert [""] == doubts(clear([believed(OTHER)], [[Kept(OTHER, OTHER.inverted() or OTHER)]]))


def test_the_last_packet_of_a_dialogue_has_a_source_too() -> None:
    """K57: what its only packet is translated from counts, for all flows of that source get one address and port."""
    rules = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j SNAT --to-source 192.0.2.200\nCOMMIT\n"
    packet = parse_packet("eth0>eth1 udp 192.0.2.9 53 > 198.51.100.7 4000")
    ((source, _),) = expected(observed(ruleset_of([Batch("iptables-restore", rules)], "")), [packet]).sources
    assert (packet.protocol, packet.src, packet.sport) == source[:3]
