"""The verb `diagnose`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import click

from conntrim import wiring
from conntrim.app.amended import Amended
from conntrim.app.census import take_table
from conntrim.app.diagnose import Further, Request, diagnose_kernel, diagnose_source, ports_of, timeouts_of
from conntrim.app.ports.inputs import Inputs
from conntrim.app.ports.saved import SavedHost
from conntrim.cli import options
from conntrim.cli.options import local_ranges
from conntrim.cli.output import say
from conntrim.core.diagnose.case import Thresholds
from conntrim.core.diagnose.report import Diagnosis
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Era
from conntrim.core.model.intervals import Intervals
from conntrim.render.diagnose import diagnosis_text
from conntrim.render.nagios import nagios_text

SERVICES = 200
"""Rows of the census; causes look at the whole table."""

PER_CENT = click.FloatRange(0, 100)


@click.command(name="diagnose")
@click.argument("sources", nargs=-1, metavar="[FILE]...")
@click.option("--log", metavar="FILE", help="A kernel log file, or - for standard input; else this kernel's own.")
@click.option(
    "--interval",
    type=click.FloatRange(0, 3600),
    default=1.0,
    metavar="SECONDS",
    show_default=True,
    help="Time between the two readings that give rates; 0: one reading, no rates.",
)
@click.option("-w", "--warning", type=PER_CENT, default=75.0, show_default=True, help="Warn from this fill on, in %.")
@click.option("-c", "--critical", type=PER_CENT, default=90.0, show_default=True, help="Critical from this fill on.")
@click.option("--max", "maximum", type=click.IntRange(1), help="The size of a saved table (it does not tell it).")
@click.option("--buckets", type=click.IntRange(1), help="The buckets of a saved table.")
@click.option("--era", type=click.Choice([era.value for era in Era]), help="The names of a saved table's settings.")
@click.option("--local", metavar="ADDR,...", help="The own addresses of the host of a saved table; else inferred.")
@click.option("--nagios", is_flag=True, help="One line with performance data, for a monitoring plugin.")
@options.netns
@options.as_json
def command(
    *,
    sources: tuple[str, ...],
    log: str | None,
    interval: float,
    warning: float,
    critical: float,
    maximum: int | None,
    buckets: int | None,
    era: str | None,
    local: str | None,
    nagios: bool,
    netns: str | None,
    as_json: bool,
) -> int:
    """Is the table full, who fills it and why, what helps: one screen, and an exit code for Nagios.

    FILE: nothing for this kernel, else what was saved of a host, told apart by content: a table as census takes it, the
    output of sysctl -a, conntrack -S or conntrack -E, /proc/net/stat/nf_conntrack, kernel logs, rules. Exit code: 0 OK,
    1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    """
    if warning > critical:
        raise InputError("-w", f"the warning mark {warning:g} is above the critical one, {critical:g}")
    thresholds = Thresholds(warning, critical)
    wanted = Era(era) if era else None
    request = Request(netns, log, interval, thresholds, maximum, buckets, wanted)
    own = {"--max": maximum, "--buckets": buckets, "--era": era, "--local": local}
    sample = "auto" if nagios else "exact"
    report = _source(request, sources, local) if sources else _kernel(request, own, sample)
    if as_json:
        from conntrim.render.json import to_json  # noqa: PLC0415  # its library is not needed for text

        say(to_json("diagnosis", report))
    else:
        say(nagios_text(report, thresholds) if nagios else diagnosis_text(report))
    return int(report.verdict)


def _kernel(request: Request, own: Mapping[str, object], sample: str) -> Diagnosis:
    """This kernel; it tells its own sizes."""
    for option, value in own.items():
        if value is not None:
            raise InputError(option, "the kernel tells this itself", advice="it is for a saved table")
    return diagnose_kernel(
        request,
        wiring.facts(),
        wiring.kernel_log(),
        lambda viewpoint: take_table(wiring.flows(None, request.netns), viewpoint, SERVICES, sample),
        Further(
            wiring.rules_seen(request.netns),
            wiring.open_sockets(),
            wiring.interfaces(request.netns),
            wiring.trial(request.netns),
        ),
    )


def _source(request: Request, sources: tuple[str, ...], local: str | None) -> Diagnosis:
    """What was saved of a host."""
    if request.netns is not None:
        raise InputError("--netns", "a saved table has no namespace", advice="leave out --netns or the file")
    if "-" in sources and request.log == "-":
        raise InputError("--log", "standard input can be the table or the log, not both")
    own = Intervals.union_of(local_ranges(local))
    saved = {name: host for name in sources if (host := wiring.saved(name)) is not None}
    inputs = wiring.inputs([name for name in sources if name not in saved])
    if saved:
        return _saved(request, saved, inputs, own)
    listing = inputs.listing
    viewpoint = Viewpoint(own, ports_of(inputs), timeouts_of(inputs), saved=True)
    return diagnose_source(
        request,
        wiring.kernel_log(),
        None if listing is None else lambda: take_table(wiring.flows(listing, None), viewpoint, SERVICES),
        inputs,
        wiring.rules_told(inputs.rules),
    )


def _saved(request: Request, saved: Mapping[str, SavedHost], inputs: Inputs, own: Intervals) -> Diagnosis:
    """A record or a collection, with what other files say of the same host."""
    (name, host), *more = saved.items()
    if more:
        raise InputError(more[0][0], f"a second host beside {name}", advice="name one record or collection")
    told = {"nf_conntrack_max": request.max, "nf_conntrack_buckets": request.buckets}
    inputs = replace(inputs, settings=inputs.settings | {key: n for key, n in told.items() if n is not None})
    both = Amended(host, inputs, wiring.kernel_log(), own, request.era)
    if inputs.counters.values:
        request = replace(request, interval=0)  # one reading
    return diagnose_kernel(
        request, both, both, lambda view: take_table(host.flows(), view, SERVICES, host.sample),
        Further(wiring.rules_seen(None, inputs.rules or (name,))),
    )  # fmt: skip
