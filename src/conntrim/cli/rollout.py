"""What apply, confirm, rollback and status share: their options, signals, and how they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from conntrim.app.ports.journal import HeldError
from conntrim.app.rollout_run import Ports
from conntrim.cli.output import complain, say
from conntrim.core.rollout.report import Report
from conntrim.host.signals import orderly_end
from conntrim.render import rollout as text
from conntrim.render.json import to_json

rooted = click.option(
    "--root", metavar="DIR", help="The files are below this directory instead of /; the journal remembers it."
)


@contextmanager
def held_back(ctx: click.Context) -> Iterator[None]:
    """SIGTERM and SIGHUP act as Ctrl-C, which the rollout undoes in order; another run at work: exit code 1."""
    try:
        with orderly_end():
            yield
    except HeldError as error:
        complain(f"refused: {error}")
        ctx.exit(1)


def answer(ctx: click.Context, verb: str, act: Callable[[Ports], Report], ports: Ports, as_json: bool) -> Report:
    """Do it, print what came of it, and end with its exit code."""
    with held_back(ctx):
        report = act(ports)
    say(to_json(verb, report) if as_json else text.to_text(report))
    if report.exit_code:
        ctx.exit(report.exit_code)
    return report
