"""What a plan changes, as unified lines against what is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from conntrim.core.model.plan import Plan
from conntrim.core.rollout.difference import Line
from conntrim.render.page import page, wrapped
from conntrim.render.plan import answer


def diff_text(plan: Plan, lines: Sequence[Line]) -> str:
    """The plan's answer, then each place with its lines; where nothing differs the answer alone says so."""
    told = wrapped(answer(plan), "", "  ", long=False)
    if lines:
        told += ["", "--- loaded", "+++ after conntrim confirm"]
    for place, found in groupby(lines, key=lambda line: line.place):
        told.append(f"@@ {place} @@")
        for line in found:
            told += wrapped(line.text, line.sign, f"{line.sign}    ", long=False)
    return page(told)
