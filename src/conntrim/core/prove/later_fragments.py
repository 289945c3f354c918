"""Fragments other than the first, where nothing puts them together: a host without conntrack forwards them as such, and
one with it those that rules untrack in front of reassembly (K117).

They have no ports, so rules that name one do not match them (iptables) or read what they carry (nft, K122). Packets are
told by the headers of the datagram, whose fate is that of all its fragments where something puts them together (K6,
K158).
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.assumed import answered
from conntrim.core.prove.cube_cover import boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.match_encoder import FRAGMENT
from conntrim.core.prove.packet_text import describe
from conntrim.core.prove.populations import Population
from conntrim.core.prove.reachability import Reach, left_in_parts, reach

IN_PARTS = {FRAGMENT: True}


def later_fragments(inputs: Inputs, direction: Direction, shown: dict[bool, Set]) -> Iterator[str]:
    """Datagrams whose later fragments fare otherwise; not those of which all is told already: `shown` are the packets
    that are newly admitted (True) and newly dropped."""
    space, family = inputs.space, inputs.space.family
    arranged = inputs.pair.along(direction)
    gathering = all(a.gathers[family] for a in arranged)
    if direction is Direction.OUTBOUND or (gathering and not any(left_in_parts(a, family) for a in arranged)):
        return
    question = inputs.question(direction)
    universe = question.universe(Population.UNSOLICITED)
    local = inputs.local or None
    if gathering:
        old, new = (_passing(inputs, direction, way) for way in (question.before, question.after))
    else:
        scope = universe
        if arranged[0].gathers[family] is arranged[1].gathers[family]:
            scope = universe & region(space, direction, along(inputs.pair.changed, direction), local, later=True)
        else:
            arranged = inputs.pair.whole()
        old, new = (inputs.stateless(_arrived(inputs, a, direction, scope)) for a in arranged)
    for admitted, found in ((True, new & ~old), (False, old & ~new)):
        part = found & universe & ~answered(space, shown.get(admitted, space.nothing), IN_PARTS)
        if part != space.nothing:
            (box, *_), _ = boxes(space, part, universe, 1)
            what = "let through" if admitted else "dropped"
            yield f"{direction}: later fragments of these datagrams are newly {what}: {describe(space, box)}"


def _passing(inputs: Inputs, direction: Direction, way: Reach) -> Set:
    """The datagrams whose later fragments pass, with the others or by themselves."""
    together = inputs.question(direction).admitted(way, Population.UNSOLICITED)
    alone = inputs.space.nothing if way.later is None else way.later
    return answered(inputs.space, inputs.stateless(together | alone), IN_PARTS)


def _arrived(inputs: Inputs, arranged: Arranged, direction: Direction, scope: Set) -> Set:
    local = inputs.local or None
    if not arranged.gathers[inputs.space.family]:
        return reach(inputs.space, arranged, direction, scope, local=local, later=True).arrived
    way = reach(inputs.space, arranged, direction, scope, local=local)
    return inputs.question(direction).admitted(way, Population.UNSOLICITED)
