"""The verb `record`."""

from __future__ import annotations

import re

import click

from conntrim import wiring
from conntrim.app.record import Host, Request, record
from conntrim.cli import options
from conntrim.cli.census import sample_size
from conntrim.cli.output import say
from conntrim.core.model.errors import InputError
from conntrim.render.record import record_text

UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
MEGABYTE = 1 << 20


def span(option: str, text: str) -> float:
    """`90`, `90s`, `10m`, `1.5h`, `2d` in seconds."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s?(s|m|min|h|d|)", text.strip())
    if found is None:
        raise InputError(option, f"{text} is no time", advice="such as 90s, 10m or 2h")
    return float(found[1]) * UNITS[found[2]]


@click.command(name="record")
@click.option("-o", "--output", metavar="FILE", required=True, help="The file to make; none of that name may be there.")
@click.option("--for", "duration", metavar="TIME", default="0", help="How long: 90s, 10m, 2h. Without it one reading.")
@click.option("--every", metavar="TIME", default="5s", show_default=True, help="Time between two readings.")
@click.option("--sample", metavar="auto|exact|N", default="auto", show_default=True, help="Read all, or N at random.")
@click.option(
    "--most", type=click.IntRange(1, 1_000), default=256, metavar="MB", show_default=True, help="Largest file."
)
@click.option("--anonymise", is_flag=True, help="Replace addresses, hide names, comments and the host.")
@click.option("--key", metavar="FILE", help="With --anonymise: replaced alike in all records with this key.")
@options.netns
@options.as_json
def command(
    *,
    output: str,
    duration: str,
    every: str,
    sample: str,
    most: int,
    anonymise: bool,
    key: str | None,
    netns: str | None,
    as_json: bool,
) -> None:
    """One file with everything that the other verbs read: the table, settings, counters, log and rules.

    census, diagnose, check and explain take its name as they take a file. Ctrl-C ends it early.
    """
    if key is not None and not anonymise:
        raise InputError("--key", "it is for --anonymise")
    seconds, step = span("--for", duration), span("--every", every)
    if step < 0.1:
        raise InputError("--every", "a tenth of a second is the least")
    hide = wiring.pseudonyms(key) if anonymise else None
    request = Request(netns, seconds, step, sample_size(sample, None), hide)
    recorder = wiring.recorder(output, most * MEGABYTE, hidden=anonymise)
    frames = wiring.frames(netns, recording=True)
    host = Host(
        wiring.facts(),
        wiring.kernel_log(),
        frames,
        wiring.rule_texts(netns),
        wiring.open_sockets(),
        wiring.interfaces(netns),
    )
    made = record(request, recorder, host)
    if as_json:
        from conntrim.render.json import to_json  # noqa: PLC0415  # its library is not needed for text

        say(to_json("record", made))
        return
    say(record_text(made))
