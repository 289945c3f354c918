"""A table that shows given frames, one a reading."""

from __future__ import annotations

from collections.abc import Sequence

from conntrim.core.model.panel import Frame


class FakeFrames:
    """Hands out the frames it was given, and remembers how they were asked for: rows, not before, settle."""

    source = "fake"

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = list(frames)
        self.asked: list[tuple[int | None, float, bool]] = []

    def population(self) -> int:
        """That of the first."""
        return self._frames[0].population

    def read(self, rows: int | None, not_before: float, *, settle: bool = False) -> Frame | None:
        """The next one."""
        self.asked.append((rows, not_before, settle))
        return self._frames.pop(0) if self._frames else None
