"""Kernel log text to its `table full` lines, in every wording and with every prefix they come with (K26).

Read are `dmesg` (with seconds, `-T`, `-x`, `-d`, `-e`, `--time-format iso`), `journalctl -k` in its formats, /dev/kmsg
records, and syslog files: RFC 3164 and 5424, busybox with and without a host name, OpenWrt's logread, SONiC.
Only the kernel's own lines count: a program that logs the same words did not drop a packet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from conntrim.core.model.facts import Era, Overflow, Suppressed

FULL = re.compile(r"(?:(?:nf|ip)_conntrack: )?(nf|ip)_conntrack: table full(?: in netns (\d+))?, dropping packet")
"""The message, at its start: its era, and the namespace's inode since 2025. pr_fmt doubled the name for a while."""

EXPECT_FULL = re.compile(r"(?:nf_conntrack: )*(?:nf|ip)_conntrack: expectation table full")
SUPPRESSED = re.compile(r"(?:net_ratelimit|_*(?:nf|ip)_conntrack\w*): (\d{1,12}) callbacks suppressed")
"""What the rate limit of network messages kept back, most often `table full`."""
TOLD = re.compile(r"expectation table full|callbacks suppressed")

KMSG = re.compile(r"\d+,\d+,(\d+),[^;]*;")
"""A /dev/kmsg record: level, sequence, microseconds since boot, flags."""

LEVEL = re.compile(r"<(\d{1,3})>|[a-z]+ *:[a-z]+ *: ")
"""A raw `<4>`, or `dmesg -x`'s `kern  :warn  : `."""

FACILITY = 8
"""A priority is level + 8 * facility, and the kernel's facility is 0: above, a program spoke (RFC 5424, 6.2.1)."""

CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
MONTHS = r"[A-Z][a-z]{2} [ \d]?\d"
DATED = rf"\d{{4}}-\d\d-\d\d[T ]{CLOCK}(?: ?(?:Z|[+-]\d\d:?\d\d))?"
WALL = (
    rf"((?:(?:\d{{4}} |[A-Z][a-z]{{2}} )?{MONTHS} {CLOCK}(?: \d{{4}})?)|(?:[A-Z][a-z]{{2}} )?{DATED}(?: [A-Z]{{2,5}})?"
    r"|\d{9,11}\.\d{6})"
)
"""A wall clock: syslog's, with a year before (SONiC) or after it (logread), ISO, with a weekday (`journalctl -o
short-full`), seconds since 1970 (`-o short-unix`).
"""

WHO = (
    r"(?:\[\d+\.\d+\] )?(?:\S*[^\s:\]] )?(?:([a-z]+\d?)\.[a-z]+ |[A-Z]{4,7} )?"
    r"((?!(?:nf|ip)_conntrack:)[^\s:\[]+)(?:\[\d+\])?: "
)
"""Host, facility and level in letters where they are there, program; `logread -t` has a second clock before them."""

SYSLOG = re.compile(rf"{WALL} {WHO}")
"""A syslog or journal prefix: wall clock, host, program."""

RFC5424 = re.compile(rf"1 ({DATED}|-) \S+ (\S+) \S+ \S+ (?:-|(?:\[[^\]]*\])+) (?:\ufeff)?")
"""Version, wall clock, host, program, its process, message id, structured data."""

BRACKET = re.compile(
    r"\[ *(\d+\.\d+)(?: <[ +]*\d+\.\d+>)?\](?:\[ *[TC]\d+\])? ?"
    rf"|\[((?:[A-Z][a-z]{{2}} )?{MONTHS} {CLOCK} \d{{4}}|[A-Z][a-z]{{2}} ?\d\d? \d\d:\d\d)\] |\[ *<? *\+?\d+\.\d+>?\] "
)
"""`[ 1234.567890] `, `dmesg -T`'s `[Sun Apr 14 22:31:12 2013] `, `-e`'s `[Apr14 22:31] ` and `[  +0.000012] `, `-d`'s
`[ 1234.567890 <    0.000012>] `.
"""

MONOTONIC = re.compile(r"\[ *(\d+\.\d+)(?: <[ +]*\d+\.\d+>)?\] (?:\S*[^\s:\]] )([^\s:\[]+)(?:\[\d+\])?: ")
"""`journalctl -o short-monotonic` and `short-delta`: the clock before host and program."""

ISO = re.compile(rf"({DATED}) ")
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
        level = self._take(LEVEL)
        if found := self._take(RFC5424):
            self.when, self.program = found[1].removeprefix("-"), found[2]
        elif found := self._take(MONOTONIC):
            self.seconds, self.program = float(found[1]), found[2]
        elif found := self._take(SYSLOG):
            self.when, self.program = found[1], found[3] if found[2] in (None, "kern") else f"{found[2]}.{found[3]}"
        elif found := self._take(ISO):
            self.when = found[1]
        if level and int(level[1] or 0) >= FACILITY:
            self.program = f"facility {int(level[1]) // FACILITY}"
        if found := self._take(BRACKET):
            self.seconds = float(found[1]) if found[1] else self.seconds
            self.when = found[2] or self.when

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        if found := pattern.match(self.rest):
            self.rest = self.rest[found.end() :]
        return found


@dataclass(slots=True)
class Kept:
    """What a log tells beside its overflows: lines about the expectation table, and messages kept back."""

    expect_full: int = 0
    messages: int = 0
    clocks: list[float] = field(default_factory=list)

    @property
    def suppressed(self) -> Suppressed | None:
        """The messages, and the seconds from the first such line to the last; None where there are none."""
        seconds = max(self.clocks) - min(self.clocks) if self.clocks else 0.0
        return Suppressed(self.messages, seconds or None) if self.messages else None

    def hear(self, prefix: _Prefix) -> None:
        """A line of the kernel."""
        self.expect_full += bool(EXPECT_FULL.match(prefix.rest))
        if found := SUPPRESSED.match(prefix.rest):
            self.messages += int(found[1])
            if prefix.seconds is not None:
                self.clocks.append(prefix.seconds)


def overflows(lines: Iterable[str], source: str, kept: Kept | None = None) -> Iterator[Overflow]:
    """The `table full` lines of a log, in its order; `source` names it. The log may be long: lines come one by one.

    `kept` hears the others that matter.
    """
    for number, line in enumerate(lines, 1):
        full = "_conntrack: table full" in line
        if not full and (kept is None or not TOLD.search(line)):
            continue
        prefix = _Prefix(line.rstrip())
        if not full and kept is not None and prefix.program == "kernel":
            kept.hear(prefix)
        found = FULL.match(prefix.rest) if prefix.program == "kernel" else None
        if found:
            era = Era.NF if found[1] == "nf" else Era.IP
            netns = int(found[2]) if found[2] else None
            yield Overflow(source, number, found[0], prefix.seconds, netns, prefix.when, era)
