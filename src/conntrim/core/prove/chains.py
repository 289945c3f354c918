"""One base chain walked by all packets at once: which are dropped, and what the rest carries with it afterwards.

More than 400 lines, and one class: chain, rule and statement call one another and move the same packets. Apart stand
blocks that only end ways (first_match.py), sums of small chains (summary.py), turns and watches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import Answer, answer_of, does, expects
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Elsewhere, Nat
from conntrim.core.model.ruleset import (
    Chain,
    CtTemplate,
    Dialect,
    End,
    Helper,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    Rule,
    SetZone,
    Statement,
    Table,
    Verdict,
    XtConntrack,
)  # fmt: skip
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.netfilter.question_text import astray, not_new, question, queue, translation
from conntrim.core.netfilter.statements import MOST_JUMPS
from conntrim.core.prove.diagram import NotDecided, Set
from conntrim.core.prove.first_match import ACCEPTED, DROPPED, KINDS, LEFT, blocks, folded, plain_end
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.summary import Hit, Summary, parts, summary
from conntrim.core.prove.turns import Again, Turns, as_it_is
from conntrim.core.prove.watch import Item, Sight, Watch, Why


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the packets that entered a chain end: dropped, accepted, or `left` it at its end or by a return."""

    dropped: Set
    accepted: Set
    left: Set


@dataclass(frozen=True, slots=True)
class Visit:
    """Packets at one rule of a chain: `comes` come to it, `fits` are those of them that it is asked to match.

    `path` are the rules that jumped here, `mark` the bits of the packets' mark (None: as they came).
    """

    chain: str
    rule: Rule
    comes: Set
    fits: Set
    path: tuple[Rule, ...]
    mark: tuple[Set, ...] | None


Traced = Mapping[int, tuple[Match, ...]]
"""The rules to be traced, by identity, each with the matches that packets are held against."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What becomes of packets in a base chain, rule by rule in the order in which they come by; `left` are those that
    its policy decides about."""

    visits: tuple[Visit, ...]
    passed: Set
    dropped: Set
    left: Set


@dataclass(slots=True)
class ChainTrace:
    """One table's chains as seen at one hook.

    `early`: before conntrack, where zones and helpers are templates (K10). `scope` are the packets that the question
    is about: whatever is remembered of a chain holds for them only. `hits` are the effects that happened, `sights` the
    packets that came to what is watched, `visits` those that came to traced rules (by default there are none). `turns`:
    what counts is asked anew by each rule (turns.py); else once for its text. `wanted`: the statements whose hits are
    asked for (None: all; others may be among them), `few`: a translation that takes packets ends the walk; `translated`
    are the packets that translations took.
    """

    view: MatchEncoder
    table: Table
    early: bool
    scope: Set
    watch: Watch | None = None
    traced: Traced = field(default_factory=dict)
    turns: Turns | None = None
    wanted: Collection[Statement] | None = None
    few: bool = False
    translated: list[Set] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    _path: list[Rule] = field(default_factory=list)
    _ends: dict[tuple[str, int], Ends] = field(default_factory=dict)
    _impure: dict[str, bool] = field(default_factory=dict)
    _summaries: dict[str, Summary | None] = field(default_factory=dict)
    _watched: dict[int, tuple[Item, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._watched = self.watch.items if self.watch else {}

    def base(self, chain: Chain, incoming: Set) -> Set:
        """The packets that a base chain lets go on."""
        return self._decided(chain, incoming, self._base(chain, incoming))

    def _base(self, chain: Chain, incoming: Set) -> Ends:
        """Where a base chain's packets end; one without effects is walked once for all that share the scope."""
        if incoming == self.view.space.nothing or self.turns is not None or self.impure(chain):
            return self._rules(chain, incoming, 0)
        return self._part(self._known(chain, 0), incoming)

    def trace(self, chain: Chain, incoming: Set) -> Trace:
        """All that becomes of packets in a chain; one that packets are sent to has no policy of its own."""
        ends = self._rules(chain, incoming, 0)
        return Trace(tuple(self.visits), self._decided(chain, incoming, ends), ends.dropped, ends.left)

    def _decided(self, chain: Chain, incoming: Set, ends: Ends) -> Set:
        policy = chain.base.policy if chain.base else Verdict.ACCEPT
        return incoming & ~(ends.dropped if policy is Verdict.ACCEPT else ends.dropped | ends.left)

    def _chain(self, name: str, incoming: Set, depth: int) -> Ends:
        """A user's chain: walked once for all packets where it has no effects, else for each way in."""
        chain = self.table.chain(name)
        if depth > MOST_JUMPS:
            raise NotDecided(
                f"{self.table.family} {self.table.name} {name}: more than {MOST_JUMPS} jumps one in another"
            )
        if chain is None:
            return Ends(self.view.space.nothing, self.view.space.nothing, incoming)
        if self.impure(chain):
            done = self._summary(chain)
            return self._rules(chain, incoming, depth) if done is None else self._summed(done, incoming)
        return self._part(self._known(chain, depth), incoming)

    def _part(self, ends: Ends, incoming: Set) -> Ends:
        return Ends(incoming & ends.dropped, incoming & ends.accepted, incoming & ends.left)

    def _summary(self, chain: Chain) -> Summary | None:
        """What a chain that translates or marks does to all packets, where nobody asks who comes to its rules."""
        view = self.view
        if self._watched or self.traced or self.turns is not None or view.lost or view.written or view.added:
            return None
        if chain.name not in self._summaries:
            self._summaries[chain.name] = summary(view, self.table, chain)
        return self._summaries[chain.name]

    def _summed(self, done: Summary, incoming: Set) -> Ends:
        """The part of it that is these packets'."""
        asked = done.hits if self.wanted is None else [hit for hit in done.hits if hit.statement in self.wanted]
        self.hits += parts(asked, incoming, self.view.space.nothing)
        self.translated.append(incoming & done.translated)
        if done.marks:
            bits = self.view.bits_of_mark()
            for at, (ones, zeros) in done.marks.items():
                bits[at] = (bits[at] & ~(incoming & zeros)) | (incoming & ones)
            self.view.changed()
        return Ends(incoming & done.dropped, incoming & done.accepted, incoming & done.left)

    def _known(self, chain: Chain, depth: int) -> Ends:
        """Where a chain sends all packets of the scope: found once, for both rule sets if they share it."""
        made = self._ends.get((chain.name, self.view.version))
        if made is None:
            chains, known = self.table.below(chain), self.view.space.known
            sets = id(self.table) if self.table.sets else 0
            key = (*map(id, chains), sets, self.scope, self.view.signature())
            if key not in known:
                known[key] = chains, self._rules(chain, self.scope, depth)  # holding the chains keeps their ids theirs
            made = self._ends[chain.name, self.view.version] = known[key][1]
        return made

    def impure(self, chain: Chain) -> bool:
        """Whether packets may come out of the chain other than they went in."""
        if chain.name not in self._impure:
            below = self.table.below(chain)
            self._impure[chain.name] = any(self._changing_alone(c) or self._asked_of(c) for c in below)
        return self._impure[chain.name]

    def _changing_alone(self, chain: Chain) -> bool:
        """Whether a chain's own rules change packets."""
        known, key = self.view.space.known, ("changes", id(chain.rules))
        if key not in known:
            known[key] = chain.rules, any(changes(s) for rule in chain.rules for s in rule.statements)
        return bool(known[key][1])

    def _asked_of(self, chain: Chain) -> bool:
        """Whether a rule of a chain is looked at by itself."""
        if not self._watched and not self.traced:
            return False
        known, key = self.view.space.known, ("rules", id(chain.rules))
        if key not in known:
            known[key] = chain.rules, frozenset(map(id, chain.rules))
        mine: frozenset[int] = known[key][1]
        return not (mine.isdisjoint(self._watched) and mine.isdisjoint(self.traced))

    def _apart(self, rule: Rule) -> bool:
        """Whether a rule is looked at by itself."""
        return id(rule) in self._watched or id(rule) in self.traced

    def _blocks(self, chain: Chain) -> Iterable[Sequence[Rule]]:
        """The chain's rules a block at a time: where none stands apart, found once for all walks."""
        if self._asked_of(chain):
            return blocks(chain.rules, self._apart)
        known, key = self.view.space.known, ("blocks", id(chain.rules))
        if key not in known:
            known[key] = chain.rules, tuple(blocks(chain.rules))  # holding the rules keeps their id theirs
        found: tuple[Sequence[Rule], ...] = known[key][1]
        return found

    def _rules(self, chain: Chain, incoming: Set, depth: int) -> Ends:
        """The rules in order: rules that only end packets' ways are folded, a block at a time."""
        nothing, either = self.view.space.nothing, self.view.space.sets.either
        ends: dict[str, list[Set]] = {DROPPED: [], LEFT: [], ACCEPTED: []}
        live = incoming
        for block in self._blocks(chain) if live != nothing else ():
            self.view.space.sets.tick()
            if plain_end(block[0]) and not self._apart(block[0]):
                sent = folded(self.view, block, self.table)
                for kind, found in sent.items():
                    ends[kind].append(live & found)
                live = live & ~either(list(sent.values()))
            else:
                if id(block[0]) in self.traced:
                    self._visited(chain.name, block[0], live)
                live = self._statements(block[0], live, ends, depth)
            if live == nothing or (self.few and self.translated):
                break
        ends[LEFT].append(live)
        return Ends(either(ends[DROPPED]), either(ends[ACCEPTED]), either(ends[LEFT]))

    def _statements(self, rule: Rule, live: Set, ends: dict[str, list[Set]], depth: int) -> Set:
        """A rule with effects, jumps or something unknown; the packets that go on to the next rule."""
        items = self._watched.get(id(rule), ())
        if items:
            comes = self._coming(rule, live)
            self._asked(rule, items, comes)
            hit = comes[-1]
        else:
            hit = self._fitting(rule.matches, live)
        on, broken = hit, self.view.space.nothing
        if hit == broken:
            return live
        for at, statement in enumerate(rule.statements):
            if on == self.view.space.nothing:
                break
            for item in items:
                if item.what is statement and item.at == at:
                    self._saw(rule, item, on)
            ended = self._breaking(statement)
            if ended is not None:
                on, broken = on & ~ended, broken | (on & ended)
            self._path.append(rule)
            on = self._statement(rule, at, on, ends, depth)
            self._path.pop()
        return (live & ~hit) | on | broken

    def _fitting(self, matches: Iterable[Match], live: Set) -> Set:
        """The packets that all these matches hold for; most rules of a long chain fit none of the few that come by."""
        for match in matches:
            live = live & self.view.match(match, self.table)
            if live == self.view.space.nothing:
                break
        return live

    def _coming(self, rule: Rule, live: Set) -> list[Set]:
        """The packets that come to each match of a rule, and behind them those that all hold for."""
        comes = [live]
        for at, match in enumerate(rule.matches):
            if live != self.view.space.nothing:
                live = live & self._answer(rule, at, match, live)
            comes.append(live)
        return comes

    def _answer(self, rule: Rule, at: int, match: Match, live: Set) -> Set:
        """The packets that a match holds for, of those that come to it; each question in its turn."""
        if self.turns is None or not (parts := list(self.turns.asking(rule, at, match, self.table, live))):
            return self.view.match(match, self.table)
        return self.view.space.sets.either([part & self.view.match(match, self.table, again) for part, again in parts])

    def _visited(self, chain: str, rule: Rule, live: Set) -> None:
        fits = self._fitting(self.traced[id(rule)], live)
        mark = tuple(self.view.mark) if self.view.mark is not None else None
        self.visits.append(Visit(chain, rule, live, fits, tuple(self._path), mark))

    def _asked(self, rule: Rule, items: tuple[Item, ...], comes: Sequence[Set]) -> None:
        """Who comes to the matches that are watched: what counts is asked in its turn; an answer that only varies
        matters where all that stays the same holds."""
        steady = [m for m in rule.matches if answer_of(m, self.table) is Answer.SAME]
        for item in items:
            if item.why is Why.ASKS:
                self._saw(rule, item, self._asking(rule, item, comes[0]))
            elif item.why is Why.COUNTS:
                self._saw(rule, item, comes[item.at])
            elif item.why is Why.VARIES:
                self._saw(rule, item, self._fitting(steady, comes[0]))

    def _asking(self, rule: Rule, item: Item, live: Set) -> Set:
        """The packets whose entry is asked: those that all else holds for."""
        on = live
        for at, match in enumerate(rule.matches):
            if at != item.at:
                on = on & self.view.match(match, self.table)
            elif isinstance(match, XtConntrack) and match.states is not None:
                on = on & self._left_to_entry(match, match.states)
        return on

    def _left_to_entry(self, match: XtConntrack, states: Intervals) -> Set:
        """The packets that their state does not answer for; of DNAT alone, nor their way through the nat chains, which
        says no, as the lack of an entry does."""
        here = self.view.field(Field.CT_STATE, states)
        if not (match.snat or match.dnat):
            return here
        if match.others:
            return self.view.space.everything
        on = here if match.negated else ~here
        return on if match.snat or self.view.direct is None else on & ~self.view.direct

    def _saw(self, rule: Rule, item: Item, packets: Set) -> None:
        if packets != self.view.space.nothing:
            where = self.table.dialect.value, self.table.family.value, self.table.name
            self.sights.append(Sight(where, rule, item, packets))

    def _breaking(self, statement: Statement) -> Set | None:
        """The packets whose way through a rule ends here: nft found no entry to read, or nothing in a map (K53)."""
        match statement:
            case SetMark() if statement.reads_entry and self.table.dialect is Dialect.NFTABLES:
                return self.view.space.everything if self.early else self.view.stateless()
            case AddToSet(set_name=name) if self._stops_at(name):
                return self.view.space.unknown(f"{statement.text}: the set is full")
            case OpaqueStatement() if expects(statement):
                fresh = self.view.space.nothing if self.early else self.view.states[CtState.NEW]
                return ~fresh | self.view.space.unknown(not_new(statement))
            case OpaqueStatement(may_break=True):
                return self.view.space.unknown(f"{question(statement)}: nothing is found")
            case Nat(elsewhere=Elsewhere(looks_up=True)):
                return self.view.space.unknown(f"{translation(statement)}: nothing is found")
            case SetMark() | OpaqueStatement() | Nat() | End() | Jump() | Return() | NoEffect():
                return None
            case Notrack() | SetZone() | CtTemplate() | Helper() | SetField() | AddToSet():
                return None
            case _:
                assert_never(statement)

    def _stops_at(self, name: str) -> bool:
        """Whether nft may end a rule that adds to this set, for want of room (K135)."""
        found = self.table.set(name)
        return found is not None and found.full and self.table.dialect is Dialect.NFTABLES

    def _parts(self, rule: Rule, at: int, on: Set) -> Iterator[tuple[Set, Again]]:
        """The packets that a statement's questions are about."""
        if self.turns is None:
            yield on, as_it_is
        else:
            yield from self.turns.done(rule, at, rule.statements[at], on)

    def _statement(self, rule: Rule, at: int, on: Set, ends: dict[str, list[Set]], depth: int) -> Set:
        nothing, statement = self.view.space.nothing, rule.statements[at]
        match statement:
            case End(verdict=Verdict.QUEUE):
                accepts = self._queued(rule, at, queue(statement), on)
                ends[ACCEPTED].append(on & accepts)
                ends[DROPPED].append(on & ~accepts)
            case End():
                ends[KINDS[statement.verdict]].append(on)
            case Return():
                ends[LEFT].append(on)
            case Jump():
                inner = self._chain(statement.chain, on, depth + 1)
                ends[DROPPED].append(inner.dropped)
                ends[ACCEPTED].append(inner.accepted)
                if not statement.goto:
                    return inner.left
                ends[LEFT].append(inner.left)
            case Nat():
                self.hits.append(Hit(rule, statement, on))
                self.translated.append(on)
                ends[ACCEPTED].append(on)
            case OpaqueStatement() | SetField() | AddToSet():
                return self._changing(rule, at, on, ends)
            case NoEffect() | Notrack() | SetZone() | CtTemplate() | Helper() | SetMark():
                for part, again in self._parts(rule, at, on):
                    self._effect(rule, statement, part, again)
                return on
            case _:
                assert_never(statement)
        return nothing

    def _queued(self, rule: Rule, at: int, text: str, on: Set) -> Set:
        """The packets that a program lets go on."""
        unknown = self.view.space.unknown
        parts = [part & unknown(text + again(text)) for part, again in self._parts(rule, at, on)]
        return self.view.space.sets.either(parts)

    def _unknown(self, rule: Rule, at: int, on: Set, ends: dict[str, list[Set]]) -> Set:
        """A target that is unknown to the model, each time that packets come to it."""
        statement = rule.statements[at]
        assert isinstance(statement, OpaqueStatement)
        left = [self._unknown_once(statement, part, ends, again) for part, again in self._parts(rule, at, on)]
        return self.view.space.sets.either(left)

    def _unknown_once(self, statement: OpaqueStatement, on: Set, ends: dict[str, list[Set]], again: Again) -> Set:
        """A target that is unknown to the model may end a packet's way or not, and either way."""
        done, unknown, text = does(statement), self.view.space.unknown, question(statement)
        for name in done.writes:
            if name is Field.MARK:
                self._any_mark(on & ~self.view.stateless() if done.entry_mark else on, text + again(text))
            elif self.turns is None and name not in self.view.written:
                self.view.forget(name, on)
            else:
                self.view.write(name, on, text + again(text))
        if done.goes_on:
            return on
        if done.takes:
            listens = f"{text}: a program listens there"
            ends[ACCEPTED].append(on & unknown(listens))
            ends[DROPPED].append(on & ~unknown(listens))
            return self.view.space.nothing
        accepted = f"{text} accepts"
        stops, accepts = unknown(text + again(text)), unknown(accepted + again(accepted))
        ends[ACCEPTED].append(on & stops & accepts)
        ends[DROPPED].append(on & stops & ~accepts)
        return on & ~stops

    def _changing(self, rule: Rule, at: int, on: Set, ends: dict[str, list[Set]]) -> Set:
        match statement := rule.statements[at]:
            case SetField():
                return self._written(statement, on, ends)
            case AddToSet():
                for part, _ in self._parts(rule, at, on):
                    self.view.add(statement.set_name, statement.fields, self.table, part)
                return on
            case _:  # the rest: what is unknown to the model
                return self._unknown(rule, at, on, ends)

    def _written(self, statement: SetField, on: Set, ends: dict[str, list[Set]]) -> Set:
        """A written field has its value behind the rule; where a packet with another address or port gets to, and what
        answers it, is not followed: it is taken to go on, or to be lost."""
        self.view.put(statement.field, on, statement.value)
        if not statement.readdresses:
            return on
        lost = self.view.space.unknown(astray(statement))
        ends[DROPPED].append(on & lost)
        return on & ~lost

    def _any_mark(self, on: Set, why: str) -> None:
        bits = self.view.bits_of_mark()
        for at, bit in enumerate(bits):
            bits[at] = on.ite(self.view.space.unknown(f"{why} gives bit {31 - at}"), bit)
        self.view.changed()

    def _effect(
        self, rule: Rule, statement: NoEffect | Notrack | SetZone | CtTemplate | Helper | SetMark, on: Set, again: Again
    ) -> None:
        if isinstance(statement, NoEffect):
            return
        took = on & self._bare(statement)
        if took != self.view.space.nothing:
            self.hits.append(Hit(rule, statement, took))
        match statement:
            case Notrack():
                self._move(CtState.INVALID, CtState.UNTRACKED, took)
            case SetZone() | CtTemplate() | Helper() if self.early:
                self._move(CtState.INVALID, CtState.NEW, took)
                self._move(CtState.UNTRACKED, CtState.NEW, took)
            case SetZone() | CtTemplate() | Helper():
                pass  # behind conntrack every packet has its state
            case SetMark():
                self._mark(statement, on, again)
            case _:
                assert_never(statement)

    def _bare(self, statement: Notrack | SetZone | CtTemplate | Helper | SetMark) -> Set:
        """The packets on which a statement has effect, by what is attached to them already: untracking and templates
        are for those with nothing, nft's zones for untracked ones too, and nft's helpers for entries (K9, K10, K11)."""
        states, nft = self.view.states, self.table.dialect is Dialect.NFTABLES
        match statement:
            case Notrack():
                return states[CtState.INVALID]
            case SetZone() if self.early and nft:
                return states[CtState.INVALID] | states[CtState.UNTRACKED]
            case Helper() if self.early and nft:
                return self.view.space.nothing
            case SetZone() | CtTemplate() | Helper() if self.early:
                return states[CtState.INVALID]
            case SetZone() | CtTemplate() | Helper() | SetMark():
                return self.view.space.everything
            case _:
                assert_never(statement)

    def _move(self, source: CtState, target: CtState, on: Set) -> None:
        states = self.view.states
        moved = states[source] & on
        if moved != self.view.space.nothing:
            states[source] = states[source] & ~moved
            states[target] = states[target] | moved
            self.view.changed()

    def _mark(self, statement: SetMark, on: Set, again: Again) -> None:
        """A mark restored from an entry may be any; a packet without one keeps its own (K24)."""
        if statement.to is MarkOf.ENTRY:
            return
        bits, space = self.view.bits_of_mark(), self.view.space
        on = on & ~self.view.stateless() if statement.of_entry else on
        written = statement.mask | statement.value | statement.kept
        while written:
            here = written.bit_length() - 1
            written ^= 1 << here
            at, bit = 31 - here, bits[31 - here]
            found = space.nothing if statement.mask >> here & 1 else bit
            if statement.source is MarkOf.ENTRY and statement.kept >> here & 1:
                text = mark_bit(statement, here)
                found = found ^ space.unknown(text + again(text))
            found = found ^ (space.everything if statement.value >> here & 1 else space.nothing)
            bits[at] = on.ite(found, bit)
        self.view.changed()


def mark_bit(statement: SetMark, bit: int) -> str:
    """The question for a bit of the mark that a statement reads from an entry."""
    return f"{question(statement)}: bit {bit} of the entry's mark"


def trace(view: MatchEncoder, table: Table, chain: Chain, incoming: Set) -> Trace:
    """What becomes of packets in a chain of a filter, rule by rule."""
    every = {id(rule): rule.matches for below in table.below(chain) for rule in below.rules}
    return ChainTrace(view, table, early=False, scope=incoming, traced=every).trace(chain, incoming)


def changes(statement: Statement) -> bool:
    """Whether packets may leave the statement other than they came."""
    match statement:
        case OpaqueStatement():
            return bool(does(statement).writes)
        case SetField() | AddToSet():
            return True
        case SetMark():
            return statement.to is MarkOf.PACKET
        case Notrack() | SetZone() | CtTemplate() | Helper() | Nat():
            return True
        case End() | Jump() | Return() | NoEffect():
            return False
    assert_never(statement)
