"""What was recorded, as text."""

from __future__ import annotations

from conntrim.core.diagnose.wording import duration, number, size
from conntrim.core.model.record import Recorded
from conntrim.render.page import page, wrapped


def record_text(made: Recorded) -> str:
    """The file, what is in it, what can be done with it."""
    frames = "1 reading" if made.frames == 1 else f"{number(made.frames)} readings in {duration(made.seconds)}"
    hidden = ", addresses and names replaced" if made.hidden else ""
    lines = wrapped(f"{made.path}: {frames} of a table of {number(made.entries)} entries, {size(made.bytes)}{hidden}")
    lines += ["read it with: conntrim census, diagnose, check or explain --ruleset, with its name"]
    for remark in made.remarks:
        lines += wrapped(f"note: {remark}", rest="      ", long=False)
    return page(lines)
