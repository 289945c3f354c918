"""Made-up rule sets and dialogues: the same seed the same, and no two dialogues of one flow."""

import re
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.service import Direction
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


@pytest.mark.parametrize("direction", [d for d in Direction if d is not Direction.LOOPBACK])
@pytest.mark.parametrize("family", Family)
def test_datagrams_in_fragments_are_made(family: Family, direction: Direction) -> None:
    """Of both families and every way but round the loopback there are a first fragment and the one that follows it."""
    talks = dialogues(Random(4), 6_000)
    pairs = [pair for talk in talks for pair in pairwise(talk) if (pair[0].first, pair[1].fragment) == (True, True)]
    assert any(p.family is family and direction_of(p) is direction for p, later in pairs if p.dport == later.dport)


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
    assert ({"ipset", "iptables-restore", "ip6tables-restore", "nft"}, {"ip", "ip6", "inet", "netdev"}) == (
        programs,
        families,
    )


KINDS = {
    "a set whose elements time out": r"@timed",
    "a set that packets add to": r"(add|update) @flows",
    "what packets have added, looked up": r"tcp dport @flows",
    "protocol and port in one set": r"meta l4proto \. th [sd]port (!= )?@services",
    "the same without a name": r"meta l4proto \. th [sd]port (!= )?\{",
    "a port of no protocol": r"^ *th [sd]port",
    "a catch-all element": r"(tcp|udp) [sd]port \{ \d+, \* \}",
    "a catch-all element of a verdict map": r"vmap (\{.*\* : continue|@rest)",
    "a data map": r"meta mark set (tcp|ip) \w+ map \{",
    "a named data map": r"map @marks",
    "a destination from a map": r"dnat( ip6?)? to tcp dport map",
    "address and port from a map": r"dnat ip6? addr \. port",
    "numgen": r"numgen (inc|random)",
    "jhash": r"jhash",
    "a mask over ct status": r"ct status & ",
    "a time-out policy": r"ct timeout set",
    "an expectation": r"ct expectation set",
    "a statement for one family": r"(ip dscp|ip ttl|ip6 hoplimit|ip ecn|ip6 ecn) set",
    "a statement for one protocol": r"tcp option maxseg size set",
    "a class of traffic": r"meta priority set",
    "a SYN proxy": r"synproxy mss",
    "a transparent proxy": r"tproxy to",
    "an ingress chain of a device": r"hook ingress device \"eth0\"",
    "an ingress chain of several devices": r"hook ingress devices = ",
    "a chain of the netdev family": r"^netdev in_netdev",
    "a port rewritten without an entry": r"(tcp dport|udp sport) set",
    "an address rewritten without an entry": r"ip daddr set",
    "later fragments": r"ip frag-off & 0x1fff != 0",
    "all but later fragments": r"ip frag-off & 0x1fff == 0",
    "a chain in front of reassembly": r"prerouting priority -401",
    "a chain beside reassembly": r"output priority -400",
    "a chain right behind reassembly": r"priority -399",
    "fragments untracked in front of reassembly": r"priority -401.*notrack",
    "the way back to a packet's source": r"fib saddr \. iif oif (missing|exists)",
}
"""Kinds of matches and statements, by what a rule that has one says."""


@pytest.fixture(scope="module")
def made() -> list[str]:
    """The chains and rules of five hundred rule sets, those of nft's."""
    scripts = (ruleset(Random(f"kinds:{i}")) for i in range(500))
    sheets = [sheet for script in scripts if script.program == "nft" for sheet in script.sheets]
    chains = [
        f"{sheet.family} {block.name} {block.head} {'; '.join(map(str, block.lines))}"
        for sheet in sheets
        for block in sheet.blocks
    ]
    return chains + [str(line) for sheet in sheets for block in sheet.blocks for line in block.lines]


XT_KINDS = {
    "later fragments": r"(?<!! )-f ",
    "all but later fragments": r"! -f ",
    "the way back to a packet's source": r"-m rpfilter",
    "the way back by any interface": r"-m rpfilter --loose",
    "a SYN proxy": r"-j SYNPROXY",
    "an ipset that packets add to": r"-j SET --add-set",
    "what packets have added, looked up": r"--match-set seen",
    "a transparent proxy": r"-j TPROXY",
}


@pytest.mark.parametrize("kind", XT_KINDS)
def test_every_kind_of_iptables_is_made(kind: str) -> None:
    """The same for iptables."""
    scripts = (ruleset(Random(f"kinds:{i}")) for i in range(300))
    batches = (batch.text for script in scripts for batch in script.batches() if batch.program != "nft")
    assert any(re.search(XT_KINDS[kind], text) for text in batches)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_made(made: list[str], kind: str) -> None:
    """What the generator never makes, the kernel never judges."""
    assert any(re.search(KINDS[kind], line) for line in made)
