"""`conntrim lab truth`: the model against this kernel."""

from __future__ import annotations

from pathlib import Path

import click

from conntrim.cli.options import as_json
from conntrim.cli.output import say
from conntrim.core.model.errors import InputError
from conntrim.host.signals import orderly_end
from conntrim.lab.truth import Wanted, run
from conntrim.render.json import to_json
from conntrim.render.truth import truth_text

NUMBER = click.IntRange(1)
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("truth")
@click.option("--packets", metavar="N", type=NUMBER, default=100_000, show_default=True, help="Packets in all.")
@click.option("--rulesets", metavar="N", type=NUMBER, default=100, show_default=True, help="Rule sets.")
@click.option("--seed", metavar="N", type=int, default=1, show_default=True, help="The same seed, the same run.")
@click.option("--workers", metavar="N", type=NUMBER, help="Processes; as many as processors, if not given.")
@click.option("--save", metavar="DIR", type=FOLDER, help="Write the smallest disagreements there, as case files.")
@as_json
@click.pass_context
def command(
    ctx: click.Context, *, packets: int, rulesets: int, seed: int, workers: int | None, save: Path | None, as_json: bool
) -> None:
    """Set the model against this kernel: made-up rule sets, made-up packets, packet by packet.

    Each rule set is loaded into a network namespace of its own making, dialogues are injected, and what the kernel
    does with every packet is compared with what the model says. Needs root. Exit code 0: they agree; 1: they do not.
    """
    if save is not None:
        make(save)
    with orderly_end():
        truth = run(Wanted(packets, rulesets, seed), workers)
    for number, case in enumerate(truth.cases if save else (), 1):
        (save or Path()).joinpath(f"seed{seed}-{number}.case").write_text(case, encoding="utf-8")
    say(to_json("truth", truth) if as_json else truth_text(truth))
    ctx.exit(1 if truth.disagreements else 0)


def make(folder: Path) -> None:
    """The folder, if it is not there yet: before the run, which would be lost."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("--save", f"{folder}: {error.strerror}", advice="name a folder that can be made") from error
