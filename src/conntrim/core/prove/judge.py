"""The obligations of a plan, decided for all packets: before and after, whatever the rules of the two look like.

What a policy's own connections may do is asked of each class of packet of the whole dialogue; what everybody else's
may do is asked of strangers, of connections and of errors, as `compare` does. A set that is empty is a proof. One
that is not holds a witness - unless all its packets hang on a match that nobody here understands: not decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Obligation, Standing
from conntrim.core.model.policy import Policy
from conntrim.core.model.ruleset import Field, Helper, Ruleset, TcpFlag
from conntrim.core.model.service import Direction
from conntrim.core.model.tcp_flags import BARE_SYN, SYN_MASK, flags_where
from conntrim.core.netfilter.states import FRESH, Need
from conntrim.core.prove.bounds import Bounds, fields_of, mirrored
from conntrim.core.prove.boxes import boxes
from conntrim.core.prove.compare import DIRECTIONS, Population, Question
from conntrim.core.prove.conversation import Conversations
from conntrim.core.prove.diagram import NotDecided, Set, deciding
from conntrim.core.prove.flows import BACK, SYN, Flow, conversation, flows_of, others
from conntrim.core.prove.journey import Reach, packets_of, reach, told_of
from conntrim.core.prove.kept import Kept, before_tracking
from conntrim.core.prove.listed import Listed
from conntrim.core.prove.orders import orders
from conntrim.core.prove.pair import Arrangements, Asked, Change, Pair, Way
from conntrim.core.prove.region import along, region
from conntrim.core.prove.space import ICMP_OF, Space
from conntrim.core.prove.words import describe, describe_packet, reach_of

MOST_RESIDUAL = 3
"""Boxes told of what a policy newly admits in one direction."""
NAMES = (
    "two-sided", "delivered", "no-exposure", "no-loss", "nat-kept", "helper-kept", "errors-return", "answers-leave",
)  # fmt: skip
"""What is decided here; the others are about texts and the kernel."""

RESETS = flags_where(lambda flags: flags & SYN_MASK in (TcpFlag.RST, TcpFlag.RST | TcpFlag.ACK))
ERRORS: dict[Family, Intervals] = {
    Family.IPV4: Intervals.of(*((t << 8, t << 8 | 0xFF) for t in (3, 11, 12))),
    Family.IPV6: Intervals.of((1 << 8, 4 << 8 | 0xFF)),
}
"""ICMP errors that connections live by: unreachable and too big, time exceeded, parameter problem."""

GIVEN = frozenset(row.fact for row in FRESH if row.need is Need.CHUNK)
"""Questions about the packet alone, whose answer no rule set changes."""

FINE: dict[str, str] = {
    "two-sided": "every packet of the policy's connections and every answer is untracked",
    "delivered": "every packet of the policy's connections that was let through is let through",
    "no-exposure": "no stranger's packet is newly admitted outside the policy's own connections",
    "no-loss": "no packet that was let through is newly dropped outside the policy's own connections",
    "nat-kept": "no connection that a rule may translate becomes untracked, and no answer to one",
    "helper-kept": "no packet that a rule gives a helper becomes untracked",
    "errors-return": "ICMP errors are let in without an entry where they were let in with one",
    "answers-leave": "resets and ICMP errors leave without an entry where they left with one",
}


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


@dataclass(frozen=True, slots=True)
class Judgement:
    """`obligations` for the plan; `broken` with packets that the lab can replay; `residual` exposure in words.

    `assumed` are the matches on the way that nobody here understands: the same text is taken to mean the same before
    and after, which is not so of one that counts packets.
    """

    obligations: tuple[Obligation, ...]
    broken: tuple[Broken, ...]
    residual: tuple[str, ...]
    assumed: tuple[str, ...] = ()


def judge(
    before: Ruleset,
    after: Ruleset,
    policy: Policy,
    local: Intervals,
    local_ports: tuple[int, int],
    *,
    loose: bool = True,
    tick: Callable[[], None] = lambda: None,
    listed: Listed | None = None,
) -> Judgement:
    """Decide the obligations of `NAMES` for a change of rule sets that leaves the policy's services untracked.

    `local` are the host's addresses (empty: not known), `local_ports` the ephemeral range, `tick` may raise
    `NotDecided` when time is up; `listed` is what was listed of BEFORE when it was read.
    """
    told = [
        (order, _judged(Change.of(*pair, listed), policy, local, local_ports, loose=loose, tick=tick))
        for pair, order in orders((before, after))
    ]
    return told[0][1] if len(told) == 1 else _in_any_order(told)


def _in_any_order(told: list[tuple[str, Judgement]]) -> Judgement:
    """K2: what holds in every order holds, what breaks in every order breaks; else it hangs on what nobody knows."""
    judged = [judgement for _, judgement in told]
    same = tuple(_one_of([(order, o) for order, j in told for o in j.obligations if o.name == n]) for n in NAMES)
    broken = {o.name for o in same if o.standing is Standing.BROKEN}
    return Judgement(
        same,
        tuple(b for b in judged[0].broken if b.name in broken),
        tuple(dict.fromkeys(text for j in judged for text in j.residual)),
        tuple(dict.fromkeys(text for j in judged for text in j.assumed)),
    )


def _one_of(told: list[tuple[str, Obligation]]) -> Obligation:
    standings = {o.standing for _, o in told}
    order, worst = next(((order, o) for order, o in told if o.standing is not Standing.PROVED), told[0])
    if len(standings) == 1:
        return worst
    why = f"if {order}, which no listing tells: {worst.why}"
    return Obligation(worst.name, Standing.NOT_DECIDED, why, worst.witness)


def _judged(
    change: Change,
    policy: Policy,
    local: Intervals,
    local_ports: tuple[int, int],
    *,
    loose: bool,
    tick: Callable[[], None],
) -> Judgement:
    """The same for one order of the chains."""
    broken: list[Broken] = []
    residual: list[str] = []
    assumed: dict[str, None] = {}
    open_: dict[str, str] = {}
    flows = list(flows_of(policy, local, local_ports))
    for family in dict.fromkeys(flow.family for flow in flows):
        try:
            with deciding():
                mine = [f for f in flows if f.family is family]
                space, pair = Space(family, change.names, tick), change.pair(family, asked_of(mine, family))
                case = _Case(space, pair, mine, told_of(local, family) or Intervals(), loose)
                case.run()
                broken += case.broken
                residual += case.residual
                assumed |= dict.fromkeys(text for text in case.space.free if text not in GIVEN)
                open_ |= dict.fromkeys(NAMES if case.doubts else (), "; ".join(dict.fromkeys(case.doubts)))
        except NotDecided as why:
            open_ |= dict.fromkeys(NAMES, str(why))
    decided = tuple(_obligation(n, broken, open_) for n in NAMES)
    return Judgement(decided, tuple(broken), tuple(dict.fromkeys(residual)), tuple(assumed))


def asked_of(flows: Iterable[Flow], family: Family) -> Asked:
    """The boxes of the packets that flows consist of, and of errors about them, as they go."""
    errors = fields_of([(Field.PROTOCOL, Intervals.of(ICMP_OF[family][1]))], family)
    found: dict[Way, list[Bounds | None]] = {(d, False): [errors] for d in Direction} | {(Direction.LOOPBACK, True): []}
    for flow in flows:
        mine = fields_of(flow.fields.items(), family)
        found[flow.direction, False].append(mine)
        found[BACK[flow.direction], flow.direction is Direction.LOOPBACK].append(mine and mirrored(mine))
    return found


def _obligation(name: str, broken: Iterable[Broken], open_: dict[str, str]) -> Obligation:
    mine = sorted((b for b in broken if b.name == name), key=lambda b: len(b.conditions))
    if mine and not mine[0].conditions:
        more = f" (and {len(mine) - 1} more)" if len(mine) > 1 else ""
        return Obligation(name, Standing.BROKEN, mine[0].why + more, describe_packet(mine[0].witness))
    if mine:
        return Obligation(name, Standing.NOT_DECIDED, mine[0].why, describe_packet(mine[0].witness))
    if name in open_:
        return Obligation(name, Standing.NOT_DECIDED, open_[name])
    return Obligation(name, Standing.PROVED, FINE[name])


@dataclass(slots=True)
class _Case:
    """One family; thrown away at its end."""

    space: Space
    pair: Pair
    flows: list[Flow]
    local: Intervals
    loose: bool
    broken: list[Broken] = field(default_factory=list)
    residual: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    questions: dict[Direction, Question] = field(default_factory=dict)

    def run(self) -> None:
        """All obligations, one after the other."""
        self.questions |= {direction: self._question(direction) for direction in DIRECTIONS}
        for flow in self.flows:
            self._flow(flow)
        for direction in DIRECTIONS:
            self._everybody(direction)
        whole = self.pair.whole()
        for cut in Kept(self.space, whole, tuple(self.flows), self.local or None).cuts():
            self._found("nat-kept", cut.why, cut.packets, cut.universe)

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
        self._halves(question, direction)
        self._answers(question, direction)
        self._helpers(question, direction)

    def _halves(self, question: Question, direction: Direction) -> None:
        """Connections that are none of the policy's and of which some packets become untracked (K14, K15)."""
        touched = self._touched(question, direction)
        for flow in others(self.space.family, direction):
            scope = question.all & flow.connections(self.space) & touched
            if scope == self.space.nothing:
                continue
            there = self._walked(self.pair.whole(), direction, scope)
            back = self._walked(self.pair.whole(), BACK[direction], scope, mirrored=True)
            before, after = (Conversations(self.space, flow, there[n], back[n], self.loose) for n in (0, 1))
            opened, whole = before.opened(), self._stateless(scope)
            for name, ways in zip(("request", "answer"), flow.flags(), strict=True):
                for flags in ways:
                    lost = opened & before.passes(name, flags) & ~after.passes(name, flags)
                    self._found("no-loss", f"newly dropped, {flow.label}", lost, whole, flow, name, flags)

    def _touched(self, question: Question, direction: Direction) -> Set:
        """The requests of those connections: they or their answers become untracked."""
        space, pair, local = self.space, self.pair, self.local or None
        found, back = space.nothing, BACK[direction]
        answers = region(space, back, along(pair.changed, back), local, mirrored=True)
        ways = ((direction, question.scope, False), (back, packets_of(space, direction, local) & answers, True))
        for way, scope, turned in ways:
            one, other = map(before_tracking, pair.along(way))
            old, new = self._walked((one, other), way, scope, mirrored=turned)
            found = found | (new.untracked & ~old.untracked)
        flags = space.sets.literals(*space.bits[Field.TCP_FLAGS])
        own = [f.answers(space) for f in self.flows if BACK[f.direction] is direction]
        return found.exists(flags) & ~space.sets.either([*self._requests(direction), *own])

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

    def _about(self, direction: Direction) -> Set:
        """ICMP errors about the policy's flows, and the resets that answer strangers' packets."""
        found = packets_of(self.space, direction, self.local or None)
        errors = self.space.field(self.space.icmp, ERRORS[self.space.family])
        if direction is not Direction.OUTBOUND:
            return found & errors
        resets = self.space.field(Field.TCP_FLAGS, RESETS)
        answers = [flow.answers(self.space) for flow in self.flows if flow.direction is Direction.INBOUND]
        return found & (errors | (self.space.sets.either(answers) & resets))

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

    def _found(self, name: str, why: str, packets: Set, universe: Set, *told: object) -> None:
        if packets == self.space.nothing:
            return
        (box, *_), _ = boxes(self.space, packets, universe, 1)
        words = f"{why}: {describe(self.space, box)}"
        match told:
            case (Flow() as flow, str() as way, int() as flags):
                *earlier, witness = conversation(flow, box.witness, way, flags)
                self.broken.append(Broken(name, words, witness, box.conditions, earlier=tuple(earlier)))
            case (Population() as population,):
                self.broken.append(Broken(name, words, box.witness, box.conditions, population))
            case _:
                self.broken.append(Broken(name, words, box.witness, box.conditions))
