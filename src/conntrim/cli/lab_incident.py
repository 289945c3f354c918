"""`conntrim lab incident`: the source document's story on this kernel."""

from __future__ import annotations

import click

from conntrim.cli.options import as_json
from conntrim.cli.output import say
from conntrim.core.model.incident import Incident
from conntrim.lab import gateway_incident
from conntrim.lab.incident import LIMIT, REQUESTS, tell
from conntrim.lab.private import MISSING_LIMIT, become_private, limits_writable
from conntrim.render import incident as text
from conntrim.render.json import to_json

STORIES = {
    "web": (tell, f"{REQUESTS} requests a stage", REQUESTS, LIMIT),
    "gateway": (gateway_incident.tell, f"{gateway_incident.CLIENTS} clients and an abuser",
                gateway_incident.TRIES, gateway_incident.LIMIT),
}  # fmt: skip
"""By the host that fills: the story, what it is about, connections or requests of a stage, nf_conntrack_max in it."""


@click.command("incident")
@click.option("--host", type=click.Choice(list(STORIES)), default="web", show_default=True, help="Whose table fills.")
@as_json
@click.pass_context
def command(ctx: click.Context, host: str, as_json: bool) -> None:
    """Run the source document's incident on this kernel, from a full table to a quiet one.

    Three hosts are made of network namespaces: a client with ab, a web server with nginx, its cache with memcached.
    With --host gateway it is a NAT gateway, twenty clients, and one that takes the table from them.
    Everything is deleted again, and the size of the table put back. Without root it runs in a user namespace of its
    own, without the stage that needs a small table. Exit code 0: all went as told; 1: something did not.
    """
    become_private()
    limited = limits_writable()
    story, about, requests, limit = STORIES[host]
    full = "full" if host == "web" else "abuser"
    if not as_json:
        say(f"{about}, nf_conntrack_max {limit} from stage `{full}` on\n\n{text.heading()}\n")
    stages = []
    for stage in story(limited):
        stages.append(stage)
        if not as_json:
            say(f"{text.line(stage)}\n")
    told = Incident(requests, limit, tuple(stages), () if limited else (MISSING_LIMIT.replace("full", full),))
    say(to_json("incident", told) if as_json else f"\n{text.ending(told)}\n")
    ctx.exit(0 if told.as_told else 1)
