"""`conntrim status`: where the rollout stands."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app import rollout
from conntrim.cli.options import as_json, netns, stated
from conntrim.cli.rollout import answer, rooted


@click.command("status")
@click.option("--clean", is_flag=True, help="Take out the inert rules of a trial that is over.")
@netns
@stated
@rooted
@as_json
@click.pass_context
def command(
    ctx: click.Context, *, clean: bool, netns: str | None, state: str | None, root: str | None, as_json: bool
) -> None:
    """Where the rollout stands: nothing, on trial, over, confirmed; and what has changed since. Changes nothing.

    Exit code 0 where all is as the last verb left it, 1 where confirmed rules, sysctls or files have changed since.
    """
    act = rollout.clean if clean else rollout.status
    answer(ctx, "status", act, wiring.rollout(netns, state, root), as_json)
