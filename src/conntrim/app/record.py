"""The verb `record`: facts, log and rules of this kernel, and its table again and again, into one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from conntrim.app.panel import MORE, SOME_MORE
from conntrim.app.ports.facts import Facts
from conntrim.app.ports.frames import Frames
from conntrim.app.ports.kernel_log import KernelLog
from conntrim.app.ports.owners import OpenSockets
from conntrim.app.ports.recorder import Recorder
from conntrim.core.census.heavy import busiest
from conntrim.core.census.sample import rows_wanted
from conntrim.core.emit.anonymous import hidden_facts, hidden_flows, hidden_rules
from conntrim.core.model.errors import HostError
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.pseudonym import Pseudonyms
from conntrim.core.model.record import Listed, Recorded


@dataclass(frozen=True, slots=True)
class Request:
    """For how many seconds (0: one frame), every how many, how much of the table; `key` hides addresses and names."""

    netns: str | None
    seconds: float
    every: float
    sample: str | int
    key: Pseudonyms | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """What a record is made of."""

    facts: Facts
    log: KernelLog
    frames: Frames
    rules: Callable[[], Sequence[Listed]]
    sockets: OpenSockets
    interfaces: Callable[[Sequence[str]], dict[str, str]]


MOST_PLACED = 64
"""Addresses of each end whose device is kept: those with most entries, which causes name."""


def record(request: Request, recorder: Recorder, host: Host) -> Recorded:
    """Record; an interrupt ends it early, and what was recorded stays."""
    key, remarks = request.key, []
    first = host.facts.read(request.netns)
    extract = host.log.overflows(None)
    known = replace(
        first, overflows=extract.overflows, remarks=(*first.remarks, *extract.remarks), suppressed=extract.suppressed,
        expect_full=extract.expect_full,
    )  # fmt: skip
    try:
        found = host.sockets.read(request.netns)
    except (HostError, OSError) as error:
        remarks.append(f"whose sockets are open is not in it: {error}")
    else:
        counters = found.tcp_counters or {}
        known = replace(known, listeners=found.listeners, owners=found.owners, tcp_counters=counters)
    recorder.facts(hidden_facts(known, key) if key else known)
    try:
        for each in host.rules():
            told = hidden_rules(each, key) if key else each
            recorder.text("rules", told.program, told.text)
    except HostError as error:
        remarks.append(f"the rules are not in it: {error}")
    taken = _Taken()
    with suppress(KeyboardInterrupt):
        _frames(request, recorder, host, taken)
    size = recorder.bytes()
    recorder.close()
    return Recorded(
        recorder.path, taken.frames, taken.seconds, taken.entries, taken.rows, size, key is not None, tuple(remarks)
    )


@dataclass(slots=True)
class _Taken:
    """What is in the file by now."""

    frames: int = 0
    seconds: float = 0.0
    entries: int = 0
    rows: int = 0


def _placed(flows: FlowTable, host: Host) -> dict[str, str]:
    """Behind which devices the busiest addresses are; nothing where that cannot be asked."""
    try:
        return host.interfaces(sorted({*busiest(flows.src, MOST_PLACED), *busiest(flows.dst, MOST_PLACED)}))
    except (HostError, OSError):
        return {}


def _frames(request: Request, recorder: Recorder, host: Host, taken: _Taken) -> None:
    """The frames; each is in the file before the next is waited for."""
    frames = host.frames
    rows, start, due = rows_wanted(request.sample, frames.population()), 0.0, 0.0
    later = None if rows is None else round(rows * MORE) + SOME_MORE
    while frame := frames.read(rows if not taken.frames else later, due, settle=rows is not None and not taken.frames):
        start = start or frame.seconds
        reading = host.facts.reading(request.netns, 0.0)
        flows = hidden_flows(frame.flows, request.key) if request.key else frame.flows
        recorder.frame(replace(frame, flows=flows), reading)
        if not taken.frames and not request.key:
            recorder.interfaces(_placed(frame.flows, host))
        taken.frames, taken.seconds = taken.frames + 1, frame.seconds - start
        taken.entries, taken.rows = frame.population, taken.rows + len(flows)
        due = start + taken.frames * request.every
        if due > start + request.seconds + 1e-6:
            return
