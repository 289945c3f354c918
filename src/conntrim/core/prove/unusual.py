"""Packets that are not what a direction usually has: own, loopback or broadcast addresses where none should be, foreign
ones where the host speaks for others, a mark that somebody gave a packet before the first hook.

The kernel lets some of them through (own IPv6 addresses as sources, 127.0.0.0/8 under `route_localnet`, transparent
proxies, marks by ingress or BPF), and no listing says which. So rule sets that differ in nothing else are not the same
where they differ in these.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.service import Direction
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.cube_cover import boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.packet_text import describe, describe_packet
from conntrim.core.prove.populations import PACKETS
from conntrim.core.prove.reachability import Reach, existing, packets_of, reach, shaped
from conntrim.core.prove.traces_left import met_by


def unusual(inputs: Inputs, direction: Direction) -> Iterator[str]:
    """Whether such packets fare otherwise; for a direction whose usual ones do not."""
    space, local = inputs.space, inputs.local or None
    every = shaped(space, direction)
    scope = every & region(space, direction, along(inputs.pair.changed, direction), local)
    if scope == space.nothing:
        return
    arranged = inputs.pair.along(direction)
    watch = inputs.watch(arranged)
    before, after = (reach(space, a, direction, scope, local=local, watch=watch, marked=True) for a in arranged)
    universe = inputs.stateless(every) & existing(space, direction)
    found = _apart(inputs, direction, before, after) & universe
    if found != space.nothing:
        marked = found & inputs.stateless(packets_of(space, direction, local))
        (box, *_), _ = boxes(space, marked if marked != space.nothing else found, universe, 1)
        words = f"{describe(space, box)}, such as {describe_packet(box.witness)}"
        yield f"{direction}: packets with a mark or an address that they do not usually come with: {words}"
    elif met_by(before, inputs) != met_by(after, inputs):
        yield f"{direction}: packets with a mark or address that is not usual come to what counts or remembers them"


def _apart(inputs: Inputs, direction: Direction, before: Reach, after: Reach) -> Set:
    """The packets that only one of the two lets through, or leaves untracked."""
    question = inputs.question(direction)
    parts = [before.untracked ^ after.untracked] * inputs.pair.tracks
    for population in PACKETS:
        old, new = (question.admitted(way, population) for way in (before, after))
        parts.append(old ^ new)
    return question.space.sets.either(parts)
