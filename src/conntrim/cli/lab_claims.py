"""`conntrim lab claims`: what check, its edits and compare claim, against this kernel."""

from __future__ import annotations

from pathlib import Path

import click

from conntrim.cli.options import FOLDER, NUMBER, as_json
from conntrim.cli.output import say
from conntrim.host.signals import orderly_end
from conntrim.lab.held.court import PARTS, Wanted, run, smaller
from conntrim.lab.held.results import keep, saved, slice_of
from conntrim.render.held import held_text
from conntrim.render.json import to_json

TRIES = 60
"""Rule sets that may be tried to make one example small."""


@click.command("claims")
@click.option(
    "--rulesets", metavar="N", type=click.IntRange(0), default=100, show_default=True, help="Rule sets in all."
)
@click.option("--seed", metavar="N", type=int, default=1, show_default=True, help="The same seed, the same run.")
@click.option("--from", "first", metavar="N", type=click.IntRange(0), default=0, help="The number of the first one.")
@click.option("--slice", "slice_", metavar="I/N", default="1/1", show_default=True, help="Only this part of them.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Only these claims; all three, if not given.")
@click.option(
    "--shrink", "shrunk", metavar="N", type=click.IntRange(0), default=0, help="Make N of the examples small."
)
@click.option("--workers", metavar="N", type=NUMBER, default=1, show_default=True, help="Processes.")
@click.option("--corpus", metavar="DIR", type=FOLDER, help="Other people's rule sets instead of made-up ones.")
@click.option("--keep", "folder", metavar="DIR", type=FOLDER, help="Write the small examples there, a file each.")
@click.option("--save", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Add the results to it.")
@as_json
@click.pass_context
def command(
    ctx: click.Context, *, rulesets: int, seed: int, first: int, slice_: str, only: tuple[str, ...], shrunk: int,
    workers: int, corpus: Path | None, folder: Path | None, save: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Hold every claim of check, of its edits and of compare to this kernel.

    Made-up hosts that untrack are loaded into namespaces, with their untracking and without it; dialogues are played by
    every path; what dies, gets in or leaves an entry must have been said, and what was said must show. Needs root.
    Exit code 0: no disagreement; 1: there are some.
    """
    wanted = Wanted(rulesets, seed, first, slice_of(slice_), only or PARTS, corpus)
    before = saved(save, "claims", wanted.name)
    with orderly_end():
        found = before + run(wanted, workers=workers) if rulesets else before
        found = smaller(found, shrunk, TRIES) if shrunk else found
    if save:
        save.write_text(to_json("claims", found), encoding="utf-8")
    keep(found, folder, "trial")
    say(to_json("claims", found) if as_json else held_text(found))
    ctx.exit(1 if found.disagreements else 0)
