"""Time-outs of one service: what its connections have in all states, and what NAT must leave them."""

from __future__ import annotations

from collections.abc import Mapping

from conntrim.core.model.conntrack import OTHER_TIMEOUTS, TCP_TIMEOUTS
from conntrim.core.model.policy import TIMED
from conntrim.core.model.protocol import Protocol

REST: dict[int, dict[str, tuple[str, int]]] = {
    Protocol.TCP: {
        "syn_sent2": ("nf_conntrack_tcp_timeout_syn_sent", 120),
        "retrans": ("nf_conntrack_tcp_timeout_max_retrans", 300),
        "unack": ("nf_conntrack_tcp_timeout_unacknowledged", 300),
    },
    Protocol.UDP: {},
}
"""States that a policy does not name, with the host's time-out and its default."""
DEFAULTS = {t.key: t.default for t in (*TCP_TIMEOUTS.values(), *OTHER_TIMEOUTS.values())}

ESTABLISHED, TRANSITORY, UDP = 7_440, 240, 120
"""Seconds that NAT must leave a connection (K93): 2 hours 4 minutes, 4 minutes, 2 minutes."""
WELL_KNOWN = 1023
"""The last port for which RFC 4787 lets a NAT have less (REQ-5 a)."""


def least_seconds(protocol: int, port: int, state: str) -> int:
    """What RFC 5382 and RFC 4787 ask for; `port` is the service's last one."""
    if protocol == Protocol.TCP:
        return ESTABLISHED if state == "established" else 0 if state == "close" else TRANSITORY
    return 0 if port <= WELL_KNOWN else UDP


def host_seconds(key: str, host: Mapping[str, int]) -> int:
    """The host's time-out by its sysctl's key."""
    return host.get(key, DEFAULTS[key])


def all_seconds(protocol: int, wanted: Mapping[str, int], host: Mapping[str, int]) -> dict[str, int]:
    """All time-outs of a protocol by nft's names of the states: the wanted ones, and the host's for the others."""
    found = {state: host_seconds(key, host) for state, key in TIMED[protocol].items()}
    found |= {state: host.get(key, default) for state, (key, default) in REST[protocol].items()}
    return {**found, **wanted}
