"""The trace of a chain: who comes to each rule and who fits it, in the order in which packets come by."""

from __future__ import annotations

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import TableFamily
from conntrim.core.model.service import Direction, Hook
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.chains import Trace, trace
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.reachability import encoder

RULES = """*filter
:INPUT DROP [0:0]
:OPEN - [0:0]
-A INPUT -p udp -j RETURN
-A INPUT -m conntrack --ctstate NEW -j OPEN
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A OPEN -p tcp -m tcp --dport 80 -j ACCEPT
-A OPEN -p tcp -m tcp --dport 81 -j DROP
COMMIT
"""


def traced(state: CtState, rules: str = RULES) -> tuple[PacketVars, Trace]:
    """All packets of one state in INPUT."""
    ruleset = read(rules, "x", TableFamily.IP)
    space = PacketVars(Family.IPV4, Names.of((ruleset,)))
    states = dict.fromkeys(CtState, space.nothing) | {state: space.everything}
    (table,) = ruleset.tables
    chain = table.chain("INPUT")
    assert chain is not None
    view = encoder(space, Direction.INBOUND, Hook.INPUT, states, None)
    return space, trace(view, table, chain, space.everything)


def tcp(space: PacketVars, port: int) -> Set:
    """TCP packets to a port."""
    return space.protocol(Protocol.TCP) & space.field(Field.DPORT, Intervals.of(port))


def test_visits_follow_jumps_in_order() -> None:
    """A chain's rules stand behind the jump that leads there, with that jump as their path; first match decides."""
    space, found = traced(CtState.NEW)
    assert [(v.chain, len(v.path)) for v in found.visits] == [
        ("INPUT", 0), ("INPUT", 0), ("OPEN", 1), ("OPEN", 1), ("INPUT", 0),
    ]  # fmt: skip
    udp = space.protocol(Protocol.UDP)
    assert [v.fits for v in found.visits] == [udp, ~udp, tcp(space, 80), tcp(space, 81), tcp(space, 22)]
    assert found.visits[-1].comes == ~udp & ~tcp(space, 80) & ~tcp(space, 81)
    assert found.passed == tcp(space, 80) | tcp(space, 22)
    assert found.left == ~found.passed & ~tcp(space, 81)


def test_who_is_in_another_state_does_not_enter() -> None:
    """Untracked packets pass the jump by: nobody is traced in the chain behind it."""
    space, found = traced(CtState.UNTRACKED)
    assert [v.chain for v in found.visits] == ["INPUT"] * 3
    assert found.visits[1].fits == space.nothing
    assert found.passed == tcp(space, 22)


def test_a_mark_set_on_the_way_is_asked_as_it_is_then() -> None:
    """What a rule marks fits a later rule that asks for the mark, and a visit tells the mark of its packets."""
    marking = RULES.replace("-A INPUT -p udp -j RETURN", "-A INPUT -p udp -j MARK --set-xmark 0x1/0xffffffff")
    rules = marking.replace("-p tcp -m tcp --dport 22 -j", "-p udp -m udp --dport 22 -m mark --mark 0x1 -j")
    rules = rules.replace("*filter", "*mangle").replace(":INPUT DROP", ":INPUT ACCEPT")
    space, found = traced(CtState.UNTRACKED, rules)
    last = found.visits[-1]
    assert last.fits == space.protocol(Protocol.UDP) & space.field(Field.DPORT, Intervals.of(22))
    assert last.mark is not None
