"""`conntrim lab causes`: each cause made on this kernel."""

from __future__ import annotations

import click

from conntrim.cli.options import as_json
from conntrim.cli.output import say
from conntrim.core.model.errors import InputError
from conntrim.host.signals import orderly_end
from conntrim.lab.cause_run import run
from conntrim.lab.cause_scenarios import HEALTHY, SCENARIOS
from conntrim.render.causes import outcomes_json, outcomes_text


@click.command("causes")
@click.option("--entries", metavar="N", type=click.IntRange(100, 1_000_000), default=2_000, show_default=True,
              help="Entries of a scenario; fewer where each holds a socket.")  # fmt: skip
@click.option("--only", metavar="TEXT", default="", help="Only scenarios whose name or code has this in it.")
@as_json
@click.pass_context
def command(ctx: click.Context, *, entries: int, only: str, as_json: bool) -> None:
    """Make each cause with real sockets and packets, and see whether diagnose names it.

    A gateway between two networks is made of namespaces; its table is filled scenario by scenario, and looked at live
    and as a saved listing. Needs root. Exit code 0: the right cause came first everywhere, and no false one; 1: not so.
    """
    chosen = [s for s in (*SCENARIOS, *HEALTHY) if only.lower() in s.name.lower() or only.upper() == s.code]
    if not chosen:
        raise InputError("--only", f"no scenario has {only!r} in its name", advice="leave it out to see all")
    with orderly_end():
        outcomes = run(entries, chosen)
    say(outcomes_json(outcomes) if as_json else outcomes_text(outcomes))
    ctx.exit(0 if all(outcome.right for outcome in outcomes) else 1)
