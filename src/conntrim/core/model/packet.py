"""One packet as the rules see it."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.address import Family


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet at one hook. Addresses are 128-bit numbers (`address.py`), interfaces names, "" where there is none.

    `icmp` is type << 8 | code; `inner` the packet that an ICMP error is about. `fragment`: other than the first.
    """

    family: Family
    protocol: int
    src: int
    dst: int
    sport: int | None = None
    dport: int | None = None
    tcp_flags: int | None = None
    icmp: int | None = None
    iif: str = ""
    oif: str = ""
    mark: int = 0
    fragment: bool = False
    inner: Packet | None = None
