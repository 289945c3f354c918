"""`conntrim history`: what was tried, kept and undone here, when and by whom."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app import rollout
from conntrim.cli.options import as_json, netns, stated
from conntrim.cli.output import say
from conntrim.render import history as text
from conntrim.render.json import to_json


@click.command("history")
@netns
@stated
@as_json
def command(*, netns: str | None, state: str | None, as_json: bool) -> None:
    """Every step of the plans that were applied here: tried, confirmed, replaced, expired, undone; when and by whom.

    What the journal knows, the oldest step first. Changes nothing.
    """
    found = rollout.history(wiring.rollout(netns, state, None))
    say(to_json("history", found) if as_json else text.to_text(found))
