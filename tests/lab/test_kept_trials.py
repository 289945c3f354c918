"""Disagreements that were found and made small, put on trial again: what is repaired stays so.

A file of `kept/claims` says of which kind it is, and whether the verb is still wrong (`open`) or not (`mended`).
GOLDEN=accept writes what holds now: whoever repairs a verb runs it once, and the file guards it from then on.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.lab.held.court import bench, part_of, tried
from conntrim.lab.held.judge import Fault
from conntrim.lab.held.kept import MENDED, OPEN, format_kept, parse_kept
from conntrim.lab.held.trial import Bench

FILES = sorted((Path(__file__).parent / "kept" / "claims").glob("*.trial"))


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    """One bench for all files."""
    with bench("kept") as both:
        yield both


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_mended_stays_mended(made: Bench, path: Path) -> None:
    """The rules load, the dialogues are played; a mended disagreement is not there, one that comes back is an error."""
    kept = parse_kept(path.read_text(encoding="utf-8"), path.name)
    try:
        parts = part_of(Fault(kept.kind.partition(" | ")[0]))
        kinds = {each.kind for each in tried(made, kept.exhibit, parts)}
    finally:
        made.r.unload()
        made.other.unload()
    if os.environ.get("GOLDEN") == "accept":
        status = OPEN if kept.kind in kinds else MENDED
        path.write_text(format_kept(replace(kept, status=status)), encoding="utf-8")
    else:
        assert kept.status == OPEN or kept.kind not in kinds
