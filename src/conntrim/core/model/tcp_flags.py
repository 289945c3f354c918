"""Sets of TCP flags, as values of `Field.TCP_FLAGS`; among them the bare SYN, which no reply ever is."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import In


def flags_where(test: Callable[[int], bool]) -> Intervals:
    """The values of the flags byte that pass a test."""
    return Intervals.of(*filter(test, range(256)))


SYN_MASK = TcpFlag.FIN | TcpFlag.SYN | TcpFlag.RST | TcpFlag.ACK
"""What `iptables --syn` looks at."""
BARE_SYN = flags_where(lambda flags: flags & SYN_MASK == TcpFlag.SYN)
"""`--syn`: what opens a connection."""
SYN_ACK = Intervals.of(TcpFlag.SYN | TcpFlag.ACK)
"""What answers it."""
NOT_BARE_SYN = BARE_SYN.complement(8)
RESETS = flags_where(lambda flags: flags & SYN_MASK in (TcpFlag.RST, TcpFlag.RST | TcpFlag.ACK))
NOT_SYN = In(Field.TCP_FLAGS, Intervals.of(int(TcpFlag.SYN)).complement(8), int(SYN_MASK))
"""`! --syn`, as the masked match that both dialects write."""
