"""From two readings of the table: rates, and when it will be full."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.facts import Reading


@dataclass(frozen=True, slots=True)
class Forecast:
    """`per_second` is the change of entries, `span` the seconds between the readings.

    `seconds_to_full` is None where the table is not growing, or by no more than chance would have it.
    """

    per_second: float
    span: float
    seconds_to_full: float | None


def rate(earlier: Reading, later: Reading, counter: str) -> float | None:
    """How much a counter grew a second; None where either reading lacks it or it was set back."""
    before, after, span = earlier.counters.get(counter), later.counters.get(counter), later.seconds - earlier.seconds
    if before is None or after is None or span <= 0 or after < before:
        return None
    return (after - before) / span


LEAST_GROWTH = 9
"""Fewer new entries between two readings are chance: nine is three times its own square root."""


def forecast(earlier: Reading, later: Reading, maximum: int | None) -> Forecast | None:
    """When the table is full if it grows on as between the readings; None without two counts."""
    span = later.seconds - earlier.seconds
    if earlier.count is None or later.count is None or span <= 0:
        return None
    growth = later.count - earlier.count
    seconds = None
    if maximum and growth >= LEAST_GROWTH:
        seconds = max(0, maximum - later.count) * span / growth
    return Forecast(growth / span, span, seconds)
