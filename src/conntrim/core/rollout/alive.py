"""Which entries must live through a trial for their connections to go on afterwards.

A connection that talks while untracked leaves its entry behind: the entry ages, and its window goes stale (K12, K88).
So before the rules are loaded each entry of a connection that is open gets a time-out that outlives the trial, and over
TCP the flag that lets packets outside the window pass. The flag cannot be taken away again while the window is stale;
an entry made anew has no window yet and takes it from the packets that come next (K98).
"""

from __future__ import annotations

import numpy as np

from conntrim.core.model.conntrack import Status, TcpSeen, TcpState
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.protocol import Protocol
from conntrim.core.rollout.stale import COLUMNS, Mask

TCP_COLUMNS = COLUMNS | {"state", "timeout", "mark", "tcp_flags", "reply_tcp_flags", "scale", "reply_scale"}
"""The columns that this, and what is sent for it, need filled."""

WINDOW_SCALE, SACK_PERM, CLOSE_INIT, BE_LIBERAL = (
    int(flag) for flag in (TcpSeen.WINDOW_SCALE, TcpSeen.SACK_PERM, TcpSeen.CLOSE_INIT, TcpSeen.BE_LIBERAL)
)
LASTS = WINDOW_SCALE | SACK_PERM | CLOSE_INIT
"""Those that hold for the connection; the others are about the window that goes with the old entry."""

OPEN = (TcpState.SYN_RECV, TcpState.ESTABLISHED, TcpState.FIN_WAIT, TcpState.CLOSE_WAIT)
"""States in which data may still come."""
MARGIN = 60
"""Seconds that a time-out outlasts the trial: the next word may take a while."""


def is_open(flows: FlowTable) -> Mask:
    """bool[n]: a connection that may go on. Over other protocols than TCP: one that was answered."""
    answered: Mask = (flows.status & np.uint32(Status.SEEN_REPLY)) != 0
    return np.where(flows.protocol == Protocol.TCP, np.isin(flows.state, OPEN), answered)


def is_opening(flows: FlowTable) -> Mask:
    """bool[n]: a TCP handshake under way; its answer and what follows go untracked."""
    found: Mask = (flows.protocol == Protocol.TCP) & (flows.state == TcpState.SYN_SENT)
    return found


def is_kept(flows: FlowTable, seconds: float) -> Mask:
    """bool[n]: everything is set already that an open connection needs to outlive so many seconds of a trial."""
    lasting: Mask = flows.timeout >= np.uint32(seconds + MARGIN // 2)
    found: Mask = is_open(flows) & lasting & ((flows.protocol != Protocol.TCP) | _both(flows, BE_LIBERAL))
    return found


def is_liberal(flows: FlowTable) -> Mask:
    """bool[n]: an open TCP connection with the flag both ways, seen from its first packet on.

    What the kernel picks up mid-stream it flags itself, since it has not seen the window scales: that flag stays.
    """
    tcp = flows.protocol == Protocol.TCP
    found: Mask = tcp & np.isin(flows.state, OPEN) & _both(flows, BE_LIBERAL | WINDOW_SCALE)
    return found


def _both(flows: FlowTable, flags: int) -> Mask:
    """bool[n]: both directions have all of these flags."""
    common = (flows.tcp_flags & flows.reply_tcp_flags) >> np.uint16(8)
    found: Mask = (common & np.uint16(flags)) == np.uint16(flags)
    return found
