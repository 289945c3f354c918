"""Edits carried out as a reader does: lines of a saved file replaced and put in, nft's commands given to nft."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from conntrim.core.model.finding import Edit, Finding, How
from conntrim.core.model.plan import Batch
from conntrim.render.edits import commands

BLANKS = ("SERVER", "CLIENT", "ADDRESS")
"""Words that the operator fills in."""


def blank(edit: Edit) -> bool:
    """Whether something is to be filled in."""
    return any(word in edit.text for word in BLANKS)


def edits_of(findings: Iterable[Finding]) -> list[Edit]:
    """All edits, each once."""
    return list(dict.fromkeys(edit for finding in findings for edit in finding.edits))


def edited(batches: Sequence[Batch], edits: Iterable[Edit]) -> tuple[Batch, ...]:
    """The texts of iptables with the edits made: before each line, in its place, behind it."""
    slots = {
        batch.program: {n: ([], [line], []) for n, line in enumerate(batch.text.splitlines(), 1)} for batch in batches
    }  # type: dict[str, dict[int, tuple[list[str], list[str], list[str]]]]
    for edit in edits:
        before, here, after = slots[edit.place.source][edit.place.line]
        match edit.how:
            case How.BEFORE:
                before.append(edit.text)
            case How.AFTER:
                after.append(edit.text)
            case How.REPLACE:
                here[:] = [edit.text]
            case How.REMOVE:
                here.clear()
            case How.APPEND | How.CHAIN:
                raise ValueError("only nft's rule sets get chains")
            case _:
                assert_never(edit.how)
    texts = {
        program: "".join(f"{line}\n" for slot in by_line.values() for part in slot for line in part)
        for program, by_line in slots.items()
    }
    return tuple(replace(batch, text=texts[batch.program]) for batch in batches)


def commanded(edits: Iterable[Edit]) -> list[str]:
    """nft's commands, in their order, each once."""
    return list(dict.fromkeys(command for edit in edits for command in commands(edit)))
