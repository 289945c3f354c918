"""The incident as text: a line a stage, printed as it happens."""

from __future__ import annotations

import textwrap

from conntrim.core.model.incident import Incident, Stage

COLUMNS = "{:<20} {:>8} {:>8} {:>8} {:>11}"
WIDTH = 79


def heading() -> str:
    """The table's head."""
    return COLUMNS.format("stage", "entries", "drops", "failed", "requests/s")


def line(stage: Stage) -> str:
    """One stage: its figures, and below them what it shows."""
    speed = None if stage.requests_per_second is None else round(stage.requests_per_second)
    cells = [stage.entries, stage.drops, stage.failed, speed]
    figures = COLUMNS.format(stage.name, *("-" if cell is None else f"{cell:,}" for cell in cells))
    verdict = stage.verdict if stage.as_told else f"NOT AS TOLD: {stage.verdict}"
    return "\n".join([figures, textwrap.fill(verdict, WIDTH, initial_indent="    ", subsequent_indent="    ")])


def ending(incident: Incident) -> str:
    """The answer in one line, and what was left out."""
    wrong = [stage.name for stage in incident.stages if not stage.as_told]
    answer = f"not as told: {', '.join(wrong)}" if wrong else f"all {len(incident.stages)} stages as told"
    return "\n".join([answer, *(f"left out: {reason}" for reason in incident.left_out)])
