"""`conntrim apply`: a plan on trial."""

from __future__ import annotations

import re
from functools import partial

import click

from conntrim import wiring
from conntrim.app import rollout
from conntrim.cli.options import as_json, netns
from conntrim.cli.rollout import answer, stated
from conntrim.core.model.errors import InputError

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
LONGEST = 24 * 3600
"""A guard is for trying; rules that act for longer than a day are to be confirmed."""


def seconds_of(text: str) -> float:
    """`60`, `60s`, `5m` or `1h` in seconds. InputError for anything else, or for a time that is no trial's."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 1 <= seconds <= LONGEST:
        raise InputError("--trial", f"{text!r} is no time from 1s to 24h", advice="such as 60s, 5m, 1h")
    return seconds


@click.command("apply")
@click.argument("plan_dir")
@click.option("--trial", default="60s", metavar="TIME", show_default=True, help="How long the rules act unless kept.")
@click.option("--accept", multiple=True, metavar="OBLIGATION", help="Load although this obligation is not proved.")
@click.option("--yes", is_flag=True, help="Accepted for scripts; apply never asks.")
@click.option(
    "--wait", is_flag=True, help="Stay until the deadline and say how it ended. Ctrl-C ends only the waiting."
)
@netns
@stated
@as_json
@click.pass_context
def command(
    ctx: click.Context, *, plan_dir: str, trial: str, accept: tuple[str, ...], yes: bool, wait: bool, netns: str | None,
    state: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Load a plan's rules on trial: they expire in the kernel by themselves unless you confirm them.

    PLAN_DIR is what `conntrim plan -o` wrote. Nothing has to keep running for the rules to expire: a lost session,
    a crash or kill -9 cannot keep a bad change in place. Keep it with `conntrim confirm`.
    """
    seconds, plan = seconds_of(trial), wiring.plan(plan_dir)
    ports = wiring.rollout(netns, state)
    report = answer(ctx, "apply", partial(rollout.apply, plan=plan, seconds=seconds, accepted=accept), ports, as_json)
    if wait:
        ports.clock.sleep(report.seconds_left + 1)
        answer(ctx, "status", rollout.status, ports, as_json)
