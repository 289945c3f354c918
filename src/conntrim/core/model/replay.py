"""Witnesses that a kernel was shown, and what it said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Played:
    """One witness: which packets are meant, in words, what was claimed, the packets sent (the last is the witness).

    `before` and `after` tell where the kernel saw it under the two rule sets; `missing` why it could not be sent, and
    then they are empty.
    """

    words: str
    claim: str
    packets: tuple[str, ...]
    before: str = ""
    after: str = ""
    confirmed: bool = False
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """All witnesses of one question. `undecided` are the answers that the question itself left open."""

    played: tuple[Played, ...]
    undecided: tuple[str, ...] = ()

    @property
    def confirmed(self) -> int:
        """How many witnesses the kernel confirms."""
        return sum(one.confirmed for one in self.played)

    @property
    def whole(self) -> bool:
        """Whether nothing is left open: the question was decided, and the kernel confirms every witness."""
        return self.confirmed == len(self.played) and not self.undecided
