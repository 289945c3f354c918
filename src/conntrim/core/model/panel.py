"""A panel: the same entries looked at again and again. One reading of it, and what several tell together (K94)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from conntrim.core.model.flows import FlowTable


@dataclass(frozen=True, slots=True)
class Frame:
    """One reading of the beginning of a dump, in the dump's order, and what it cost.

    `seconds` is a monotonic clock when it began, `took` how long it lasted, `cpu` the processor time of it, the
    kernel's included. `population` is the kernel's count of all entries; where `settled`, expired ones were swept out
    before it was taken. `buckets` is the size of the hash, None where it is not told. `whole`: it holds the table.
    """

    seconds: float
    took: float
    cpu: float
    population: int
    flows: FlowTable
    whole: bool
    settled: bool = False
    buckets: int | None = None
    remarks: tuple[str, ...] = ()
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class Bounded:
    """A number for the whole table and its 95 % bounds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Longer:
    """What is longer than `seconds`: between `low` and `high` (shares of 1 of lifetimes, numbers of gaps)."""

    seconds: float
    low: float
    high: float


class PanelBy(StrEnum):
    """What the rows of a panel are."""

    SERVICE = "service"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class PanelRow:
    """What was seen of one service or client, scaled to the whole table where it is a rate or a number of gaps.

    `seen_births` and `seen_deaths` are counts of the panel itself. `births` and `deaths` are per second; `unseen` is
    the part of either that lived for less than the time between two readings and was never looked at, a lower bound.
    `lifetimes` are of the entries born in the time watched, up to that time; `gaps` are the silences of single entries
    that ended in it, `longest_gap` the bounds of the longest in seconds (None: none is
    known).
    """

    key: str
    entries: int
    seen_births: int
    seen_deaths: int
    births: Bounded
    deaths: Bounded
    unseen: float
    lifetimes: tuple[Longer, ...]
    gaps: tuple[Longer, ...]
    longest_gap: tuple[float, float | None] | None


@dataclass(frozen=True, slots=True)
class Panel:
    """What readings of the same part of the table tell. `total` is the row of all entries together.

    `rows_read` is the mean of the readings, `share` the part of the table that was followed to the end, `watched` the
    seconds from first to last reading, `interval` the longest time between two, `took` and `cpu` the mean seconds a
    reading. `closings` are the TCP connections that were closed in each of the last seconds, the latest first.
    """

    source: str
    by: PanelBy
    entries: int
    readings: int
    rows_read: int
    share: float
    watched: float
    interval: float
    took: float
    cpu: float
    total: PanelRow
    rows: tuple[PanelRow, ...]
    other_rows: int
    closings: tuple[float, ...]
    local: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    incomplete: bool = False
