"""The two errors that are not our bug: the operator's input, and the machine we run on."""

from __future__ import annotations


class ConntrimError(Exception):
    """An error whose message is meant for the operator: one line, whose fault, what to do."""


class InputError(ConntrimError):
    """The operator's file or argument is wrong.

    `source` is the file name, option or `-`; `line` counts from 1, 0 where no line can be named;
    `advice` says what to do about it.
    """

    def __init__(self, source: str, message: str, *, line: int = 0, advice: str = "") -> None:
        self.source, self.message, self.line, self.advice = source, message, line, advice
        place = f"{source}:{line}" if line else source
        super().__init__(f"{place}: {message}" + (f" ({advice})" if advice else ""))


class HostError(ConntrimError):
    """The kernel, a permission or a missing program stands in the way.

    `command` is what was run or read, `detail` its own message, `advice` what to do about it.
    """

    def __init__(self, command: str, detail: str, *, advice: str = "") -> None:
        self.command, self.detail, self.advice = command, detail, advice
        super().__init__(f"{command}: {detail}" + (f" ({advice})" if advice else ""))
