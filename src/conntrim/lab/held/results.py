"""Results of `lab claims` and `lab plans`: which slice is run, what a file of them holds, examples in a folder."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from conntrim.core.model.errors import InputError
from conntrim.core.model.held import Held

LONGEST_NAME = 80


def slice_of(text: str) -> tuple[int, int]:
    """`2/4` as numbers; InputError."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise InputError("--slice", f"no slice: {text!r}", advice="write 2/4 for the second of four")
    return int(number), int(of)


def saved(path: Path | None, kind: str, run: str) -> Held:
    """The results of earlier runs, none without a file; InputError where it holds others, or this run already."""
    if path is None or not path.exists():
        return Held()
    try:
        before = msgspec.json.decode(path.read_bytes(), type=Held)
    except msgspec.DecodeError as error:
        raise InputError(str(path), f"no results of {kind}: {error}") from error
    if run in before.runs:
        raise InputError(str(path), f"this run is in it already: {run}", advice="take another seed or slice")
    return before


def keep(found: Held, folder: Path | None, ending: str) -> None:
    """Write the small examples into a folder, if one is given, a file each."""
    for example in found.examples if folder else ():
        if folder and example.small:
            path = folder / f"{_slug(example.kind)}-{example.seed}-{example.index}.{ending}"
            path.write_text(example.text, encoding="utf-8")


def _slug(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")[:LONGEST_NAME]
