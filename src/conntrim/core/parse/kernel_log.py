"""Kernel log text to its `table full` lines, in every wording and with every prefix they come with (K26).

Read are `dmesg` (with seconds, `-T`, `-x`, `--time-format iso`), `journalctl -k`, /dev/kmsg records and syslog files.
Only the kernel's own lines count: a program that logs the same words did not drop a packet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conntrim.core.model.facts import Era, Overflow

FULL = re.compile(r"(?:(?:nf|ip)_conntrack: )?(nf|ip)_conntrack: table full(?: in netns (\d+))?, dropping packet")
"""The message, at its start: its era, and the namespace's inode since 2025. pr_fmt doubled the name for a while."""

KMSG = re.compile(r"\d+,\d+,(\d+),[^;]*;")
"""A /dev/kmsg record: level, sequence, microseconds since boot, flags."""

LEVEL = re.compile(r"(?:<\d+>|[a-z]+ *:[a-z]+ *: )")
"""A raw `<4>`, or `dmesg -x`'s `kern  :warn  : `."""

SYSLOG = re.compile(
    r"((?:[A-Z][a-z]{2} [ \d]\d|\d{4}-\d\d-\d\d)[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|[+-]\d\d:?\d\d))?) "
    r"(\S+) ([^\s:\[]+)(?:\[\d+\])?: "
)
"""A syslog or journal prefix: wall clock, host, program."""

BRACKET = re.compile(
    r"\[ *(\d+\.\d+)\](?:\[ *[TC]\d+\])? ?|\[([A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})\] "
)
"""`[ 1234.567890] `, or `dmesg -T`'s `[Sun Apr 14 22:31:12 2013] `."""

MONOTONIC = re.compile(r"\[ *(\d+\.\d+)\] ([^\s:]+) ([^\s:\[]+)(?:\[\d+\])?: ")
"""`journalctl -o short-monotonic`: the clock before host and program."""

ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.,]\d+[+-]\d\d:?\d\d) ")
"""`dmesg --time-format iso`: a wall clock and nothing else."""


@dataclass
class _Prefix:
    """What stands before the message, taken off piece by piece; `rest` is what is left."""

    rest: str
    seconds: float | None = None
    when: str = ""
    program: str = "kernel"

    def __post_init__(self) -> None:
        if found := self._take(KMSG):
            self.seconds = int(found[1]) / 1e6
        self._take(LEVEL)
        if found := self._take(MONOTONIC):
            self.seconds, self.program = float(found[1]), found[3]
        elif found := self._take(SYSLOG):
            self.when, self.program = found[1], found[3]
        elif found := self._take(ISO):
            self.when = found[1]
        if found := self._take(BRACKET):
            self.seconds = float(found[1]) if found[1] else self.seconds
            self.when = found[2] or self.when

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        if found := pattern.match(self.rest):
            self.rest = self.rest[found.end() :]
        return found


def overflows(lines: Iterable[str], source: str) -> Iterator[Overflow]:
    """The `table full` lines of a log, in its order; `source` names it. The log may be long: lines come one by one."""
    for number, line in enumerate(lines, 1):
        if "_conntrack: table full" not in line:
            continue
        prefix = _Prefix(line.rstrip())
        found = FULL.match(prefix.rest) if prefix.program == "kernel" else None
        if found:
            era = Era.NF if found[1] == "nf" else Era.IP
            netns = int(found[2]) if found[2] else None
            yield Overflow(source, number, found[0], prefix.seconds, netns, prefix.when, era)
