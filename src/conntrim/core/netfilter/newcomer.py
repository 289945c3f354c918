"""A dialogue of a client whom nothing has counted yet: on no list of `recent`, within every limit, by the usual way.

What a rule that counts says depends on what came before. Where that alone leaves a verdict open, an operator asks about
a first attempt: the dialogue is walked with the answers that such a client gets, and they are told. Within the dialogue
the client is counted, so an answer holds only as long as its own packets cannot have changed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import KEPT_LIST, TRIAL_LIST
from conntrim.core.model.ruleset import OpaqueMatch, Rule, Ruleset
from conntrim.core.netfilter.dialogue import from_peer
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import EMPTY
from conntrim.core.netfilter.outcome import Fate, Outcome, StepKind
from conntrim.core.netfilter.question_text import question
from conntrim.core.netfilter.simulate import simulate

BURST = 5
"""What a limit lets through at once where nothing is said (xt_limit, xt_hashlimit, nft_limit)."""

ALWAYS = 1 << 30


@dataclass(frozen=True, slots=True)
class Counted:
    """What a match answers a newcomer, while fewer than `most` packets of its dialogue were counted on `listed`, a list
    of `recent` (empty: each packet counts)."""

    answer: bool
    most: int = ALWAYS
    listed: str = ""


def counted(match: OpaqueMatch) -> Counted | None:
    """What the match answers a newcomer; None where that is not known."""
    said = match.text.split()  # rule text: what counts is opaque to all proofs, and told here with its assumption
    if match.negated or "!" in said:
        return None
    match match.kind:
        case "recent":
            return _recent(said)
        case "limit" if not any("bytes" in word for word in said):
            return Counted("over" not in said, _number(said, "burst", "--limit-burst", usual=BURST))
        case "hashlimit" if not any(word.endswith("b/s") for word in said):
            return Counted("--hashlimit-above" not in said, _number(said, "--hashlimit-burst", usual=BURST))
        case "connlimit":
            above, upto = _number(said, "--connlimit-above"), _number(said, "--connlimit-upto")
            return Counted(not above) if above or upto else None
        case "rpfilter":
            return Counted("--invert" not in said)
    return None


def _recent(said: Sequence[str]) -> Counted | None:
    if _list(said) in (TRIAL_LIST, KEPT_LIST):  # a plan's own switch, for all clients at once
        return None
    if "--set" in said:
        return Counted(answer=True)
    if {"--rcheck", "--update", "--remove"}.intersection(said):
        return Counted(answer=False, most=_number(said, "--hitcount", usual=1), listed=_list(said))
    return None


def _list(said: Sequence[str]) -> str:
    return said[said.index("--name") + 1] if "--name" in said[:-1] else "DEFAULT"


def _number(said: Sequence[str], *options: str, usual: int = 0) -> int:
    """The number behind one of these words."""
    found = (int(value) for option, value in pairwise(said) if option in options and value.isdecimal())
    return next(found, usual)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The questions of a rule set that a newcomer has an answer to, and how often each list of `recent` is written to
    by rules that leave no step of a path."""

    answers: dict[str, Counted]
    silent: dict[str, int]

    @classmethod
    def of(cls, ruleset: Ruleset) -> Self:
        """Of all rules."""
        rules = [rule for table in ruleset.tables for chain in table.chains for rule in chain.rules]
        answers = {
            question(match): told
            for rule in rules for match in _opaque(rule) if (told := counted(match)) is not None
        }  # fmt: skip
        silent: dict[str, int] = {}
        for rule in rules:
            for name in _written(rule) if not rule.statements else ():
                silent[name] = silent.get(name, 0) + 1
        return cls(answers, silent)

    def walk(
        self, arranged: Arranged, packets: Iterable[Packet], kernel: Kernel
    ) -> tuple[tuple[Outcome, ...], tuple[str, ...]]:
        """The outcomes up to the first packet that is lost, and the questions that were answered for a newcomer."""
        outcomes: list[Outcome] = []
        used: dict[str, None] = {}
        memory = EMPTY
        for packet in packets:
            came = from_peer(packet, outcomes)
            outcome = simulate(arranged, came, memory, kernel)
            if outcome.verdict is Fate.NOT_DECIDED:
                outcome, asked = self._assumed(arranged, came, outcomes, outcome, kernel)
                used |= dict.fromkeys(asked)
            outcomes.append(outcome)
            memory = outcome.memory
            if outcome.verdict is not Fate.ACCEPT:
                break
        return tuple(outcomes), tuple(used)

    def _assumed(
        self, arranged: Arranged, packet: Packet, before: Sequence[Outcome], open_: Outcome, kernel: Kernel
    ) -> tuple[Outcome, list[str]]:
        """The packet's outcome with a newcomer's answers, and to which questions; as it was where they do not hold."""
        told = {asked: self.answers[asked] for asked in open_.undecided if asked in self.answers}
        memory = before[-1].memory if before else EMPTY
        decided = simulate(arranged, packet, memory, kernel, {asked: each.answer for asked, each in told.items()})
        on_lists = [name for each in (*before, decided) for name in _hits(each)]
        number = len(before) + 1

        def earlier(each: Counted) -> int:
            """How many packets of the dialogue may have been counted before the question."""
            listed = each.listed
            return on_lists.count(listed) + number * self.silent.get(listed, 0) if listed else number - 1

        if decided.verdict is Fate.NOT_DECIDED or any(earlier(each) >= each.most for each in told.values()):
            return open_, []
        return decided, list(told)


def _opaque(rule: Rule) -> Iterator[OpaqueMatch]:
    yield from (match for match in rule.matches if isinstance(match, OpaqueMatch))


def _written(rule: Rule) -> Iterator[str]:
    """The lists that a rule puts the packet's address on."""
    for match in _opaque(rule):
        said = match.text.split()  # rule text: as in `counted`
        if match.kind == "recent" and "--set" in said:
            yield _list(said)


def _hits(outcome: Outcome) -> Iterator[str]:
    """The lists that the rules of its path wrote to."""
    for step in outcome.path:
        if step.kind is StepKind.RULE and step.rule is not None:
            yield from _written(step.rule)
