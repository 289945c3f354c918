"""A kernel log in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from conntrim.app.ports.kernel_log import LogExtract
from conntrim.core.model.errors import InputError
from conntrim.core.parse.kernel_log import Kept, overflows


@dataclass
class FakeKernelLog:
    """Logs by name, as text; the kernel's own has the name ""."""

    logs: dict[str, str] = field(default_factory=dict)

    def overflows(self, source: str | None) -> LogExtract:
        """What that log tells; a log that is not there is an error, the kernel's own only a remark."""
        name = source or ""
        if name in self.logs:
            shown, kept = name or "/dev/kmsg", Kept()
            found = tuple(overflows(self.logs[name].splitlines(), shown, kept))
            return LogExtract(found, shown, (), kept.suppressed, kept.expect_full)
        if source is None:
            return LogExtract((), "", ("the kernel log could not be read: /dev/kmsg: Operation not permitted",))
        raise InputError(name, "No such file or directory", advice="--log takes a kernel log file or -")
