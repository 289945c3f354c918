"""`conntrim confirm`: keep what is on trial."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app import rollout
from conntrim.cli.options import as_json, netns, stated
from conntrim.cli.rollout import answer, rooted


@click.command("confirm")
@netns
@stated
@rooted
@as_json
@click.pass_context
def command(ctx: click.Context, *, netns: str | None, state: str | None, root: str | None, as_json: bool) -> None:
    """Keep the plan that is on trial: rules without guard, stale entries deleted, sysctls set, files written.

    Only while the trial is armed; after its deadline this is refused and the inert rules are taken out.
    """
    answer(ctx, "confirm", rollout.confirm, wiring.rollout(netns, state, root), as_json)
