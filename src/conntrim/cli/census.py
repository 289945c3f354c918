"""The verb `census`."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.app.census import take_census
from conntrim.app.panel import watch_panel
from conntrim.cli import options
from conntrim.cli.options import local_ranges, prefixes
from conntrim.cli.output import say
from conntrim.core.census.select import Selection, state_words
from conntrim.core.model.errors import InputError
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.panel import PanelBy
from conntrim.core.model.protocol import NUMBERS
from conntrim.render.census import By, census_fields, census_text
from conntrim.render.panel import panel_text

LEAST_SAMPLE = 1_000
"""Below that the bounds are so wide that nothing is known."""


def protocol_number(text: str) -> int:
    """`tcp` or `6`."""
    if text.isdecimal() and len(text) <= 3 and int(text) < 256:
        return int(text)
    if text.lower() not in NUMBERS:
        raise InputError("-p", f"{text} is no protocol", advice="tcp, udp, icmp, ..., or a number")
    return NUMBERS[text.lower()]


def port_range(option: str, text: str | None) -> tuple[int, int] | None:
    """`80`, `1024:65535` or `1024-65535`; None where nothing is asked."""
    if text is None:
        return None
    ends = text.replace("-", ":").split(":")
    if len(ends) > 2 or not all(end.isdecimal() and len(end) <= 5 and int(end) < 65_536 for end in ends):
        raise InputError(option, f"{text} is no port or range of ports")
    return int(ends[0]), int(ends[-1])


def state_word(text: str | None) -> str | None:
    """A state in small letters; None where nothing is asked."""
    if text is not None and text.lower() not in state_words():
        raise InputError("--state", f"{text} is no state", advice=", ".join(sorted(state_words())))
    return None if text is None else text.lower()


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
@click.option("-p", "--protocol", metavar="NAME", help="Only this protocol: tcp, udp, icmp, ..., or its number.")
@click.option("-s", "--source", "sources", metavar="ADDR,...", help="Only entries with this original source.")
@click.option("-d", "--destination", metavar="ADDR,...", help="Only entries with this original destination.")
@click.option("--sport", metavar="PORT[:PORT]", help="Only this original source port.")
@click.option("--dport", metavar="PORT[:PORT]", help="Only this original destination port.")
@click.option("--state", metavar="STATE", help="Only this state: time_wait, established, ..., unreplied, assured.")
@click.option("--again", type=click.IntRange(1, 100_000), metavar="N", help="Read N times more: what comes and goes.")
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), default=5.0, metavar="SECONDS", show_default=True, help="With --again."
)
@click.option("--top", type=click.IntRange(1, 10_000), default=20, help="Most rows of a table.", show_default=True)
@click.option(
    "--local", metavar="ADDR,...", help="The host's own addresses or prefixes; else the kernel's, or inferred."
)
@options.netns
@options.as_json
def command(
    *,
    source: str | None,
    by: str,
    protocol: str | None,
    sources: str | None,
    destination: str | None,
    sport: str | None,
    dport: str | None,
    state: str | None,
    again: int | None,
    every: float,
    top: int,
    sample: str,
    local: str | None,
    netns: str | None,
    as_json: bool,
) -> None:
    """Who fills the conntrack table: entries by service, state, peer, zone, client, server, pair or port.

    With --again: how many come and go a second, how long they live and how long they are silent.

    SOURCE: nothing for this kernel's table, a file, or - for standard input: /proc/net/nf_conntrack,
    /proc/net/ip_conntrack or the output of conntrack -L, also compressed (.gz, .zst).
    """
    if source is not None and netns is not None:
        raise InputError("--netns", "a saved table has no namespace", advice="leave out --netns or the file")
    viewpoint = wiring.viewpoint(source, netns, local_ranges(local))
    selection = Selection(
        None if protocol is None else protocol_number(protocol),
        None if sources is None else Intervals.union_of(prefixes("-s", sources)),
        None if destination is None else Intervals.union_of(prefixes("-d", destination)),
        port_range("--sport", sport),
        port_range("--dport", dport),
        state_word(state),
    )
    if again is not None:
        saved = wiring.saved(source)
        readings = saved.frames() if saved else None
        if source is not None and readings is None:
            raise InputError(
                "--again", "a saved table stays as it is", advice="conntrim record makes one that does not"
            )
        if by not in (*PanelBy,) or not selection.every:
            raise InputError(
                "--again", "its rows are services or clients of the whole table", advice="leave out filters"
            )
        frames = readings or wiring.frames(netns)
        size = sample_size(sample, source)
        assert viewpoint is not None  # the kernel tells it
        panel = watch_panel(frames, viewpoint, PanelBy(by), top, again=again, every=every, sample=size)
        say(_json("panel", panel) if as_json else panel_text(panel))
        return
    size = saved.sample if (saved := wiring.saved(source)) else sample_size(sample, source)
    census = take_census(wiring.flows(source, netns), viewpoint, top, size, selection)
    say(_json("census", census_fields(census)) if as_json else census_text(census, By(by)))


def _json(kind: str, value: object) -> str:
    from conntrim.render.json import to_json  # noqa: PLC0415  # its library is not needed for text

    return to_json(kind, value)
