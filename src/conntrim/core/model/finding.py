"""A finding: the result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """How bad; the numbers are those of the Nagios plugin interface."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a file (or `kernel`) and a line, 0 where there is none."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: `code` (`CT001`), how bad, one sentence, the evidence, where, what to do, and what caused it.

    `caused_by` names the code of another finding of the same report, whose consequence this one is.
    """

    code: str
    severity: Severity
    title: str
    evidence: tuple[str, ...] = ()
    place: Place | None = None
    advice: tuple[str, ...] = ()
    caused_by: str = ""


class RemedyKind(StrEnum):
    """What a remedy changes."""

    UNTRACK = "untrack"
    TIMEOUT = "timeout"
    ENLARGE = "enlarge"
    KEEP_ALIVE = "keep-alive"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way out: what to do, and how many entries the table would then hold.

    `worth`, 0 to 1, ranks it. `matters` is False where it would change next to nothing: said, not advised.
    """

    kind: RemedyKind
    title: str
    entries_after: int
    worth: float
    how: tuple[str, ...] = ()
    matters: bool = True
