"""A flow's connections packet by packet, all at once: which of them get each packet through.

The evaluator's own tracker is asked what a packet is; connections that share a table so far go through it together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.nat import Nat
from conntrim.core.model.packet import Packet
from conntrim.core.netfilter.conntrack import Seen, track
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import EMPTY, Memory
from conntrim.core.netfilter.skb import Answers, Skb, Tracked
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import Flow, Steps, turn, turns
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.reachability import Reach

STAND_IN = (0xFFFFC0000201, 0xFFFFC0000202, 40_000)
"""Addresses and the client's port of the connection that stands for all: the tracker sees nothing but who is who."""


Tables = dict[Memory, Set]
"""Connections by the conntrack table that they find."""


@dataclass(slots=True)
class Conversations:
    """What one rule set does with a flow's requests and with their answers, both told by the request."""

    space: PacketVars
    flow: Flow
    there: Reach
    back: Reach
    loose: bool = True
    _known: dict[Steps, tuple[dict[Memory, Set], Set]] = field(default_factory=dict)
    _passing: dict[tuple[str, int, CtState], Set] = field(default_factory=dict)

    def opened(self) -> Set:
        """The connections that can be opened: the first packets of the dialogue pass."""
        requests, answers = self.flow.flags()
        found = self.passes("request", requests[0]) & self.passes("answer", answers[0])
        return found & self.passes("request", requests[min(1, len(requests) - 1)])

    def translated(self) -> Set:
        """The connections that a rule translates: they are not to become untracked (nat-kept)."""
        hits = [self.space.any_state(hit.packets) for _, hit in self.there.hits if isinstance(hit.statement, Nat)]
        opening = self.flow.flags()[0][0]
        return self.space.sets.either([self.flow.carrying(self.space, found, opening) for found in hits])

    def untracked(self, way: str, flags: int) -> Set:
        """The connections whose packet with these flags raw rules leave untracked."""
        return self.flow.carrying(self.space, self._reach(way).untracked, flags)

    def passes(self, way: str, flags: int) -> Set:
        """The connections whose packet with these flags passes, in the state in which those before it left them."""
        return self._along(turns(self.flow, way, flags))[1]

    def goes(self, steps: Steps) -> Set:
        """The connections that get the last of these packets through where the table knew nothing before the first."""
        return self._along(steps)[1]

    def among(self, found: Set, step: tuple[str, int], tables: Tables) -> Set:
        """The connections whose next packet is among the packets found, in the state that these tables give it."""
        who, flags = step
        packet, free = turn(self.flow, self._sample(), who, flags), self.untracked(who, flags)
        ways = [free & self._carried(found, flags, CtState.UNTRACKED)]
        for memory, connections in tables.items():
            state, _, _ = tracked(packet, memory, self.loose)
            ways.append(connections & ~free & self._carried(found, flags, state))
        return self.space.sets.either(ways)

    def behind(self, steps: Steps, loosened: Callable[[Set], Set]) -> Tables:
        """The tables behind these packets, all of which pass: what `loosened` takes away may be otherwise for each."""
        tables: Tables = {EMPTY: self.space.everything}
        for who, flags in steps:
            after, passed = self._next(tables, turn(self.flow, self._sample(), who, flags), who, flags)
            tables = {memory: loosened(part & passed) for memory, part in after.items()}
        return tables

    def _along(self, steps: Steps) -> tuple[dict[Memory, Set], Set]:
        """The tables after these packets, and the connections that get the last one through."""
        if not steps:
            return {EMPTY: self.space.everything}, self.space.nothing
        if steps not in self._known:
            tables, _ = self._along(steps[:-1])
            self._known[steps] = self._next(tables, turn(self.flow, self._sample(), *steps[-1]), *steps[-1])
        return self._known[steps]

    def _next(self, tables: dict[Memory, Set], packet: Packet, who: str, flags: int) -> tuple[dict[Memory, Set], Set]:
        """One packet further: the tables afterwards, and the connections that get it through."""
        free = self.untracked(who, flags)
        passed = free & self._in(who, flags, CtState.UNTRACKED)
        after: dict[Memory, Set] = {}
        for memory, connections in tables.items():
            mine = connections & ~free
            state, new, kept = tracked(packet, memory, self.loose)
            through = mine & self._in(who, flags, state)
            passed = passed | through
            # A new entry stays only if its packet gets through: it is confirmed behind all rules.
            for table, part in ((new, through), (kept, mine & ~through), (memory, connections & free)):
                after[table] = after.get(table, self.space.nothing) | part
        return {table: part for table, part in after.items() if part != self.space.nothing}, passed

    def _sample(self) -> Packet:
        source, target, port = STAND_IN
        return Packet(self.flow.family, self.flow.protocol, source, target, port, 80)

    def _reach(self, way: str) -> Reach:
        return self.there if way == "request" else self.back

    def _in(self, way: str, flags: int, state: CtState) -> Set:
        """The connections whose packet with these flags arrives when it is in this state."""
        key = way, flags, state
        if key not in self._passing:
            self._passing[key] = self._carried(self._reach(way).arrived, flags, state)
        return self._passing[key]

    def _carried(self, found: Set, flags: int, state: CtState) -> Set:
        """The connections of which a packet with these flags, in this state, is among those found."""
        return self.flow.carrying(self.space, self.space.any_state(found & self.space.state(state)), flags)


@lru_cache(maxsize=1024)
def tracked(packet: Packet, memory: Memory, loose: bool) -> tuple[CtState, Memory, Memory]:
    """The packet's state, the table if it gets through, and if it does not; both rule sets ask for the same."""
    skb, seen = _looked_up(packet, memory, loose)
    if isinstance(seen.attached, Tracked) and not seen.attached.confirmed:
        return skb.state, seen.memory.having(seen.attached.entry), seen.memory
    return skb.state, seen.memory, seen.memory


def entry_of(packet: Packet, memory: Memory, loose: bool) -> Tracked | None:
    """How the packet belongs to an entry, if it does."""
    attached = _looked_up(packet, memory, loose)[1].attached
    return attached if isinstance(attached, Tracked) else None


def _looked_up(packet: Packet, memory: Memory, loose: bool) -> tuple[Skb, Seen]:
    skb = Skb(packet, Kernel(tcp_loose=loose), Answers({}))
    seen = track(skb, memory)
    skb.attached = seen.attached
    return skb, seen
