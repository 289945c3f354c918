"""The verb `census`."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app.census import take_census
from conntrim.cli import options
from conntrim.cli.output import say
from conntrim.core.model.address import parse_prefix
from conntrim.core.model.errors import InputError
from conntrim.render.census import By, census_fields, census_text

LEAST_SAMPLE = 1_000
"""Below that the bounds are so wide that nothing is known."""


def local_ranges(text: str | None) -> list[tuple[int, int]]:
    """`192.0.2.1,2001:db8::/64` as inclusive ranges."""
    ranges = []
    for part in (text or "").split(","):
        if not part.strip():
            continue
        try:
            ranges.append(parse_prefix(part.strip()))
        except ValueError as error:
            raise InputError("--local", f"{part.strip()} is no address or prefix") from error
    return ranges


def sample_size(text: str, source: str | None) -> str | int:
    """`auto`, `exact` or a number of entries."""
    if text in ("auto", "exact"):
        return text
    if not text.isdigit() or int(text) < LEAST_SAMPLE:
        raise InputError("--sample", f"auto, exact or a number of {LEAST_SAMPLE:,} or more is wanted, not {text}")
    if source is not None:
        raise InputError("--sample", "a saved table is always read whole", advice="leave out --sample")
    return int(text)


@click.command(name="census")
@click.argument("source", required=False)
@click.option(
    "--by",
    type=click.Choice([by.value for by in By]),
    default=By.SERVICE.value,
    help="What the rows are.",
    show_default=True,
)
@click.option("--sample", metavar="auto|exact|N", default="auto", show_default=True, help="Read all, or N at random.")
@click.option("--top", type=click.IntRange(1, 10_000), default=20, help="Most rows of a table.", show_default=True)
@click.option(
    "--local", metavar="ADDR,...", help="The host's own addresses or prefixes; else the kernel's, or inferred."
)
@options.netns
@options.as_json
def command(
    *, source: str | None, by: str, top: int, sample: str, local: str | None, netns: str | None, as_json: bool
) -> None:
    """Who fills the conntrack table: entries by service, state, peer or zone.

    SOURCE: nothing for this kernel's table, a file, or - for standard input: /proc/net/nf_conntrack,
    /proc/net/ip_conntrack or the output of conntrack -L, also compressed (.gz, .zst).
    """
    if source is not None and netns is not None:
        raise InputError("--netns", "a saved table has no namespace", advice="leave out --netns or the file")
    viewpoint = wiring.viewpoint(source, netns, local_ranges(local))
    census = take_census(wiring.flows(source, netns), viewpoint, top, sample_size(sample, source))
    if as_json:
        from conntrim.render.json import to_json  # noqa: PLC0415  # its library is not needed for text

        say(to_json("census", census_fields(census)))
        return
    say(census_text(census, By(by)))
