"""The table of TCP's states, cell by cell: an entry is brought into each state and gets each kind of packet."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.packet import Packet
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.states import TRANSITIONS, Class, Move
from conntrim.lab.dialogue import parse_packets
from conntrim.lab.expect import KERNEL, expected
from conntrim.lab.oracle import consulting
from conntrim.lab.script import Script
from conntrim.lab.truth import Judged, Judgement, judged

OPENED = (">S", "<SA", ">A")
PATHS: dict[TcpState, tuple[str, ...]] = {
    TcpState.NONE: (),
    TcpState.SYN_SENT: (">S",),
    TcpState.SYN_RECV: (">S", "<SA"),
    TcpState.ESTABLISHED: OPENED,
    TcpState.FIN_WAIT: (*OPENED, ">FA"),
    TcpState.CLOSE_WAIT: (*OPENED, ">FA", "<A"),
    TcpState.LAST_ACK: (*OPENED, ">FA", "<A", "<FA"),
    TcpState.TIME_WAIT: (*OPENED, ">FA", "<A", "<FA", ">A"),
    TcpState.CLOSE: (*OPENED, ">R"),
    TcpState.SYN_SENT2: (">S", "<S"),
}
"""Which packets bring an entry there: `>` the opener's, `<` the answerer's."""

FLAGS = {Class.SYN: "S", Class.SYN_ACK: "SA", Class.FIN: "FA", Class.ACK: "A", Class.RST: "R", Class.NONE: "P"}
"""A packet of each class; PSH counts for nothing."""

Cell = tuple[bool, Class, TcpState]
"""(reply direction, class of the packet, old state)."""

CELLS: tuple[Cell, ...] = tuple((*row, old) for row in TRANSITIONS for old in PATHS)

UNSEEN: dict[str, frozenset[Cell]] = {
    "a packet without flags is refused as nonsense, before the table is asked": frozenset(
        cell for cell in CELLS if cell[1] is Class.NONE
    ),
    "what belongs to no entry goes in the original direction, and only SYN and ACK make one": frozenset(
        (reply, kind, old)
        for reply, kind, old in CELLS
        if old is TcpState.NONE and (reply or kind not in (Class.SYN, Class.ACK))
    ),
}
"""Cells that no packet ever meets."""

DELETES = {(reply, Class.RST, TcpState.SYN_SENT) for reply in (False, True)}
"""A refused connection's entry goes: where it would have moved cannot be seen."""


def dialogue(cell: Cell, number: int) -> tuple[Packet, ...]:
    """Packets of a flow of its own that meet this cell."""
    reply, kind, old = cell
    ends = {">": f"eth0>eth1 tcp 192.0.2.9 {2000 + number} > 198.51.100.9 80 ",
            "<": f"eth1>eth0 tcp 198.51.100.9 80 > 192.0.2.9 {2000 + number} "}  # fmt: skip
    steps = (*PATHS[old], "><"[reply] + FLAGS[kind])
    return parse_packets("\n".join(ends[step[0]] + step[1:] for step in steps))


@pytest.fixture(scope="module")
def heard() -> Iterator[Judged]:
    """What the kernel does with a dialogue for each cell, without any rules."""
    with consulting("tcp") as oracle:
        yield judged(oracle, Script("iptables-restore", ()), [dialogue(c, i) for i, c in enumerate(CELLS)], KERNEL)


def test_every_cell_is_the_kernels(heard: Judged) -> None:
    """Each kind of packet, from either side, has the ct state and leaves the entry that the table says."""
    assert [None] * len(CELLS) == [each.believed.doubt or None for each in heard.judgements]
    assert [] == [cell for cell, each in zip(CELLS, heard.judgements, strict=True) if not each.agreed]


def test_the_paths_lead_to_their_states(heard: Judged) -> None:
    """Before its last packet the entry of each dialogue is in the state whose cell is asked."""
    for (_, _, old), each in zip(CELLS, heard.judgements, strict=True):
        before = expected(heard.model, each.packets[:-1]).entries
        assert ([old] if old else []) == [entry.state for entry in before or ()]


def wrong(cell: Cell, instead: TcpState | Move) -> Kernel:
    """The oracle's kernel with another step in one cell."""
    reply, kind, old = cell
    row = list(TRANSITIONS[reply, kind])
    row[old] = instead
    return replace(KERNEL, transitions={**TRANSITIONS, (reply, kind): tuple(row)})


def noticed(judgement: Judgement, heard: Judged, kernel: Kernel) -> bool:
    """Whether the kernel's answer to this dialogue contradicts that model."""
    return not replace(judgement, believed=expected(heard.model, judgement.packets, kernel)).agreed


def same(cell: Cell) -> set[TcpState | Move]:
    """What may stand in a cell without a difference that one packet shows."""
    reply, kind, old = cell
    right = TRANSITIONS[reply, kind][old]
    if old is TcpState.NONE:
        return {right, *Move}  # a packet that makes an entry puts it into a state
    if cell in DELETES:
        return {right, *TcpState, Move.IGNORE}
    return {right, old, Move.IGNORE} if right in (old, Move.IGNORE) else {right}


def test_any_broken_cell_is_found(heard: Judged) -> None:
    """Whichever cell that a packet can meet says something else, its dialogue shows it."""
    missed: list[tuple[Cell, TcpState | Move]] = []
    for cell, judgement in zip(CELLS, heard.judgements, strict=True):
        if any(cell in cells for cells in UNSEEN.values()):
            continue
        others: set[TcpState | Move] = {TcpState.ESTABLISHED, TcpState.CLOSE, Move.INVALID, Move.IGNORE}
        missed += [(cell, other) for other in others - same(cell) if not noticed(judgement, heard, wrong(cell, other))]
    assert [] == missed
