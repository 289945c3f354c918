"""What of the host, beside its rules, decides about a packet: a few settings, given and never read here."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.facts import HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.netfilter.states import FRESH, Row


@dataclass(frozen=True, slots=True)
class Kernel:
    """`local` are the host's own addresses (empty: whatever comes in without an outgoing interface is for the host).

    `full`: the table is full and nothing can be evicted (K8). `active`: conntrack works in this namespace; None: it
    does if the rules use it (K5).
    """

    local: Intervals = Intervals()
    tcp_loose: bool = True
    full: bool = False
    active: bool | None = None
    fresh: tuple[Row, ...] = FRESH
    """The table of states; another one only where somebody wants to see it fail."""


DEFAULTS = Kernel()
"""A kernel as it comes, of a host whose addresses nobody told."""


def kernel_of(facts: HostFacts) -> Kernel:
    """The settings of a host that was looked at; an unknown tcp_loose is the kernel's default."""
    full = facts.count is not None and bool(facts.max) and facts.count >= (facts.max or 0)
    return Kernel(facts.local, facts.tcp_loose is not False, full)
