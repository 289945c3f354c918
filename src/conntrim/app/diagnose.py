"""The verb `diagnose`: facts, log and census of a kernel or of a saved table, put before the doctor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from conntrim.app.census import Taken
from conntrim.app.ports.facts import Facts
from conntrim.app.ports.kernel_log import KernelLog, LogExtract
from conntrim.core.diagnose.case import Case, Rules, Thresholds
from conntrim.core.diagnose.causes import one_sided
from conntrim.core.diagnose.causes.registry import LEAST_ENTRIES, LEAST_SHARE
from conntrim.core.diagnose.report import Diagnosis, diagnose
from conntrim.core.diagnose.view import View
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.facts import Counters, Era, HostFacts, Reading
from conntrim.core.model.intervals import Intervals

PORTS = (32_768, 60_999)
"""The kernel's default port range, for a host of which only its table is known."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the operator asks: `interval` seconds between the readings (0: one), a log file, sizes that a saved table
    does not tell.
    """

    netns: str | None = None
    log: str | None = None
    interval: float = 1.0
    thresholds: Thresholds = field(default_factory=Thresholds)
    max: int | None = None
    buckets: int | None = None
    era: Era | None = None


def diagnose_kernel(
    request: Request,
    facts: Facts,
    log: KernelLog,
    census: Callable[[Viewpoint], Taken],
    rules: Callable[[Intervals], Rules] | None = None,
) -> Diagnosis:
    """This kernel's table, read twice; what cannot be read is a remark. HostError where there is no conntrack.

    The rules are looked at only where entries are there that one-sided NOTRACK would leave.
    """
    first = facts.read(request.netns)
    extract = log.overflows(request.log)
    remarks = list(extract.remarks)
    try:
        taken = census(Viewpoint(first.local, first.local_ports, first.timeouts))
    except HostError as error:
        taken = None
        remarks.append(f"who fills the table is not known: {error}")
    later = facts.reading(request.netns, first.seconds + request.interval) if request.interval > 0 else None
    known = replace(first, overflows=extract.overflows, remarks=(*first.remarks, *remarks))
    case = case_of(known, later, taken, request.thresholds)
    if rules is None or not _suspicious(case):
        return diagnose(case)
    try:
        return diagnose(replace(case, rules=rules(first.local)))
    except (HostError, InputError) as error:
        return diagnose(
            replace(case, facts=replace(known, remarks=(*known.remarks, f"the rules were not read: {error}")))
        )


def _suspicious(case: Case) -> bool:
    """Whether enough entries show one direction only."""
    if case.specimen is None or not len(case.specimen):
        return False
    view = View(case.specimen)
    seen = one_sided.one_direction_seen(view)
    return view.entries(seen) >= LEAST_ENTRIES and view.share(seen) >= LEAST_SHARE


def case_of(facts: HostFacts, later: Reading | None, taken: Taken | None, thresholds: Thresholds) -> Case:
    """All that is known, as the doctor wants it; time-outs that the table itself shows stand in for those not read."""
    if taken is None:
        return Case(facts, later, None, thresholds)
    known = replace(facts, timeouts=taken.census.timeouts_seen | facts.timeouts)
    return Case(known, later, taken.census, thresholds, taken.specimen)


def diagnose_source(request: Request, log: KernelLog, census: Callable[[], Taken]) -> Diagnosis:
    """A saved table: what it shows, what a log adds, and sizes as far as the operator gives them."""
    extract = log.overflows(request.log) if request.log is not None else LogExtract((), "")
    taken = census()
    source = taken.census.source
    facts = HostFacts(
        source=source, kernel="", era=request.era or _era(source, extract), seconds=0.0, count=None,
        max=request.max, buckets=request.buckets, max_writable=False, counters=Counters(), timeouts={}, tcp_loose=None,
        slab_entry_bytes=None, memory_total=None, local=Intervals(), local_ports=PORTS, overflows=extract.overflows,
        settings=(), remarks=extract.remarks,
    )  # fmt: skip
    return diagnose(case_of(facts, None, taken, request.thresholds))


def _era(source: str, extract: LogExtract) -> Era:
    """The 2.6 era where the table's name or the log's wording tells so."""
    named = "ip_conntrack" in source.rpartition("/")[2]
    return Era.IP if named or any(line.era is Era.IP for line in extract.overflows) else Era.NF
