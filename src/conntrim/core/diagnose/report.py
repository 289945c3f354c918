"""The doctor's report: verdict, figures, who fills the table, findings, remedies."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.capacity.memory import entry_bytes, table_bytes
from conntrim.core.diagnose import table_full
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.registry import LEAST_ENTRIES, causes
from conntrim.core.diagnose.log_overflow import when
from conntrim.core.diagnose.registry import findings
from conntrim.core.diagnose.remedies import remedies
from conntrim.core.diagnose.wording import number, percent
from conntrim.core.model.cause import Cause
from conntrim.core.model.facts import Era, Events, NamespaceUse
from conntrim.core.model.finding import Finding, Remedy, Severity

FILLERS = 5
"""Services named in the report."""

LEAST_DIFFERENCE = 0.05
"""Count and census are taken at two moments: a smaller difference is no news."""

SUMMARY = 79 - len("CRITICAL - ")
"""Columns of the first line behind the verdict."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The table in numbers; None where one is not known.

    Counters are since boot, `*_per_second` between two readings `span` seconds apart. `chain` is the mean number of
    tuples in a bucket, `chain_at_max` that of a full table. Sizes in bytes. `log_*` are about this namespace.
    `unacknowledged` connections wait for an acknowledgement, of `be_liberal` ones the windows are not checked; None of
    a saved listing, which shows neither.
    """

    entries: int | None
    max: int | None
    fill_percent: float | None
    headroom: int | None
    buckets: int | None
    drop: int | None
    drop_per_second: float | None
    early_drop: int | None
    insert_failed: int | None
    chaintoolong: int | None
    span: float | None
    growth_per_second: float | None
    seconds_to_full: float | None
    chain: float | None
    chain_at_max: float | None
    entry_bytes: int
    bytes_now: int | None
    bytes_at_max: int | None
    log_lines: int
    log_first: str
    log_last: str
    evictable_share: float | None
    unacknowledged: int | None
    be_liberal: int | None


@dataclass(frozen=True, slots=True)
class Filler:
    """A service that holds entries, and its commonest state with its share of them, 0 to 1."""

    service: str
    entries: int
    share: float
    state: str
    state_share: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The whole report. `summary` is its first line without the verdict; `sampled_bound` the error of the shares."""

    verdict: Severity
    summary: str
    source: str
    kernel: str
    era: Era
    namespace: str
    netns: int | None
    figures: Figures
    fillers: tuple[Filler, ...]
    other_services: int
    other_entries: int
    sampled_bound: float | None
    local: tuple[str, ...]
    local_inferred: bool
    local_evidence: tuple[str, ...]
    local_doubt: str
    timeouts_seen: dict[str, int]
    trial: str
    events: Events | None
    causes: tuple[Cause, ...]
    findings: tuple[Finding, ...]
    remedies: tuple[Remedy, ...]
    namespaces: tuple[NamespaceUse, ...]
    remarks: tuple[str, ...]


def diagnose(case: Case) -> Diagnosis:
    """All checks, one verdict."""
    why = causes(case)
    found = findings(case, why[0].code if why else "")
    verdict = _verdict(case, found, why)
    census = case.census
    fillers = _fillers(case)
    return Diagnosis(
        verdict=verdict,
        summary=_summary(case, found, why),
        source=case.facts.source,
        kernel=case.facts.kernel,
        era=case.facts.era,
        namespace=case.facts.namespace,
        netns=case.facts.netns,
        figures=figures(case),
        fillers=fillers,
        other_services=max(0, len(census.services) - len(fillers) + census.other_services) if census else 0,
        other_entries=case.total - sum(filler.entries for filler in fillers),
        sampled_bound=census.sample.bound / 100 if census and census.sample else None,
        local=census.local if census else (),
        local_inferred=census.local_inferred if census else False,
        local_evidence=census.local_evidence if census else (),
        local_doubt=census.local_doubt if census else "",
        timeouts_seen=census.timeouts_seen if census else {},
        trial=case.facts.trial,
        events=case.facts.events,
        causes=why,
        findings=found,
        remedies=remedies(case, why),
        namespaces=case.facts.namespaces,
        remarks=case.facts.remarks + (census.remarks if census else ()) + _difference(case),
    )


def _difference(case: Case) -> tuple[str, ...]:
    """Count and census may differ: an entry whose time is up is counted until somebody finds it, but not listed."""
    missing = (case.facts.count or 0) - case.total if case.census and not case.census.sample else 0
    if missing < max(LEAST_ENTRIES, LEAST_DIFFERENCE * case.total):
        return ()
    return (f"{number(missing)} entries counted but not listed: timed out and not yet removed, or gone meanwhile",)


def _verdict(case: Case, found: tuple[Finding, ...], why: tuple[Cause, ...]) -> Severity:
    """The worst finding or cause; UNKNOWN where nothing shows whether the table is full."""
    worst = max((*(each.severity for each in found), *(each.severity for each in why)), default=Severity.OK)
    return Severity.UNKNOWN if _blind(case) else worst


def _blind(case: Case) -> bool:
    return case.fill is None and case.facts.max != 0 and case.counter("drop") is None and not case.overflows()


def _summary(case: Case, found: tuple[Finding, ...], why: tuple[Cause, ...]) -> str:
    """The answer in one line: the fill, and the worst of what else there is to say, if that still fits."""
    count = "an unknown number" if case.count is None else number(case.count)
    limit = " (no limit)" if case.facts.max == 0 else "" if case.facts.max is None else f" of {number(case.facts.max)}"
    limit = limit or " of" * (case.count is None)
    fill = f"{count}{limit} entries"
    full = next((finding.title for finding in found if finding.code == table_full.CODE), "")
    first = f"{full}: {fill}" if full else fill
    second = next((f.title for f in found if f.code != table_full.CODE and f.severity >= Severity.WARNING), "")
    second = second or next((_told(cause) for cause in why if cause.severity >= Severity.WARNING), "")
    if _blind(case):
        second = "max is not known (--max)"
    elif not second and case.counter("drop") == 0:
        second = "no packet dropped"
    both = f"{first}, {second}"
    return both if second and len(both) <= SUMMARY else first


def _told(cause: Cause) -> str:
    return f"{percent(cause.share, 1)} {cause.title}"


def figures(case: Case) -> Figures:
    """The table in numbers."""
    facts, seen, lines = case.facts, case.forecast(), case.overflows()
    return Figures(
        entries=case.count,
        max=facts.max,
        fill_percent=case.fill,
        headroom=None if case.fill is None else max(0, (facts.max or 0) - (case.count or 0)),
        buckets=facts.buckets,
        drop=case.counter("drop"),
        drop_per_second=case.per_second("drop"),
        early_drop=case.counter("early_drop"),
        insert_failed=case.counter("insert_failed"),
        chaintoolong=case.counter("chaintoolong"),
        span=seen.span if seen else None,
        growth_per_second=seen.per_second if seen else None,
        seconds_to_full=seen.seconds_to_full if seen else None,
        chain=case.chain,
        chain_at_max=case.chain_at_max,
        entry_bytes=entry_bytes(facts.slab_entry_bytes),
        bytes_now=_bytes(case, case.count),
        bytes_at_max=_bytes(case, facts.max or None),
        log_lines=len(lines),
        log_first=when(case, lines[0]) if lines else "",
        log_last=when(case, lines[-1]) if lines else "",
        evictable_share=case.evictable,
        unacknowledged=case.flagged("unacknowledged"),
        be_liberal=case.flagged("liberal"),
    )


def _bytes(case: Case, entries: int | None) -> int | None:
    return None if entries is None else table_bytes(entries, case.facts.buckets or 0, case.facts.slab_entry_bytes)


def _fillers(case: Case) -> tuple[Filler, ...]:
    """The largest services."""
    found = []
    for service, entries in list(case.services())[:FILLERS]:
        state = service.states[0] if service.states else None
        share = state.entries / service.entries if state and service.entries else 0.0
        found.append(Filler(str(service.service), entries, entries / case.total, state.state if state else "", share))
    return tuple(found)
