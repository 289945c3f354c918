"""The connection tracker's behaviour as data: what a packet without an entry is, and how a TCP entry moves on.

Two rules. `FRESH` is read from the top, the first row whose matches all hold says the state of a packet that belongs
to no entry. A TCP packet of a known entry looks up `TRANSITIONS[reply direction, class of the packet][old state]`.
Both the packet-by-packet evaluator and the set-by-set one read these tables; the kernel judges them in the lab.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from conntrim.core.model.conntrack import CtState, TcpState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Field, In, TcpFlag

FIN, SYN, RST, ACK, URG = TcpFlag.FIN, TcpFlag.SYN, TcpFlag.RST, TcpFlag.ACK, TcpFlag.URG

CHECKED = FIN | SYN | RST | ACK | URG
"""The flags that the sanity check looks at: PSH, ECE and CWR may be set on any packet."""

SANE = Intervals.of(SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG)
"""The combinations of `CHECKED` that are no nonsense; any other packet is INVALID, of a known flow too."""


class Class(IntEnum):
    """What a TCP packet is for the tracker; the first flag in the order RST, SYN, FIN, ACK decides."""

    SYN = 0
    SYN_ACK = 1
    FIN = 2
    ACK = 3
    RST = 4
    NONE = 5


CLASSES: tuple[tuple[int, int, Class], ...] = (
    (RST, RST, Class.RST),
    (SYN | ACK, SYN | ACK, Class.SYN_ACK),
    (SYN, SYN, Class.SYN),
    (FIN, FIN, Class.FIN),
    (ACK, ACK, Class.ACK),
    (0, 0, Class.NONE),
)
"""(mask, value, class), read from the top."""


def class_of(flags: int) -> Class:
    """The class of a packet with these flags."""
    return next(found for mask, value, found in CLASSES if flags & mask == value)


class Need(Enum):
    """What a row of `FRESH` depends on beside the packet itself."""

    NOTHING = "nothing"
    LOOSE = "nf_conntrack_tcp_loose"
    """The row holds with tcp_loose=1; without it the packet is INVALID."""
    INNER = "the flow that the ICMP error is about"
    """RELATED where the inner packet's flow has an entry and is the receiver's own; else INVALID."""
    CHUNK = "what the packet's first chunk is"
    """SCTP and DCCP look deeper than our packets go: not decided."""


@dataclass(frozen=True, slots=True)
class Row:
    """A packet without an entry for which all of `when` hold is in `state`; `fact` cites the measurement.

    `makes` tells whether conntrack tries to make an entry for it, which fails with a full table (K8).
    """

    when: tuple[In, ...]
    state: CtState
    fact: str
    need: Need = Need.NOTHING
    makes: bool = True


def _protocol(number: int) -> In:
    return In(Field.PROTOCOL, Intervals.of(number))


def _flags(*values: int) -> In:
    return In(Field.TCP_FLAGS, Intervals.of(*(int(v) for v in values)), CHECKED)


def _types(field: Field, *types: int | tuple[int, int]) -> In:
    spans = ((t, t) if isinstance(t, int) else t for t in types)
    return In(field, Intervals.of(*((low << 8, high << 8 | 0xFF) for low, high in spans)))


_TCP, _ICMP, _ICMPV6 = _protocol(Protocol.TCP), _protocol(Protocol.ICMP), _protocol(Protocol.ICMPV6)

FRESH: tuple[Row, ...] = (
    Row((_TCP, _flags(SYN, SYN | URG)), CtState.NEW, "a SYN opens a connection"),
    Row((_TCP, _flags(ACK, ACK | URG)), CtState.NEW, "picked up mid-stream", Need.LOOSE),
    Row((_TCP,), CtState.INVALID, "SYN/ACK, FIN, RST and nonsense open nothing"),
    Row((_ICMP, _types(Field.ICMP, 8, 13, 15, 17)), CtState.NEW, "an ICMP query"),
    Row((_ICMP, _types(Field.ICMP, 0, 14, 16, 18)), CtState.INVALID, "an answer nobody asked for"),
    Row((_ICMP, _types(Field.ICMP, 3, 4, 5, 11, 12)), CtState.RELATED, "an ICMP error", Need.INNER, makes=False),
    Row((_ICMP,), CtState.INVALID, "an ICMP type that conntrack does not know", makes=False),
    Row(
        (_ICMPV6, _types(Field.ICMPV6, (130, 136), 143)),
        CtState.UNTRACKED, "neighbour discovery and MLD, untracked by the kernel", makes=False,
    ),
    Row((_ICMPV6, _types(Field.ICMPV6, 128, 139)), CtState.NEW, "an ICMPv6 query"),
    Row((_ICMPV6, _types(Field.ICMPV6, 129, 140)), CtState.INVALID, "an answer nobody asked for"),
    Row((_ICMPV6, _types(Field.ICMPV6, (0, 127))), CtState.RELATED, "an ICMPv6 error", Need.INNER, makes=False),
    Row((_ICMPV6,), CtState.INVALID, "an ICMPv6 type that conntrack does not know", makes=False),
    Row((_protocol(Protocol.SCTP),), CtState.NEW, "an SCTP chunk that may open an association", Need.CHUNK),
    Row((), CtState.NEW, "UDP and every other protocol: the first packet"),
)  # fmt: skip
"""The state of a packet that has no entry (kernel-facts, second table)."""

ICMP_ANSWERS: dict[int, dict[int, int]] = {
    Protocol.ICMP: {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17},
    Protocol.ICMPV6: {128: 129, 129: 128, 139: 140, 140: 139},
}
"""ICMP type of a query to that of its answer, and back; other types have no opposite and so no entry."""


class Move(Enum):
    """A transition that is no new state."""

    IGNORE = "let through, the entry stays as it is"
    INVALID = "the packet is INVALID, the entry stays as it is"


_NEXT: dict[str, TcpState | Move] = {
    "SS": TcpState.SYN_SENT, "SR": TcpState.SYN_RECV, "ES": TcpState.ESTABLISHED, "FW": TcpState.FIN_WAIT,
    "CW": TcpState.CLOSE_WAIT, "LA": TcpState.LAST_ACK, "TW": TcpState.TIME_WAIT, "CL": TcpState.CLOSE,
    "S2": TcpState.SYN_SENT2, "..": Move.IGNORE, "--": Move.INVALID,
}  # fmt: skip

_ROWS: dict[tuple[bool, Class], str] = {
    # old state:              none SS SR ES FW CW LA TW CL S2
    (False, Class.SYN):      "SS   SS .. .. .. .. .. SS SS S2",
    (False, Class.SYN_ACK):  "--   -- SR -- -- -- -- -- -- SR",
    (False, Class.FIN):      "--   -- FW FW LA LA LA TW CL --",
    (False, Class.ACK):      "ES   -- ES ES CW CW TW TW CL --",
    (False, Class.RST):      "--   CL CL CL CL CL CL CL CL CL",
    (False, Class.NONE):     "--   -- -- -- -- -- -- -- -- --",
    (True, Class.SYN):       "--   S2 -- -- -- -- -- SS -- S2",
    (True, Class.SYN_ACK):   "--   SR .. .. .. .. .. .. .. SR",
    (True, Class.FIN):       "--   -- FW FW LA LA LA TW CL --",
    (True, Class.ACK):       "--   .. SR ES CW CW TW TW CL ..",
    (True, Class.RST):       "--   CL CL CL CL CL CL CL CL CL",
    (True, Class.NONE):      "--   -- -- -- -- -- -- -- -- --",
}  # fmt: skip

TRANSITIONS: dict[tuple[bool, Class], tuple[TcpState | Move, ...]] = {
    key: tuple(_NEXT[name] for name in row.split()) for key, row in _ROWS.items()
}
"""(packet goes in the reply direction, its class) to the next state, indexed by the old `TcpState`."""
