"""`conntrim apply`: a plan on trial."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from functools import partial

import click

from conntrim import wiring
from conntrim.app import rollout
from conntrim.app.reviewed import reviewed
from conntrim.app.rollout_run import Ports
from conntrim.cli.options import as_json, netns, prefixes, stated
from conntrim.cli.output import complain
from conntrim.cli.rollout import answer, rooted
from conntrim.core.model.errors import InputError
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.share import MOST_BITS, Share
from conntrim.core.plan.canary import Some, share_of
from conntrim.core.rollout.commands import Answer
from conntrim.core.rollout.probe import How, Probe, probe_of
from conntrim.core.rollout.report import Report

FORMS = "such as 192.0.2.1:80, [2001:db8::1]:80, udp://HOST:PORT?send=TEXT&expect=TEXT or http://HOST:PORT/"
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
LEAST_SHARE = math.ceil(Share(MOST_BITS).percent * 10) / 10
LONGEST = 24 * 3600
"""A guard is for trying; rules that act for longer than a day are to be confirmed."""


def seconds_of(text: str) -> float:
    """`60`, `60s`, `5m` or `1h` in seconds. InputError for anything else, or for a time that is no trial's."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 1 <= seconds <= LONGEST:
        raise InputError("--trial", f"{text!r} is no time from 1s to 24h", advice="such as 60s, 5m, 1h")
    return seconds


def probes_of(texts: Sequence[str], commands: Sequence[str], yes: bool) -> tuple[Probe, ...]:
    """The probes named; InputError for one that is none, or where somebody wants no question and names none."""
    if yes and not texts and not commands:
        raise InputError("--yes", "nobody looks whether the service still answers", advice="name it with --probe")
    found = [(text, probe_of(text)) for text in texts]
    if wrong := [text for text, probe in found if probe is None]:
        raise InputError("--probe", f"{wrong[0]!r} is not HOST:PORT", advice=FORMS)
    return (*(probe for _, probe in found if probe), *map(_command, commands))


def clients_of(texts: Sequence[str], share: str | None, yes: bool) -> Some:
    """The clients named, and the share of them; InputError where somebody would keep what some have tried."""
    if (texts or share) and yes:
        raise InputError("--yes", "a trial of some clients is not kept", advice="apply the whole plan after it")
    found = Intervals.of(*prefixes("--clients", ",".join(texts)))
    if texts and not found:
        raise InputError("--clients", "no address", advice="such as 192.0.2.0/28")
    return Some(found, _share(share) if share else None)


def _share(text: str) -> Share:
    """`10%` as the share nearest below."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", text)
    wanted = float(found[1]) if found else 0.0
    share = share_of(wanted) if wanted < 100 else None
    if share is None:
        raise InputError("--share", f"{text!r} is no share from {LEAST_SHARE:g}% to below 100%", advice="such as 10%")
    return share


def _command(text: str) -> Probe:
    """A command line, split as a shell would; no shell runs it."""
    try:
        argv = tuple(shlex.split(text))
    except ValueError as error:
        raise InputError("--probe-command", f"{text!r}: {error}") from error
    if not argv or "\0" in text:
        raise InputError("--probe-command", "no command", advice="such as 'ssh client curl -sf http://192.0.2.1/'")
    return Probe(how=How.COMMAND, argv=argv)


@click.command("apply")
@click.argument("plan_dir")
@click.option("--trial", default="60s", metavar="TIME", show_default=True, help="How long the rules act unless kept.")
@click.option("--accept", multiple=True, metavar="OBLIGATION", help="Load although this obligation is not proved.")
@click.option("--probe", "probed", multiple=True, metavar="HOST:PORT", help="Must answer, or the trial falls back.")
@click.option("--probe-command", "commands", multiple=True, metavar="CMD", help="Must end with 0, as a --probe.")
@click.option(
    "--clients", "some", multiple=True, metavar="PREFIX", help="Try it with these clients alone; all others go on."
)
@click.option("--share", metavar="PERCENT", help="Try it with such a part of all clients, or of those named.")
@click.option("--yes", is_flag=True, help="Confirm at once where every --probe has answered: for scripts.")
@click.option(
    "--wait",
    is_flag=True,
    help="Stay until the deadline, keep connections through it, say how it ended. Ctrl-C ends only the waiting.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Check everything and load nothing; the exit code as without.")
@netns
@stated
@rooted
@as_json
@click.pass_context
def command(
    ctx: click.Context, *, plan_dir: str, trial: str, accept: tuple[str, ...], probed: tuple[str, ...],
    commands: tuple[str, ...], some: tuple[str, ...], share: str | None, yes: bool,
    wait: bool, dry: bool, netns: str | None, state: str | None, root: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Load a plan's rules on trial: they expire in the kernel by themselves unless you confirm them.

    PLAN_DIR is what `conntrim plan -o` wrote. Nothing has to keep running for the rules to expire: a lost session,
    a crash or kill -9 cannot keep a bad change in place. Keep it with `conntrim confirm`.
    """
    seconds, probes = seconds_of(trial), probes_of(probed, commands, yes)
    clients = clients_of(some, share, yes)
    shown, ports = wiring.plans().read(plan_dir), wiring.rollout(netns, state, root)
    compiled = partial(reviewed, shown, wiring.live(netns), ports.freshness, clients)
    act = partial(
        rollout.apply_reviewed,
        compiled=compiled, seconds=seconds, accepted=accept, probes=probes, unattended=yes, dry=dry,
        clients=clients.words(),
    )  # fmt: skip
    if dry:
        answer(ctx, "apply", act, ports, as_json)
        return
    carry_out(ctx, act, ports, yes=yes, wait=wait, as_json=as_json)


def carry_out(
    ctx: click.Context, act: Callable[[Ports], Report], ports: Ports, *, yes: bool, wait: bool, as_json: bool
) -> None:
    """Load the plan, say what came of it, and go on as the options say."""
    report = answer(ctx, "apply", act, ports, as_json)
    if yes and report.answer == Answer.ALREADY_ARMED.words:
        complain("not confirmed: this trial was begun before, and nothing was probed now")
        ctx.exit(1)
    if yes and report.answer == Answer.ARMED.words:
        answer(ctx, "confirm", rollout.confirm, ports, as_json)
        return
    if yes and report.answer == Answer.PENDING.words:
        complain("not confirmed: settings cannot be tried or probed; conntrim confirm sets them")
        ctx.exit(1)
    if wait and report.seconds_left:
        answer(ctx, "status", rollout.wait, ports, as_json)
