"""A bare SYN, as `iptables --syn` means it: what opens a TCP connection, and so what no reply ever is."""

from __future__ import annotations

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Field, In, TcpFlag

SYN_MASK = TcpFlag.FIN | TcpFlag.SYN | TcpFlag.RST | TcpFlag.ACK
"""The flags that are looked at."""
BARE_SYN = Intervals.of(*(flags for flags in range(256) if flags & SYN_MASK == TcpFlag.SYN))
"""Values of `Field.TCP_FLAGS`."""
NOT_BARE_SYN = BARE_SYN.complement(8)
NOT_SYN = In(Field.TCP_FLAGS, Intervals.of(int(TcpFlag.SYN)).complement(8), int(SYN_MASK))
"""`! --syn`, as the masked match that both dialects write."""
