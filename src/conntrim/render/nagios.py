"""The doctor's report as the output of a monitoring plugin: one line with performance data, then the causes."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.case import Thresholds
from conntrim.core.diagnose.report import Diagnosis, Figures
from conntrim.render.page import page

COUNTERS = ("drop", "early_drop", "insert_failed", "chaintoolong")
"""Counters since boot, as the kernel calls them."""


def nagios_text(report: Diagnosis, thresholds: Thresholds) -> str:
    """Verdict and summary, `|`, then `label=value;warn;crit;min;max` of each known number, as Nagios wants it."""
    data = " ".join(_data(report.figures, thresholds))
    first = f"{report.verdict.name} - {report.summary}".replace("|", "/")
    return page(
        [f"{first} | {data}" if data else first, *(f"{c.code} {c.title}".replace("|", "/") for c in report.causes)]
    )


def _data(figures: Figures, marks: Thresholds) -> Iterator[str]:
    if figures.entries is not None:
        limits = ";;;0;"
        if figures.max:
            warning, critical = (round(figures.max * mark / 100) for mark in (marks.warning, marks.critical))
            limits = f";{warning};{critical};0;{figures.max}"
        yield f"entries={figures.entries}{limits}"
    if figures.fill_percent is not None:
        yield f"fill={figures.fill_percent:.2f}%;{marks.warning:g};{marks.critical:g};0;100"
    for name in COUNTERS:
        value = getattr(figures, name)
        if value is not None:
            yield f"{name}={value}c;;;0"
    if figures.drop_per_second is not None:
        yield f"drop_per_second={figures.drop_per_second:.2f};;;0"
    if figures.growth_per_second is not None:
        yield f"growth_per_second={figures.growth_per_second:.2f}"
    if figures.bytes_now is not None:
        yield f"memory={figures.bytes_now}B;;;0"
