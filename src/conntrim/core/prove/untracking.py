"""What untracking changes: every dialogue of which a rule untracks a part, played packet by packet with the rules as
they are and with their untracking statements inert, between all ends at once.

Nothing here knows a pattern. A dialogue completes if each of its packets passes in the state that the earlier ones left
(K14); what completes without untracking and not with it is cut. Connections that a rule translates, and those whose
ways are in two zones, are not followed: of these some are played one by one (diagnose/rulesets/unfollowed.py).

More than 400 lines: the dialogues are a table, and who plays them follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import assert_never

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import BROADCAST, LOOPBACK, MULTICAST
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import SYNPROXY
from conntrim.core.model.nat import OF_SOURCES, Nat
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import (
    Chain,
    In,
    Interface,
    Match,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Rule,
    Ruleset,
    SetZone,
    Statement,
    asked_fields,
)
from conntrim.core.model.service import ONE_WAY, Direction
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.dialogue import TURNS, Talk, error_about
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.netfilter.memory import EMPTY, Memory
from conntrim.core.netfilter.question_text import question
from conntrim.core.prove.assumed import answered, certain, possible, unmarked
from conntrim.core.prove.chains import Traced
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.entries_told import EntryQuestions
from conntrim.core.prove.flows import BACK
from conntrim.core.prove.lengths import asked_lengths, sized
from conntrim.core.prove.match_encoder import FRAGMENT
from conntrim.core.prove.packet_vars import IIF, LARGE, OIF, PacketVars
from conntrim.core.prove.reachability import Reach, packets_of, reach
from conntrim.core.prove.symbolic_connection import STAND_IN, Tables, entry_of, tracked
from conntrim.core.prove.taking import Taking, Touching, carried, errors_about, lengthless

CHANCE = 64
"""So few ports that a rule names are a service's: who connects *from* one of them meets the rule by chance."""

FREE = Intervals.of((1024, 65535))
"""The ports that programs connect from: those below are for who serves."""


class Harm(StrEnum):
    """What becomes of a dialogue."""

    CUT = "cut"
    """It completes without untracking, and not with it."""
    NO_ERRORS = "errors lost"
    """It completes, and an ICMP error about it no longer comes through."""
    ONE_SIDED = "one-sided"
    """It completes, and leaves an entry although packets of it are untracked."""
    PROXIED = "proxied"
    """A rule answers its SYN itself and opens the connection anew (SYNPROXY): it is not followed."""
    PASSED_BY = "passed by"
    """A rule answers its SYN itself and does not see the ACK that ends the handshake, or later packets are untracked as
    well: nobody opens the connection to the server (K115)."""
    UNFOLLOWED = "not followed"
    """Without untracking a rule translates it, or gives one way of it a zone: sets do not say what becomes of it."""


def _answers(statement: Statement) -> bool:
    """Whether a statement answers SYNs itself."""
    return isinstance(statement, OpaqueStatement) and statement.kind in SYNPROXY


def untracks(rule: Rule) -> bool:
    """Whether a rule untracks what it matches."""
    return any(isinstance(s, Notrack) for s in rule.statements)


def translates(rule: Rule) -> bool:
    """Whether a rule translates what it matches."""
    return any(isinstance(s, Nat) for s in rule.statements)


def proxies(rule: Rule) -> bool:
    """Whether a rule answers SYNs itself."""
    return any(map(_answers, rule.statements))


PASSING = NoEffect("counter")
"""What an untracking statement is that does nothing."""


def inert(ruleset: Ruleset) -> Ruleset:
    """The same rules with every untracking statement doing nothing: what matched it goes on. A rule that does nothing
    else is not there, so rule sets that differ in such rules are the same."""

    def rule(one: Rule) -> Rule | None:
        kept = tuple(PASSING if isinstance(s, Notrack) else s for s in one.statements)
        return None if _idle(one.matches, kept) else replace(one, statements=kept)

    return rewritten(ruleset, untracks, rule)


def _idle(matches: Iterable[Match], statements: Iterable[Statement]) -> bool:
    """Whether a rule does nothing: its matches neither count nor switch conntrack on (K5)."""
    plain = all(isinstance(m, In | Interface) and Field.CT_STATE not in asked_fields(m) for m in matches)
    return plain and all(s == PASSING for s in statements)


def rewritten(ruleset: Ruleset, which: Callable[[Rule], bool], rule: Callable[[Rule], Rule | None]) -> Ruleset:
    """The same rules, those of a kind rewritten, or gone (None); a chain in which nothing changes stays the same
    thing."""

    def chain(one: Chain) -> Chain:
        if not one.those(which):
            return one
        made = (rule(each) if which(each) else each for each in one.rules)
        return replace(one, rules=tuple([each for each in made if each]))

    return replace(ruleset, tables=tuple(replace(t, chains=tuple(map(chain, t.chains))) for t in ruleset.tables))


def services(ruleset: Ruleset) -> Intervals:
    """The ports that untracking rules name one by one."""
    spans = [
        (low, high)
        for rule in ruleset.those(untracks)
        for m in rule.matches if isinstance(m, In) and m.field in (Field.SPORT, Field.DPORT)
        for low, high in m.values.ranges if high - low < CHANCE
    ]  # fmt: skip
    return Intervals.union_of(spans)


@dataclass(frozen=True, slots=True)
class Turn:
    """One packet of a dialogue: whether it answers, TCP flags; of an ICMP error its type and which packet it quotes;
    its length, where rules ask for one."""

    back: bool
    flags: int | None = None
    error: int = 0
    about: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """A kind of dialogue, and the harm where it no longer completes."""

    talk: Talk
    turns: tuple[Turn, ...]
    harm: Harm = Harm.CUT
    one_way: bool = False
    brief: bool = False
    """The first query and its answer, where nothing more may follow."""

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.talk}, one way" if self.one_way else str(self.talk)

    @lru_cache(256)  # noqa: B019 - scripts are few and last for ever
    def between(self, first: Packet) -> tuple[Packet, ...]:
        """The packets of the dialogue that this one opens."""
        made: list[Packet] = []
        for turn in self.turns:
            if turn.about is None:
                packet = replace(reply_to(first) if turn.back else first, tcp_flags=turn.flags)
            else:
                packet = replace(error_about(made[turn.about]), icmp=turn.error)
            made.append(packet if turn.length is None else replace(packet, length=turn.length))
        return tuple(made)


HANDSHAKE = Script(Talk.TCP, (Turn(False, int(TcpFlag.SYN)), Turn(False, int(TcpFlag.ACK))), Harm.PASSED_BY)
"""What a client sends to a proxy that answers its SYN."""

PROTOCOLS: dict[Talk, Protocol] = {Talk.TCP: Protocol.TCP, Talk.UDP: Protocol.UDP}


def scripts(family: Family) -> Iterator[Script]:
    """All kinds of dialogue of a family; errors come about the last request or the last answer so far."""
    errors = ICMP[family].too_big, ICMP[family].unreachable << 8 | PORT[family]
    for talk in Talk:
        turns = tuple(Turn(back, None if flags is None else int(flags)) for _, back, flags in TURNS[talk])
        yield Script(talk, turns)
        if talk is Talk.UDP:
            yield Script(talk, tuple(t for t in turns if not t.back), one_way=True)
            yield Script(talk, turns[:2], brief=True)
        request = 3 if talk is Talk.TCP else 0
        for about in (request, request + 1):
            back = not turns[about].back
            for error in errors:
                yield Script(talk, (*turns[: about + 1], Turn(back, None, error, about)), Harm.NO_ERRORS)


PORT: dict[Family, int] = {Family.IPV4: 3, Family.IPV6: 4}
"""The code of *port unreachable* (RFC 792, RFC 4443)."""


def opener(space: PacketVars, talk: Talk) -> Packet:
    """The first packet of the dialogue that stands for all: the tracker sees nothing but who is who."""
    source, target, port = STAND_IN
    if talk is Talk.ECHO:
        echo = ICMP[space.family].echo << 8
        return Packet(space.family, space.icmp_protocol, source, target, icmp=echo, icmp_id=port)
    return Packet(space.family, PROTOCOLS[talk], source, target, port, 80)


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
        translated = without.translated(script)
        renewed = with_.translated(script, answer=True) & with_.untracked(script) & ~translated
        translated = translated | (renewed & without.completes(script)[0] if renewed != self.space.nothing else renewed)
        split = without.split(script, loop=direction is Direction.LOOPBACK)
        zoned = self.space.sets.either(split)
        special = (translated | zoned) & scope
        completing = without.completes(script)[0]
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
        nothing, found = self.space.nothing, answered(self.space, found, {FRAGMENT: False} | self._unmarked)
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
    def _unmarked(self) -> dict[str, bool]:
        """What asks for marks of entries where no rule writes one."""
        return unmarked(self.ruleset, self.space.family)

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
        asked = (question(s) for rule in self.ruleset.those(proxies) for s in rule.statements if _answers(s))
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
