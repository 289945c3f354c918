"""What `conntrim collect` gathered on a host without us, as one text with a mark before what each command printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from conntrim.core.model.address import parse_prefix
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Counters, Era, HostFacts, Overflow, Reading
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.record import COLLECTED
from conntrim.core.model.ruleset import Dialect, Ruleset, TableFamily
from conntrim.core.parse.kernel import Save, read_kernel
from conntrim.core.parse.kernel_log import overflows
from conntrim.core.parse.proc_stat import proc_stat
from conntrim.core.parse.slabinfo import slab_entry_bytes

TABLE, END = "table", "end"
"""The mark of the table, which is the last but one, for it may be long; and the mark that tells that all is there."""

_STEPS = (
    "date -u +%s", "cat /proc/uptime", "uname -r", "readlink /proc/self/ns/net",
    "grep -sH . /proc/sys/net/netfilter/nf_conntrack* /proc/sys/net/ipv4/ip_local_port_range"
    " /proc/sys/net/ipv4/ip_conntrack_max /proc/sys/net/ipv4/netfilter/ip_conntrack*",
    "cat /proc/net/stat/nf_conntrack", "grep -s conntrack /proc/slabinfo", "grep -s MemTotal /proc/meminfo",
    "ip -o addr", f"dmesg | grep -e '^{COLLECTED.strip()}' -e _conntrack",
    "iptables -V", "iptables-save", "ip6tables-save", "nft -j list ruleset", "ipset save",
    "sleep 2", "cat /proc/uptime", "grep -sH . /proc/sys/net/netfilter/nf_conntrack_count",
    "cat /proc/net/stat/nf_conntrack",
)  # fmt: skip

LINE = (
    "PATH=$PATH:/usr/sbin:/sbin; "
    f's() {{ echo \'{COLLECTED}\'"$*"; "$@" 2>/dev/null; }}; '
    + "; ".join(f"s {step}" for step in _STEPS)
    + f"; echo '{COLLECTED}{TABLE}'; cat /proc/net/nf_conntrack 2>/dev/null || conntrack -L -o extended 2>/dev/null"
    + f" || cat /proc/net/ip_conntrack 2>/dev/null; echo '{COLLECTED}{END}'"
)
"""For any POSIX shell, busybox's too. Commands that are not there say nothing; a user's PATH may lack those of root."""

_SETTING = re.compile(r"/proc/sys/net/(?:ipv4/|netfilter/|ipv4/netfilter/)*((?:nf|ip)_\w+):(\d+)(?:\s+(\d+))?$")
SETTINGS = "grep -sH . /proc/sys/net/netfilter/nf_conntrack"
"""How the commands begin that print settings; the shell has put names for the star."""
_ADDRESS = re.compile(r"^\d+:\s+\S+\s+inet6?\s+(\S+)")
PORTS = (32_768, 60_999)


@dataclass(frozen=True, slots=True)
class Section:
    """What one command printed."""

    command: str
    lines: tuple[str, ...]


@dataclass(slots=True)
class Collected:
    """All sections but the table; `source` names the file."""

    source: str
    sections: tuple[Section, ...]
    _settings: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for line in self._lines(SETTINGS):
            if found := _SETTING.match(line):
                self._settings.setdefault(found[1], (int(found[2]), int(found[3]) if found[3] else None))

    def _all(self, command: str) -> list[Section]:
        return [section for section in self.sections if section.command.startswith(command)]

    def _lines(self, command: str, which: int = 0) -> tuple[str, ...]:
        found = self._all(command)
        return found[which].lines if len(found) > which else ()

    def _setting(self, *names: str) -> int | None:
        return next((self._settings[name][0] for name in names if name in self._settings), None)

    def facts(self) -> HostFacts:
        """The host, as far as it told."""
        first, old = self._reading(0), "ip_conntrack_max" in self._settings and "nf_conntrack_max" not in self._settings
        loose, low_high = self._setting("nf_conntrack_tcp_loose"), self._settings.get("ip_local_port_range", PORTS)
        timeouts = {name: value for name, (value, _) in self._settings.items() if "_timeout" in name}
        netns = re.search(r"\[(\d+)\]", "".join(self._lines("readlink")))
        memory = re.search(r"(\d+) kB", "".join(self._lines("grep -s MemTotal")))
        return HostFacts(
            source=f"collected in {self.source}", kernel="".join(self._lines("uname")), era=Era.IP if old else Era.NF,
            seconds=first.seconds, count=first.count, max=self._setting("nf_conntrack_max", "ip_conntrack_max"),
            buckets=self._setting("nf_conntrack_buckets", "ip_conntrack_buckets"), max_writable=False,
            counters=first.counters, timeouts=timeouts, tcp_loose=None if loose is None else bool(loose),
            slab_entry_bytes=slab_entry_bytes("\n".join(self._lines("grep -s conntrack /proc/slabinfo"))),
            memory_total=int(memory[1]) << 10 if memory else None, local=self._local(),
            local_ports=(low_high[0], low_high[1] or low_high[0]), overflows=self.overflows(), settings=(),
            netns=int(netns[1]) if netns else None,
        )  # fmt: skip

    def overflows(self) -> tuple[Overflow, ...]:
        """The log's lines."""
        return tuple(overflows(self._lines("dmesg"), self.source))

    def later(self) -> Reading:
        """The changing numbers two seconds later."""
        return self._reading(1)

    def _reading(self, which: int) -> Reading:
        uptime = self._lines("cat /proc/uptime", which)
        seconds = float(uptime[0].split()[0]) if uptime and re.match(r"\d{1,12}\.\d+ ", uptime[0]) else 2.0 * which
        count = self._setting("nf_conntrack_count", "ip_conntrack_count")
        if which:
            found = [_SETTING.match(line) for line in self._lines(SETTINGS, 1)]
            count = next((int(match[2]) for match in found if match), count)
        try:
            counters = proc_stat("\n".join(self._lines("cat /proc/net/stat/nf_conntrack", which)), self.source)
        except InputError:
            counters = Counters()
        return Reading(seconds, count, counters)

    def _local(self) -> Intervals:
        """The host's own addresses, all of loopback's among them."""
        found = []
        for line in self._lines("ip -o addr"):
            if match := _ADDRESS.match(line):
                try:
                    found.append(parse_prefix(match[1] if match[1].startswith("127.") else match[1].partition("/")[0]))
                except ValueError:
                    continue
        return Intervals.union_of(found)

    def ruleset(self) -> Ruleset:
        """The rules. InputError where none were told."""
        dialect = (
            Dialect.IPTABLES_NFT if "nf_tables" in "".join(self._lines("iptables -V")) else Dialect.IPTABLES_LEGACY
        )
        saves = [
            Save(program, family, dialect, "\n".join(lines) + "\n")
            for program, family in (("iptables-save", TableFamily.IP), ("ip6tables-save", TableFamily.IP6))
            if (lines := self._lines(program))
        ]
        nft, sets = ("\n".join(self._lines(command)) for command in ("nft -j", "ipset save"))
        if not saves and not nft:
            raise InputError(self.source, "the collection holds no rules", advice="collect as root")
        return read_kernel(saves, nft or None, sets or None)


def sections(lines: Iterable[str]) -> Iterator[Section]:
    """The sections of a text up to the table."""
    command, held = "", list[str]()
    for line in lines:
        text = line.rstrip("\n")
        if not text.startswith(COLLECTED):
            held.append(text)
            continue
        if command:
            yield Section(command, tuple(held))
        command, held = text.removeprefix(COLLECTED), []
        if command == TABLE:
            return
    if command:
        yield Section(command, tuple(held))
