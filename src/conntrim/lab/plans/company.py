"""Dialogues that are under way together, and stop at a turn: so that rules can change amid them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from conntrim.core.netfilter.memory import Tuple
from conntrim.lab.held.play import ROUNDS, Actor, Played
from conntrim.lab.held.stand import Stand
from conntrim.lab.held.talks import Dialogue

Until = Callable[[Dialogue], int]
"""The turn before which a dialogue stops."""


def to_the_end(talk: Dialogue) -> int:
    """All turns."""
    return len(talk.turns)


def amid(share: float) -> Until:
    """So much of a dialogue: at least its first turn, and never the last; which turn differs from port to port. An
    error comes at once: nothing changes between it and the packet that it is about."""

    def turn(talk: Dialogue) -> int:
        turns = len(talk.turns)
        found = max(1, min(turns - 1, round(turns * share) + (talk.a.port % 3) - 1))
        return found + 1 if talk.turns[found].error and found + 1 < turns else found

    return turn


@dataclass(slots=True)
class Company:
    """The dialogues on one stand."""

    stand: Stand
    actors: list[Actor] = field(default_factory=list)

    @classmethod
    def of(cls, stand: Stand, dialogues: Sequence[Dialogue]) -> Company:
        """Before their first turn."""
        return cls(stand, [Actor(dialogue) for dialogue in dialogues])

    def go_on(self, until: Until = to_the_end) -> None:
        """Play on, turn by turn, each to its own one."""
        for _ in range(ROUNDS):
            left = [a for a in self.actors if not a.ended and a.turn < until(a.dialogue)]
            if not left:
                return
            shots = [shot for number, actor in enumerate(left, 1) for shot in actor.shots(number)]
            for actor, seen in zip(left, self.stand.shoot(shots, len(left)), strict=True):
                actor.heard(seen)

    def played(self) -> list[Played]:
        """The outcomes so far, with what is left in the table."""
        found = dict(zip(self._tuples(), self.stand.entries(self._tuples()), strict=True))
        return [actor.played(found) for actor in self.actors]

    def leave(self) -> None:
        """Take their entries out of the table, and no others."""
        for zone in self.stand.zones:
            self.stand.table.delete(self._tuples(), zone)

    def _tuples(self) -> list[Tuple]:
        return [each for actor in self.actors for each in actor.tuples]


def whole(stand: Stand, dialogues: Sequence[Dialogue]) -> list[Played]:
    """Play dialogues from beginning to end; others that are under way keep their entries."""
    company = Company.of(stand, dialogues)
    company.go_on()
    found = company.played()
    company.leave()
    return found
