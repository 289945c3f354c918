"""One family's side of a plan: where it breaks an obligation, and what it newly admits within its own connections.

The policy's own connections are followed packet by packet, in all directions and with their answers; everybody else's
packets are looked at population by population, as `compare` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import BROADCAST, LOOPBACK, MULTICAST, AddressType
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Field, Helper, TcpFlag
from conntrim.core.model.service import Direction
from conntrim.core.model.tcp_flags import BARE_SYN, SYN_MASK, flags_where
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.alike import Alike
from conntrim.core.prove.compare import DIRECTIONS, Population, Question
from conntrim.core.prove.cube_cover import boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.falling import Falling
from conntrim.core.prove.flows import BACK, SYN, Flow, conversation, others
from conntrim.core.prove.nat_preservation import Kept, before_tracking
from conntrim.core.prove.packet_text import describe, reach_of
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Arrangements, Pair
from conntrim.core.prove.reachability import Reach, packets_of, reach
from conntrim.core.prove.symbolic_connection import Conversations

MOST_RESIDUAL = 3
"""Boxes told of what a policy newly admits in one direction."""

OWN_PORT = (
    "of connections that this host itself opens from the service's port to whom the rules do not let ask it "
    "(`from` in the policy keeps them apart)"
)
SOMEBODY = "a program opens TCP connections from the service's port"
"""K74: nobody listens there now, or nobody told."""

RESETS = flags_where(lambda flags: flags & SYN_MASK in (TcpFlag.RST, TcpFlag.RST | TcpFlag.ACK))
ERRORS: dict[Family, Intervals] = {
    Family.IPV4: Intervals.of(*((t << 8, t << 8 | 0xFF) for t in (3, 11, 12))),
    Family.IPV6: Intervals.of((1 << 8, 4 << 8 | 0xFF)),
}
"""ICMP errors that connections live by: unreachable and too big, time exceeded, parameter problem."""


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
    population: Population = Population.STRANGERS
    earlier: tuple[Packet, ...] = ()


@dataclass(slots=True)
class Case:
    """One family; thrown away at its end."""

    space: PacketVars
    pair: Pair
    flows: list[Flow]
    local: Intervals
    loose: bool
    listening: Intervals = Intervals()
    broken: list[Broken] = field(default_factory=list)
    residual: list[str] = field(default_factory=list)
    costs: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    questions: dict[Direction, Question] = field(default_factory=dict)
    alike: Alike = field(init=False)

    def run(self) -> None:
        """All obligations, one after the other."""
        self.alike = Alike(self.space, self.pair, self.local or None)
        self.questions |= {direction: self._question(direction) for direction in DIRECTIONS}
        for flow in self.flows:
            self._flow(flow)
        for direction in DIRECTIONS:
            self._everybody(direction)
        for direction in (*DIRECTIONS, Direction.LOOPBACK):
            self._halves(direction)
        whole = self.pair.whole()
        tcp = self._from_services() & self.space.protocol(Protocol.TCP)
        for cut in Kept(self.space, whole, self._unheld(), self.local or None).cuts():
            mine = tcp if cut.direction in (Direction.OUTBOUND, Direction.LOOPBACK) else self.space.nothing
            self._found("nat-kept", cut.why, cut.packets & ~mine, cut.universe)
            self._found("nat-kept", cut.why, cut.packets & mine, cut.universe, unheld=True)

    def _question(self, direction: Direction) -> Question:
        """One walk of each rule set answers for the policy's packets and for everybody else's."""
        mine = [self._scope(flow) for flow in self.flows if flow.direction is direction]
        more = self.space.sets.either([*mine, self._about(direction)])
        return Question(self.space, direction, self.pair, self.local or None, self.loose, more=more)

    # --- the policy's own connections -----------------------------------------------------------------------------

    def _flow(self, flow: Flow) -> None:
        scope, question = self._scope(flow), self.questions.get(flow.direction)
        if question:
            there = question.before, question.after
        else:
            there = self._walked(self.pair.along(flow.direction), flow.direction, scope)
        lo = flow.direction is Direction.LOOPBACK
        back = self._walked(
            self.pair.along(BACK[flow.direction], answers=lo), BACK[flow.direction], scope, mirrored=True
        )
        before, after = (Conversations(self.space, flow, there[n], back[n], self.loose) for n in (0, 1))
        self.alike.flow(flow, scope, before, after)
        whole = self._stateless(scope)
        opened = whole & before.opened() & ~before.translated()
        requests, answers = flow.flags()
        for name, ways in (("request", requests), ("answer", answers)):
            for flags in ways:
                what = f"a packet of {flow.label}" if name == "request" else f"an answer of {flow.label}"
                tracked = opened & ~after.untracked(name, flags)
                self._found("two-sided", f"{what} stays tracked", tracked, whole, flow, name, flags)
                lost = opened & before.passes(name, flags) & ~after.passes(name, flags)
                self._found("delivered", f"{what} is newly dropped", lost, whole, flow, name, flags)
        self.costs += Falling(before, opened, self.pair.whole()[0], self.local).costs()

    def _scope(self, flow: Flow) -> Set:
        scope = packets_of(self.space, flow.direction, self.local or None) & flow.connections(self.space)
        if flow.direction is Direction.LOOPBACK:  # nobody opens a connection from the port that he serves at
            scope = scope & ~self.space.field(Field.SPORT, flow.fields[Field.DPORT])
        return scope

    def _walked(self, pair: Arrangements, way: Direction, scope: Set, *, mirrored: bool = False) -> tuple[Reach, Reach]:
        one, other = (reach(self.space, a, way, scope, mirrored=mirrored, local=self.local or None) for a in pair)
        return one, other

    def _stateless(self, found: Set) -> Set:
        return found.exists(self.space.sets.literals(*self.space.bits[Field.CT_STATE]))

    # --- everybody else's -----------------------------------------------------------------------------------------

    def _everybody(self, direction: Direction) -> None:
        question = self.questions[direction]
        self.doubts += (*question.doubts, *question.undecided)
        own = self._own(question, direction)
        for population in Population:
            universe = question.universe(population)
            old, new = (question.admitted(r, population) & universe for r in (question.before, question.after))
            who = f"{population} {direction}"
            if population is Population.STRANGERS:
                self._found("no-exposure", f"newly admitted, {who}", new & ~old & ~own, universe)
                self._rest(new & ~old & own, universe, direction)
                self._found("no-loss", f"newly dropped, {who}", old & ~new, universe)
            else:
                about = self.space.sets.either([own, *self._requests(direction)])
                self._found("no-loss", f"newly dropped, {who}", old & ~new & ~about, universe, population)
        self._answers(question, direction)
        self._helpers(question, direction)

    def _halves(self, direction: Direction) -> None:
        """Connections that are none of the policy's and of which some packets become untracked (K14, K15)."""
        touched = self._touched(direction)
        opens = direction in (Direction.OUTBOUND, Direction.LOOPBACK)
        for flow in others(self.space.family, direction):
            whole = flow.connections(self.space) & touched
            mine = self._from_services() if opens else self.space.nothing
            for own, scope in ((True, whole & mine), (False, whole & ~mine)):
                if scope != self.space.nothing:
                    self._half(replace(flow, label=OWN_PORT) if own else flow, direction, scope)

    def _half(self, flow: Flow, direction: Direction, scope: Set) -> None:
        there = self._walked(self.pair.whole(), direction, scope)
        back = self._walked(self.pair.whole(), BACK[direction], scope, mirrored=True)
        before, after = (Conversations(self.space, flow, there[n], back[n], self.loose) for n in (0, 1))
        opened, whole = before.opened(), self._stateless(scope)
        for name, ways in zip(("request", "answer"), flow.flags(), strict=True):
            for flags in ways:
                lost = opened & before.passes(name, flags) & ~after.passes(name, flags)
                unheld = flow.label == OWN_PORT and flow.protocol == Protocol.TCP
                self._found("no-loss", f"newly dropped, {flow.label}", lost, whole, flow, name, flags, unheld=unheld)

    def _from_services(self) -> Set:
        """What comes from the port of a service that this host serves."""
        ports = [f.fields for f in self.flows if f.direction in (Direction.INBOUND, Direction.LOOPBACK)]
        space = self.space
        return space.sets.either(
            [space.field(Field.PROTOCOL, p[Field.PROTOCOL]) & space.field(Field.SPORT, p[Field.DPORT]) for p in ports]
        )

    def _touched(self, direction: Direction) -> Set:
        """The requests of those connections: they or their answers become untracked."""
        space, pair, back = self.space, self.pair, BACK[direction]
        universe, found = self._anybodys(direction), space.nothing
        for way, turned in ((direction, False), (back, True)):
            meeting = region(space, way, along(pair.changed, way), self.local or None, mirrored=turned)
            one, other = map(before_tracking, pair.along(way))
            old, new = self._walked((one, other), way, universe & meeting, mirrored=turned)
            found = found | (new.untracked & ~old.untracked)
        flags = space.sets.literals(*space.bits[Field.TCP_FLAGS])
        return universe & found.exists(flags) & ~space.sets.either(self._requests(direction))

    def _anybodys(self, direction: Direction) -> Set:
        """The first packets of all connections, those under an address that is none of this host's among them."""
        local = self.local or None
        found = packets_of(self.space, direction, local)
        if direction is Direction.LOOPBACK:
            ours = self.local | LOOPBACK
            found = found & self.space.field(Field.SRC, ours) & self.space.field(Field.DST, ours)
        elif direction is not Direction.FORWARDED:
            found = found | packets_of(self.space, direction, local, foreign=True)
        return found & self._unheld() if direction in (Direction.OUTBOUND, Direction.LOOPBACK) else found

    def _unheld(self) -> Set:
        """What this host's programs may open: no TCP connection from a port at which one of them listens (K74)."""
        held = self.space.field(Field.SPORT, self.listening) & self.space.protocol(Protocol.TCP)
        return ~held

    def _requests(self, direction: Direction) -> list[Set]:
        """The policy's requests; whether their connections can be opened is asked elsewhere."""
        return [flow.requests(self.space) for flow in self.flows if flow.direction is direction]

    def _own(self, question: Question, direction: Direction) -> Set:
        """The packets of this direction that the policy itself is about, and the errors that its flows need."""
        space = self.space
        found = space.field(space.icmp, ERRORS[space.family])
        admitted = question.admitted(question.before, Population.STRANGERS)
        bare = space.field(Field.TCP_FLAGS, BARE_SYN)
        for flow in self.flows:
            if flow.direction is direction:
                outside = ~self._stateless(question.scope)  # what the change cannot reach was not walked
                opened = flow.carrying(space, admitted | outside, SYN)
                opened = (opened & bare) | (self.alike.loosened(opened) & ~bare)  # who may at times open one
                found = found | (flow.requests(space) & opened)
            elif BACK[flow.direction] is direction:
                found = found | (flow.answers(space) & ~bare)
        return found

    def _rest(self, found: Set, universe: Set, direction: Direction) -> None:
        """What is newly admitted inside the policy's own legs, the largest box first, and who that is."""
        parts, whole = boxes(self.space, found, universe, MOST_RESIDUAL)
        for box in parts:
            self.residual.append(f"{describe(self.space, box)}: {reach_of(box)}, {direction}")
        if not whole:
            self.residual.append(f"and more, {direction}")

    def _answers(self, question: Question, direction: Direction) -> None:
        """ICMP errors and resets about the policy's flows: RELATED before, without an entry (INVALID) after (K19)."""
        if direction is Direction.FORWARDED:
            return
        name = "errors-return" if direction is Direction.INBOUND else "answers-leave"
        old, new = question.before, question.after
        was = self._stateless(old.arrived & self.space.state(CtState.RELATED))
        now = self._stateless(new.arrived & self.space.state(CtState.INVALID)) & ~new.untracked
        now = now | (self._stateless(new.arrived & self.space.state(CtState.UNTRACKED)) & new.untracked)
        lost, universe = self._about(direction) & was & ~now, question.universe(Population.STRANGERS)
        self._found(name, "dropped without an entry, let through with one", lost, universe)
        self.alike.errors(direction, self._about(direction))

    def _about(self, direction: Direction) -> Set:
        """ICMP errors about the policy's flows, and the resets that answer strangers' packets."""
        found = packets_of(self.space, direction, self.local or None)
        errors = self.space.field(self.space.icmp, ERRORS[self.space.family])
        if direction is not Direction.OUTBOUND:
            return found & errors
        resets = self.space.field(Field.TCP_FLAGS, RESETS)
        answers = [flow.answers(self.space) for flow in self.flows if flow.direction is Direction.INBOUND]
        return found & (errors | (self._to_untracked(self.space.sets.either(answers) & found) & resets))

    def _to_untracked(self, answers: Set) -> Set:
        """The answers to packets that become untracked: to others REJECT's are RELATED still."""
        flags = self.space.sets.literals(*self.space.bits[Field.TCP_FLAGS])
        scope = answers.exists(flags)
        one, other = map(before_tracking, self.pair.along(Direction.INBOUND))
        old, new = self._walked((one, other), Direction.INBOUND, scope, mirrored=True)
        return answers & (new.untracked & ~old.untracked).exists(flags)

    def _helpers(self, question: Question, direction: Direction) -> None:
        """Newly untracked packets must not be ones that a rule gave a helper."""
        universe = question.universe(Population.STRANGERS)
        newly = question.after.untracked & ~question.before.untracked
        for _, hit in question.before.hits:
            packets = self._stateless(hit.packets)
            if isinstance(hit.statement, Helper):
                why = f"{hit.rule.place} gives packets that become untracked the helper {hit.statement.name}"
                self._found("helper-kept", why, packets & newly, universe)

    # --- findings ---------------------------------------------------------------------------------------------------

    def _found(self, name: str, why: str, packets: Set, universe: Set, *told: object, unheld: bool = False) -> None:
        """Note what breaks an obligation. `unheld`: only where a program opens TCP connections from its port."""
        if packets == self.space.nothing:
            return
        (box, *_), _ = boxes(self.space, packets, universe, 1)
        box = replace(box, witness=self._typed(box.witness))
        words = f"{why}: {describe(self.space, box)}"
        if unheld:
            words = f"{words}; not so while a program listens at that port on all addresses"
            box = replace(box, conditions={**box.conditions, SOMEBODY: True})
        match told:
            case (Flow() as flow, str() as way, int() as flags):
                *earlier, witness = conversation(flow, box.witness, way, flags)
                self.broken.append(Broken(name, words, witness, box.conditions, earlier=tuple(earlier)))
            case (Population() as population,):
                self.broken.append(Broken(name, words, box.witness, box.conditions, population))
            case _:
                self.broken.append(Broken(name, words, box.witness, box.conditions))

    def _typed(self, packet: Packet) -> Packet:
        """A packet that this host sends or takes in under an address which is none of its own says so."""
        if not self.local or (packet.iif and packet.oif):
            return packet
        ours = self.local | LOOPBACK | MULTICAST | BROADCAST
        if packet.oif and packet.src not in ours:
            return replace(packet, src_type=AddressType.UNICAST)
        return replace(packet, dst_type=AddressType.UNICAST) if packet.iif and packet.dst not in ours else packet
