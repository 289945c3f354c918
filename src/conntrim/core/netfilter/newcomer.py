"""A dialogue of a client whom nothing has counted yet: on no list of `recent`, within every limit, by the usual way.

What a rule that counts says depends on what came before. Where that alone leaves a verdict open, an operator asks about
a first attempt: the dialogue is walked with the answers that such a client gets, and they are told. Within the dialogue
the client is counted, so an answer holds only as long as its own packets cannot have changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self, assert_never

from conntrim.core.model.address_types import AddressType
from conntrim.core.model.asks import BridgePorts, Connections, Rate, Visitors, WayBack, Wrapping
from conntrim.core.model.fields import Field
from conntrim.core.model.kinds import SYNPROXY
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import KEPT_LIST, TRIAL_LIST
from conntrim.core.model.ruleset import In, OpaqueMatch, OpaqueStatement, Rule, Ruleset
from conntrim.core.netfilter.dialogue import from_peer, opened
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import EMPTY
from conntrim.core.netfilter.outcome import Fate, Outcome, StepKind
from conntrim.core.netfilter.question_text import question
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.netfilter.statements import earned

ALWAYS = 1 << 30

FIRST = "for a sender that nothing has counted yet (a first attempt)"
OURS = "as if the destination were an address of this host (--local tells those)"
PLAIN = "for a packet without IPsec and without IPv6's extension headers"
"""On which assumption a question is answered."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a match answers a newcomer, while fewer than `most` packets of its dialogue were counted on `listed`, a list
    of `recent` (empty: each packet counts)."""

    answer: bool
    most: int = ALWAYS
    listed: str = ""
    why: str = FIRST


def addressed(match: In) -> Counted:
    """What a match on the destination's type answers for a packet that rules are to send on: it came to this host."""
    return Counted(AddressType.LOCAL in match.values, why=OURS)


def counted(match: OpaqueMatch) -> Counted | None:
    """What the match answers a newcomer; None where that is not known."""
    match match.asks:
        case Rate(burst, over):
            return Counted(not over, burst)
        case Visitors(name=name) if name in (TRIAL_LIST, KEPT_LIST):  # a plan's own switch, for all clients at once
            return None
        case Visitors(adds=True):
            return Counted(answer=True)
        case Visitors(name, hits=hits):
            return Counted(answer=False, most=hits, listed=name)
        case Connections(over=over):
            return Counted(not over)
        case WayBack(inverted=inverted):
            return Counted(not inverted)
        case Wrapping(plain=plain):
            return Counted(plain, why=PLAIN)
        case BridgePorts() | None:
            return None
        case _:
            assert_never(match.asks)


def proxied(outcomes: Sequence[Outcome]) -> bool:
    """Whether a SYNPROXY answered the first packet of a connection."""
    return bool(outcomes) and outcomes[0].verdict is Fate.ANSWERED


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The questions of a rule set that a newcomer has an answer to, and how often each list of `recent` is written to
    by rules that leave no step of a path."""

    answers: dict[str, Counted]
    silent: dict[str, int]
    earned: tuple[str, ...] = ()
    """Whether an ACK ends the handshake of a SYNPROXY that answered: the first one does."""

    @classmethod
    def of(cls, ruleset: Ruleset) -> Self:
        """Of all rules."""
        rules = list(ruleset.those(_asking))
        answers = {
            question(match): times
            for rule in rules for match in _opaque(rule) if (times := counted(match)) is not None
        }  # fmt: skip
        typed = (m for rule in rules for m in rule.matches if isinstance(m, In) and m.field is Field.DST_TYPE)
        answers |= {question(match): addressed(match) for match in typed}
        silent: dict[str, int] = {}
        for rule in rules:
            for name in _written(rule) if not rule.statements else ():
                silent[name] = silent.get(name, 0) + 1
        proxies = (s for rule in rules for s in rule.statements if isinstance(s, OpaqueStatement))
        return cls(answers, silent, tuple(earned(s) for s in proxies if s.kind in SYNPROXY))

    @property
    def said(self) -> dict[str, bool]:
        """What rules that count say to whom they have not counted yet, by question; and that a connection whose SYN no
        SYNPROXY answered has no ACK that one awaits."""
        return {text: counted.answer for text, counted in self.answers.items()} | dict.fromkeys(self.earned, False)

    def walk(
        self, arranged: Arranged, packets: Iterable[Packet], kernel: Kernel
    ) -> tuple[tuple[Outcome, ...], tuple[str, ...]]:
        """The outcomes up to the first packet that is lost, and on which assumption which questions were answered."""
        outcomes: list[Outcome] = []
        used: dict[str, None] = {}
        memory = EMPTY
        left = list(packets)
        while left:
            if proxied(outcomes) and len(outcomes) == 1:
                left[:2] = reversed(left[:2])  # the client's ACK comes first: only then the server is asked
            came = from_peer(left.pop(0), outcomes)
            given = dict.fromkeys(self.earned, len(outcomes) == 1) if proxied(outcomes) else {}
            ask = partial(simulate, arranged, came, memory, kernel)
            outcome = ask(given)
            if proxied(outcomes) and len(outcomes) == 1 and not opened(outcomes[0], outcome):
                outcome = ask(given := dict.fromkeys(self.earned, False))
            if outcome.verdict is Fate.NOT_DECIDED:
                outcome, asked = self._assumed(ask, given, outcomes, outcome)
                used |= {f"{self.answers[each].why}: {each}": None for each in asked}
            outcomes.append(outcome)
            memory = outcome.memory
            wanted = Fate.ANSWERED if proxied(outcomes) and len(outcomes) < 3 else Fate.ACCEPT
            if outcome.verdict is not wanted or outcome.handshake_lost:
                break
        return tuple(outcomes), tuple(used)

    def _assumed(
        self, ask: Callable[[dict[str, bool]], Outcome], given: dict[str, bool], before: Sequence[Outcome],
        open_: Outcome,
    ) -> tuple[Outcome, list[str]]:  # fmt: skip
        """The packet's outcome with a newcomer's answers, and to which questions; as it was where they do not hold."""
        assumed = {asked: self.answers[asked] for asked in open_.undecided if asked in self.answers}
        decided = ask(given | {asked: each.answer for asked, each in assumed.items()})
        on_lists = [name for each in (*before, decided) for name in _hits(each)]
        number = len(before) + 1

        def earlier(each: Counted) -> int:
            """How many packets of the dialogue may have been counted before the question."""
            listed = each.listed
            return on_lists.count(listed) + number * self.silent.get(listed, 0) if listed else number - 1

        if decided.verdict is Fate.NOT_DECIDED or any(earlier(each) >= each.most for each in assumed.values()):
            return open_, []
        return decided, list(assumed)


def _asking(rule: Rule) -> bool:
    """Whether a rule has a question of this kind at all."""
    asks = any(isinstance(m, OpaqueMatch) or (isinstance(m, In) and m.field is Field.DST_TYPE) for m in rule.matches)
    return asks or any(isinstance(s, OpaqueStatement) for s in rule.statements)


def _opaque(rule: Rule) -> Iterator[OpaqueMatch]:
    yield from (match for match in rule.matches if isinstance(match, OpaqueMatch))


def _written(rule: Rule) -> Iterator[str]:
    """The lists that a rule puts the packet's address on."""
    for match in _opaque(rule):
        if isinstance(match.asks, Visitors) and match.asks.adds:
            yield match.asks.name


def _hits(outcome: Outcome) -> Iterator[str]:
    """The lists that the rules of its path wrote to."""
    for step in outcome.path:
        if step.kind is StepKind.RULE and step.rule is not None:
            yield from _written(step.rule)
