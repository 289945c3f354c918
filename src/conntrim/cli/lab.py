"""`conntrim lab`: real kernels in network namespaces."""

from __future__ import annotations

import click

from conntrim.cli.lazy import LazyGroup

VERBS: dict[str, str] = {
    "causes": "each cause of a full table made on this kernel, and whether diagnose names it",
    "claims": "what check, its edits and compare say, held to this kernel",
    "incident": "the source document's story, from a full table to a quiet one",
    "plans": "plans that are proved, tried and taken back under traffic on this kernel",
    "replay": "the witnesses of a comparison as real packets",
    "truth": "the model against this kernel, packet by packet",
}
"""Verb to its one line of help; each lives in `conntrim.cli.lab_VERB` as `command`."""


@click.group(cls=LazyGroup, verbs=VERBS, prefix="conntrim.cli.lab_")
def command() -> None:
    """Try things on a real kernel, in network namespaces made for it and deleted again."""
