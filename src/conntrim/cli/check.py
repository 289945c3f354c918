"""The verb `check`."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app.check import check
from conntrim.cli import options
from conntrim.cli.compare import addresses
from conntrim.render.check import check_json, check_text
from conntrim.render.sarif import sarif

FORMATS = {"text": check_text, "json": check_json, "sarif": sarif}


@click.command("check")
@click.argument("files", nargs=-1, metavar="RULESET...")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", help="How to print it.")
@click.option("--local", metavar="ADDR,...", help="The host's own addresses or prefixes.")
@options.netns
@options.as_json
def command(*, files: tuple[str, ...], form: str, local: str | None, netns: str | None, as_json: bool) -> None:
    """Look for holes, one-sided and useless NOTRACK and what stands in its way.

    RULESET: files of one host, as iptables-save, ip6tables-save or nft -j list ruleset print them; without any, the
    kernel's rules. Exit code 0: clean; 1: findings, or it could not be decided; 2: bad input.
    """
    found = check(wiring.rulesets(files, netns), addresses(local))
    click.echo(FORMATS["json" if as_json else form](found), nl=False)
    click.get_current_context().exit(1 if found.findings or found.undecided else 0)
