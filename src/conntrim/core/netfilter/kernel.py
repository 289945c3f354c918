"""What of the host, beside its rules, decides about a packet: a few settings, given and never read here."""

from __future__ import annotations

from dataclasses import dataclass

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
