"""`conntrim rollback`: undo the trial or the confirmed plan."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app import rollout
from conntrim.cli.options import as_json, netns, stated
from conntrim.cli.rollout import answer, rooted


@click.command("rollback")
@click.option("--without-journal", is_flag=True, help="The journal is lost: take out every rule of ours by its mark.")
@netns
@stated
@rooted
@as_json
@click.pass_context
def command(
    ctx: click.Context, *, without_journal: bool, netns: str | None, state: str | None, root: str | None, as_json: bool
) -> None:
    """Undo the trial or the confirmed plan: its rules go, sysctls and files are put back as they were."""
    act = rollout.rollback_without_journal if without_journal else rollout.rollback
    answer(ctx, "rollback", act, wiring.rollout(netns, state, root), as_json)
