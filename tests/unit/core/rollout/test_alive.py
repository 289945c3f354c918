"""Which entries are kept through a trial, and which are made anew when it is undone."""

from __future__ import annotations

import numpy as np
import pytest

from conntrim.core.model.conntrack import NO_STATE, Status, TcpState
from conntrim.core.model.flows import SHAPES, FlowTable, table_of
from conntrim.core.rollout.alive import (
    BE_LIBERAL,
    MARGIN,
    TCP_COLUMNS,
    WINDOW_SCALE,
    is_kept,
    is_liberal,
    is_open,
    is_opening,
)  # fmt: skip

TCP, UDP = 6, 17


def entries(*rows: dict[str, int]) -> FlowTable:
    """Entries with these columns."""
    names = {name for row in rows for name in row}
    filled = {name: np.array([row.get(name, 0) for row in rows], SHAPES[name][0]) for name in names}
    return table_of(len(rows), TCP_COLUMNS, filled)


def test_open_is_what_may_still_carry_data() -> None:
    """Over TCP by its state, half-closed included; else what was answered; a handshake is told apart."""
    states = (TcpState.SYN_SENT, TcpState.SYN_RECV, TcpState.ESTABLISHED, TcpState.CLOSE_WAIT, TcpState.TIME_WAIT)
    flows = entries(
        *({"protocol": TCP, "state": state, "status": Status.SEEN_REPLY} for state in states),
        {"protocol": UDP, "state": NO_STATE, "status": Status.SEEN_REPLY},
        {"protocol": UDP, "state": NO_STATE, "status": Status.CONFIRMED},
    )
    assert [False, True, True, True, False, True, False] == is_open(flows).tolist()
    assert [True, *[False] * 6] == is_opening(flows).tolist()


@pytest.mark.parametrize(("flags", "timeout", "kept"), [(8, 500, True), (0, 500, False), (8, 90, False)])
def test_what_is_set_already_is_not_set_again(flags: int, timeout: int, kept: bool) -> None:
    """The second look, once the rules are in, touches only entries that came in between."""
    row = {"protocol": TCP, "state": TcpState.ESTABLISHED, "tcp_flags": flags << 8, "reply_tcp_flags": flags << 8}
    assert kept == bool(is_kept(entries(row | {"timeout": timeout}), 90 - MARGIN // 2 + 1)[0])


def test_what_the_kernel_made_liberal_itself_stays_so() -> None:
    """An entry picked up mid-stream has no window scales; made anew without the flag its packets would be INVALID."""
    ours, half, kernel_s = BE_LIBERAL | WINDOW_SCALE, WINDOW_SCALE, BE_LIBERAL
    rows = [(ours, ours), (ours, half), (kernel_s, kernel_s)]
    base = {"protocol": TCP, "state": int(TcpState.ESTABLISHED)}
    flows = entries(*(base | {"tcp_flags": one << 8, "reply_tcp_flags": other << 8} for one, other in rows))
    assert [True, False, False] == is_liberal(flows).tolist()
