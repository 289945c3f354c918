"""The verb `census`: who fills the table, of a kernel or of a saved table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from conntrim.app.ports.flows import Flows
from conntrim.core.census.infer import ENOUGH, infer_local
from conntrim.core.census.take import CENSUS_COLUMNS, CensusTaker
from conntrim.core.model.census import Census, Viewpoint
from conntrim.core.model.flows import FlowTable


def take_census(flows: Flows, viewpoint: Viewpoint | None, top: int) -> Census:
    """Read all entries and count them; without a viewpoint the host's addresses are inferred from its first entries."""
    blocks = flows.blocks(CENSUS_COLUMNS)
    if viewpoint is None:
        viewpoint, blocks = _inferred(blocks)
    taker = CensusTaker(viewpoint, top)
    for block in blocks:
        taker.add(block)
    return taker.census(flows.source, bad_lines=flows.bad_lines, remarks=flows.remarks)


def _inferred(blocks: Iterator[FlowTable]) -> tuple[Viewpoint, Iterator[FlowTable]]:
    """A viewpoint guessed from the first blocks, and all blocks again."""
    first: list[FlowTable] = []
    seen = 0
    for block in blocks:
        first.append(block)
        seen += len(block)
        if seen >= ENOUGH:
            break
    return Viewpoint(infer_local(first), inferred=True), chain(first, blocks)
