"""The verb `collect`."""

from __future__ import annotations

import click

from conntrim.cli.output import say
from conntrim.core.parse.collected import LINE


@click.command(name="collect")
def command() -> None:
    """Print one line of shell that gathers what diagnose reads, for a host without Python 3.11.

    As root there: its output is one file, which census, diagnose, check and explain take by its name.
    Such as: conntrim collect | ssh root@HOST sh > host.txt
    """
    say(LINE + "\n")
