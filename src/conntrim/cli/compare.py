"""The verb `compare`."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app.compare import compare
from conntrim.cli import options
from conntrim.cli.output import say
from conntrim.core.model.address import parse_prefix
from conntrim.core.model.errors import InputError
from conntrim.core.model.intervals import Intervals
from conntrim.render.compare import compare_json, compare_text


def addresses(text: str | None) -> Intervals:
    """`--local 192.0.2.1,2001:db8::/64`; InputError where a part is no address."""
    try:
        return Intervals.union_of(parse_prefix(part.strip()) for part in (text or "").split(",") if part.strip())
    except ValueError as error:
        raise InputError("--local", str(error)) from error


@click.command("compare")
@click.argument("before")
@click.argument("after")
@click.option("--local", metavar="ADDR,...", help="The host's own addresses or prefixes.")
@click.option("--tcp-loose", type=click.IntRange(0, 1), default=1, help="nf_conntrack_tcp_loose; 1 if not said.")
@options.as_json
def command(*, before: str, after: str, local: str | None, tcp_loose: int, as_json: bool) -> None:
    """Tell what the rule set AFTER newly admits and newly drops against BEFORE, for all packets.

    Both are files, from iptables-save, iptables -S, nft (JSON or text), ipset. Several files of one host are
    joined with commas. Exit code 0: the same; 1: they differ, or it could not be decided; 2: bad input.
    """
    old, new = wiring.states(before.split(","), after.split(","))
    found = compare(old, new, addresses(local), bool(tcp_loose))
    say(compare_json(found) if as_json else compare_text(found))
    click.get_current_context().exit(0 if found.same else 1)
