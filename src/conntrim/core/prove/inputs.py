"""What the obligations of a plan ask of one family: both rule sets, walked once for all of them, and whose packets are
whose.

The policy's own connections are followed packet by packet, in all directions and with their answers; everybody else's
packets are looked at population by population, as `compare` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from conntrim.core.model.address_types import BROADCAST, LOOPBACK, MULTICAST, AddressType
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import VARYING, Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.model.tcp_flags import BARE_SYN, RESETS
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.prove.cube_cover import Box, boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK, ERRORS, SYN, Flow, conversation
from conntrim.core.prove.names import LOOPBACK as LO
from conntrim.core.prove.nat_preservation import before_tracking
from conntrim.core.prove.packet_text import describe
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Arrangements, Pair
from conntrim.core.prove.populations import DIRECTIONS, Population, Question
from conntrim.core.prove.reachability import Reach, packets_of, reach, shaped
from conntrim.core.prove.symbolic_connection import Conversations
from conntrim.core.prove.watch import Known, Watch

SOMEBODY = "a program opens TCP connections from the service's port"
"""K74: nobody listens there now, or nobody told."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Packets that break an obligation: in words, one of them, and what must hold beside (empty: nothing).

    `population` says what conntrack knows of the witness when it comes; `earlier` are the packets of its connection
    that came before it, where that is asked of the policy's own.
    """

    name: str
    why: str
    witness: Packet
    conditions: dict[str, bool]
    population: Population = Population.UNSOLICITED
    earlier: tuple[Packet, ...] = ()


@dataclass(frozen=True, slots=True)
class Followed:
    """One flow's connections under both rule sets. `scope` are their requests, `whole` the same without a ct state,
    `opened` those that can be opened before and that no rule translates."""

    flow: Flow
    scope: Set
    whole: Set
    before: Conversations
    after: Conversations
    opened: Set


@dataclass(slots=True)
class Inputs:
    """One family; thrown away at its end. `local` are the host's addresses (empty: not known), `listening` the TCP
    ports at which programs listen on all addresses; `translations`: it is asked who is translated;
    `refusals`: who is refused with an answer."""

    space: PacketVars
    pair: Pair
    flows: list[Flow]
    local: Intervals
    loose: bool
    listening: Intervals = Intervals()
    translations: bool = False
    refusals: bool = False
    _questions: dict[Direction, Question] = field(default_factory=dict)
    _followed: dict[int, Followed] = field(default_factory=dict)
    _about: dict[Direction, Set] = field(default_factory=dict)
    _watched: Known = field(init=False)
    _varying: frozenset[str] | None = None

    def __post_init__(self) -> None:
        self._watched = Known(self.refusals)

    # --- walks ------------------------------------------------------------------------------------------------------

    def question(self, direction: Direction) -> Question:
        """One walk of each rule set answers for the policy's packets and for everybody else's."""
        if direction not in self._questions:
            mine = [self.scope(flow) for flow in self.flows if flow.direction is direction]
            more = self.space.sets.either([*mine, self.about(direction)])
            translated = bool(mine) or self.translations
            watch = self.watch(self.pair.along(direction, translated=translated))
            self._questions[direction] = Question(
                self.space, direction, self.pair, self.local or None, self.loose, more=more, watch=watch,
                translated=translated,
            )  # fmt: skip
        return self._questions[direction]

    def doubts(self) -> Iterator[str]:
        """Why nothing is decided about any packet."""
        for direction in DIRECTIONS:
            question = self.question(direction)
            yield from (*question.early, *question.doubts, *question.undecided, *question.others)

    def followed(self, flow: Flow) -> Followed:
        """The connections of one of the policy's flows. Answers have entries, so no nat chain sees them (K4)."""
        if id(flow) not in self._followed:
            scope, lo, back = self.scope(flow), flow.direction is Direction.LOOPBACK, BACK[flow.direction]
            if flow.direction in DIRECTIONS:
                question = self.question(flow.direction)
                there = question.before, question.after
            else:
                pair = self.pair.along(flow.direction)
                there = self.walked(pair, flow.direction, scope, watch=self.watch(pair))
            pair = self.pair.along(back, answers=lo, translated=False)
            here = self.walked(pair, back, scope, mirrored=True, watch=self.watch(pair))
            before, after = (Conversations(self.space, flow, there[n], here[n], self.loose) for n in (0, 1))
            whole = self.stateless(scope)
            opened = whole & before.opened() & ~before.translated()
            self._followed[id(flow)] = Followed(flow, scope, whole, before, after, opened)
        return self._followed[id(flow)]

    def walked(
        self, pair: Arrangements, way: Direction, scope: Set, *, mirrored: bool = False, watch: Watch | None = None
    ) -> tuple[Reach, Reach]:
        """Both rule sets, walked by the same packets."""
        local = self.local or None
        one, other = (reach(self.space, a, way, scope, mirrored=mirrored, local=local, watch=watch) for a in pair)
        return one, other

    def watch(self, arranged: Iterable[Arranged]) -> Watch | None:
        """What of these rules must meet the same packets before and after, if anything."""
        made = Watch.of(arranged, self._watched)
        return made if made.items else None

    # --- whose packets ----------------------------------------------------------------------------------------------

    def scope(self, flow: Flow) -> Set:
        """The requests of a flow's connections."""
        scope = packets_of(self.space, flow.direction, self.local or None) & flow.connections(self.space)
        if flow.direction is Direction.LOOPBACK:  # nobody opens a connection from the port that he serves at
            scope = scope & ~self.space.field(Field.SPORT, flow.fields[Field.DPORT]) & self.unheld()
        return scope

    def own(self, direction: Direction) -> Set:
        """The packets of this direction that the policy itself is about, and the errors that its flows need."""
        space = self.space
        found = space.field(space.icmp, ERRORS[space.family])
        for flow in self.flows:
            if flow.direction is direction:
                found = found | (flow.requests(space) & self._opened(flow))
            elif BACK[flow.direction] is direction:
                asked = space.ends_swapped(flow.requests(space) & self._opened(flow))
                found = found | (flow.answers(space) & asked & ~space.field(Field.TCP_FLAGS, BARE_SYN))
        return found

    def _opened(self, flow: Flow) -> Set:
        """Packets of connections that the rules before let somebody open, or do at times."""
        space, question = self.space, self.question(flow.direction)
        admitted = question.admitted(question.before, Population.UNSOLICITED)
        bare = space.field(Field.TCP_FLAGS, BARE_SYN)
        every = shaped(space, flow.direction)  # an answer to a group, say, is nobody's request
        outside = every & ~self.stateless(question.scope)  # what the change cannot reach was not walked
        opened = flow.carrying(space, admitted | outside, SYN)
        return (opened & bare) | (self.loosened(opened) & ~bare)

    def requests(self, direction: Direction) -> list[Set]:
        """The policy's requests; whether their connections can be opened is asked elsewhere."""
        return [flow.requests(self.space) for flow in self.flows if flow.direction is direction]

    def about(self, direction: Direction) -> Set:
        """ICMP errors about the policy's flows, and the resets that answer unsolicited ones."""
        if direction not in self._about:
            found = packets_of(self.space, direction, self.local or None)
            errors = self.space.field(self.space.icmp, ERRORS[self.space.family])
            if direction is Direction.OUTBOUND:
                resets = self.space.field(Field.TCP_FLAGS, RESETS)
                answers = [flow.answers(self.space) for flow in self.flows if flow.direction is Direction.INBOUND]
                errors = errors | (self._to_untracked(self.space.sets.either(answers) & found) & resets)
            self._about[direction] = found & errors
        return self._about[direction]

    def _to_untracked(self, answers: Set) -> Set:
        """The answers to packets that become untracked: to others REJECT's are RELATED still."""
        flags = self.space.sets.literals(*self.space.bits[Field.TCP_FLAGS])
        scope = answers.exists(flags)
        one, other = map(before_tracking, self.pair.along(Direction.INBOUND))
        old, new = self.walked((one, other), Direction.INBOUND, scope, mirrored=True)
        return answers & (new.untracked & ~old.untracked).exists(flags)

    def lost_without_entry(self, direction: Direction) -> Set:
        """Of these the packets that pass with an entry, RELATED, and not without one, INVALID (K19)."""
        question = self.question(direction)
        old, new, state = question.before, question.after, self.space.state
        was = self.stateless(old.arrived & state(CtState.RELATED))
        now = self.stateless(new.arrived & state(CtState.INVALID)) & ~new.untracked
        now = now | (self.stateless(new.arrived & state(CtState.UNTRACKED)) & new.untracked)
        return self.stateless(self.about(direction)) & was & ~now

    def unheld(self) -> Set:
        """What this host's programs may open: no TCP connection from a port at which one of them listens (K74)."""
        held = self.space.field(Field.SPORT, self.listening) & self.space.protocol(Protocol.TCP)
        return ~held

    def from_services(self) -> Set:
        """What comes from the port of a service that this host serves."""
        ports = [f.fields for f in self.flows if f.direction in (Direction.INBOUND, Direction.LOOPBACK)]
        space = self.space
        return space.sets.either(
            [space.field(Field.PROTOCOL, p[Field.PROTOCOL]) & space.field(Field.SPORT, p[Field.DPORT]) for p in ports]
        )

    def stateless(self, found: Set) -> Set:
        """The packets of a set, whatever their ct state."""
        return self.space.any_state(found)

    def loosened(self, found: Set) -> Set:
        """Without what varies between the packets of a connection, or from one moment to the next."""
        if self._varying is None:
            ways = [(flow.direction, flow.direction is Direction.LOOPBACK) for flow in self.flows]
            pairs = [self.pair.along(way) for way, _ in ways]
            pairs += [self.pair.along(BACK[way], answers=lo, translated=False) for way, lo in ways]
            self._varying = frozenset(t for w in map(self.watch, pairs) if w for t in w.texts)
        space = self.space
        free = [space.free[text] for text in sorted(self._varying) if text in space.free]
        return found.exists(space.sets.literals(*free, *(n for f in VARYING for n in space.bits.get(f, ()))))

    # --- words ------------------------------------------------------------------------------------------------------

    def broken(
        self, name: str, why: str, packets: Set, universe: Set, population: Population = Population.UNSOLICITED,
        *, unheld: bool = False,
    ) -> Iterator[Broken]:  # fmt: skip
        """What breaks an obligation, if anything does. `unheld`: only where a program opens TCP connections from its
        port."""
        for words, box in self._shown(why, packets, universe, unheld=unheld):
            yield Broken(name, words, box.witness, box.conditions, population)

    def broken_of(
        self, name: str, why: str, packets: Set, flow: Flow, step: tuple[str, int], *, universe: Set,
        unheld: bool = False,
    ) -> Iterator[Broken]:  # fmt: skip
        """The same of connections, told by their requests: the packet that is meant is the way and flags of `step`."""
        for words, box in self._shown(why, packets, universe, unheld=unheld):
            *earlier, witness = conversation(flow, box.witness, *step)
            yield Broken(name, words, witness, box.conditions, earlier=tuple(earlier))

    def told(self, why: str, packets: Set, universe: Set) -> Iterator[str]:
        """Packets in words, if there are any."""
        yield from (words for words, _ in self._shown(why, packets, universe, unheld=False))

    def _shown(self, why: str, packets: Set, universe: Set, *, unheld: bool) -> Iterator[tuple[str, Box]]:
        if packets == self.space.nothing:
            return
        (box, *_), _ = boxes(self.space, packets, universe, 1)
        box = replace(box, witness=self.typed(box.witness))
        words = f"{why}: {describe(self.space, box)}"
        if unheld:
            words = f"{words}; not so while a program listens at that port on all addresses"
            box = replace(box, conditions={**box.conditions, SOMEBODY: True})
        yield words, box

    def typed(self, packet: Packet) -> Packet:
        """A packet that this host sends or takes in under an address which is none of its own says so."""
        if not self.local or (packet.iif and packet.oif not in ("", LO)):
            return packet
        ours = self.local | LOOPBACK | MULTICAST | BROADCAST
        if packet.oif and packet.src not in ours:
            return replace(packet, src_type=AddressType.UNICAST)
        return replace(packet, dst_type=AddressType.UNICAST) if packet.iif and packet.dst not in ours else packet
