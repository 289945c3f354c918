"""Where something stands: in a file, or in a listing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a file (or `kernel`) and a line, 0 where there is none.

    `within` says where in a listing that has no lines of its own: `ip raw PREROUTING handle 3`.
    """

    source: str
    line: int = 0
    within: str = ""

    def __str__(self) -> str:
        if self.within:
            return f"{self.source} {self.within}"
        return f"{self.source}:{self.line}" if self.line else self.source
