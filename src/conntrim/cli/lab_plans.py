"""`conntrim lab plans`: plans that are proved, held to this kernel."""

from __future__ import annotations

from pathlib import Path

import click

from conntrim import wiring
from conntrim.cli.options import FOLDER, NUMBER, as_json
from conntrim.cli.output import say
from conntrim.host.signals import orderly_end
from conntrim.lab.held.results import keep, saved, slice_of
from conntrim.lab.plans.course import World
from conntrim.lab.plans.court import Wanted, run, smaller
from conntrim.render.json import to_json
from conntrim.render.plans_held import plans_held_text

TRIES = 40
"""Hosts that may be tried to make one example small."""


@click.command("plans")
@click.option("--hosts", metavar="N", type=click.IntRange(0), default=40, show_default=True, help="Hosts in all.")
@click.option("--seed", metavar="N", type=int, default=1, show_default=True, help="The same seed, the same run.")
@click.option("--from", "first", metavar="N", type=click.IntRange(0), default=0, help="The number of the first one.")
@click.option("--slice", "slice_", metavar="I/N", default="1/1", show_default=True, help="Only this part of them.")
@click.option(
    "--shrink", "shrunk", metavar="N", type=click.IntRange(0), default=0, help="Make N of the examples small."
)
@click.option("--workers", metavar="N", type=NUMBER, default=1, show_default=True, help="Processes.")
@click.option("--corpus", metavar="DIR", type=FOLDER, help="Rule sets of strangers instead of layouts.")
@click.option("--keep", "folder", metavar="DIR", type=FOLDER, help="Write the small examples there, a file each.")
@click.option("--save", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Add the results to it.")
@as_json
@click.pass_context
def command(
    ctx: click.Context, *, hosts: int, seed: int, first: int, slice_: str, shrunk: int, workers: int,
    corpus: Path | None, folder: Path | None, save: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Hold plans that are proved to this kernel.

    Hosts of many layouts, back ends and families are made in namespaces. What is proved is loaded on trial, confirmed,
    expired and rolled back while dialogues of every kind run, with strangers' packets among them; beside it stands a
    twin without the plan. What is lost or let in, and not listed by the plan, is a disagreement. Needs root.
    Exit code 0: no disagreement; 1: there are some.
    """
    world = World(wiring.live, wiring.rollout)
    wanted = Wanted(hosts, seed, first, slice_of(slice_), corpus)
    before = saved(save, "plans", wanted.name)
    with orderly_end():
        found = before + run(wanted, world, workers) if hosts else before
        found = smaller(found, shrunk, TRIES, world) if shrunk else found
    if save:
        save.write_text(to_json("plans", found), encoding="utf-8")
    keep(found, folder, "course")
    say(to_json("plans", found) if as_json else plans_held_text(found))
    ctx.exit(1 if found.disagreements else 0)
