"""A host's facts in memory: one set of facts, and the readings that follow it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from conntrim.core.model.errors import HostError
from conntrim.core.model.facts import Counters, Era, HostFacts, Reading
from conntrim.core.model.intervals import Intervals

HEALTHY = HostFacts(
    source="this kernel", kernel="6.18.0", era=Era.NF, seconds=1_000.0, count=61, max=262_144, buckets=262_144,
    max_writable=True, counters=Counters({"drop": 0, "insert_failed": 0, "early_drop": 0, "chaintoolong": 0}, "test"),
    timeouts={}, tcp_loose=True, slab_entry_bytes=256, memory_total=8 << 30, local=Intervals(),
    local_ports=(32_768, 60_999), overflows=(), settings=(), netns=4_026_531_840,
)  # fmt: skip
"""A quiet host: 61 entries of 262,144."""


@dataclass
class FakeFacts:
    """Answers with `facts`, then with each of `readings`; `missing` makes it a kernel without conntrack."""

    facts: HostFacts = HEALTHY
    readings: list[Reading] = field(default_factory=list)
    missing: bool = False
    asked: list[float] = field(default_factory=list)

    def read(self, netns: str | None) -> HostFacts:
        """The facts, under the namespace's name."""
        if self.missing:
            raise HostError("/proc/sys/net/netfilter", "this kernel has no conntrack, or it is not loaded")
        return replace(self.facts, namespace=netns or "")

    def reading(self, netns: str | None, not_before: float) -> Reading:
        """The next reading; the times asked for are kept in `asked`."""
        self.asked.append(not_before)
        return self.readings.pop(0)
