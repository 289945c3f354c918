"""`conntrim lab plans`: plans that are proved, held to this kernel."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec

from conntrim import wiring
from conntrim.cli.options import as_json
from conntrim.cli.output import say
from conntrim.core.model.errors import InputError
from conntrim.core.model.held import Held
from conntrim.host.signals import orderly_end
from conntrim.lab.plans.course import World
from conntrim.lab.plans.court import Wanted, run, smaller
from conntrim.render.json import to_json
from conntrim.render.plans_held import plans_held_text

NUMBER = click.IntRange(1)
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
LONGEST_NAME = 80
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
@click.option("--keep", metavar="DIR", type=FOLDER, help="Write the small examples there, a file each.")
@click.option("--save", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Add the results to it.")
@as_json
@click.pass_context
def command(
    ctx: click.Context, *, hosts: int, seed: int, first: int, slice_: str, shrunk: int, workers: int,
    corpus: Path | None, keep: Path | None, save: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Hold plans that are proved to this kernel.

    Hosts of many layouts, back ends and families are made in namespaces. What is proved is loaded on trial, confirmed,
    expired and rolled back while dialogues of every kind run, with strangers' packets among them; beside it stands a
    twin without the plan. What is lost or let in, and not listed by the plan, is a disagreement. Needs root.
    Exit code 0: no disagreement; 1: there are some.
    """
    world = World(wiring.live, wiring.rollout)
    wanted = Wanted(hosts, seed, first, _slice(slice_), corpus)
    before = _saved(save) if save else Held()
    if wanted.name in before.runs:
        raise InputError(str(save), f"this run is in it already: {wanted.name}", advice="take another seed or slice")
    with orderly_end():
        found = before + run(wanted, world, workers) if hosts else before
        found = smaller(found, shrunk, TRIES, world) if shrunk else found
    if save:
        save.write_text(to_json("plans", found), encoding="utf-8")
    for example in found.examples if keep else ():
        if example.small:
            path = (keep or Path()) / f"{_slug(example.kind)}-{example.seed}-{example.index}.course"
            path.write_text(example.text, encoding="utf-8")
    say(to_json("plans", found) if as_json else plans_held_text(found))
    ctx.exit(1 if found.disagreements else 0)


def _slug(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")[:LONGEST_NAME]


def _slice(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise InputError("--slice", f"no slice: {text!r}", advice="write 2/4 for the second of four")
    return int(number), int(of)


def _saved(path: Path) -> Held:
    if not path.exists():
        return Held()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Held)
    except msgspec.DecodeError as error:
        raise InputError(str(path), f"no results of plans: {error}") from error
