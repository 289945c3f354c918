"""The connection tracker's behaviour as data: what a packet without an entry is, and how a TCP entry moves on.

Two rules. `FRESH` is read from the top, the first row whose matches all hold says the state of a packet that belongs
to no entry. A TCP packet of a known entry looks up `TRANSITIONS[reply direction, class of the packet][old state]`.
Both the packet-by-packet evaluator and the set-by-set one read these tables; the kernel judges them in the lab.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState, TcpState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import In
from conntrim.core.netfilter.icmp import ICMP, Icmp, any_code

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


def _icmp(of: Icmp) -> tuple[Row, ...]:
    """What a family's ICMP packets are without an entry."""

    def row(types: Intervals, state: CtState, fact: str, need: Need = Need.NOTHING, makes: bool = True) -> Row:
        return Row((_protocol(of.protocol), In(of.field, any_code(types))), state, fact, need, makes)

    silent = row(of.silent, CtState.UNTRACKED, "neighbour discovery and MLD, untracked by the kernel", makes=False)
    return (
        *((silent,) if of.silent else ()),
        row(of.queries, CtState.NEW, f"an {of.name} query"),
        row(of.replies, CtState.INVALID, "an answer nobody asked for"),
        row(of.errors, CtState.RELATED, f"an {of.name} error", Need.INNER, makes=False),
        Row((_protocol(of.protocol),), CtState.INVALID, f"an {of.name} type that conntrack does not know", makes=False),
    )


_TCP = _protocol(Protocol.TCP)

FRESH: tuple[Row, ...] = (
    Row((_TCP, _flags(SYN, SYN | URG)), CtState.NEW, "a SYN opens a connection"),
    Row((_TCP, _flags(ACK, ACK | URG)), CtState.NEW, "picked up mid-stream", Need.LOOSE),
    Row((_TCP,), CtState.INVALID, "SYN/ACK, FIN, RST and nonsense open nothing"),
    *_icmp(ICMP[Family.IPV4]),
    *_icmp(ICMP[Family.IPV6]),
    Row((_protocol(Protocol.SCTP),), CtState.NEW, "an SCTP chunk that may open an association", Need.CHUNK),
    Row((), CtState.NEW, "UDP and every other protocol: the first packet"),
)  # fmt: skip
"""The state of a packet that has no entry (kernel-facts, second table)."""


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
