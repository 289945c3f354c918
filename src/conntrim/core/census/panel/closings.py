"""When TCP connections were closed: each stays in TIME_WAIT for a known time, so one dump shows of all that time."""

from __future__ import annotations

import numpy as np

from conntrim.core.model.conntrack import TCP_TIMEOUTS, TcpState
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.protocol import Protocol

TIME_WAIT = TCP_TIMEOUTS[TcpState.TIME_WAIT]
LONGEST = 3_600
"""Seconds that are told at most."""


def closings(flows: FlowTable, timeouts: dict[str, int], share: float) -> tuple[float, ...]:
    """How many were closed in each of the last seconds, the latest first, scaled to the whole table.

    As many seconds as the time-out of TIME_WAIT has; empty where no entry is in that state.
    """
    limit = min(timeouts.get(TIME_WAIT.key, TIME_WAIT.default), LONGEST)
    waiting = flows.timeout[(flows.protocol == Protocol.TCP) & (flows.state == TcpState.TIME_WAIT)]
    # A second that has begun is not shown: what was closed just now has one less left than the time-out.
    ago = limit - 1 - waiting.astype(np.int64)
    ago[ago == -1] = 0
    counts = np.bincount(ago[(ago >= 0) & (ago < limit)], minlength=limit)
    return tuple((counts / share).tolist()) if counts.any() else ()
