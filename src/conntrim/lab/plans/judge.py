"""What the kernel did while a plan came and went, against what the plan said: every difference is one of a few kinds.

Beside the host with the plan stands a twin with the same rules and none: the same dialogues run on both, so that what
counts or meters by itself does so on both. What is lost or let in beyond what the plan listed is a disagreement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from conntrim.core.model.address import Family
from conntrim.core.model.plan import Plan
from conntrim.core.model.protocol import protocol_name
from conntrim.core.plan.residual import ERRORS
from conntrim.core.prove.nat_preservation import BY_CHANCE
from conntrim.lab.held.play import DONE, REFUSED, Played
from conntrim.lab.held.stand import HOST
from conntrim.lab.held.talks import Dialogue, group, opens
from conntrim.lab.plans.hosts import PlannedHost, Wish
from conntrim.lab.plans.talks import server_addresses


class Phase(StrEnum):
    """Where the plan stands."""

    BEFORE = "before"
    ARMING = "while it is loaded"
    TRIAL = "on trial"
    EXPIRED = "expired"
    KEEPING = "while it is confirmed"
    KEPT = "confirmed"
    UNDOING = "while it is rolled back"
    UNDONE = "rolled back"


ACTING = frozenset({Phase.ARMING, Phase.TRIAL, Phase.KEEPING, Phase.KEPT, Phase.UNDOING})
"""In these the plan's rules act, so that what it listed may happen."""


class PlanFault(StrEnum):
    """The kinds of disagreement."""

    CRASH = "the verb fails"
    REFUSED = "a proved plan is refused"
    LOST = "a dialogue is lost"
    ACROSS = "a dialogue that was under way is lost"
    HOLE = "a packet is let in that was refused"
    REFUSAL = "a refusal is told otherwise"
    ADDRESS = "peers see other addresses"
    LOGS = "a rule logs packets that it did not log"
    ONE_SIDED = "an untracked dialogue leaves an entry"


@dataclass(frozen=True, slots=True)
class PlanDisagreement:
    """One: its kind, when, which service the host was planned for, and the dialogues that show it."""

    fault: PlanFault
    phase: str
    about: str
    dialogues: tuple[Dialogue, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """By which it is counted."""
        return " | ".join(filter(None, (self.fault, self.phase, self.about)))


HERE, TWIN = "host", "twin"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a plan of a host says will happen."""

    host: PlannedHost
    plan: Plan
    open: set[tuple[int, ...]] = field(default_factory=set)
    let_in: dict[str, set[tuple[int, ...]]] = field(default_factory=lambda: {HERE: set(), TWIN: set()})

    def learn(self, pairs: Sequence[Pair]) -> None:
        """Which ports the twin opens to whom, and which either has opened to anybody."""
        openers = [pair for pair in pairs if opens(pair.dialogue)]
        self.open.update(group(pair.dialogue) for pair in openers if pair.twin.opened)
        for pair in openers:
            for name, played in ((HERE, pair.host), (TWIN, pair.twin)):
                if played.opened:
                    self.let_in[name].add(_port(pair.dialogue))

    def by_rate(self, talk: Dialogue, where: str) -> bool:
        """Whether it was refused there for its rate alone: an opener whose like was let in at another moment."""
        return self.host.metered and opens(talk) and _port(talk) in self.let_in[where]

    def admits(self, talk: Dialogue) -> bool:
        """Whether a packet that gets in is residual exposure: of who may open the service, or from a pinned server."""
        return any(self._admits(wish, talk) for wish in self.host.wishes) and bool(self.plan.residual)

    def refuses(self) -> bool:
        """Whether the kernel's own errors get out that did not: no flow is asked of them any more."""
        return ERRORS in self.plan.residual

    def by_chance(self, talk: Dialogue) -> bool:
        """Whether it goes through this host over TCP from a service's port, and such a loss is remarked upon."""
        ports = {w.port for w in self.host.wishes if (w.direction, w.protocol) == ("inbound", "tcp")}
        said = any(BY_CHANCE in remark for remark in self.plan.remarks)
        return said and HOST not in (talk.a.place, talk.b.place) and talk.a.port in ports

    def _admits(self, wish: Wish, talk: Dialogue) -> bool:
        if protocol_name(talk.protocol) != wish.protocol:
            return False
        if wish.direction == "inbound":
            return talk.b.port == wish.port and group(talk) in self.open
        syn = talk.turns[0].flags is not None and opens(talk)
        return talk.a.port == wish.port and talk.a.address in server_addresses(wish) and not syn

    def about(self, talk: Dialogue) -> bool:
        """Whether it is of a service that is to go untracked, as who may ask it opens it."""
        return any(self._about(wish, talk) for wish in self.host.wishes)

    def _about(self, wish: Wish, talk: Dialogue) -> bool:
        if protocol_name(talk.protocol) != wish.protocol or talk.b.port != wish.port:
            return False
        if wish.direction == "inbound":
            return talk.b.place == HOST
        return talk.a.place == HOST and talk.b.address in server_addresses(wish)

    def costs(self, talk: Dialogue) -> bool:
        """Whether a dialogue that falls back is among those whose loss is listed."""
        return any(self._costs(wish, talk) for wish in self.host.wishes)

    def _costs(self, wish: Wish, talk: Dialogue) -> bool:
        if protocol_name(talk.protocol) != wish.protocol:
            return False
        label, other = f"{wish.direction} {wish.protocol}/{wish.port}", OTHER_FAMILY[talk.family]
        return any(cost.startswith(label) and other not in cost for cost in self.plan.costs)


def _port(talk: Dialogue) -> tuple[int, ...]:
    return talk.protocol, talk.b.address, talk.b.port


OTHER_FAMILY = {Family.IPV4: "(IPv6)", Family.IPV6: "(IPv4)"}


@dataclass(frozen=True, slots=True)
class Pair:
    """One dialogue on the host with the plan and on its twin."""

    dialogue: Dialogue
    host: Played
    twin: Played


def paired(dialogues: Sequence[Dialogue], host: Sequence[Played], twin: Sequence[Played]) -> list[Pair]:
    """Each dialogue with both outcomes."""
    return [Pair(*each) for each in zip(dialogues, host, twin, strict=True)]


def judged(pairs: Sequence[Pair], phase: Phase, listed: Listed) -> Iterator[PlanDisagreement]:
    """Dialogues that ran from beginning to end in one phase."""
    listed.learn(pairs)
    for pair in pairs:
        fault = _fault(pair, phase, listed)
        if fault:
            beside = (p.dialogue for p in pairs if group(p.dialogue) == group(pair.dialogue) and p is not pair)
            more = tuple(beside) if fault is PlanFault.HOLE else ()
            yield PlanDisagreement(fault, phase, pair.dialogue.sort, (pair.dialogue, *more), _words(pair))


def _fault(pair: Pair, phase: Phase, listed: Listed) -> PlanFault | None:
    talk, host, twin = pair.dialogue, pair.host, pair.twin
    acting, stops = phase in ACTING, (twin.ended, host.ended)
    if twin.ended == DONE and host.ended != DONE:
        rated = host.turn == 0 and listed.by_rate(talk, HERE)
        return None if rated or (acting and listed.by_chance(talk)) else PlanFault.LOST
    if talk.entering and host.opened and not twin.opened:
        return None if listed.by_rate(talk, TWIN) or (acting and listed.admits(talk)) else PlanFault.HOLE
    if twin.turn == host.turn and twin.ended != host.ended and REFUSED in stops:
        return None if acting and listed.refuses() and host.ended == REFUSED else PlanFault.REFUSAL
    if host.turn < twin.turn:
        return PlanFault.LOST
    if host.ended == twin.ended == DONE and host.came != twin.came and not listed.host.by_chance:
        return PlanFault.ADDRESS
    left = phase in (Phase.TRIAL, Phase.KEPT) and host.ended == DONE and host.untracked and host.entries
    return PlanFault.ONE_SIDED if left and not twin.untracked and listed.about(talk) else None


def judged_across(
    pairs: Sequence[Pair], phase: Phase, listed: Listed, *, untracked: bool
) -> Iterator[PlanDisagreement]:
    """Dialogues that were under way; `untracked`: no entry is there to carry them on, where the plan falls back."""
    falls = phase in (Phase.EXPIRED, Phase.UNDONE)
    for pair in pairs:
        lost = pair.host.ended not in ("", DONE) and pair.twin.ended in ("", DONE)
        if lost and not (falls and untracked and listed.costs(pair.dialogue)) and not listed.by_chance(pair.dialogue):
            about = f"{'late, ' if untracked else ''}{pair.dialogue.sort}"
            yield PlanDisagreement(PlanFault.ACROSS, phase, about, (pair.dialogue,), _words(pair))


def _words(pair: Pair) -> tuple[str, ...]:
    def said(played: Played) -> str:
        at = pair.dialogue.turns[played.turn].name if played.turn < len(pair.dialogue.turns) else "its end"
        return f"{played.ended or 'under way'} at {at}"

    return (f"{pair.dialogue}: {said(pair.host)}; without the plan {said(pair.twin)}",)
