"""Translated packets followed to what comes out of the rule: who newly reaches which address, and who no longer does.

Theory. A rule that translates gives a packet another destination, and with it another way: what came in for this host
is forwarded to a container. So a second walk begins behind the translation, with the packets as they came; the
destination is a constant there (or one of the rule's range, which is a variable), the interface that they leave by is a
variable of its own, and the mark is what the first walk left. What passes is told by the packets as they came.

Only what may have changed is followed: rules that translate other packets than before, and those whose packets may come
out where the rules differ. Further packets of a translated connection go the same way in state ESTABLISHED.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import VARYING, Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import JOURNEYS, NAT_DST
from conntrim.core.netfilter.nat import spans
from conntrim.core.netfilter.question_text import translation as words
from conntrim.core.prove.affected_set import Changed, Changes, region
from conntrim.core.prove.bounds import fields_of
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.populations import CARRIED, Question
from conntrim.core.prove.reachability import Image, Reach, codes_of, existing, packets_of, reach
from conntrim.core.prove.states import unsolicited
from conntrim.core.prove.traces_left import met_by
from conntrim.core.prove.translation import HOOKS, rules_at

MOST_FOLLOWED = 64
"""Translations that are followed of one direction; with more, it is not decided what becomes of their packets."""

LOCAL: dict[Direction, Direction] = {
    Direction.INBOUND: Direction.INBOUND, Direction.FORWARDED: Direction.INBOUND,
    Direction.OUTBOUND: Direction.LOOPBACK, Direction.LOOPBACK: Direction.LOOPBACK,
}  # fmt: skip
AWAY: dict[Direction, Direction] = {
    Direction.INBOUND: Direction.FORWARDED, Direction.FORWARDED: Direction.FORWARDED,
    Direction.OUTBOUND: Direction.OUTBOUND, Direction.LOOPBACK: Direction.OUTBOUND,
}  # fmt: skip
"""Where packets of a direction go that are translated to an address of this host's, and to another's."""


@dataclass(frozen=True, slots=True)
class Passing:
    """Unsolicited packets, as they came, that only one of the rule sets lets through to these targets."""

    admitted: bool
    targets: tuple[str, ...]
    packets: Set


@dataclass(slots=True)
class _Outcome:
    """What both rule sets do with the packets that a translation takes, before and after."""

    taken: tuple[Set, Set]
    passing: list[tuple[Set, Set]] = field(default_factory=list)


@dataclass
class Translations:
    """Those of one direction; `others` is what differs beside, `undecided` what is not followed."""

    inputs: Inputs
    direction: Direction
    others: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    _ways: tuple[Reach, Reach] = field(init=False)

    def differences(self) -> Iterator[Passing]:
        """Who newly reaches an address by a translation, and who no longer does."""
        followed = self._followed()
        if len(followed) > MOST_FOLLOWED:
            self.undecided.append(f"{self.direction}: {len(followed)} translations differ, or lead to what differs")
            return
        found: dict[tuple[bool, Set], tuple[list[str], list[Set]]] = {}
        for nat, taken in followed.items():
            outcome = self._outcome(nat, taken)
            told = False
            if _vague(nat):
                if any(before != after for before, after in outcome.passing) and taken[0] == taken[1]:
                    self.undecided.append(f"{self.direction}: what comes out of {words(nat)} is not followed")
                outcome.passing.clear()
            for admitted in (True, False):
                part = self._part(outcome, admitted=admitted)
                if part != self._nothing:
                    told = True
                    names, parts = found.setdefault((admitted, self._sure(part)), ([], []))
                    names.append(words(nat).partition(" to ")[2] or words(nat))
                    parts.append(part)
            if not told and taken[0] != taken[1]:
                self.others.append(f"{self.direction}: the two rule sets translate different packets by {words(nat)}")
        for (admitted, _), (names, parts) in sorted(found.items(), key=lambda each: not each[0][0]):
            yield Passing(admitted, tuple(dict.fromkeys(names)), self.inputs.space.sets.either(parts))

    # --- which are followed -----------------------------------------------------------------------------------------

    def _followed(self) -> dict[Nat, tuple[Set, Set]]:
        """The translations that may matter, and whom each rule set's take."""
        question, hook = self._question, HOOKS[self.direction]
        met = self._met()
        ways = question.before, question.after
        if met:
            every = packets_of(self.inputs.space, self.direction, self.inputs.local or None)
            whole = self.inputs.pair.whole()
            one, other = (
                reach(self.inputs.space, a, self.direction, every, local=self._local, hooks=(hook,)) for a in whole
            )
            ways = one, other
        self._ways = ways
        old, new = (self._taken(way) for way in ways)
        every_nat = dict.fromkeys((*old, *new))
        pairs = {nat: (old.get(nat, self._nothing), new.get(nat, self._nothing)) for nat in every_nat}
        marks = list(zip(ways[0].marks, ways[1].marks, strict=False))
        return {
            nat: (was, now)
            for nat, (was, now) in pairs.items()
            if nat in met or was != now or any(was & (one ^ other) != self._nothing for one, other in marks)
        }

    def _met(self) -> set[Nat]:
        """The translations whose packets may come out where the two rule sets differ."""
        space, meeting = self.inputs.space, dict[Direction, Set]()
        for way in {LOCAL[self.direction], AWAY[self.direction]}:
            late = _behind(self.inputs.pair.changed, way)
            meeting[way] = region(space, way, late, self._local)
        if all(found == self._nothing for found in meeting.values()):
            return set()
        hook = HOOKS[self.direction]
        nats = {nat for arranged in self.inputs.pair.whole() for _, nat in rules_at(space, arranged, hook)}
        return {nat for nat in nats if any(meeting[w] & self._image(nat) != self._nothing for w in self._ways_of(nat))}

    def _taken(self, way: Reach) -> dict[Nat, Set]:
        space = self.inputs.space
        new = unsolicited(self._question.view, way.untracked, self.inputs.loose)[CtState.NEW]
        new = new & existing(space, self.direction)
        found: dict[Nat, Set] = {}
        for hook, hit in way.hits:
            if isinstance(hit.statement, Nat) and hook is HOOKS[self.direction]:
                packets = self.inputs.stateless(hit.packets & space.state(CtState.NEW)) & new
                if packets != self._nothing:
                    found[hit.statement] = found.get(hit.statement, self._nothing) | packets
        return found

    def _ways_of(self, nat: Nat) -> tuple[Direction, ...]:
        """Where packets go with their new destination; both ways where nobody told this host's addresses."""
        here, away = LOCAL[self.direction], AWAY[self.direction]
        addresses = spans(nat)[0]
        if nat.kind is NatKind.REDIRECT or (addresses is not None and not addresses - LOOPBACK):
            return (here,)
        if addresses is None or self._local is None:
            return away, here
        ours = self._local | LOOPBACK
        return (away,) * bool(addresses - ours) + (here,) * bool(addresses & ours)

    def _image(self, nat: Nat) -> Set:
        """At least the packets that come out."""
        addresses, ports = spans(nat)
        space, found = self.inputs.space, self.inputs.space.everything
        if _vague(nat):
            return found
        if addresses is not None:
            found = found & space.field(Field.DST, addresses)
        return found & space.field(Field.DPORT, ports) if ports is not None else found

    # --- what becomes of them ---------------------------------------------------------------------------------------

    def _outcome(self, nat: Nat, taken: tuple[Set, Set]) -> _Outcome:
        outcome = _Outcome(taken)
        for way in self._ways_of(nat):
            walked = self._walked(nat, way, taken[0] | taken[1])
            new = self.inputs.space.state(CtState.NEW)
            before, after = (t & self.inputs.stateless(w.arrived & new) for t, w in zip(taken, walked, strict=True))
            outcome.passing.append((before, after))
            self._beside(nat, way, taken, walked)
        return outcome

    def _walked(self, nat: Nat, way: Direction, taken: Set) -> tuple[Reach, Reach]:
        """Both rule sets behind the translation, with all packets of the connections that it takes."""
        inputs, space = self.inputs, self.inputs.space
        addresses, ports = spans(nat)
        box = fields_of(((f, v) for f, v in ((Field.DST, addresses), (Field.DPORT, ports)) if v), space.family)
        arranged = inputs.pair.sieve.arranged([box], JOURNEYS[way])
        rewritten, among = self._rewritten(nat, way)
        scope, watch = self._connections(taken) & among, inputs.watch(arranged)
        one, other = (
            reach(space, a, way, scope, local=self._local, image=Image(was.marks, rewritten), watch=watch)
            for a, was in zip(arranged, self._ways, strict=True)
        )
        return one, other

    def _connections(self, taken: Set) -> Set:
        """All packets of the connections whose first one is taken."""
        space = self.inputs.space
        varying = (Field.TCP_FLAGS, *VARYING)
        return taken.exists(space.sets.literals(*(n for f in varying for n in space.bits.get(f, ()))))

    def _rewritten(self, nat: Nat, way: Direction) -> tuple[dict[Hook, Mapping[Field, list[Set]]], Set]:
        """What the fields are behind the translation, hook by hook, and what holds of the variables in them."""
        space, among = self.inputs.space, self.inputs.space.everything
        fields: dict[Field, list[Set]] = {}
        for name, values in zip((Field.DST, Field.DPORT), spans(nat), strict=True):
            anywhere = name is Field.DST and (nat.kind is NatKind.REDIRECT or _vague(nat))
            if values is not None or anywhere:
                fields[name] = space.fresh(f"{words(nat)}: {name}", len(space.variables(name)))
                if values is not None:
                    among = among & space.sets.among(fields[name], space.own(name, values))
        devices: dict[Field, list[Set]] = {}
        away = way in (Direction.FORWARDED, Direction.OUTBOUND)
        lo = codes_of(space, Direction.LOOPBACK, has=True)
        for name in (Field.OIF,) if away else (Field.OIF, Field.IIF) if way is Direction.LOOPBACK else ():
            devices[name] = space.fresh(f"{words(nat)}: {name} {way}", len(space.bits[name]))
            among = among & space.sets.among(devices[name], codes_of(space, way, has=True) if away else lo)
        first = HOOKS[self.direction]
        return {hook: fields if hook is first else {**fields, **devices} for hook in JOURNEYS[way]}, among

    def _beside(self, nat: Nat, way: Direction, taken: tuple[Set, Set], walked: tuple[Reach, Reach]) -> None:
        """What differs of packets that both rule sets translate so, though their first packets pass or not alike."""
        inputs, space = self.inputs, self.inputs.space
        both = self._connections(taken[0]) & self._connections(taken[1])
        if both == self._nothing:
            return
        carried = ~space.protocol(Protocol.TCP) | space.field(Field.TCP_FLAGS, CARRIED)
        late = [inputs.stateless(each.arrived & space.state(CtState.ESTABLISHED)) & both & carried for each in walked]
        where = f"{self.direction}, behind {words(nat)}"
        if late[0] != late[1]:
            self.others.append(f"{where}: packets of connections are let through otherwise")
        passing = both & inputs.stateless(walked[0].arrived) & inputs.stateless(walked[1].arrived)
        marks = [self._at_end(each, passing) for each in walked]
        if marks[0] != marks[1]:
            self.others.append(f"{where}: other packets are given another source, mark or header")
        if taken[0] == taken[1] and met_by(walked[0], inputs) != met_by(walked[1], inputs):
            self.others.append(f"{where}: other packets come to what counts or remembers them")

    def _at_end(self, way: Reach, passing: Set) -> dict[object, object]:
        """Who leaves with which source, and with which mark."""
        found: dict[object, object] = {}
        for hook, hit in way.hits:
            if isinstance(hit.statement, Nat):
                key = hook, hit.statement
                packets = self.inputs.stateless(hit.packets & self.inputs.space.state(CtState.NEW)) & passing
                if packets != self._nothing:
                    before = found.get(key, self._nothing)
                    assert isinstance(before, type(packets))
                    found[key] = before | packets
        for name, bits in way.left.items():
            if name not in (Field.DST, Field.DPORT, Field.OIF, Field.IIF):
                found[name] = tuple(bit & passing for bit in bits)
        return found

    def _part(self, outcome: _Outcome, *, admitted: bool) -> Set:
        """Those that only one of the two lets through: by the way that leads away, else to this host itself."""
        for before, after in outcome.passing:
            found = after & ~before if admitted else before & ~after
            if found != self._nothing:
                return self.inputs.space.without_fresh(found)
        return self._nothing

    def _sure(self, part: Set) -> Set:
        """Without the questions that it depends on."""
        space = self.inputs.space
        return part.exists(space.sets.literals(*space.free.values()))

    @cached_property
    def _question(self) -> Question:
        return self.inputs.question(self.direction)

    @property
    def _local(self) -> Intervals | None:
        return self.inputs.local or None

    @property
    def _nothing(self) -> Set:
        return self.inputs.space.nothing


def _vague(nat: Nat) -> bool:
    """Whether the target is looked up, or goes by the old destination."""
    return nat.elsewhere is not None or nat.kind is NatKind.NETMAP


def _behind(changed: Changes, way: Direction) -> Changes:
    """The changed rules that packets of a direction meet behind the translation of destinations."""
    if changed is None:
        return None
    return [c for c in changed if _late_hooks(c) & frozenset(JOURNEYS[way])]


def _late_hooks(changed: Changed) -> frozenset[Hook]:
    """The hooks from which a packet may come to a rule when its destination is translated already."""
    bases = [c.base for c in changed.table.chains if c.base]
    early = (Hook.PREROUTING, Hook.OUTPUT)
    late = {b.hook for b in bases if b.hook not in early or (b.type != "nat" and b.priority > NAT_DST)}
    return changed.hooks & late
