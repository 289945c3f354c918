"""The kernel's connection-tracking vocabulary: TCP states, status bits, time-outs.

Numbers from include/uapi/linux/netfilter/nf_conntrack_{tcp,common}.h; time-outs: K31.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag


class TcpState(IntEnum):
    """`enum tcp_conntrack`: the state of a TCP entry, as ctnetlink gives it."""

    NONE = 0
    SYN_SENT = 1
    SYN_RECV = 2
    ESTABLISHED = 3
    FIN_WAIT = 4
    CLOSE_WAIT = 5
    LAST_ACK = 6
    TIME_WAIT = 7
    CLOSE = 8
    SYN_SENT2 = 9


NO_STATE = 255
"""The state column of an entry whose protocol has none (or none that we read)."""


class TcpSeen(IntFlag):
    """What the kernel notes of one direction of a TCP entry (IP_CT_TCP_FLAG_*); only a dump has it."""

    WINDOW_SCALE = 0x01
    SACK_PERM = 0x02
    CLOSE_INIT = 0x04
    BE_LIBERAL = 0x08
    """Windows are not checked: the connection was picked up in the middle, or the flag was set by hand (K156)."""
    DATA_UNACKNOWLEDGED = 0x10
    """Data was sent that the other end has not acknowledged: the shorter time-out runs (K155)."""


class Status(IntFlag):
    """`enum ip_conntrack_status`, the `IPS_*` bits."""

    EXPECTED = 1 << 0
    SEEN_REPLY = 1 << 1
    ASSURED = 1 << 2
    CONFIRMED = 1 << 3
    SRC_NAT = 1 << 4
    DST_NAT = 1 << 5
    SEQ_ADJUST = 1 << 6
    SRC_NAT_DONE = 1 << 7
    DST_NAT_DONE = 1 << 8
    DYING = 1 << 9
    FIXED_TIMEOUT = 1 << 10
    TEMPLATE = 1 << 11
    UNTRACKED = 1 << 12
    HELPER = 1 << 13
    OFFLOAD = 1 << 14
    HW_OFFLOAD = 1 << 15


@dataclass(frozen=True, slots=True)
class Timeout:
    """One time-out: its sysctl key below net.netfilter, and the kernel's default in seconds (K31)."""

    key: str
    default: int


TCP_TIMEOUTS: dict[TcpState, Timeout] = {
    TcpState.SYN_SENT: Timeout("nf_conntrack_tcp_timeout_syn_sent", 120),
    TcpState.SYN_RECV: Timeout("nf_conntrack_tcp_timeout_syn_recv", 60),
    TcpState.ESTABLISHED: Timeout("nf_conntrack_tcp_timeout_established", 432_000),
    TcpState.FIN_WAIT: Timeout("nf_conntrack_tcp_timeout_fin_wait", 120),
    TcpState.CLOSE_WAIT: Timeout("nf_conntrack_tcp_timeout_close_wait", 60),
    TcpState.LAST_ACK: Timeout("nf_conntrack_tcp_timeout_last_ack", 30),
    TcpState.TIME_WAIT: Timeout("nf_conntrack_tcp_timeout_time_wait", 120),
    TcpState.CLOSE: Timeout("nf_conntrack_tcp_timeout_close", 10),
    # SYN_SENT2 (simultaneous open) shares the time-out of SYN_SENT in nf_conntrack_proto_tcp.c.
    TcpState.SYN_SENT2: Timeout("nf_conntrack_tcp_timeout_syn_sent", 120),
}
"""The time-out that runs in each TCP state."""

OTHER_TIMEOUTS: dict[str, Timeout] = {
    "tcp max_retrans": Timeout("nf_conntrack_tcp_timeout_max_retrans", 300),
    "tcp unacknowledged": Timeout("nf_conntrack_tcp_timeout_unacknowledged", 300),
    "udp unreplied": Timeout("nf_conntrack_udp_timeout", 30),
    # Answered, but for less than two seconds (nf_conntrack_proto_udp.c): a DNS query. Not yet ASSURED.
    "udp replied": Timeout("nf_conntrack_udp_timeout", 30),
    "udp stream": Timeout("nf_conntrack_udp_timeout_stream", 120),
    "icmp": Timeout("nf_conntrack_icmp_timeout", 30),
    "icmpv6": Timeout("nf_conntrack_icmpv6_timeout", 30),
    "generic": Timeout("nf_conntrack_generic_timeout", 600),
    "gre": Timeout("nf_conntrack_gre_timeout", 30),
    "gre stream": Timeout("nf_conntrack_gre_timeout_stream", 180),
}
"""The other time-outs, by a readable name."""


SCTP_STATES: tuple[str, ...] = (
    "none", "closed", "cookie_wait", "cookie_echoed", "established", "shutdown_sent", "shutdown_recd",
    "shutdown_ack_sent", "heartbeat_sent", "heartbeat_acked",
)  # fmt: skip
"""`enum sctp_conntrack`, in the kernel's order; each time-out is nf_conntrack_sctp_timeout_STATE."""

DCCP_STATES: tuple[str, ...] = (
    "none", "request", "respond", "partopen", "open", "closereq", "closing", "timewait", "ignore", "invalid",
)  # fmt: skip
"""`enum ct_dccp_states`; DCCP tracking left the kernel with 6.17, older ones still have it."""


class CtState(IntEnum):
    """What a packet's `ct state` may be; the values are only bit positions in a set."""

    INVALID = 0
    ESTABLISHED = 1
    RELATED = 2
    NEW = 3
    UNTRACKED = 6


STATELESS = (CtState.INVALID, CtState.UNTRACKED)
"""The states of packets that have no entry (K21)."""
