"""The verb `check`."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app.check import Host, check
from conntrim.cli import options
from conntrim.cli.compare import addresses
from conntrim.cli.output import say
from conntrim.core.model.errors import InputError
from conntrim.render.check import check_json, check_text
from conntrim.render.sarif import sarif

FORMATS = {"text": check_text, "json": check_json, "sarif": sarif}


@click.command("check")
@click.argument("files", nargs=-1, metavar="RULESET...")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", help="How to print it.")
@click.option("--local", metavar="ADDR,...", help="The host's own addresses or prefixes.")
@click.option("--flows", metavar="FILE", help="The host's conntrack table, to see what NOTRACK rules miss.")
@click.option("--tcp-loose", type=click.IntRange(0, 1), help="nf_conntrack_tcp_loose; the kernel's, or 1.")
@options.netns
@options.as_json
def command(
    *, files: tuple[str, ...], form: str, local: str | None, flows: str | None, tcp_loose: int | None,
    netns: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Look for holes, one-sided and useless NOTRACK and what stands in its way.

    RULESET: files of one host, from iptables-save, iptables -S, nft (JSON or text), ipset; - for standard
    input; without any, the kernel's rules, addresses and conntrack table. Exit code 0: clean; 1: findings, or it could
    not be decided; 2: bad input.
    """
    if files and netns is not None:
        raise InputError("--netns", "files have no namespace", advice="leave out --netns or the files")
    found = check(wiring.rulesets(files, netns), _host(files, local, flows, tcp_loose, netns))
    say(FORMATS["json" if as_json else form](found))
    click.get_current_context().exit(1 if found.findings or found.undecided else 0)


def _host(files: tuple[str, ...], local: str | None, flows: str | None, loose: int | None, netns: str | None) -> Host:
    """Files alone speak of another host; else what is not given is this kernel's."""
    given = addresses(local)
    if files:
        return Host(given, wiring.flows(flows, None) if flows else None, None if loose is None else bool(loose))
    kernel = wiring.kernel(netns)
    told = kernel.tcp_loose if loose is None else bool(loose)
    return Host(given or kernel.local, wiring.flows(flows, None if flows else netns), told)
