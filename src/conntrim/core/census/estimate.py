"""A sampled census scaled up to the whole table: numbers that add up to the kernel's own count."""

from __future__ import annotations

from dataclasses import replace

from conntrim.core.census.shares import apportioned
from conntrim.core.model.census import Breakdown, Cell, Census, Row, Sample, ServiceCount, StateCount


def estimated(census: Census) -> Census:
    """The census itself if it is exact; else each number as the estimate for the whole table.

    Entries are apportioned, so that every table adds up to `sample.population` exactly. Numbers of peers and rows stay
    what was seen: how many more there are a sample cannot tell.
    """
    sample = census.sample
    if sample is None:
        return census
    counts = apportioned([row.entries for row in census.services] + [census.other_entries], sample.population)
    return replace(
        census,
        total=sample.population,
        services=tuple(_service(row, n, sample) for row, n in zip(census.services, counts, strict=False)),
        other_entries=counts[-1],
        states=_table(census.states, sample),
        peers=_table(census.peers, sample),
        zones=_table(census.zones, sample),
        clients=_table(census.clients, sample),
        servers=_table(census.servers, sample),
        pairs=_table(census.pairs, sample),
        ports=_table(census.ports, sample),
        cells=_cells(census.cells, sample),
    )


def _scaled(count: int, sample: Sample) -> int:
    return round(count * sample.population / sample.rows)


def _service(row: ServiceCount, entries: int, sample: Sample) -> ServiceCount:
    counts = apportioned([state.entries for state in row.states], entries)
    return replace(
        row,
        entries=entries,
        unreplied=min(_scaled(row.unreplied, sample), entries),
        translated=min(_scaled(row.translated, sample), entries),
        picked_up=min(_scaled(row.picked_up, sample), entries),
        states=tuple(_state(state, n) for state, n in zip(row.states, counts, strict=True)),
    )


def _state(state: StateCount, entries: int) -> StateCount:
    classed = sum(state.idle)
    whole = entries * classed // state.entries if state.entries else 0
    return StateCount(state.state, entries, apportioned(state.idle, whole))


def _cells(cells: tuple[Cell, ...], sample: Sample) -> tuple[Cell, ...]:
    counts = apportioned([cell.entries for cell in cells], sample.population)
    return tuple(replace(cell, entries=n) for cell, n in zip(cells, counts, strict=True))


def _table(table: Breakdown, sample: Sample) -> Breakdown:
    counts = apportioned([row.entries for row in table.rows] + [table.other_entries], sample.population)
    rows = (Row(row.key, n, min(_scaled(row.unreplied, sample), n)) for row, n in zip(table.rows, counts, strict=False))
    return Breakdown(tuple(rows), table.other_rows, counts[-1], _scaled(table.low_by, sample))
