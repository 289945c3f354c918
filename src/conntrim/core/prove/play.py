"""What one rule set does with dialogues between all ends at once, packet by packet, each in the state that the earlier
ones left (K14).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.nat import Nat
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import SetZone
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.dialogue import Talk
from conntrim.core.netfilter.memory import EMPTY, Memory
from conntrim.core.prove.assumed import answered, possible
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.entries_told import EntryQuestions
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.reachability import Reach
from conntrim.core.prove.scripts import Script, Turn, opener
from conntrim.core.prove.symbolic_connection import STAND_IN, Tables, entry_of, tracked
from conntrim.core.prove.taking import carried, lengthless


@dataclass(slots=True)
class Play:
    """What one rule set does with the packets of one direction and with their answers, both told by the request."""

    space: PacketVars
    there: Reach
    back: Reach
    questions: EntryQuestions
    proxies: tuple[str, ...] = ()
    loose: bool = True
    _passing: dict[tuple[bool, int, int | None, int | None, int | None, CtState], Set] = field(default_factory=dict)
    _played: dict[tuple[Talk, tuple[Turn, ...]], tuple[Tables, Set]] = field(default_factory=dict)
    _in_zones: Set | None = None

    def completes(self, script: Script) -> tuple[Set, Set]:
        """The connections all of whose packets pass, and those that leave an entry."""
        tables, whole = self._after(script, len(script.turns))
        return whole, self.space.sets.either([found for memory, found in tables.items() if memory.entries])

    def _after(self, script: Script, count: int) -> tuple[Tables, Set]:
        """The tables after so many packets of a dialogue, or after the one that no connection gets through, and the
        connections of which all got through; dialogues that begin alike are played once up to there."""
        if not count:
            return {EMPTY: self.space.everything}, self.space.everything
        key = script.talk, script.turns[:count]
        if key not in self._played:
            tables, whole = self._after(script, count - 1)
            if whole != self.space.nothing:
                packet = script.between(opener(self.space, script.talk))[count - 1]
                tables, passed = self._next(tables, script.turns[count - 1].back, packet)
                whole = whole & passed
            self._played[key] = tables, whole
        return self._played[key]

    def untracked(self, script: Script) -> Set:
        """The connections of which rules untrack a packet; errors do not count."""
        packets = script.between(opener(self.space, script.talk))
        turns = zip(script.turns, packets, strict=True)
        found = [carried(self.space, self._way(t.back).untracked, p) for t, p in turns if t.about is None]
        return self.space.sets.either(found)

    def answered(self, handshake: Script) -> Set:
        """The connections whose SYN/ACK leaves where a proxy answers an untracked SYN: no entry knows it (K138)."""
        first = handshake.between(opener(self.space, handshake.talk))[0]
        packet = replace(reply_to(first), tcp_flags=int(TcpFlag.SYN | TcpFlag.ACK))
        free = carried(self.space, self.back.untracked, packet)
        return free.ite(self._in(True, packet, CtState.UNTRACKED), self._in(True, packet, CtState.INVALID))

    def split(self, script: Script, *, loop: bool) -> tuple[Set, ...]:
        """The connections of which one way alone is given a zone, apart by which: their answers find no entry. What
        comes round lo (`loop`) a rule for its zone may track again in PREROUTING (K10), so there both ways may have
        one; elsewhere only those count whose first packet may be let in."""
        packets = script.between(opener(self.space, script.talk))
        found = []
        for back in (False, True):
            zoned = self.space.any_state(self.space.sets.either([
                hit.packets for _, hit in self._way(back).hits if isinstance(hit.statement, SetZone)
            ]))  # fmt: skip
            mine = next((p for turn, p in zip(script.turns, packets, strict=True) if turn.back is back), None)
            found.append(self.space.nothing if mine is None else carried(self.space, zoned, mine))
        requests, answers = found
        ways = requests & ~answers, answers & ~requests
        if loop:
            return *ways, requests & answers
        opened = possible(self.space, self._in(False, packets[0], CtState.NEW), {})
        return tuple(way & opened for way in ways)

    def translated(self, script: Script, *, answer: bool = False) -> Set:
        """The connections of which a rule translates a request, or an answer, that is NEW."""
        hits = [hit.packets for _, hit in self._way(answer).hits if isinstance(hit.statement, Nat)]
        found = self.space.any_state(self.space.sets.either(hits))
        packets = zip(script.turns, script.between(opener(self.space, script.talk)), strict=True)
        mine = {p for turn, p in packets if turn.back is answer and turn.about is None}
        return self.space.sets.either([carried(self.space, found, packet) for packet in mine])

    def by_translation(self, script: Script, connections: Set) -> Iterator[Set]:
        """Connections apart by the rule that translates their first packet."""
        first = script.between(opener(self.space, script.talk))[0]
        for _, hit in self.there.hits:
            if isinstance(hit.statement, Nat):
                mine = connections & carried(self.space, self.space.any_state(hit.packets), first)
                connections = connections & ~mine
                yield mine
        yield connections

    def _next(self, tables: Tables, back: bool, packet: Packet) -> tuple[Tables, Set]:
        """One packet further: the tables afterwards, and the connections that get it through."""
        free = carried(self.space, self._way(back).untracked, packet)
        passed = free & self._in(back, packet, CtState.UNTRACKED)
        after: dict[Memory, Set] = {}
        for memory, connections in tables.items():
            mine = connections & ~free
            state, new, kept = tracked(packet, memory, self.loose)
            through = mine & self._asking(self._in(back, packet, state), packet, memory)
            passed = passed | through
            for table, part in ((new, through), (kept, mine & ~through), (memory, connections & free)):
                after[table] = after.get(table, self.space.nothing) | part
        return {table: part for table, part in after.items() if part != self.space.nothing}, passed

    def _in(self, back: bool, packet: Packet, state: CtState) -> Set:
        """The connections whose packet arrives when it is in this state."""
        key = back, packet.protocol, packet.tcp_flags, packet.icmp, packet.length, state
        if key not in self._passing:
            arrived = self._past_proxies(self._way(back).arrived & self.space.state(state), packet.tcp_flags)
            self._passing[key] = carried(self.space, self.space.any_state(arrived), packet)
        return self._passing[key]

    def _past_proxies(self, arrived: Set, flags: int | None) -> Set:
        """What gets by rules that answer SYNs (`proxies`: their questions), of connections whose SYN they do not take:
        an ACK that their answer did not earn is dropped, and what is neither goes on (K138)."""
        if not self.proxies or flags is None or flags & TcpFlag.SYN:
            return arrived
        dropped = bool(flags & TcpFlag.ACK) and not flags & (TcpFlag.FIN | TcpFlag.RST)
        given = dict.fromkeys(self.proxies, dropped) | {f"{text} accepts": False for text in self.proxies}
        return answered(self.space, arrived, given)

    def _asking(self, passing: Set, packet: Packet, memory: Memory) -> Set:
        """The connections that pass, with what rules ask of the packet's entry answered by it."""
        attached = entry_of(packet, memory, self.loose) if self.questions else None
        return passing if attached is None else self.questions.settled(passing, attached, STAND_IN[0], self._zoned)

    @property
    def _zoned(self) -> Set:
        """The connections to a packet of which a rule gives a zone."""
        if self._in_zones is None:
            ways = (hit for way in (self.there, self.back) for _, hit in way.hits if isinstance(hit.statement, SetZone))
            found = lengthless(self.space, self.space.any_state(self.space.sets.either([hit.packets for hit in ways])))
            bits = self.space.bits
            of_packets = self.space.sets.literals(*sorted((*bits[Field.TCP_FLAGS], *bits[self.space.icmp])))
            self._in_zones = found.exists(of_packets)
        return self._in_zones

    def _way(self, back: bool) -> Reach:
        return self.back if back else self.there
