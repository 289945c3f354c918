"""Made-up rule sets and dialogues: the same seed the same, and no two dialogues of one flow."""

from collections import Counter
from random import Random

from conntrim.core.netfilter.hooks import direction_of
from conntrim.lab.generate import ruleset
from conntrim.lab.talk import dialogues


def test_the_same_seed_makes_the_same() -> None:
    """Rule sets and dialogues depend on nothing but the seed."""
    first, second = ((ruleset(random).batches(), dialogues(random, 500)) for random in (Random("7:1"), Random("7:1")))
    assert first == second


def test_as_many_packets_as_asked_for_and_all_directions() -> None:
    """Dialogues add up to the number exactly and go every way."""
    made = [packet for talk in dialogues(Random(1), 3_000) for packet in talk]
    assert (3_000, 4) == (len(made), len(Counter(direction_of(packet) for packet in made)))


def test_no_flow_comes_twice() -> None:
    """No two dialogues of one rule set are about the same flow, whichever end speaks first."""
    ends = [
        {
            frozenset({(p.protocol, p.src, p.sport, p.icmp_id), (p.protocol, p.dst, p.dport, p.icmp_id)})
            for p in talk
            if p.inner is None
        }
        for talk in dialogues(Random(2), 4_000)
    ]
    assert max(Counter(flow for talk in ends for flow in talk).values()) == 1


def test_both_dialects_and_families_are_made() -> None:
    """A hundred rule sets use every program and every family of tables, and ask ipsets."""
    made = [ruleset(Random(i)) for i in range(100)]
    programs = {batch.program for script in made for batch in script.batches()}
    families = {sheet.family for script in made for sheet in script.sheets}
    assert ({"ipset", "iptables-restore", "ip6tables-restore", "nft"}, {"ip", "ip6", "inet"}) == (programs, families)
