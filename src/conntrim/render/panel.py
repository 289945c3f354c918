"""A panel as text: what comes and goes a second, how long it lives, how long it is silent."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.wording import duration
from conntrim.core.model.panel import Longer, Panel, PanelRow
from conntrim.render.page import page, wrapped

INDENT = " " * 12
RECENT = 10
"""Seconds of closings that count as now."""


def panel_text(panel: Panel) -> str:
    """The answer on the first line, how it was seen, then a table, then the doubts."""
    lines = [_answer(panel), *_seen(panel), ""]
    lines += [f"{'come/s':>10} {'95 % bounds':>19} {'go/s':>10}  {panel.by}"]
    for row in (*panel.rows, panel.total):
        lines += _row(row)
    if panel.other_rows:
        lines += wrapped(f"{panel.other_rows:,} more (--top)", INDENT)
    lines += _closings(panel)
    lines += [""] * bool(panel.remarks)
    for remark in panel.remarks:
        lines += wrapped(f"note: {remark}", rest="      ", long=False)
    return page(lines)


def _answer(panel: Panel) -> str:
    entries = f"{panel.entries:,} {'entry' if panel.entries == 1 else 'entries'}{' (incomplete)' * panel.incomplete}"
    if not panel.watched:
        return f"{entries}; one reading only: nothing is known of what comes and goes"
    total = panel.total
    return f"{entries}; {_number(total.births.value)} come and {_number(total.deaths.value)} go a second"


def _seen(panel: Panel) -> Iterator[str]:
    part = "all" if panel.share == 1 else f"{100 * panel.share:.1f} %"
    yield from wrapped(
        f"{panel.source}, {part} of it followed for {panel.watched:.1f} s: {panel.readings} readings of"
        f" {panel.rows_read:,} entries, {1000 * panel.took:.0f} ms and {1000 * panel.cpu:.0f} ms of processor time each"
    )


def _row(row: PanelRow) -> Iterator[str]:
    bounds = f"{_number(row.births.low)} - {_number(row.births.high)}"
    told = f"{_number(row.births.value):>10} {bounds:>19} {_number(row.deaths.value):>10}  {row.key}"
    yield from wrapped(told, rest=" " * 43)
    for words in (_unseen(row), _lifetimes(row.lifetimes), _gaps(row)):
        if words:
            yield from wrapped(words, INDENT, INDENT)


def _unseen(row: PanelRow) -> str:
    return f"at least {_number(row.unseen)}/s lived too short to be seen" if row.unseen >= 0.05 else ""


def _lifetimes(lifetimes: tuple[Longer, ...]) -> str:
    """`live > 10 s 95-100%, > 20 s 90-98%`."""
    told = [f"> {duration(each.seconds)} {_shares(each)}" for each in lifetimes]
    return f"of those that came live {', '.join(told)}" if told else ""


def _shares(each: Longer) -> str:
    low, high = f"{100 * each.low:.0f}", f"{100 * each.high:.0f}"
    return f"{low}%" if low == high else f"{low}-{high}%"


def _gaps(row: PanelRow) -> str:
    """The silences that are surely there."""
    told = [
        f"> {duration(each.seconds)} {each.low:,.0f} to {each.high:,.0f} times" for each in row.gaps if each.low >= 1
    ]
    if not told or row.longest_gap is None:
        return ""
    low, high = row.longest_gap
    longest = f"at least {duration(low)}" if high is None else f"{duration(low)} to {duration(high)}"
    return f"silent {', '.join(told)}; the longest {longest}"


def _closings(panel: Panel) -> Iterator[str]:
    closings = panel.closings
    if not closings:
        return
    most = max(range(len(closings)), key=closings.__getitem__)
    now, mean = sum(closings[:RECENT]) / RECENT, sum(closings) / len(closings)
    yield ""
    yield from wrapped(
        f"TIME_WAIT: {_number(now)} connections were closed a second in the last {RECENT} s, {_number(mean)} in the"
        f" last {len(closings)} s; most, {_number(closings[most])}, {most} s ago"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
