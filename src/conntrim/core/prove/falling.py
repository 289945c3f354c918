"""What becomes of the policy's connections when its rules fall back to those before it.

One that was open before has an entry, kept alive and liberal through the trial: each of its packets is ESTABLISHED as
ever (K88). One that was opened while untracked has none: its next packet is picked up mid-stream, reversed if the
server speaks first, or refused (K13). Whether that packet passes, and what follows it, is asked of the rules before,
from an empty table; what does not go on is told as what the plan costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.refusal import RESET
from conntrim.core.model.ruleset import End
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.outcome import Fate, Outcome
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.prove.cube_cover import Box, boxes
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import ACK, FIN, PSH, Steps, turn
from conntrim.core.prove.packet_text import describe
from conntrim.core.prove.symbolic_connection import Conversations

MOST = 3
"""Kinds of connections told apart for one service and speaker; the rest is told as one more."""

OPENED = "connections opened while untracked"
OTHER = {"request": "answer", "answer": "request"}
SPEAKER: dict[tuple[Direction, str], tuple[str, str]] = {
    (Direction.INBOUND, "request"): ("client", "this host"), (Direction.INBOUND, "answer"): ("server", "the client"),
    (Direction.OUTBOUND, "request"): ("client", "the server"), (Direction.OUTBOUND, "answer"): ("server", "this host"),
}  # fmt: skip
"""Who speaks next, and whose packet then gets it going again."""
NEITHER = {"request": ("client", "the server"), "answer": ("server", "the client")}


@dataclass(frozen=True, slots=True)
class Falling:
    """One flow of the policy under the rules before, `arranged`; `opened` are its connections, `local` the host's
    addresses."""

    talks: Conversations
    opened: Set
    arranged: Arranged
    local: Intervals

    def costs(self) -> Iterator[str]:
        """What is lost, one sentence a kind."""
        lost = {who: self._lost(who) for who in OTHER}
        both = lost["request"][1] & lost["answer"][1]
        yield from self._told("request", both, f"{OPENED} are cut")
        for who, (stalled, cut) in lost.items():
            speaker, other = SPEAKER.get((self.talks.flow.direction, who), NEITHER[who])
            yield from self._told(who, cut & ~both, f"{OPENED} whose {speaker} speaks next are cut")
            yield from self._told(who, stalled, self._stalls(who, speaker, other))
        yield from self._closing(both)

    def _lost(self, who: str) -> tuple[Set, Set]:
        """The connections that stall when that end speaks next until the other does; and those that do not recover."""
        other, flags = OTHER[who], self._data()
        first: Steps = ((who, flags),)
        goes_on = self.talks.goes((*first, (other, flags))) & self.talks.goes((*first, (other, flags), *first))
        passes = self.talks.goes(first)
        return self.opened & goes_on & ~passes & ~self._reset(who), self.opened & (~goes_on | self._reset(who))

    def _data(self) -> int:
        return PSH | ACK if self._tcp else 0

    @property
    def _tcp(self) -> bool:
        return self.talks.flow.protocol == Protocol.TCP

    def _stalls(self, who: str, speaker: str, other: str) -> str:
        if self._tcp:
            return f"{OPENED} whose {speaker} speaks next stall until {other} sends"
        if who == "answer":
            return "answers under way are lost, and what the server sends unasked is, until the client asks again"
        return f"what the client sends is lost until {other} has sent"

    def _closing(self, cut: Set) -> Iterator[str]:
        """A FIN without an entry opens nothing (FRESH): where it is refused its receiver does not learn of it."""
        for who in OTHER if self._tcp else ():
            speaker, _ = SPEAKER.get((self.talks.flow.direction, who), NEITHER[who])
            lost = self.opened & ~cut & ~self.talks.goes(((who, FIN | ACK),))
            yield from self._told(who, lost, f"{OPENED} that the {speaker} closes next end late", FIN | ACK)

    # --- words ------------------------------------------------------------------------------------------------------

    def _told(self, who: str, lost: Set, what: str, flags: int | None = None) -> Iterator[str]:
        space = self.talks.space
        if lost == space.nothing:
            return
        label = self.talks.flow.label
        if lost == self.opened:
            (box, *_), _ = boxes(space, lost, self.opened, 1)
            yield f"{label}: {what}{self._because(who, box, flags)}"
            return
        parts, whole = boxes(space, lost, self.opened, MOST)
        for box in parts:
            yield f"{label}: {what}{self._because(who, box, flags)}; those are: {describe(space, box)}"
        if not whole:
            yield f"{label}: {what}; and more"

    def _because(self, who: str, box: Box, flags: int | None) -> str:
        """The rule that refuses the first packet, where the readable evaluator finds one."""
        outcome = self._walked(who, box.witness, self._data() if flags is None else flags)
        step = outcome.by
        if step is None:
            return ""
        if step.rule is not None:
            return f" ({step.rule.place} refuses it: {step.rule.text})"
        return f" (chain {step.chain} of {step.table} refuses it)"

    def _walked(self, who: str, request: Packet, flags: int) -> Outcome:
        packet = turn(self.talks.flow, request, who, flags)
        return simulate(self.arranged, packet, kernel=Kernel(local=self.local, tcp_loose=self.talks.loose))

    def _reset(self, who: str) -> Set:
        """The connections whose next packet is answered by a reset: nothing gets them going again."""
        space = self.talks.space
        rest = self.opened & ~self.talks.goes(((who, self._data()),)) if self._tcp else space.nothing
        parts = boxes(space, rest, self.opened, MOST)[0] if rest != space.nothing else []
        return rest if any(_resets(self._walked(who, box.witness, self._data())) for box in parts) else space.nothing


def merged(costs: Iterable[str]) -> tuple[str, ...]:
    """Each once, and what holds for a service in both families without naming them."""
    texts = list(dict.fromkeys(costs))
    plain = {text: text.replace(" (IPv4)", "").replace(" (IPv6)", "") for text in texts}
    both = {text for text in plain.values() if sum(other == text for other in plain.values()) > 1}
    return tuple(dict.fromkeys(plain[text] if plain[text] in both else text for text in texts))


def _resets(outcome: Outcome) -> bool:
    rule = outcome.by.rule if outcome.by and outcome.verdict is Fate.REJECT else None
    return rule is not None and any(isinstance(s, End) and s.how == RESET for s in rule.statements)
