"""What is told once of chains that translate or mark is what a walk finds rule by rule."""

from __future__ import annotations

from random import Random

import pytest

from conntrim.core.model.address import Family, parse_prefix
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Chain, Table, TableFamily
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.chains import ChainTrace, Ends
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.summary import Hit

MATCHES = ("", "-p tcp", "-p udp -m udp --dport 53", "-s 10.0.0.0/8", "! -d 10.9.0.0/16 -p tcp", "-i eth0",
           "-m statistic --mode random --probability 0.5", "-p tcp -m tcp --dport 1:1024")  # fmt: skip
TARGETS = ("-j ACCEPT", "-j RETURN", "-j DNAT --to-destination 10.1.1.1:80", "-j REDIRECT --to-ports 90", "-j B",
           "-j C", "-g B", "-j MARK --set-xmark 0x6/0x7", "-j MARK --set-xmark 0x0/0x2", "-j MARK --set-xmark 0x8/0x8",
           "", "-j LOG")  # fmt: skip


def chains(chance: Random, rules: int) -> str:
    """A nat table whose chain A jumps to B and C, and B to C."""
    lines = ["*nat", ":PREROUTING ACCEPT [0:0]", ":A - [0:0]", ":B - [0:0]", ":C - [0:0]", "-A PREROUTING -j A"]
    for name, barred in (("A", ""), ("B", "-jg B"), ("C", "-jg BC")):
        for _ in range(rules):
            target = chance.choice([t for t in TARGETS if not (t[:1] == "-" and t[-1] in barred and t[-2] == " ")])
            lines.append(" ".join(filter(None, (f"-A {name}", chance.choice(MATCHES), target))))
    return "\n".join([*lines, "COMMIT", ""])


def walked(text: str, *, traced: bool) -> tuple[Ends, list[Hit], list[Set], Set]:
    """What becomes of some packets in chain A, who is hit there, the bits of their mark and who is translated. Where
    somebody traces the rules nothing is summed up."""
    ruleset = read(text, "x", TableFamily.IP)
    space = PacketVars(Family.IPV4, Names.of((ruleset,)))
    (table,) = ruleset.tables
    rules = {id(r): r.matches for c in table.chains for r in c.rules} if traced else {}
    incoming = space.field(Field.SRC, Intervals.of(parse_prefix("10.0.0.0/9"))) | space.protocol(17)
    view = MatchEncoder(space, mark=[space.nothing] * 32)
    walk = ChainTrace(view, table, False, incoming, traced=rules)
    ends = walk._chain("A", incoming, 0)
    assert bool(walk._summaries) is not traced or not walk.impure(_chain(table))
    return ends, walk.hits, view.bits_of_mark(), space.sets.either(walk.translated)


def _chain(table: Table) -> Chain:
    found = table.chain("A")
    assert found is not None
    return found


def told(text: str, *, traced: bool) -> tuple[object, ...]:
    """The same as counts of packets, which two spaces have in common."""
    ends, hits, marks, translated = walked(text, traced=traced)
    free = 200
    by_rule: dict[tuple[int, str], float] = {}
    for hit in hits:
        key = hit.rule.place.line, repr(hit.statement)
        by_rule[key] = by_rule.get(key, 0.0) + hit.packets.sat_count(free)
    sets = (ends.dropped, ends.accepted, ends.left, translated, *marks)
    return by_rule, [found.sat_count(free) for found in sets]


@pytest.mark.parametrize("seed", range(60))
def test_a_summary_is_the_walk(seed: int) -> None:
    """Ends, effects rule by rule, marks written over one another and translations are those of a walk."""
    text = chains(Random(seed), 2 + seed % 5)
    assert told(text, traced=False) == told(text, traced=True), text


def test_what_asks_the_mark_is_walked() -> None:
    """A rule that asks for the mark is asked of each packet's mark as it is then: no summary holds for all."""
    text = chains(Random(1), 1).replace(
        "COMMIT", "-A A -m mark --mark 0x6/0x7 -j DNAT --to-destination 10.2.2.2\nCOMMIT"
    )
    ruleset = read(text, "x", TableFamily.IP)
    space = PacketVars(Family.IPV4, Names.of((ruleset,)))
    (table,) = ruleset.tables
    walk = ChainTrace(MatchEncoder(space), table, False, space.everything)
    assert walk._summary(_chain(table)) is None
    assert walk.impure(_chain(table))
