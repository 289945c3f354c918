"""`conntrim lab incident`: the source document's story on this kernel."""

from __future__ import annotations

import click

from conntrim.cli.options import as_json
from conntrim.cli.output import say
from conntrim.core.model.incident import Incident
from conntrim.lab.incident import LIMIT, REQUESTS, tell
from conntrim.lab.private import MISSING_LIMIT, become_private, limits_writable
from conntrim.render import incident as text
from conntrim.render.json import to_json


@click.command("incident")
@as_json
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Run the source document's incident on this kernel, from a full table to a quiet one.

    Three hosts are made of network namespaces: a client with ab, a web server with nginx, its cache with memcached.
    Everything is deleted again, and the size of the table put back. Without root it runs in a user namespace of its
    own, without the stage that needs a small table. Exit code 0: all went as told; 1: something did not.
    """
    become_private()
    limited = limits_writable()
    if not as_json:
        say(f"{REQUESTS} requests a stage, nf_conntrack_max {LIMIT} from stage `full` on\n\n{text.heading()}\n")
    stages = []
    for stage in tell(limited):
        stages.append(stage)
        if not as_json:
            say(f"{text.line(stage)}\n")
    story = Incident(REQUESTS, LIMIT, tuple(stages), () if limited else (MISSING_LIMIT,))
    say(to_json("incident", story) if as_json else f"\n{text.ending(story)}\n")
    ctx.exit(0 if story.as_told else 1)
