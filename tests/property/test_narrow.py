"""Rules left out because a question cannot meet them are rules that do not matter to it."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import Jump, Notrack, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.bounds import bounds_of, fields_of, mirrored, shifted
from conntrim.core.prove.first_match import ACCEPTED, BLOCK, DROPPED, HEAD, blocks, folded, plain_end
from conntrim.core.prove.flows import BACK, flows_of
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change, asked_of
from conntrim.core.prove.reachability import packets_of, reach
from conntrim.core.prove.rule_index import Listed
from conntrim.core.prove.rule_slicing import Sieve
from tests.property.rulesets import WAYS, packets, saves


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(saves(), st.sampled_from(sorted(WAYS)), st.data())
def test_a_packet_of_the_box_fares_the_same_without_the_other_rules(
    text: str, direction: Direction, data: st.DataObject
) -> None:
    """A random rule set and what a sieve leaves of it for one packet's box give that packet the same verdict."""
    ruleset = read(text, "random")
    packet = data.draw(packets(direction))
    fields = [(Field.SRC, Intervals.of(packet.src)), (Field.PROTOCOL, Intervals.of(packet.protocol))]
    if packet.dport is not None:
        fields.append((Field.DPORT, Intervals.of(packet.dport)))
    few, _ = Sieve((ruleset, ruleset), Family.IPV4).arranged([fields_of(fields, Family.IPV4)])
    assert simulate(ruleset, packet).verdict == simulate(few, packet).verdict


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(saves(), saves(), st.sampled_from(Family))
def test_what_is_listed_of_a_rule_set_serves_a_change_of_it(one: str, other: str, family: Family) -> None:
    """Rules listed on top of others, some of them shared, stand there as those that are listed at once; and the
    columns say of each rule what it says itself."""
    before, extra = read(one, "one"), read(other, "other")
    after = Ruleset((*before.tables[1:], *extra.tables))
    rulesets = before, after
    at_once, on_top = Listed(rulesets), Listed(rulesets, Listed((before,)))
    for chain in (c for r in rulesets for t in r.tables for c in t.chains):
        for listed in (at_once, on_top):
            columns = listed.bounds(family)[:, :, listed.of(chain)]
            for at, rule in enumerate(chain.rules):
                box = bounds_of(rule.matches, family)
                assert box is None or covers(columns[:, :, at], shifted(box, family))
            for kind in (Jump, Notrack, Nat):
                told = [any(isinstance(s, kind) for s in rule.statements) for rule in chain.rules]
                assert told == listed.having(kind, chain).tolist()
        assert (at_once.bounds(family)[:, :, at_once.of(chain)] == on_top.bounds(family)[:, :, on_top.of(chain)]).all()
    assert set(at_once.interfaces) == set(on_top.interfaces)


def covers(column: NDArray[np.int64], box: NDArray[np.int64]) -> bool:
    """Whether a rule's column leaves out nothing of its box."""
    return bool((column[:, 0] <= box[:, 0]).all() and (column[:, 1] >= box[:, 1]).all())


POLICY = b"""
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80]
[[untrack]]
direction = "outbound"
protocol = "tcp"
ports = [11211]
to = ["198.51.100.7"]
"""


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(saves(), saves(), st.booleans())
def test_walks_of_few_rules_end_as_walks_of_all(one: str, other: str, alike: bool) -> None:
    """A policy's requests, its answers and all that may meet a change end the same with the rules that they can meet
    as with all rules: two random rule sets, or one and itself with a rule more on top."""
    before = read(one, "one")
    after = read(one.replace("-A INPUT", "-A INPUT -p tcp -j DROP\n-A INPUT", 1) if alike else other, "other")
    change, local = Change.of(before, after), Intervals.of(parse_address("192.0.2.1"))
    flows = [f for f in flows_of(parse_policy(POLICY, "p"), local, (32768, 60999)) if f.family is Family.IPV4]
    pair, space = change.pair(Family.IPV4, asked_of(flows, Family.IPV4)), PacketVars(Family.IPV4, change.names)
    ways = [(d, False, False, region(space, d, along(change.changed, d), local)) for d in Direction]
    for flow in flows:
        lo, scope = flow.direction is Direction.LOOPBACK, flow.connections(space)
        ways += [(flow.direction, False, False, scope), (BACK[flow.direction], lo, True, scope)]
    for direction, answers, turned, asked in ways:
        scope = packets_of(space, direction, local, turned) & asked
        for few, all_ in zip(pair.along(direction, answers=answers), pair.whole(), strict=True):
            found = [reach(space, a, direction, scope, mirrored=turned, local=local) for a in (few, all_)]
            assert found[0].arrived == found[1].arrived
            assert found[0].untracked == found[1].untracked


def test_folded_rules_end_packets_as_one_after_the_other_does() -> None:
    """75 accepts and drops of overlapping ports, some blocks' worth: folding sends packets where their order does."""
    chance = Random(1)
    lines = ("-A INPUT -p tcp -m tcp --dport {}:{} -j {}".format(
        *sorted(chance.sample(range(1000), 2)), chance.choice(("ACCEPT", "DROP"))) for _ in range(75))  # fmt: skip
    ruleset = read("\n".join(["*filter", ":INPUT DROP [0:0]", *lines, "COMMIT", ""]), "random")
    (table,) = ruleset.tables
    space = PacketVars(Family.IPV4, Names.of((ruleset,)))
    view, live = MatchEncoder(space, mark=[space.nothing] * 32), space.everything
    ends = dict.fromkeys((ACCEPTED, DROPPED), space.nothing)
    for rule in table.chains[0].rules:
        kind, met = plain_end(rule), live & view.rule(rule, table)
        assert kind is not None
        ends[kind], live = ends[kind] | met, live & ~met
    folds, left = dict.fromkeys((ACCEPTED, DROPPED), space.nothing), space.everything
    sizes = []
    for block in blocks(table.chains[0].rules):
        sizes.append(len(block))
        for kind, found in folded(view, block, table).items():
            folds[kind] = folds[kind] | (left & found)
        left = left & ~folds[ACCEPTED] & ~folds[DROPPED]
    assert [HEAD, 75 - HEAD - BLOCK, BLOCK] == sizes
    assert (ends, live) == (folds, left)


def test_a_sieve_leaves_only_what_the_box_meets() -> None:
    """Of three rules one is about the port that is asked for; the mirrored box asks for it as the source port."""
    rules = "".join(
        f"-A INPUT -p tcp -m tcp --{way}port {port} -j DROP\n" for way, port in (("d", 22), ("d", 80), ("s", 80))
    )
    ruleset = read(f"*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n", "rules")
    box = fields_of([(Field.DPORT, Intervals.of(80)), (Field.SPORT, Intervals.of((1024, 65535)))], Family.IPV4)
    assert box is not None
    sieve = Sieve((ruleset, ruleset), Family.IPV4)
    texts = []
    for asked in (box, mirrored(box)):
        groups = sieve.arranged([asked])[0].groups.values()
        texts.append([r.text for g in groups for s in g for t in s for _, c in t.chains for r in c.rules])
    assert [["-A INPUT -p tcp -m tcp --dport 80 -j DROP"], ["-A INPUT -p tcp -m tcp --sport 80 -j DROP"]] == texts
