"""What becomes of one packet: every question that the model cannot answer is tried both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.hooks import Arranged, arrange
from conntrim.core.netfilter.kernel import DEFAULTS, Kernel
from conntrim.core.netfilter.memory import EMPTY, Memory
from conntrim.core.netfilter.outcome import Fate, Outcome
from conntrim.core.netfilter.skb import Answers, Skb
from conntrim.core.netfilter.traversal import Traversal

WAYS = 64
"""So many combinations of answers to undecided questions are tried out; then the verdict is not decided."""


def simulate(
    ruleset: Ruleset | Arranged,
    packet: Packet,
    memory: Memory = EMPTY,
    kernel: Kernel = DEFAULTS,
    assume: Mapping[str, bool] | None = None,
    *,
    explained: bool = True,
) -> Outcome:
    """What becomes of a packet. `assume` answers questions (texts as in `Outcome.undecided`) that are open else;
    `explained` as in `Traversal`.

    Every open question is tried both ways: where all ways end alike the outcome is decided all the same.
    """
    arranged = ruleset if isinstance(ruleset, Arranged) else arrange(ruleset)
    given = dict(assume or {})
    tries: list[dict[str, bool]] = [given]
    ways: list[tuple[dict[str, bool], Outcome]] = []
    while tries and len(ways) < WAYS:
        assumed = tries.pop()
        outcome, asked = _once(arranged, packet, memory, kernel, assumed, explained=explained)
        ways.append((asked, outcome))
        open_ = [text for text in asked if text not in assumed]
        tries += [assumed | dict.fromkeys(open_[:i], False) | {text: True} for i, text in enumerate(open_)]
    return ways[0][1] if len(ways) == 1 else _merged(ways, given, exhausted=not tries)


def _merged(ways: list[tuple[dict[str, bool], Outcome]], given: Mapping[str, bool], exhausted: bool) -> Outcome:
    """The outcome of the first way, with the questions on which the ways part."""
    questions = dict.fromkeys(text for asked, _ in ways for text in asked if text not in given)
    mattered = tuple(text for text in questions if _matters(text, ways))
    if not mattered and exhausted:
        return replace(ways[0][1], asked=tuple(questions))
    fates = {outcome.verdict for _, outcome in ways}
    verdict = fates.pop() if len(fates) == 1 and exhausted else Fate.NOT_DECIDED
    return replace(ways[0][1], verdict=verdict, undecided=mattered or tuple(questions), asked=tuple(questions))


def _matters(text: str, ways: list[tuple[dict[str, bool], Outcome]]) -> bool:
    ends: dict[bool, list[tuple[object, ...]]] = {True: [], False: []}
    for asked, outcome in ways:
        if text in asked:
            end = _end(outcome)
            ends[asked[text]] += [] if end in ends[asked[text]] else [end]
    return any(end not in ends[False] for end in ends[True]) or any(end not in ends[True] for end in ends[False])


def _end(outcome: Outcome) -> tuple[object, ...]:
    """All that counts of an outcome: how the packet ended, the table, and how REJECT's answer to it ended."""
    return outcome.verdict, outcome.state, outcome.memory.entries, outcome.answer and _end(outcome.answer)


def _once(
    arranged: Arranged, packet: Packet, memory: Memory, kernel: Kernel, assumed: Mapping[str, bool], *, explained: bool
) -> tuple[Outcome, dict[str, bool]]:
    answers = Answers(assumed)
    outcome = Traversal(arranged, memory, packet, Skb(packet, kernel, answers), explained=explained).outcome()
    return outcome, answers.asked
