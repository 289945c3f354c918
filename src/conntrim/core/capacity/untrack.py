"""The entries that are left when services go untracked, from a census."""

from __future__ import annotations

from collections.abc import Collection

from conntrim.core.model.census import Census
from conntrim.core.model.service import Service


def scaled(census: Census, entries: int) -> int:
    """A number of census rows as entries of the whole table: a sample stands for its population."""
    sample = census.sample
    return entries if sample is None or not sample.rows else round(entries * sample.population / sample.rows)


def entries_total(census: Census) -> int:
    """Entries of the whole table, a sample's population included."""
    return scaled(census, census.total)


def entries_without(census: Census, services: Collection[Service]) -> int:
    """Entries left once these services go untracked and their stale entries are gone; the rest stays as it is."""
    gone = sum(count.entries for count in census.services if count.service in services)
    return entries_total(census) - scaled(census, gone)
