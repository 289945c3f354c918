"""What a shorter time-out would change: the entries whose last packet is longer ago than it would allow.

The census counts the entries of each state by idle class, so the answer is exact at the edges of the classes and a
lower and an upper bound between them. Only entries touched afterwards get a changed time-out (K31): the number is where
the table settles, not where it jumps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from conntrim.core.capacity.untrack import entries_total, scaled
from conntrim.core.model.census import IDLE_STEPS, Census, StateCount
from conntrim.core.model.conntrack import OTHER_TIMEOUTS, TCP_TIMEOUTS, Timeout
from conntrim.core.model.facts import Era

BY_STATE: dict[str, Timeout] = {f"tcp {state.name.lower()}": timeout for state, timeout in TCP_TIMEOUTS.items()} | {
    "udp unreplied": OTHER_TIMEOUTS["udp unreplied"],
    "udp stream": OTHER_TIMEOUTS["udp stream"],
    "udp replied": OTHER_TIMEOUTS["udp unreplied"],
    "icmp": OTHER_TIMEOUTS["icmp"],
    "icmpv6": OTHER_TIMEOUTS["icmpv6"],
}
"""State of a census row to the time-out that runs in it."""

SHORTER: dict[str, int] = {
    # Two round trips of a slow path are enough to see late segments; RFC 6191 lets ports be used again sooner too.
    "nf_conntrack_tcp_timeout_time_wait": 30,
    # Longer than the two hours after which Linux sends its first keep-alive.
    "nf_conntrack_tcp_timeout_established": 7_440,
    # Four SYN retransmissions: 1 + 2 + 4 + 8 s.
    "nf_conntrack_tcp_timeout_syn_sent": 30,
    "nf_conntrack_tcp_timeout_syn_recv": 30,
    # The kernel's own tcp_fin_timeout is 60 s.
    "nf_conntrack_tcp_timeout_fin_wait": 60,
    "nf_conntrack_tcp_timeout_close_wait": 30,
    "nf_conntrack_tcp_timeout_last_ack": 15,
    "nf_conntrack_tcp_timeout_close": 5,
    # DNS clients ask again after 5 s.
    "nf_conntrack_udp_timeout": 10,
    # QUIC and VPN peers send keep-alives every 15 to 25 s (RFC 9000 section 10.1.2).
    "nf_conntrack_udp_timeout_stream": 60,
    "nf_conntrack_icmp_timeout": 10,
    "nf_conntrack_icmpv6_timeout": 10,
    "nf_conntrack_generic_timeout": 120,
}
"""The value that is tried for each time-out: as short as does no harm on most hosts, and why where it is not plain."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The table after one time-out goes from `now` to `then` seconds: between `low` and `high` entries."""

    key: str
    now: int
    then: int
    low: int
    high: int

    @property
    def entries_after(self) -> int:
        """The careful number: at least the others will have gone."""
        return self.high


def sysctl_key(key: str, era: Era) -> str:
    """The full sysctl name of a conntrack key in an era: net.ipv4.netfilter.ip_conntrack_* in the old one."""
    if era is Era.NF:
        return f"net.netfilter.{key}"
    if key in ("nf_conntrack_max", "nf_conntrack_buckets"):
        return f"net.ipv4.{key.replace('nf_', 'ip_', 1)}"
    return f"net.ipv4.netfilter.{key.replace('nf_', 'ip_', 1)}"


def gone(state: StateCount, seconds: int) -> tuple[int, int]:
    """Entries of a state that a time-out of so many seconds would have ended: at least, at most.

    Entries in no class, because it is not known how long they are idle, may all go or all stay.
    """
    least = most = 0
    for index, entries in enumerate(state.idle):
        low = IDLE_STEPS[index - 1] if index else 0
        high = IDLE_STEPS[index] if index < len(IDLE_STEPS) else None
        if low >= seconds:
            least += entries
        if high is None or high > seconds:
            most += entries
    return least, most + state.entries - sum(state.idle)


def predict(census: Census, key: str, seconds: int, timeouts: Mapping[str, int]) -> Prediction:
    """The effect of setting one time-out; `timeouts` are those in force, the kernel's defaults where it lacks one."""
    least = most = 0
    for service in census.services:
        for state in service.states:
            timeout = BY_STATE.get(state.state)
            if timeout is not None and timeout.key == key:
                low, high = gone(state, seconds)
                least, most = least + low, most + high
    total = entries_total(census)
    now = timeouts.get(key, DEFAULTS[key])
    return Prediction(key, now, seconds, total - scaled(census, most), total - scaled(census, least))


DEFAULTS: dict[str, int] = {timeout.key: timeout.default for timeout in (*BY_STATE.values(), *OTHER_TIMEOUTS.values())}
"""The kernel's default of each time-out (K31)."""


def predictions(census: Census, timeouts: Mapping[str, int]) -> Iterator[Prediction]:
    """One prediction for each time-out that could be shorter than it is, the most useful first."""
    able = (predict(census, key, seconds, timeouts) for key, seconds in SHORTER.items())
    yield from sorted((p for p in able if p.then < p.now), key=lambda p: p.entries_after)
