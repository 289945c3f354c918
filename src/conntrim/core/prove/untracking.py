"""What untracking changes: every dialogue of which a rule untracks a part, played packet by packet with the rules as
they are and with their untracking statements inert, between all ends at once.

Nothing here knows a pattern. A dialogue completes if each of its packets passes in the state that the earlier ones left
(K14); what completes without untracking and not with it is cut. Connections that a rule translates, and those whose
ways are in two zones, are not followed: of these some are played one by one (diagnose/rulesets/unfollowed.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import assert_never

from conntrim.core.model.address_types import BROADCAST, LOOPBACK, MULTICAST
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import OF_SOURCES, Nat
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Notrack, Rule, Ruleset
from conntrim.core.model.service import ONE_WAY, Direction
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.dialogue import Talk
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.netfilter.memory import EMPTY
from conntrim.core.netfilter.question_text import question
from conntrim.core.prove.assumed import answered, certain
from conntrim.core.prove.chains import Traced
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.entries_told import EntryQuestions
from conntrim.core.prove.flows import BACK
from conntrim.core.prove.inert import CHANCE, FREE, answers_syns, proxies, services, translates
from conntrim.core.prove.lengths import asked_lengths, sized
from conntrim.core.prove.match_encoder import FRAGMENT
from conntrim.core.prove.packet_vars import IIF, LARGE, OIF, PacketVars
from conntrim.core.prove.play import Play
from conntrim.core.prove.reachability import packets_of, reach
from conntrim.core.prove.scripts import HANDSHAKE, Harm, Script, opener, scripts
from conntrim.core.prove.symbolic_connection import tracked
from conntrim.core.prove.taking import Taking, Touching, carried, errors_about, lengthless


@dataclass(frozen=True, slots=True)
class Difference:
    """Dialogues of one kind and direction that fare otherwise: the packets that open them. `rules` are the untracking
    rules that take packets of some, each with those; `conditional`: only for one answer of a match that is unknown to
    the model, or of dialogues that do not come about anyway. `played`: the one opener of which it is known, where not
    all were followed, and with which `answers`; `apart`: sets by which they differ, where they are still to be played.
    """

    script: Script
    direction: Direction
    openers: Set
    rules: tuple[tuple[Rule, Set], ...]
    conditional: bool = False
    played: Packet | None = None
    answers: tuple[tuple[str, bool], ...] = ()
    apart: tuple[Set, ...] = ()
    unsure: str = ""
    """On what it depends that nobody told, where that is worth telling."""

    @property
    def harm(self) -> Harm:
        """What becomes of them."""
        return self.script.harm

    @property
    def last(self) -> Direction:
        """The way of the last packet: where errors are lost, that of the errors."""
        return BACK[self.direction] if self.script.turns[-1].back else self.direction


def freed_by(nat: Nat) -> tuple[Field, ...]:
    """What the answers of a translated connection do not say of its requests."""
    source = nat.kind in OF_SOURCES
    address, port = (Field.SRC, Field.SPORT) if source else (Field.DST, Field.DPORT)
    vague = nat.ports is not None or nat.elsewhere is not None
    return (address, port) if vague else (address,)


ANSWERS: dict[Direction, tuple[Direction, ...]] = {
    Direction.INBOUND: (Direction.OUTBOUND, Direction.FORWARDED, Direction.LOOPBACK),
    Direction.OUTBOUND: (Direction.INBOUND, Direction.LOOPBACK),
    Direction.FORWARDED: (Direction.INBOUND, Direction.FORWARDED),
    Direction.LOOPBACK: (Direction.LOOPBACK, Direction.INBOUND),
}  # fmt: skip
"""By which ways answers may go to what came by a direction, if it was translated."""


@dataclass
class Untracking:
    """One family of a rule set, with and without its untracking. `local` are the host's addresses (None: not known),
    `newcomer` what rules that count say to whom they have not counted yet."""

    space: PacketVars
    early: Arranged
    rules: Arranged
    inert: Arranged
    ruleset: Ruleset
    newcomer: Mapping[str, bool]
    unmarked: Mapping[str, bool]
    local: Intervals | None
    loose: bool = True
    suspects: Traced = field(default_factory=dict)
    """Rules in front of conntrack that are looked at instead of those that untrack; `inert` is without them."""

    def differences(self) -> Iterator[Difference]:
        """All of them, direction by direction. Where rules ask large sets of addresses, a direction is looked at first
        as if any address might be in them: what does not differ then does not differ."""
        coarse = self._coarse()
        for direction in Direction:
            if coarse is None or any(coarse._along(direction)):
                yield from self._along(direction)

    def _coarse(self) -> Untracking | None:
        """The same question with large sets taken for unknown; None where there are none."""
        if not any(len(s.elements) > LARGE for table in self.ruleset.tables for s in table.sets):
            return None
        space = PacketVars(self.space.family, self.space.names, self.space.sets.tick, coarse=True)
        return replace(self, space=space)

    def _along(self, direction: Direction) -> Iterator[Difference]:
        universe = packets_of(self.space, direction, self.local)
        if direction is Direction.LOOPBACK:
            ours = (self.local or Intervals()) | LOOPBACK
            ends = self.space.field(Field.SRC, ours) & self.space.field(Field.DST, ours)
            universe = universe & ends
        touching = self._touching(direction, universe)
        every = self.space.sets.either([taken.anyhow(self.space) for taken in touching])
        if every == self.space.nothing:
            return
        scope = universe & (every | errors_about(self.space, every))
        both = self._play(self.inert, direction, scope), self._play(self.rules, direction, scope)
        proxied = self._taken_by_proxies(both[1]) & self.space.any_state(scope) & self._connections(HANDSHAKE)
        heard = proxied & both[1].answered(HANDSHAKE)
        opened = heard & self._opened_by_proxies(both[1])
        yield from self._told(replace(HANDSHAKE, harm=Harm.PROXIED), direction, opened, touching)
        if (passed_by := heard & ~opened) != self.space.nothing:
            begun, unfollowed = self._begun(both[0], direction)
            yield from self._told(HANDSHAKE, direction, passed_by & begun & ~unfollowed, touching)
            yield from self._told(HANDSHAKE, direction, passed_by & unfollowed, touching)
            yield from self._told(HANDSHAKE, direction, passed_by & ~(begun | unfollowed), touching, lost_anyway=True)
        if (unheard := proxied & ~heard) != self.space.nothing:
            cut = unheard & both[0].completes(self._scripts[0])[0]
            yield from self._told(replace(HANDSHAKE, harm=Harm.CUT), direction, cut, touching)
        left = lengthless(self.space, self.space.any_state(universe & every)) & ~proxied
        for script in self._scripts:
            yield from self._of_kind(script, direction, left & self._connections(script), both, touching)

    def _of_kind(
        self, script: Script, direction: Direction, scope: Set, both: tuple[Play, Play], touching: Touching
    ) -> Iterator[Difference]:
        without, with_ = both
        if script.brief:
            whole = next(each for each in self._scripts if not each.brief and each.turns[:2] == script.turns)
            scope = scope & ~without.completes(whole)[0]
        if scope == self.space.nothing:
            return
        translated, completing = without.translated(script), without.completes(script)[0]
        renewed = with_.translated(script, answer=True) & with_.untracked(script) & ~translated
        translated = translated | (renewed & completing if renewed != self.space.nothing else renewed)
        split = without.split(script, loop=direction is Direction.LOOPBACK)
        zoned = self.space.sets.either(split)
        special = (translated | zoned) & scope
        if not script.brief:
            parts = [each & part for part in without.by_translation(script, special) for each in (*split, ~zoned)]
            for part in parts:
                for found in self._told(replace(script, harm=Harm.UNFOLLOWED), direction, part, touching):
                    yield replace(found, apart=self._apart(script, completing, touching))
        rest, nothing = scope & ~special, self.space.nothing
        begun = completing & rest
        counts = script.harm is Harm.CUT and not script.one_way  # entries, whoever let the connection come about
        taken = with_.untracked(script) & rest if counts else nothing
        if begun == taken == nothing:
            return
        now, entries = with_.completes(script)
        yield from self._told(script, direction, begun & ~now, touching)
        yield from self._told(replace(script, harm=Harm.ONE_SIDED), direction, taken & now & entries, touching)

    def _begun(self, without: Play, direction: Direction) -> tuple[Set, Set]:
        """The TCP connections that come about without untracking, and those of which sets do not tell. Of those whose
        SYN a proxy answers none does: it needs that untracked (K115)."""
        script, proxied = self._scripts[0], self._taken_by_proxies(without, CtState.NEW)
        special = without.translated(script), *without.split(script, loop=direction is Direction.LOOPBACK)
        return without.completes(script)[0] & ~proxied, self.space.sets.either(special) & ~proxied

    def _told(
        self, script: Script, direction: Direction, found: Set, touching: Touching, *, lost_anyway: bool = False
    ) -> Iterator[Difference]:
        """For certain where there are some, of those whom nothing has counted yet; else as it may be. Dialogues are of
        whole packets: fragments in front of reassembly are told of by rule (diagnose/rulesets/fragments).
        `lost_anyway`: untracking takes nothing from them."""
        nothing, found = self.space.nothing, answered(self.space, found, {FRAGMENT: False, **self.unmarked})
        if found == nothing:
            return
        sure = self._sure(found)
        shown = sure if sure != nothing else found
        played = self._packets(script)
        taken = ((each.rule, shown & each.of(self.space, played)) for each in touching)
        rules = tuple((rule, mine) for rule, mine in taken if mine != nothing)
        if rules:
            yield Difference(script, direction, shown, rules, conditional=lost_anyway or sure == nothing)

    def _apart(self, script: Script, whole: Set, touching: Touching) -> tuple[Set, ...]:
        """By what connections differ of which some are played: whether they would complete with their addresses as they
        are (`whole`), and what each rule takes of them. Errors about them are like each other."""
        if script.turns[-1].error:
            return (whole,)
        ways = ([each for each in self._packets(script) if each[0] is back] for back in (False, True))
        here = (each.here(self.space, way) for way in ways for each in touching)
        return whole, *here, *(each.elsewhere for each in touching)

    def _packets(self, script: Script) -> list[tuple[bool, Packet]]:
        """Those that decide what becomes of a dialogue, and whether each answers: behind a proxy's handshake all."""
        whole = self._scripts[0] if script.turns == HANDSHAKE.turns else script
        return [(t.back, p) for t, p in zip(whole.turns, whole.between(opener(self.space, whole.talk)), strict=True)]

    def _sure(self, found: Set) -> Set:
        """What is in a set whatever a match says that is unknown to the model; what counts has not counted them yet."""
        return certain(self.space, found, self.newcomer)

    # --- whose packets ----------------------------------------------------------------------------------------------

    def _touching(self, direction: Direction, universe: Set) -> Touching:
        """The untracking rules that take packets of a direction's connections, or their answers."""
        space = self.space
        found: dict[int, Taking] = {}
        for way, mirrored in ((direction, False), (BACK[direction], True)):
            walk = reach(space, self.early, way, universe, mirrored=mirrored, local=self.local, traced=self.suspects)
            hits = [(h.rule, h.packets) for _, h in walk.hits if isinstance(h.statement, Notrack)]
            for rule, packets in [(v.rule, v.fits) for v in walk.visits] if self.suspects else hits:
                taking = found.setdefault(id(rule), Taking.none(space, rule))
                taking.ways[mirrored] |= space.any_state(packets)
        for rule, packets in [] if self.suspects else self._answers_elsewhere(direction, universe):
            found.setdefault(id(rule), Taking.none(space, rule)).elsewhere |= packets
        return list(found.values())

    def _answers_elsewhere(self, direction: Direction, universe: Set) -> Iterator[tuple[Rule, Set]]:
        """Of connections that may be translated those whose answers an untracking rule may take: these come from and to
        other addresses and ports than the requests say, and to the host itself what it passes on."""
        space = self.space
        if not self._translates:
            return
        moved = reach(space, self.inert, direction, universe, local=self.local)
        nats = {freed_by(h.statement): space.nothing for _, h in moved.hits if isinstance(h.statement, Nat)}
        for _, hit in moved.hits:
            if isinstance(hit.statement, Nat):
                nats[freed_by(hit.statement)] |= space.any_state(hit.packets)
        beside = (Field.TCP_FLAGS, space.icmp, IIF, OIF)
        for way in ANSWERS[direction] if nats else ():
            requests = packets_of(space, BACK[way], self.local)
            walk = reach(space, self.early, way, requests, mirrored=True, local=self.local)
            for hit in (h for _, h in walk.hits if isinstance(h.statement, Notrack)):
                for fields, moving in nats.items():
                    freed = space.sets.literals(*sorted(n for f in (*fields, *beside) for n in space.bits[f]))
                    yield hit.rule, space.any_state(hit.packets).exists(freed) & moving & space.any_state(universe)

    @cached_property
    def _translates(self) -> bool:
        return any(self.ruleset.those(translates))

    def _connections(self, script: Script) -> Set:
        """The openers of dialogues of a kind between two hosts, as plain programs make them."""
        space, many = self.space, MULTICAST | BROADCAST
        found = ~(space.field(Field.DST, many) | space.field(Field.SRC, many))
        match script.talk:
            case Talk.ECHO:
                return found & space.field(space.icmp, Intervals.of(ICMP[space.family].echo << 8))
            case Talk.TCP:
                return found & space.protocol(Protocol.TCP) & space.field(Field.SPORT, FREE - self._services)
            case Talk.UDP:
                one_way = space.field(Field.DPORT, Intervals.of(*ONE_WAY))
                here = found & space.protocol(Protocol.UDP) & (one_way if script.one_way else ~one_way)
                return here & (space.field(Field.SPORT, FREE - self._services) | self._symmetric)
            case _:
                assert_never(script.talk)

    @cached_property
    def _scripts(self) -> tuple[Script, ...]:
        """All kinds of dialogue, with lengths where rules ask for them."""
        family = self.space.family
        edges = asked_lengths(self.ruleset, family)
        return tuple(each for script in scripts(family) for each in sized(script, family, edges))

    @cached_property
    def _services(self) -> Intervals:
        return services(self.ruleset)

    @cached_property
    def _symmetric(self) -> Set:
        """UDP between two ports of one number, of those that rules name."""
        ports = [port for low, high in self._services.ranges for port in range(low, high + 1)]
        both = (Intervals.of(port) for port in ports[:CHANCE])
        space = self.space
        return space.sets.either([space.field(Field.SPORT, p) & space.field(Field.DPORT, p) for p in both])

    def _play(self, arranged: Arranged, direction: Direction, scope: Set) -> Play:
        there = reach(self.space, arranged, direction, scope, local=self.local, traced=self._proxies)
        back = reach(self.space, arranged, BACK[direction], scope, mirrored=True, local=self.local)
        return Play(self.space, there, back, self._questions, self._answering, self.loose)

    @cached_property
    def _questions(self) -> EntryQuestions:
        return EntryQuestions.of(self.space, self.ruleset)

    @cached_property
    def _proxies(self) -> Traced:
        """The rules that answer SYNs themselves."""
        return {id(rule): rule.matches for rule in self.ruleset.those(proxies)}

    @cached_property
    def _answering(self) -> tuple[str, ...]:
        """The questions of such statements."""
        asked = (question(s) for rule in self.ruleset.those(proxies) for s in rule.statements if answers_syns(s))
        return tuple(dict.fromkeys(asked))

    def _taken_by_proxies(self, play: Play, state: CtState = CtState.UNTRACKED) -> Set:
        """The connections whose first packet, in this state, is answered on the way."""
        space = self.space
        fits = space.any_state(space.sets.either([visit.fits & space.state(state) for visit in play.there.visits]))
        untracked = state is CtState.UNTRACKED
        (syn, *_) = HANDSHAKE.between(opener(space, Talk.TCP))
        return carried(space, fits & (play.there.untracked if untracked else ~play.there.untracked), syn)

    def _opened_by_proxies(self, play: Play) -> Set:
        """The connections whose handshake's ACK comes to a proxy, and of which nothing behind the SYN is untracked."""
        space = self.space
        _, ack = HANDSHAKE.between(opener(space, Talk.TCP))
        state, _, _ = tracked(ack, EMPTY, self.loose)
        fits = space.sets.either([visit.fits & space.state(state) for visit in play.there.visits])
        found = carried(space, space.any_state(fits), ack)
        for flags in (TcpFlag.ACK, TcpFlag.PSH | TcpFlag.ACK):
            found = found & ~carried(space, play.there.untracked, replace(ack, tcp_flags=int(flags)))
        for flags in (TcpFlag.SYN | TcpFlag.ACK, TcpFlag.ACK):
            found = found & ~carried(space, play.back.untracked, replace(reply_to(ack), tcp_flags=int(flags)))
        return found
