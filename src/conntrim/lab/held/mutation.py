"""A rule set changed by one rule: one deleted, one put in, two exchanged. What shrinks is the pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from conntrim.lab.script import Block, Line, Script, Sheet


class Change(StrEnum):
    """What is done to one chain."""

    DELETE = "rule deleted"
    INSERT = "rule inserted"
    SWAP = "two rules exchanged"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change of the chain `block` of a table: of `line`, put in before `other` (None: last) or exchanged with it."""

    change: Change
    sheet: tuple[str, str]
    block: str
    line: Line
    other: Line | None = None

    def __call__(self, script: Script) -> Script | None:
        """The changed script; None where it does not have what is to be changed."""
        for i, sheet in enumerate(script.sheets):
            if (sheet.family, sheet.name) == self.sheet and (changed := self._sheet(sheet)):
                return replace(script, sheets=(*script.sheets[:i], changed, *script.sheets[i + 1 :]))
        return None

    def _sheet(self, sheet: Sheet) -> Sheet | None:
        for i, block in enumerate(sheet.blocks):
            if block.name == self.block and (lines := self._lines(block.lines)) is not None:
                changed = replace(block, lines=lines)
                return replace(sheet, blocks=(*sheet.blocks[:i], changed, *sheet.blocks[i + 1 :]))
        return None

    def _lines(self, lines: tuple[Line, ...]) -> tuple[Line, ...] | None:
        made = list(lines)
        if self.change is Change.INSERT:
            at = made.index(self.other) if self.other in made else len(made)
            made.insert(at, self.line)
            return tuple(made)
        if self.line not in made:
            return None
        if self.change is Change.DELETE:
            made.remove(self.line)
            return tuple(made)
        if self.other not in made or self.other == self.line:
            return None
        one, two = made.index(self.line), made.index(self.other)
        made[one], made[two] = made[two], made[one]
        return tuple(made)

    def __str__(self) -> str:
        return f"{self.change} in {' '.join(self.sheet)} {self.block}: {self.line}"


def mutation(random: Random, script: Script) -> Mutation | None:
    """A change of a script; None where it has no rules."""
    homes = [(sheet, block) for sheet in script.sheets for block in sheet.blocks if block.lines]
    if not homes:
        return None
    sheet, block = random.choice(homes)
    change = random.choice((Change.DELETE, Change.DELETE, Change.INSERT, Change.SWAP))
    line, other = random.choice(block.lines), random.choice((*block.lines, None))
    if change is Change.INSERT:
        line = _another(random, sheet, block, homes)
    return Mutation(change, (sheet.family, sheet.name), block.name, line, other)


def _another(random: Random, sheet: Sheet, block: Block, homes: Sequence[tuple[Sheet, Block]]) -> Line:
    """A rule of a chain that has the same name, or one of this chain whose matches are another's."""
    alike = [b for s, b in homes if s.name == sheet.name and b.name == block.name]
    lines = [line for each in alike for line in each.lines]
    return Line(random.choice(lines).matches, random.choice(lines).effect)
