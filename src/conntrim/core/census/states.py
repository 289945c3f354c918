"""States by name: what the state column, protocol and status of an entry are called, and which time-out runs there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from conntrim.core.model.conntrack import (
    DCCP_STATES,
    NO_STATE,
    OTHER_TIMEOUTS,
    SCTP_STATES,
    TCP_TIMEOUTS,
    Status,
    TcpState,
)
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.protocol import Protocol, protocol_name

UNREPLIED, REPLIED, STREAM = 0, 1, 2
"""State codes of the protocols whose state is in the status bits alone."""

BY_STATUS: dict[int, tuple[str, str, str]] = {
    Protocol.UDP: ("udp unreplied", "udp replied", "udp stream"),
    Protocol.UDPLITE: ("udp unreplied", "udp replied", "udp stream"),
    Protocol.GRE: ("gre", "gre", "gre stream"),
}
"""Protocol to the names of its entries: unanswered, answered, and answered for long enough to be ASSURED."""

NAMED: dict[int, tuple[str, ...]] = {
    Protocol.TCP: tuple(state.name.lower() for state in TcpState),
    Protocol.SCTP: SCTP_STATES,
    Protocol.DCCP: DCCP_STATES,
}
"""Protocol to the names of the kernel's state numbers."""

UNKNOWN = -1
"""A time-out that is not known."""


def state_codes(block: FlowTable) -> npt.NDArray[np.uint8]:
    """A state code of each entry: the kernel's number where the protocol has states, else from the status bits."""
    codes = block.state.copy()
    for protocol in BY_STATUS:
        chosen = block.protocol == protocol
        if chosen.any():
            status = block.status[chosen]
            replied = (status & np.uint32(Status.SEEN_REPLY)) != 0
            assured = (status & np.uint32(Status.ASSURED)) != 0
            codes[chosen] = np.where(assured, STREAM, np.where(replied, REPLIED, UNREPLIED))
    return codes


def state_name(protocol: int, code: int) -> str:
    """`tcp time_wait`, `udp stream`, `icmp`, `proto-99`."""
    if protocol in BY_STATUS:
        prefix, _, _ = BY_STATUS[protocol][0].partition(" ")
        return BY_STATUS[protocol][code].replace(prefix, protocol_name(protocol), 1)
    names = NAMED.get(protocol, ())
    if code < len(names):
        return f"{protocol_name(protocol)} {names[code]}"
    return protocol_name(protocol) if code == NO_STATE else f"{protocol_name(protocol)} state-{code}"


def timeout_table(timeouts: Mapping[str, int]) -> npt.NDArray[np.int32]:
    """The time-out by protocol and state code, int32[256, 256] in seconds, UNKNOWN where it is not known.

    `timeouts` by sysctl key, the kernel's defaults where a key is missing.
    """
    table = np.full((256, 256), UNKNOWN, np.int32)
    generic = OTHER_TIMEOUTS["generic"]
    table[:, NO_STATE] = timeouts.get(generic.key, generic.default)
    for state, timeout in TCP_TIMEOUTS.items():
        table[Protocol.TCP, state] = timeouts.get(timeout.key, timeout.default)
    for protocol, by_status in BY_STATUS.items():
        for code, name in enumerate(by_status):
            table[protocol, code] = timeouts.get(OTHER_TIMEOUTS[name].key, OTHER_TIMEOUTS[name].default)
    for protocol, name in ((Protocol.ICMP, "icmp"), (Protocol.ICMPV6, "icmpv6")):
        table[protocol] = timeouts.get(OTHER_TIMEOUTS[name].key, OTHER_TIMEOUTS[name].default)
    # SCTP's and DCCP's defaults changed over the years: only what was read counts.
    for protocol, names in ((Protocol.SCTP, SCTP_STATES), (Protocol.DCCP, DCCP_STATES)):
        for code, name in enumerate(names):
            key = f"nf_conntrack_{protocol_name(protocol)}_timeout_{name}"
            table[protocol, code] = timeouts.get(key, UNKNOWN)
    return table
