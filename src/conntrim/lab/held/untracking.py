"""A script's untracking statements: the same script with them inert, and with each telling which packets it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from conntrim.lab.held.stand import SHORT, hit_prefix
from conntrim.lab.oracle import GROUP
from conntrim.lab.script import Block, Line, Script

XT = ("-j CT --notrack", "-j NOTRACK")

Rewrite = Callable[[Line, int], tuple[Line, ...]]
"""An untracking line and its number to what stands in its place."""


def untracks(line: Line) -> bool:
    """Whether the rule untracks what it matches."""
    return line.effect in XT or "notrack" in f"{line.effect} {' '.join(line.matches)}".split()


def count(script: Script) -> int:
    """How many untracking rules there are."""
    return sum(untracks(line) for line in lines_of(script))


def lines_of(script: Script) -> Iterator[Line]:
    """Every rule in its order."""
    return (line for sheet in script.sheets for block in sheet.blocks for line in block.lines)


def inert(script: Script, which: int | None = None) -> Script:
    """The script in which the untracking statements (or only that rule's) do nothing."""
    return _rewritten(script, lambda line, i: (_inert(line) if which in (None, i) else line,))


def _inert(line: Line) -> Line:
    if line.effect in XT:
        return replace(line, effect="")
    words = line.effect.replace("notrack", "").split()
    return replace(line, effect=" ".join(words) or "counter")


def telling(script: Script) -> Script:
    """The script whose untracking rules log what they take; nothing else changes."""
    return _rewritten(script, _telling)


def _telling(line: Line, index: int) -> tuple[Line, ...]:
    if line.effect in XT:
        logs = f"-j NFLOG --nflog-group {GROUP} --nflog-prefix {hit_prefix(index)} --nflog-size {SHORT}"
        return replace(line, effect=logs), line
    logs = f'log prefix "{hit_prefix(index)}" group {GROUP} snaplen {SHORT}'
    return (replace(line, effect=line.effect.replace("notrack", f"{logs} notrack")),)


def _rewritten(script: Script, rewrite: Rewrite) -> Script:
    numbers = iter(range(1 << 16))

    def block(each: Block) -> Block:
        made: list[Line] = []
        for line in each.lines:
            made += rewrite(line, next(numbers)) if untracks(line) else (line,)
        return replace(each, lines=tuple(made))

    return replace(
        script,
        sheets=tuple(replace(s, blocks=tuple(block(each) for each in s.blocks)) for s in script.sheets),
    )


def without(script: Script, which: range) -> Script:
    """The script without these of all its rules."""
    numbers = iter(range(1 << 16))
    return replace(
        script,
        sheets=tuple(
            replace(s, blocks=tuple(
                replace(b, lines=tuple(x for x in b.lines if next(numbers) not in which)) for b in s.blocks))
            for s in script.sheets
        ),
    )  # fmt: skip
