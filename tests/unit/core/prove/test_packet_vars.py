"""The order of the variables: what a diagram costs, told in nodes; and one value of a property taken out of a set."""

from __future__ import annotations

from random import Random

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.reachability import packets_of, reach

NETS = range(1, 17)
CHECKS = [f"-A FORWARD ! -s 10.{n * 13}.{n * 7}.0/24 -i eth{n} -j DROP" for n in NETS]
SERVED = [
    f"-A FORWARD -d 10.{n * 13}.{k}.0/24 -o eth{n} -p tcp -m tcp --dport {k * 1000 + n} -j ACCEPT"
    for n in NETS for k in NETS
]  # fmt: skip


def nodes(*lines: str) -> int:
    """The size of the set of forwarded packets that arrive."""
    ruleset = read("\n".join(["*filter", ":FORWARD DROP [0:0]", *lines, "COMMIT", ""]), "nets")
    space = PacketVars(Family.IPV4, Names.of((ruleset,)))
    scope = packets_of(space, Direction.FORWARDED)
    return reach(space, arrange(ruleset), Direction.FORWARDED, scope).arrived.node_count()


def test_who_may_send_and_what_is_served_cost_their_sum() -> None:
    """Sixteen nets with checks of the senders and services of their own: all senders' checks stand once in the
    diagram, below whatever is served, and not once for each pair of nets."""
    served = nodes(*SERVED)
    checked = nodes(*CHECKS, "-A FORWARD -p tcp -j ACCEPT")
    assert nodes(*CHECKS, *SERVED) <= served + checked


def test_where_a_property_has_one_value_is_found_at_either_end_of_the_diagram() -> None:
    """The way down that the first variables have, and the quantifier that all others have, say the same."""
    space, chance = PacketVars(Family.IPV4, Names(("", "lo", "eth0"))), Random(2)
    for _ in range(50):
        nets = [(MAPPED | chance.getrandbits(28) << 4, chance.choice((15, 0))) for _ in range(4)]
        parts = [
            space.field(key, Intervals.of((low, low | size))) & space.field(Field.DPORT, Intervals.of(80 + at))
            for key in (Field.SRC, Field.DST)
            for at, (low, size) in enumerate(nets)
        ]
        packets = space.sets.either(parts)
        for key in (Field.SRC, Field.DST, Field.DPORT):
            number = chance.choice([80, 81]) if key is Field.DPORT else chance.choice(nets)[0]
            here = packets & space.values(key, Intervals.of(number))
            expected = here.exists(space.sets.literals(*space.bits[key]))
            assert expected == space.where(packets, key, number)
    assert space.nothing == space.where(space.everything, Field.DST, 1), "no IPv4 address"


def test_a_large_set_is_the_same_for_either_end_of_the_packets() -> None:
    """What was made of many ranges for the sources is moved to the destinations: as if it were made there."""
    space = PacketVars(Family.IPV4, Names(("", "lo", "eth0")))
    many = Intervals.of(*((MAPPED + n * 1000, MAPPED + n * 1000 + n) for n in range(1, 300)))
    there = space.values(Field.SRC, many)
    bits: list[Set | None] = [space.sets.var(n) for n in space.bits[Field.DST]]
    plain = Intervals.of(*((low - MAPPED, high - MAPPED) for low, high in many.ranges))
    assert space.sets.among(bits, plain) == space.values(Field.DST, many)
    assert there == space.values(Field.SRC, many) != space.values(Field.DST, many)


def test_answers_have_the_ends_of_requests_swapped() -> None:
    """Addresses and ports change places at once; the protocol stays, and what else a packet bears is not told."""
    space = PacketVars(Family.IPV4, Names(("", "lo", "eth0")))

    def among(key: Field, *numbers: int) -> Set:
        return space.values(key, Intervals.of(*numbers))

    asked = among(Field.SRC, 5, 9) & among(Field.DST, 7) & among(Field.SPORT, 100) & among(Field.DPORT, 200, 201)
    answered = among(Field.DST, 5, 9) & among(Field.SRC, 7) & among(Field.DPORT, 100) & among(Field.SPORT, 200, 201)
    udp = space.protocol(17)
    assert answered & udp == space.ends_swapped(asked & udp & among(Field.TTL, 64))
