"""`conntrim lab replay`: witnesses as real packets on this kernel."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app.budget import ticking
from conntrim.cli.compare import addresses
from conntrim.cli.options import as_json
from conntrim.cli.output import say
from conntrim.core.model.replay import Replay
from conntrim.core.prove.compare import compare
from conntrim.host.signals import orderly_end
from conntrim.lab.claims import scenes_of
from conntrim.lab.private import become_private
from conntrim.lab.replay import replay, tracking_all
from conntrim.render.json import to_json
from conntrim.render.replay import replay_text


@click.command("replay")
@click.argument("ruleset")
@click.argument("after", required=False)
@click.option("--local", metavar="ADDR,...", help="The host's own addresses or prefixes.")
@as_json
@click.pass_context
def command(ctx: click.Context, *, ruleset: str, after: str | None, local: str | None, as_json: bool) -> None:
    """Show this kernel every witness of a comparison, as real packets in a network namespace.

    With AFTER, as `compare RULESET AFTER` does. Without, what the NOTRACK rules of RULESET let in or keep out: it is
    compared with itself without them. Several files of one host are joined with commas. Without root it runs in a
    user namespace of its own. Exit code 0: all witnesses confirmed; 1: one is not, or was not decided; 2: bad input.
    """
    one, other = (wiring.rulesets(names.split(","), None).read() for names in (ruleset, after or ruleset))
    before = one if after else tracking_all(one)
    become_private()
    found = compare(before, other, addresses(local) or None, tick=ticking())
    with orderly_end():
        played = replay(before, other, list(scenes_of(found)))
    answer = Replay(played, found.undecided)
    say(to_json("replay", answer) if as_json else replay_text(answer))
    ctx.exit(0 if answer.whole else 1)
