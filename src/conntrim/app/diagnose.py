"""The verb `diagnose`: facts, log and census of a kernel or of a saved table, put before the doctor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from conntrim.app.census import Taken
from conntrim.app.ports.facts import Facts
from conntrim.app.ports.inputs import Inputs
from conntrim.app.ports.kernel_log import KernelLog, joined
from conntrim.app.ports.owners import OpenSockets
from conntrim.core.capacity.timeouts import DEFAULTS
from conntrim.core.diagnose.case import Case, Rules, Thresholds
from conntrim.core.diagnose.causes import one_sided
from conntrim.core.diagnose.causes.registry import LEAST_ENTRIES, LEAST_SHARE
from conntrim.core.diagnose.report import Diagnosis, diagnose
from conntrim.core.diagnose.view import View
from conntrim.core.model.address import parse_range
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.facts import Era, HostFacts, Overflow, Reading
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


NO_FILES = Inputs()


@dataclass(frozen=True, slots=True)
class Further:
    """What is asked only where the table gives reason to: what the rules say, whose sockets are open, and behind which
    devices addresses are; and what is known of a plan on trial.
    """

    rules: Callable[[Intervals], Rules] | None = None
    sockets: OpenSockets | None = None
    interfaces: Callable[[Sequence[str]], dict[str, str]] | None = None
    trial: str = ""


def diagnose_kernel(
    request: Request,
    facts: Facts,
    log: KernelLog,
    census: Callable[[Viewpoint], Taken],
    further: Further = Further(),
) -> Diagnosis:
    """This kernel's table, read twice; what cannot be read is a remark. HostError where there is no conntrack.

    The rules are looked at only where entries are there that one-sided NOTRACK would leave, the sockets only where the
    table has a cause.
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
    known = replace(
        first, overflows=extract.overflows, remarks=(*first.remarks, *remarks), suppressed=extract.suppressed,
        expect_full=extract.expect_full, trial=further.trial,
    )  # fmt: skip
    case = _with_rules(case_of(known, later, taken, request.thresholds), further.rules, first.local)
    report = diagnose(case)
    if not report.causes:
        return report
    if further.sockets is not None:
        case = _with_sockets(case, further.sockets, request.netns)
    if further.interfaces is not None:
        case = _with_interfaces(case, further.interfaces, [who for cause in report.causes for who in cause.who])
    return diagnose(case)


def _with_rules(case: Case, rules: Callable[[Intervals], Rules] | None, local: Intervals) -> Case:
    """The case with what the rules say, where its entries ask for them."""
    if rules is None or not _suspicious(case):
        return case
    try:
        return replace(case, rules=rules(local))
    except (HostError, InputError) as error:
        return _remarked(case, f"the rules were not read: {error}")


def _with_sockets(case: Case, sockets: OpenSockets, netns: str | None) -> Case:
    """The case with whose sockets are open."""
    try:
        found = sockets.read(netns)
    except (HostError, OSError) as error:
        return _remarked(case, f"whose sockets are open could not be read: {error}")
    facts = replace(
        case.facts, listeners=found.listeners, owners=found.owners, tcp_counters=found.tcp_counters or {}
    )  # fmt: skip
    return replace(case, facts=facts)


def _with_interfaces(case: Case, ask: Callable[[Sequence[str]], dict[str, str]], who: Sequence[str]) -> Case:
    """The case with the devices behind which these addresses are; names of programs are among them."""
    try:
        return replace(case, facts=replace(case.facts, interfaces=ask([each for each in who if " " not in each])))
    except (HostError, OSError) as error:
        return _remarked(case, f"behind which device clients are could not be read: {error}")


def _remarked(case: Case, remark: str) -> Case:
    return replace(case, facts=replace(case.facts, remarks=(*case.facts.remarks, remark)))


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


def diagnose_source(
    request: Request, log: KernelLog, census: Callable[[], Taken] | None, inputs: Inputs = NO_FILES,
    rules: Callable[[Intervals], Rules] | None = None,
) -> Diagnosis:  # fmt: skip
    """A saved table: what it shows, what logs, settings and counters add, and sizes as far as somebody tells them."""
    logs = (*inputs.logs, *((request.log,) if request.log is not None else ()))
    extract = joined([log.overflows(each) for each in logs])
    taken = census() if census is not None else None
    source = taken.census.source if taken else ", ".join(logs) or "files"
    settings = inputs.settings
    loose = settings.get("nf_conntrack_tcp_loose")
    facts = HostFacts(
        source=source, kernel="", era=request.era or _era(source, extract.overflows), seconds=0.0,
        count=settings.get("nf_conntrack_count"), max=request.max or settings.get("nf_conntrack_max"),
        buckets=request.buckets or settings.get("nf_conntrack_buckets"), max_writable=False, counters=inputs.counters,
        timeouts=timeouts_of(inputs), tcp_loose=None if loose is None else bool(loose), slab_entry_bytes=None,
        memory_total=None, local=Intervals(), local_ports=ports_of(inputs), overflows=extract.overflows, settings=(),
        remarks=extract.remarks, events=inputs.events, suppressed=extract.suppressed, expect_full=extract.expect_full,
    )  # fmt: skip
    local = Intervals.union_of(map(parse_range, taken.census.local)) if taken else Intervals()
    return diagnose(_with_rules(case_of(facts, None, taken, request.thresholds), rules, local))


def timeouts_of(inputs: Inputs) -> dict[str, int]:
    """The time-outs among the settings, by sysctl key."""
    return {key: value for key, value in inputs.settings.items() if key in DEFAULTS or "_timeout_" in key}


def ports_of(inputs: Inputs) -> tuple[int, int]:
    """The range of the clients' ports."""
    return inputs.settings.get("first_port", PORTS[0]), inputs.settings.get("last_port", PORTS[1])


def _era(source: str, overflows: tuple[Overflow, ...]) -> Era:
    """The 2.6 era where the table's name or the log's wording tells so."""
    named = "ip_conntrack" in source.rpartition("/")[2]
    return Era.IP if named or any(line.era is Era.IP for line in overflows) else Era.NF
