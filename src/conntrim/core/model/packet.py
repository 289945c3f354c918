"""One packet as the rules see it."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.address import Family


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet where it enters the host's hooks. Addresses are 128-bit numbers (`address.py`), interfaces names, ""
    where there is none: `iif` alone comes to this host, `oif` alone leaves it, both are forwarded, `lo` loops.

    `icmp` is type << 8 | code, `icmp_id` the query's identifier; `inner` the packet that an ICMP error is about.
    `fragment`: other than the first; ports are then those of the datagram that it belongs to. `first`: the first
    fragment of several. None in the last numbers means: not said; a rule that asks for it is not decided (`*_type`:
    worked out from the addresses).
    `bridge_*`: ports of the bridge that the interfaces are; "" where it comes by none, or nobody said so.
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
    first: bool = False
    inner: Packet | None = None
    icmp_id: int = 0
    length: int | None = None
    ttl: int | None = None
    dscp: int | None = None
    ecn: int | None = None
    packet_type: int | None = None
    src_type: int | None = None
    dst_type: int | None = None
    bridge_in: str = ""
    bridge_out: str = ""
