"""`conntrim lab causes`: each cause is made on this kernel and must be named first, live and from the saved listing."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from conntrim.app.census import take_table
from conntrim.app.diagnose import Further, Request, diagnose_kernel, diagnose_source
from conntrim.app.ports.inputs import Inputs
from conntrim.app.rules_seen import rules_of
from conntrim.core.diagnose.case import Thresholds
from conntrim.core.diagnose.report import Diagnosis
from conntrim.core.model.address import parse_address
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.errors import HostError
from conntrim.core.model.finding import Severity
from conntrim.core.model.intervals import Intervals
from conntrim.host.facts import KernelFacts
from conntrim.host.flow_files import FileFlows
from conntrim.host.flows import KernelFlows
from conntrim.host.kernel_log import HostKernelLog
from conntrim.host.netns import entered
from conntrim.host.owners import KernelSockets
from conntrim.host.routes import interfaces
from conntrim.host.rulesets import KernelRulesets
from conntrim.lab.cause_scenarios import HEALTHY, SCENARIOS, Scenario, beside
from conntrim.lab.cause_site import GATEWAY, Site, cause_site
from conntrim.lab.limits import global_limits

SERVICES = 200
SHORT = Thresholds(1e-9, 100.0)
"""Marks under which any table is short of room: max is one for the whole kernel, and is left alone."""

WITH_NAT = ", NAT"
PATIENCE = 10.0
"""Seconds for the last packets of a scenario to be tracked."""

NOBODY, OWN = Intervals(), Intervals.of(parse_address(GATEWAY), parse_address("10.21.0.1"))
"""No addresses, and the gateway's own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One diagnosis of one scenario: the codes of its causes in order, and those that are false warnings."""

    scenario: str
    how: str
    entries: int
    wanted: str
    causes: tuple[str, ...]
    false_warnings: tuple[str, ...]
    verdict: Severity
    title: str

    @property
    def right(self) -> bool:
        """The wanted cause first and no false one; or OK and none."""
        if self.false_warnings:
            return False
        if not self.wanted:
            return self.verdict is Severity.OK and not self.causes
        return self.causes[:1] == (self.wanted,)


def run(
    entries: int, scenarios: Sequence[Scenario] = (*SCENARIOS, *HEALTHY), tell: Callable[[str], None] = lambda _: None
) -> tuple[Outcome, ...]:
    """All scenarios, one after the other, each with about so many entries (fewer where a socket each is held). No other
    lab run changes the table's size meanwhile.
    """
    found: list[Outcome] = []
    with global_limits(), cause_site() as site, tempfile.TemporaryDirectory(prefix="conntrim-lab-") as place:
        for scenario in scenarios:
            for nat in scenario.nat:
                tell(f"{scenario.name}{WITH_NAT * nat}")
                found += _outcomes(site, scenario, min(entries, scenario.most), Path(place, "nf_conntrack"), nat=nat)
    return tuple(found)


def _outcomes(site: Site, scenario: Scenario, entries: int, saved: Path, *, nat: bool) -> list[Outcome]:
    site.alive(on=False)
    site.rules(scenario.rules, nat=nat)
    for key, value in scenario.timeouts:
        site.gateway.sysctl(key, value)
    with ExitStack() as stack:
        if nat and scenario.ends_here:
            beside(site, entries // 10)
        scenario.make(site, entries, stack)
        _settled(site, scenario.name, entries)
        with entered(site.gateway.name), open("/proc/thread-self/net/nf_conntrack", "rb") as source:
            saved.write_bytes(b"")
            with saved.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        reports = dict(_reports(site, scenario, saved))
    for key, _ in scenario.timeouts:
        site.gateway.sysctl(key, 60)
    return [_outcome(scenario, how, report, nat=nat) for how, report in reports.items()]


def _settled(site: Site, name: str, entries: int) -> None:
    """Wait until most of the entries are there; HostError where they are not."""
    flows, end = KernelFlows(site.gateway.name), time.monotonic() + PATIENCE
    while (flows.population() or 0) < entries * 0.9:
        if time.monotonic() > end:
            raise HostError(f"lab causes, {name}", f"{flows.population()} entries came of {entries}")
        time.sleep(0.02)


def _request(scenario: Scenario, entries: int | None = None) -> Request:
    maximum = None if entries is None else entries if scenario.code else entries * 10
    return Request(interval=0, thresholds=SHORT if scenario.code else Thresholds(), max=maximum)


def live(site: Site, scenario: Scenario) -> Diagnosis:
    """What diagnose says of the gateway as it is."""
    netns = site.gateway.name
    request = _request(scenario)
    request = Request(netns, None, 0, request.thresholds)
    return diagnose_kernel(
        request,
        KernelFacts(),
        HostKernelLog(),
        lambda viewpoint: take_table(KernelFlows(netns), viewpoint, SERVICES),
        Further(
            lambda local: rules_of(KernelRulesets(netns), local), KernelSockets(), lambda who: interfaces(netns, who)
        ),
    )


def _saved(site: Site, scenario: Scenario, saved: Path, local: Intervals = NOBODY) -> Diagnosis:
    count = KernelFlows(site.gateway.name).population() or 1
    rules = (lambda local: rules_of(KernelRulesets(site.gateway.name), local)) if scenario.rules else None
    viewpoint = Viewpoint(local, saved=True) if local else None
    return diagnose_source(
        _request(scenario, count), HostKernelLog(), lambda: take_table(FileFlows(str(saved)), viewpoint, SERVICES),
        Inputs(), rules,
    )  # fmt: skip


def _reports(site: Site, scenario: Scenario, saved: Path) -> Iterator[tuple[str, Diagnosis]]:
    """Live; and of the listing. Where two readings of it remained, and the one taken has not the right cause first, the
    own addresses are told, for which the report asks.
    """
    yield "live", live(site, scenario)
    report = _saved(site, scenario, saved)
    first = report.causes[0].code if report.causes else ""
    asked = report.local_doubt and first != scenario.code
    yield ("asked", _saved(site, scenario, saved, OWN)) if asked else ("saved", report)


def _outcome(scenario: Scenario, how: str, report: Diagnosis, *, nat: bool) -> Outcome:
    codes = tuple(cause.code for cause in report.causes)
    wrong = [
        cause.code for cause in report.causes if cause.severity >= Severity.WARNING and cause.code != scenario.code
    ]
    name, title = f"{scenario.name}{WITH_NAT * nat}", report.causes[0].title if report.causes else ""
    entries = report.figures.entries or 0
    return Outcome(name, how, entries, scenario.code, codes, tuple(wrong), report.verdict, title)
