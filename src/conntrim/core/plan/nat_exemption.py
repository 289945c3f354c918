"""Connections of this host to itself that a NAT rule translates: they stay tracked, or the translation would stop.

Docker's MASQUERADE, for one, also takes what the bridge's own address sends over `lo`. The plan's chain in OUTPUT lets
such packets return before its own rules, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.fields import Field
from conntrim.core.model.nat import Nat
from conntrim.core.model.service import Direction
from conntrim.core.plan.ground import Ground
from conntrim.core.plan.legs import Leg, Way, reply_to
from conntrim.core.plan.passages import leg_passages
from conntrim.core.prove.cube_cover import Box, boxes
from conntrim.core.prove.reachability import reach

MOST = 16
"""Cubes of one leg that are told; with more, nat-kept says what is lost."""
SPELLED = (Field.SRC, Field.DST, Field.SPORT, Field.DPORT)


def exempted(grounds: Mapping[Family, Ground], legs: Iterable[Leg]) -> tuple[Leg, ...]:
    """Requests over `lo` that a rule translates, and the replies to them."""
    requests = [leg for leg in legs if leg.loopback and leg.way is Way.REQUEST]
    found: list[Leg] = []
    for leg in requests:
        found += [kept for kept in _translated(grounds[leg.family], leg) if kept not in found]
    return tuple(leg for request in found for leg in (request, reply_to(request)))


def _translated(ground: Ground, leg: Leg) -> Iterator[Leg]:
    """The leg's packets that are translated, as legs of their own."""
    space, passage = ground.space, next(leg_passages(leg, on_lo=True))
    stations = [s for group in ground.arranged.groups[leg.family, passage.hook] for s in group]
    tables = [table for station in stations for table, _ in station.chains]
    if not tables:
        return
    universe = ground.packets(passage, tables[0], passage.before)
    if ground.local:
        ours = ground.local | LOOPBACK
        universe = universe & space.field(Field.SRC, ours) & space.field(Field.DST, ours)
    hits = reach(space, ground.arranged, Direction.LOOPBACK, universe, local=ground.local).hits
    found = [space.any_state(hit.packets) for _, hit in hits if isinstance(hit.statement, Nat)]
    parts, _ = boxes(space, space.sets.either(found) & universe, universe, MOST) if found else ([], True)
    for cube in parts:
        if _sayable(cube):
            yield replace(leg, fields={**leg.fields, **{f: v for f, v in cube.values.items() if f in SPELLED}})


def _sayable(cube: Box) -> bool:
    """Whether addresses and ports tell it."""
    return not cube.conditions and set(cube.values) <= {*SPELLED, Field.PROTOCOL, Field.TCP_FLAGS}
