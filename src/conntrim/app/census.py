"""The verb `census`: who fills the table, of a kernel or of a saved table."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain

from conntrim.app.ports.flows import Flows
from conntrim.core.census.infer import ENOUGH, infer_viewpoint
from conntrim.core.census.sample import bound, looks_ordered, rows_wanted
from conntrim.core.census.select import Selection
from conntrim.core.census.specimen import Specimen
from conntrim.core.census.take import CENSUS_COLUMNS, CensusTaker
from conntrim.core.model.census import Census, Sample, Viewpoint
from conntrim.core.model.flows import FlowTable

ALL = Selection()
INFERRED_FROM = frozenset({"dst", "reply_dst"})
"""Columns that tell where translation is at work."""

ORDERED = "the first entries of the dump differ too much for a random sample: the whole table was read"
DRIFT = 0.05
"""Share of the table by which the number read may miss the kernel's own count before the census says so; a busy table
changes while it is read.
"""


ENDLESS, GRACE = 4, 1_000_000
"""A dump is left when it has sent so many times the table, and so many entries more."""


def take_census(
    flows: Flows, viewpoint: Viewpoint | None, top: int, sample: str | int = "exact", selection: Selection = ALL
) -> Census:
    """Count the entries: all of them, or with `sample` (`auto`, or a number of rows) the first of a kernel's dump; of
    those that are selected.

    Without a viewpoint the host's addresses and time-outs are inferred from the first entries.
    """
    return take_table(flows, viewpoint, top, sample, selection).census


@dataclass(frozen=True, slots=True)
class Taken:
    """A census, and a specimen of the entries it counted."""

    census: Census
    specimen: Specimen


def take_table(
    flows: Flows, viewpoint: Viewpoint | None, top: int, sample: str | int = "exact", selection: Selection = ALL
) -> Taken:
    """The same as `take_census`, with the specimen."""
    before = flows.population()
    wanted = rows_wanted(sample, before)
    infer = viewpoint is None or viewpoint.saved
    columns = CENSUS_COLUMNS | selection.columns | (INFERRED_FROM if infer else frozenset())
    blocks = flows.blocks(columns, few=wanted is not None)
    if viewpoint is None or viewpoint.saved:
        viewpoint, blocks = _inferred(blocks, viewpoint)
    taker, read = CensusTaker(viewpoint, top), 0
    ordered, endless = False, ""
    with closing(chain_of(blocks)) as every:
        for block in every:
            read += len(block)
            chosen = block if selection.every else block.rows(selection.mask(block))
            taker.add(chosen, compare=wanted is not None)
            if endless := _endless(read, before):
                break
            if wanted is not None and read >= wanted:
                ordered = looks_ordered(taker.compared)
                if not ordered:
                    break
                wanted = None
    drawn = None if wanted is None or before is None else _sample(taker, read, before)
    remarks = [*flows.remarks, *[ORDERED] * ordered, *[endless] * bool(endless)]
    drift = [] if drawn or endless else _drift(read, before, flows.population())
    census = taker.census(
        flows.source,
        bad_lines=flows.bad_lines,
        sample=drawn,
        remarks=[*remarks, *drift],
        incomplete=flows.incomplete or bool(endless or drift),
    )
    return Taken(census, taker.specimen(drawn.population if drawn else taker.total))


def chain_of(blocks: Iterator[FlowTable]) -> Generator[FlowTable, None, None]:
    """The blocks as a generator, which can be closed: then the reading stops."""
    yield from blocks


def _sample(taker: CensusTaker, read: int, population: int) -> Sample | None:
    """What was drawn, with the bound of the share that is known worst; None if the table turned out to be smaller.

    Of a selection the sample is smaller by as much as the population is.
    """
    if read >= population:
        return None
    meant = round(taker.total * population / read)
    half = min(taker.largest(), taker.total // 2)
    return Sample(taker.total, meant, bound(half, taker.total, meant) if taker.total else 100.0)


def _endless(read: int, before: int | None) -> str:
    """A remark where a dump goes on and on, far past what the table held."""
    if before is None or read <= ENDLESS * before + GRACE:
        return ""
    return (
        f"the dump did not end: it was left after {read:,} entries of a table that held {before:,}; doubled ones count"
    )


def _drift(read: int, before: int | None, after: int | None) -> list[str]:
    """A remark where far more or far fewer entries were read than the table held before or after."""
    if before is None or after is None:
        return []
    low, high = min(before, after), max(before, after)
    slack = DRIFT * high + 100
    if low - slack <= read <= high + slack:
        return []
    return [
        f"{read:,} entries were read of a table that held {before:,} before and {after:,} after: entries are missing or"
        " counted twice (its hash was resized, or it changes faster than it can be read)"
    ]


def _inferred(blocks: Iterator[FlowTable], given: Viewpoint | None) -> tuple[Viewpoint, Iterator[FlowTable]]:
    """What the first blocks tell, but for what is given, and all blocks again."""
    first: list[FlowTable] = []
    seen = 0
    for block in blocks:
        first.append(block)
        seen += len(block)
        if seen >= ENOUGH:
            break
    guess = infer_viewpoint(first)
    if given is not None:
        timeouts = guess.timeouts | given.timeouts
        known = replace(guess, timeouts=timeouts, local_ports=given.local_ports)
        guess = replace(given, timeouts=timeouts) if given.local else known
    return guess, chain(first, blocks)
