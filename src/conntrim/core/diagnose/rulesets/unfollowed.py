"""Connections that sets do not follow (a rule translates them, or their ways are in two zones): one of each part is
played, with the untracking rules and without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from conntrim.core.model.address import format_address
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Rule
from conntrim.core.model.service import ONE_WAY, Direction
from conntrim.core.netfilter.dialogue import Course, Talk, course, masquerades, run
from conntrim.core.netfilter.hooks import Arranged, direction_of
from conntrim.core.netfilter.kernel import Kernel, Route
from conntrim.core.netfilter.nat import own_addresses
from conntrim.core.netfilter.outcome import Fate, Outcome, StepKind
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.netfilter.statements import IDLE
from conntrim.core.prove.cube_cover import Box, cubes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inert import untracks
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.scripts import Harm, Script, scripts
from conntrim.core.prove.untracking import Difference

MOST_PLAYED = 6
"""Parts of a set of connections of which one is played."""

MOST_WAYS = 16
"""So many combinations of answers to what is unknown are tried for a dialogue; what is left is not decided."""

WORST = (Harm.CUT, Harm.NO_ERRORS, Harm.UNFOLLOWED, Harm.ONE_SIDED)
"""What may become of a dialogue that is played, the worst first."""


NOWHERE = (1, 0)
"""A route to no address: it only tells which of the host's addresses is at a device."""

TALKS: dict[int, Talk] = {
    Protocol.TCP: Talk.TCP, Protocol.UDP: Talk.UDP, Protocol.ICMP: Talk.ECHO, Protocol.ICMPV6: Talk.ECHO,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Way:
    """One dialogue with the untracking inert and as it is, for these answers to what is unknown to the model."""

    answers: Mapping[str, bool]
    before: Course
    after: Course

    @property
    def taking(self) -> list[Rule]:
        """The untracking rules that take packets of it."""
        return untracking(self.after.outcomes)


@dataclass(frozen=True, slots=True)
class Stage:
    """Both rule sets of one family: as they are, and with their untracking inert."""

    space: PacketVars
    rules: Arranged
    inert: Arranged
    kernel: Kernel
    newcomer: Mapping[str, bool]
    """What rules that count say to whom they have not counted yet."""

    def played(self, found: Difference, universe: Set) -> Iterator[Difference]:
        """What becomes of connections that are not followed; they stay so where a played one is not decided."""
        for packets in self._by_rules(found):
            (box, part), *_ = self.parts(packets, universe, 1)[0]
            ways = self._ways(found.script, box.witness)
            harmed = [(way, harm) for way in ways if (harm := _harm(found.script, way)) and way.taking]
            if harmed:
                way, harm = min(harmed, key=lambda each: WORST.index(each[1]))
                alike = [each for _, each in harmed] == [harm] * len(ways)
                script, rules = replace(found.script, harm=harm), tuple((rule, part) for rule in way.taking)
                open_ = not alike or harm is Harm.UNFOLLOWED
                made = replace(found, script=script, openers=part, rules=rules, conditional=open_)
                yield replace(made, played=box.witness, answers=tuple(way.answers.items()))
            elif not found.script.turns[-1].error:
                yield from self._elsewhere(replace(found, openers=part, played=box.witness), ways[0].before.outcomes[0])

    def _elsewhere(self, found: Difference, first: Outcome) -> Iterator[Difference]:
        """A dialogue that is lost if masquerading takes another of the host's addresses: nobody told by which of them
        the interface goes."""
        opener, device = first.packet, first.left.oif
        guessed = masquerades(first) and self.kernel.own(device, opener.family) is None
        for address in own_addresses(self.kernel, opener.family)[1:] if guessed else ():
            there = replace(self.kernel, routes=(Route(NOWHERE, device, address), *self.kernel.routes))
            for way in replace(self, kernel=there)._ways(found.script, opener):
                if way.taking and _harm(found.script, way) is Harm.CUT:
                    which = f"{format_address(address)} at {device}"
                    words = f"lost if masquerading takes {which}: {way.taking[0].place} takes the answers"
                    rules = tuple((rule, found.openers) for rule in way.taking)
                    yield replace(found, rules=rules, conditional=True, unsure=words)
                    return

    def _by_rules(self, found: Difference) -> Iterator[Set]:
        """The connections by what they differ in, the untracking rules that take packets of them among that: a few
        parts."""
        parts = [found.openers]
        for mine in (*found.apart, *(mine for _, mine in found.rules)):
            split = (each for part in parts for each in (part & mine, part & ~mine))
            parts = [part for part in split if part != self.space.nothing][:MOST_PLAYED]
        yield from parts

    def parts(self, found: Set, universe: Set, most: int = MOST_PLAYED) -> tuple[list[tuple[Box, Set]], bool]:
        """Some parts of a set and whether they are all of it; not of what leaves by where it came from, if there
        are others: how they come back is another story."""
        space = self.space
        straight = found & ~space.returning
        made, whole = cubes(space, straight if straight != space.nothing else found, universe, most)
        return made, whole

    def loses(self, opener: Packet) -> bool | None:
        """Whether the dialogue that a packet opens is lost, or is no longer translated; None: nobody knows. Of what the
        host itself sends nobody misses what was translated and refused then; from outside it gets in now."""
        if opener.protocol not in TALKS:
            return None
        found = {self._loses(way) for way in self._ways(_script(opener), opener)}
        return found.pop() if len(found) == 1 else None

    @staticmethod
    def _loses(way: Way) -> bool | None:
        before, after = way.before, way.after
        came, comes = (each.outcomes[0].verdict for each in (before, after))
        stops = before.translated and comes is Fate.ACCEPT and not after.translated and after.complete is not None
        own = direction_of(before.outcomes[0].packet) is Direction.OUTBOUND
        if stops and (came is Fate.ACCEPT or (came is not Fate.NOT_DECIDED and not own)):
            return True
        if before.complete is False or after.complete:
            return False
        return None if before.complete is None or after.complete is None else True

    def begins(self, opener: Packet) -> bool:
        """Whether what a packet opens may come about without the untracking rules."""
        if opener.protocol not in TALKS:
            return True
        return any(way.before.complete is not False for way in self._ways(_script(opener), opener))

    def takes(self, rule: Rule, script: Script, opener: Packet) -> bool:
        """Whether an untracking rule takes a packet of a dialogue, up to the packet that is lost."""
        outcomes = run(self.rules, script.between(opener), kernel=self.kernel, until_lost=True)
        return any(rule is each for each in untracking(outcomes))

    def lets_in(self, packet: Packet) -> bool:
        """Whether a first packet arrives only because rules untrack it, of a host whose addresses are told."""
        before, after = self._both(packet)
        refused = before.verdict in (Fate.DROP, Fate.REJECT)
        return bool(self.kernel.local) and refused and after.verdict is Fate.ACCEPT

    def refusal(self, packet: Packet) -> Packet:
        """What REJECT answers to a packet as the rules are."""
        answer = simulate(self.rules, packet, kernel=self.kernel).answer
        assert answer is not None, "only asked of packets whose refusal is silenced"
        return answer.packet

    def silences(self, packet: Packet) -> bool:
        """Whether REJECT's answer to a packet leaves where it is tracked, and is refused as it is."""
        before, after = self._both(packet)
        if Fate.NOT_DECIDED in (before.verdict, after.verdict) or before.answer is None or after.answer is None:
            return False
        return before.answer.verdict is Fate.ACCEPT and after.answer.verdict in (Fate.DROP, Fate.REJECT)

    def _both(self, packet: Packet) -> tuple[Outcome, Outcome]:
        """What becomes of a packet with the untracking inert and as it is."""
        before, after = (simulate(rules, packet, kernel=self.kernel) for rules in (self.inert, self.rules))
        return before, after

    def _ways(self, script: Script, opener: Packet) -> list[Way]:
        """A dialogue with and without its untracking; where a packet of it goes on in one state or another, whatever a
        match says that is unknown to the model, with either answer."""
        packets, made, tries = script.between(opener), list[Way](), list[dict[str, bool]]([{}])
        while tries:
            answers = tries.pop()
            given = {**self.newcomer, **answers}
            way = Way(answers, *(course(rules, packets, self.kernel, given) for rules in (self.inert, self.rules)))
            parting = way.before.parting or way.after.parting
            if parting is None:
                made.append(way)
            elif len(made) + len(tries) < MOST_WAYS:
                tries += [answers | {parting: True}, answers | {parting: False}]
            else:
                made.append(Way(answers, *(replace(each, complete=None) for each in (way.before, way.after))))
        return made


def _harm(script: Script, way: Way) -> Harm | None:
    """What untracking does to a dialogue; one that ends with an error is there for the error alone."""
    before, after = way.before, way.after
    if script.turns[-1].about is not None:
        lost = before.complete is True and after.complete is False and len(after.outcomes) == len(script.turns)
        return Harm.NO_ERRORS if lost else None
    if before.complete is False:
        return Harm.ONE_SIDED if after.complete and after.outcomes[-1].memory.entries else None
    if before.complete is None or after.complete is None:
        return Harm.UNFOLLOWED
    if not after.complete:
        return Harm.CUT
    return Harm.ONE_SIDED if after.outcomes[-1].memory.entries else None


def untracking(outcomes: Iterable[Outcome]) -> list[Rule]:
    """The untracking rules that took packets of a dialogue, as they came: translated, some of them."""
    taking = (step for outcome in outcomes for step in outcome.path if step.kind is StepKind.RULE)
    steps = (step for step in taking if not step.note.startswith(IDLE))
    return list({id(s.rule): s.rule for s in steps if s.rule and untracks(s.rule)}.values())


def _script(opener: Packet) -> Script:
    """The whole dialogue that a packet opens."""
    talk = TALKS[opener.protocol]
    one_way = talk is Talk.UDP and (opener.dport or 0) in ONE_WAY
    return next(s for s in scripts(opener.family) if (s.talk, s.one_way) == (talk, one_way))
