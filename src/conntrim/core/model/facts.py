"""What a host is like, as far as conntrack is concerned: sizes, counters, time-outs, log lines, addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from conntrim.core.model.address import Family
from conntrim.core.model.circumstances import Circumstances
from conntrim.core.model.intervals import Intervals


class Era(StrEnum):
    """Which names the kernel's conntrack keys carry."""

    NF = "nf_conntrack"
    IP = "ip_conntrack"
    """Linux 2.6 before 2.6.20-ish and RHEL 5: net.ipv4.ip_conntrack_max, net.ipv4.netfilter.ip_conntrack_*."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Sums over CPUs of /proc/net/stat/nf_conntrack or ctnetlink statistics, since boot (K33).

    `values` holds each counter under the kernel's own column name (`drop`, `insert_failed`, ...); a counter that
    the kernel does not have is not in it. `entries` is never among them: every row repeats it.
    """

    values: dict[str, int] = field(default_factory=dict)
    source: str = ""

    def get(self, name: str) -> int | None:
        """One counter, None where this kernel has none of that name."""
        return self.values.get(name)


@dataclass(frozen=True, slots=True)
class Overflow:
    """One `table full` line of a kernel log (K26). `seconds` is the line's own clock where it has one.

    `netns` is the inode of the namespace that overflowed, None where the line names none; `when` the line's wall
    clock as printed; `era` tells whose wording it is.
    """

    source: str
    line: int
    text: str
    seconds: float | None
    netns: int | None
    when: str = ""
    era: Era = Era.NF


@dataclass(frozen=True, slots=True)
class Setting:
    """One assignment of a sysctl or module option in a file, in the order in which they are applied."""

    key: str
    value: str
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Messages that the kernel kept back as too many: `seconds` from the first to the last line that says so."""

    messages: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Events:
    """A saved stream of conntrack's events: entries that came, went, changed; `seconds` None where it has no times.

    `ports` are those of the most new entries, as `tcp/443`, with how many.
    """

    new: int
    destroyed: int
    updated: int
    seconds: float | None
    ports: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP socket that listens: connections that wait to be accepted, the most that may, and whose it is, if known."""

    port: int
    waiting: int
    backlog: int
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose sockets have a port: `name` is a program with its process, unit, container or pod.

    `listens`: the port is its own; else that of the servers it talks to.
    """

    protocol: int
    port: int
    listens: bool
    name: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers that change, taken together: `seconds` is a monotonic clock, `count` the entries."""

    seconds: float
    count: int | None
    counters: Counters


@dataclass(frozen=True, slots=True)
class NamespaceUse:
    """How many entries one network namespace holds (K25: each may reach max). `inode` is what the log names it by."""

    name: str
    inode: int
    count: int
    drop: int | None


@dataclass(frozen=True, slots=True)
class Refusals:
    """What a full table does to arrivals: so many a second find no room (`drop`), so many entries are put out for
    others (`early_drop`), by a look of so many `seconds`."""

    dropped: float = 0.0
    evicted: float = 0.0
    seconds: float = 12.0


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What one network namespace of one kernel is like at one moment; None where it could not be read.

    Sizes in entries, `memory_total` and `slab_entry_bytes` in bytes, `seconds` a monotonic clock, time-outs in seconds
    by sysctl key (`nf_conntrack_tcp_timeout_established`). `local` are the host's own addresses (128-bit numbers),
    `local_ports` the ephemeral range. `max_writable` tells whether nf_conntrack_max may be set here (K25).
    `namespace` is the name of the network namespace (`netns` its inode, "" the one we run in), `namespaces` all that
    were found, `cpus` the processors on line, `programs` the running ones that are known to set sysctls themselves
    (kube-proxy: K42). `circumstances` tell which host it is, `listening` the TCP ports, by family, at which a program
    listens on all addresses (K74). `listeners` are the sockets that listen, `tcp_counters` the kernel's `TcpExt`
    (ListenOverflows, ...), `owners` whose sockets are open now. `suppressed` and
    `expect_full` (lines about the expectation table) are the log's.
    `interfaces` are the devices behind which addresses are, by the addresses' usual spelling.
    `nft`: the program is here, and it and this kernel have its time-outs for services (since 4.19); of a host that is
    known by files it is taken for granted. `trial` tells of a plan of ours that is on trial here. `refused` is what
    a table that is full refuses, None of another. `remarks` tell what could not be read, and why.
    """

    source: str
    kernel: str
    era: Era
    seconds: float
    count: int | None
    max: int | None
    buckets: int | None
    max_writable: bool
    counters: Counters
    timeouts: dict[str, int]
    tcp_loose: bool | None
    slab_entry_bytes: int | None
    memory_total: int | None
    local: Intervals
    local_ports: tuple[int, int]
    overflows: tuple[Overflow, ...]
    settings: tuple[Setting, ...]
    netns: int | None = None
    remarks: tuple[str, ...] = ()
    namespace: str = ""
    namespaces: tuple[NamespaceUse, ...] = ()
    cpus: int | None = None
    programs: tuple[str, ...] = ()
    circumstances: Circumstances = field(default_factory=Circumstances)
    listening: dict[Family, Intervals] = field(default_factory=dict)
    listeners: tuple[Listener, ...] = ()
    tcp_counters: dict[str, int] = field(default_factory=dict)
    owners: tuple[Owner, ...] = ()
    events: Events | None = None
    suppressed: Suppressed | None = None
    expect_full: int = 0
    trial: str = ""
    nft: bool = True
    interfaces: dict[str, str] = field(default_factory=dict)
    refused: Refusals | None = None

    @property
    def reading(self) -> Reading:
        """The changing numbers, to be compared with another reading."""
        return Reading(self.seconds, self.count, self.counters)
