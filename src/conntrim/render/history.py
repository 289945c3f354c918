"""The history of a host's rollouts as lines: when, what, which plan, who."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.rollout.history import History
from conntrim.core.rollout.record import Step
from conntrim.render.page import page, wrapped


def to_text(found: History) -> str:
    """The last step in the first line, then all of them, the oldest first."""
    if not found.steps:
        return page(["No plan was ever applied here."])
    return page(
        [*wrapped(_first(found), long=False), *_table(found.steps), *(f"Note: {remark}" for remark in found.remarks)]
    )


def _first(found: History) -> str:
    last, count = found.steps[-1], len(found.steps)
    said = " ".join(part for part in (last.plan, last.what, last.at) if part)
    return f"{count} step{'s' * (count != 1)}; the last: {said}{f' by {last.by}' if last.by else ''}"


def _table(steps: tuple[Step, ...]) -> Iterator[str]:
    widths = [max(len(each) for each in column) for column in zip(*map(_cells, steps), strict=True)]
    for step in steps:
        row = "  ".join(cell.ljust(width) for cell, width in zip(_cells(step), widths, strict=True))
        yield row.rstrip()
        if said := _said(step):
            yield from (f"  {line}" for line in wrapped(said, long=False))


def _cells(step: Step) -> tuple[str, ...]:
    return step.at, step.what, step.plan, step.by


def _said(step: Step) -> str:
    """What the plan was about where it came in, and which other one it stands or stood for."""
    if step.what in ("tried", "noted"):
        beside = f", to replace {step.replaced}" if step.replaced else ""
        return f"{'; '.join(step.services) or 'settings alone'}{beside}"
    if step.replaced:
        return f"in the place of {step.replaced}" if step.what == "confirmed" else f"{step.replaced} is in force again"
    return ""
