"""What the verbs ask of a kernel log: its `table full` lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from conntrim.core.model.facts import Overflow, Suppressed


@dataclass(frozen=True, slots=True)
class LogExtract:
    """The overflows a log tells of, oldest first; `source` names the log, "" where none could be read."""

    overflows: tuple[Overflow, ...]
    source: str
    remarks: tuple[str, ...] = ()
    suppressed: Suppressed | None = None
    expect_full: int = 0


def joined(extracts: Sequence[LogExtract]) -> LogExtract:
    """Several logs of one host as one."""
    return LogExtract(
        tuple(line for extract in extracts for line in extract.overflows),
        ", ".join(extract.source for extract in extracts),
        tuple(remark for extract in extracts for remark in extract.remarks),
        next((extract.suppressed for extract in extracts if extract.suppressed), None),
        sum(extract.expect_full for extract in extracts),
    )


class KernelLog(Protocol):
    """The kernel's log, or a file that holds one."""

    def overflows(self, source: str | None) -> LogExtract:
        """Read a log file (`-`: standard input; None: this kernel's own log, where a remark tells what was denied).

        InputError where a named file cannot be read.
        """
