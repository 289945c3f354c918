"""The case before the doctor: what is known of a table, and the numbers that every check needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conntrim.core.capacity.chains import mean_chain
from conntrim.core.capacity.forecast import Forecast, forecast, rate
from conntrim.core.capacity.untrack import entries_total, scaled
from conntrim.core.census.specimen import Specimen
from conntrim.core.model.census import Census, ServiceCount
from conntrim.core.model.facts import HostFacts, Overflow, Reading
from conntrim.core.model.finding import Finding, Severity

RING = "/dev/kmsg"
"""The running kernel's own log: its clock is that of the readings, so "how long ago" can be told."""

THIS_BOOT = frozenset({RING, "journalctl -k"})
"""Logs that hold nothing of an earlier boot; files may."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Per cent of max from which on a table is worth a warning, and critical."""

    warning: float = 75.0
    critical: float = 90.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What a rule set says that matters here: the findings about services of which it untracks one direction."""

    one_way: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A host's facts, a second reading of its numbers, the census of its table with a specimen of the entries, and what
    its rules say; what is None is not known.
    """

    facts: HostFacts
    later: Reading | None = None
    census: Census | None = None
    thresholds: Thresholds = Thresholds()
    specimen: Specimen | None = None
    rules: Rules | None = None

    @property
    def last(self) -> Reading:
        """The newest numbers."""
        return self.later or self.facts.reading

    @property
    def count(self) -> int | None:
        """Entries now: the kernel's count, without one those of the census."""
        if self.last.count is not None:
            return self.last.count
        return entries_total(self.census) if self.census else None

    @property
    def fill(self) -> float | None:
        """Per cent of max; None where either is unknown or max is 0, which means unlimited (K27)."""
        return None if self.count is None or not self.facts.max else 100 * self.count / self.facts.max

    @property
    def crowded(self) -> bool:
        """Whether the table is above its warning threshold, or loses packets, so that causes matter."""
        return (self.fill or 0) >= self.thresholds.warning or bool(self.per_second("drop"))

    @property
    def pressing(self) -> Severity:
        """How bad a cause is: no worse than a table with room makes it."""
        return Severity.WARNING if self.crowded else Severity.OK

    @property
    def evictable(self) -> float | None:
        """The share of entries that a full table may throw out for new ones (K30), 0 to 1; None without a census."""
        if self.census is None or not self.census.cells:
            return None
        return sum(cell.entries for cell in self.census.cells if not cell.assured) / max(self.census.total, 1)

    def flagged(self, name: str) -> int | None:
        """Entries that TCP noted so (`unacknowledged`, `liberal`); None where only a listing is known."""
        if self.census is None or not self.census.flagged:
            return None
        return self.scale(sum(cell.entries for cell in self.census.cells if getattr(cell, name)))

    @property
    def chain(self) -> float | None:
        """Mean number of tuples in a bucket (K28)."""
        if self.hashed is None or not self.facts.buckets:
            return None
        return mean_chain(self.hashed, self.facts.buckets)

    @property
    def chain_at_max(self) -> float | None:
        """The same with this table full and the other namespaces' as they are."""
        facts = self.facts
        if self.hashed is None or self.count is None or not facts.max or not facts.buckets:
            return None
        return mean_chain(self.hashed - self.count + facts.max, facts.buckets)

    @property
    def hashed(self) -> int | None:
        """Entries in the hash: all namespaces share the one, though each counts for itself (K25)."""
        others = sum(use.count for use in self.facts.namespaces if use.inode != self.facts.netns)
        return None if self.count is None else self.count + others

    def counter(self, name: str) -> int | None:
        """A counter since boot; None where this kernel has none of that name."""
        return self.last.counters.get(name)

    def per_second(self, name: str) -> float | None:
        """A counter's growth a second; None without two readings."""
        return rate(self.facts.reading, self.later, name) if self.later else None

    def forecast(self) -> Forecast | None:
        """The table's growth between the readings, and when it will be full."""
        return forecast(self.facts.reading, self.later, self.facts.max) if self.later else None

    def overflows(self) -> list[Overflow]:
        """The log's lines about this table: those that name its namespace or none (K26); all where ours is unknown.

        A namespace that dropped no packet since boot was not full since then: such lines of this boot are about an
        earlier namespace of the same number, or another one.
        """
        ours, spotless = self.facts.netns, self.counter("drop") == 0
        return [
            line
            for line in self.facts.overflows
            if (ours is None or line.netns in (None, ours)) and not (spotless and line.source in THIS_BOOT)
        ]

    def services(self) -> Iterator[tuple[ServiceCount, int]]:
        """The census's services and their entries, a sample's scaled to the whole table."""
        if self.census:
            yield from ((service, scaled(self.census, service.entries)) for service in self.census.services)

    def scale(self, entries: int) -> int:
        """Rows of the census as entries of the table."""
        return scaled(self.census, entries) if self.census else entries

    @property
    def total(self) -> int:
        """Entries that the census stands for."""
        return entries_total(self.census) if self.census else 0
