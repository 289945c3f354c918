"""The time-outs of a host from a listing of its table: no entry has more seconds left than its time-out."""

from __future__ import annotations

import numpy as np

from conntrim.core.census.cells import OFFLOAD
from conntrim.core.census.states import BY_STATUS, state_codes
from conntrim.core.model.conntrack import OTHER_TIMEOUTS, TCP_TIMEOUTS, Status, TcpState, Timeout
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.protocol import Protocol

USUAL = (
    5, 10, 15, 20, 30, 40, 45, 60, 90, 120, 180, 240, 300, 600, 900, 1_200, 1_800, 2_400, 3_600, 7_200, 7_440, 10_800,
    14_400, 21_600, 28_800, 43_200, 54_000, 86_400, 172_800, 259_200, 432_000, 604_800,
)  # fmt: skip
"""Values that people set, in seconds."""

CLOSE = 0.01
"""The largest number of seconds left comes so near the time-out in a table with traffic."""

ENOUGH = 10
"""Entries of a state from which on a gap below its default is no chance."""

UNACKNOWLEDGED = 300


def seen_timeouts(table: FlowTable) -> dict[str, int]:
    """By sysctl key: the least that each time-out can be, and the usual value where the entries come up to one.

    States without an entry are not in it. What may run on the shorter time-out of an unacknowledged connection tells
    nothing of the established ones.
    """
    found: dict[str, int] = {}
    codes, usable = state_codes(table), (table.status & np.uint32(OFFLOAD)) == 0
    replied = (table.status & np.uint32(Status.SEEN_REPLY)) != 0
    for protocol, code, timeout in _clocks():
        chosen = (table.protocol == protocol) & (codes == code) & usable
        if protocol == Protocol.TCP and code == TcpState.ESTABLISHED:
            chosen &= replied & (table.timeout > UNACKNOWLEDGED)
        if chosen.any():
            value = likely(int(table.timeout[chosen].max()), int(chosen.sum()), timeout.default)
            found[timeout.key] = max(value, found.get(timeout.key, 0))
    return found


def shown_timeouts(least: dict[str, int]) -> dict[str, int]:
    """Those of `seen_timeouts` that are the host's own for certain: usual values, and what is above the default."""
    default = {timeout.key: timeout.default for _, _, timeout in _clocks()}
    return {key: value for key, value in least.items() if value in USUAL or value > default.get(key, value)}


def likely(most_left: int, entries: int, default: int) -> int:
    """The time-out under which at most so many seconds are left of so many entries."""
    if _near(most_left, default):
        return default
    if most_left > default or entries >= ENOUGH:
        return next((value for value in USUAL if _near(most_left, value)), most_left)
    return most_left


def _near(most_left: int, value: int) -> bool:
    return 0 <= value - most_left <= max(2, CLOSE * value)


def _clocks() -> list[tuple[int, int, Timeout]]:
    """Protocol, state code and the time-out that runs there."""
    tcp = [(int(Protocol.TCP), int(state), timeout) for state, timeout in TCP_TIMEOUTS.items()]
    by_status = [
        (protocol, code, OTHER_TIMEOUTS[name])
        for protocol, names in BY_STATUS.items()
        for code, name in enumerate(names)
    ]
    icmp = [(int(Protocol.ICMP), 255, OTHER_TIMEOUTS["icmp"]), (int(Protocol.ICMPV6), 255, OTHER_TIMEOUTS["icmpv6"])]
    return tcp + by_status + icmp
