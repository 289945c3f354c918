"""The ways out, each with the entries it would leave, the best first; and those that would not help."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.memory import table_bytes
from conntrim.core.capacity.sizing import size_for, steady_entries
from conntrim.core.capacity.timeouts import BY_STATE, Prediction, predictions, sysctl_key
from conntrim.core.capacity.untrack import entries_without, largest, obstacle
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.cures import KEPT, UNTRACKED, touched
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number, size
from conntrim.core.model.cause import Cause
from conntrim.core.model.census import Kind, ServiceCount
from conntrim.core.model.facts import Era
from conntrim.core.model.finding import Remedy, RemedyKind

WORTH_IT = 0.05
"""A remedy matters when it takes away every twentieth entry."""

MOST_AT_ONCE = 3
"""Remedies for an outage; more are a choice that nobody has time for then."""

MOST_OFFERED = 3
"""Services offered one by one."""

REUSE = 100
"""Requests a kept connection serves: the default of many servers (nginx's keepalive_requests was 100 for years)."""

ALONE = frozenset({RemedyKind.SERVICE_TIMEOUT, RemedyKind.LIMIT})
"""What is for one service or one client: it lasts, and translation does not forbid it."""

WEIGHT = {RemedyKind.UNTRACK: 1.0, RemedyKind.KEEP_ALIVE: 0.9, RemedyKind.TIMEOUT: 0.8}
"""Untracking lasts; keep-alive needs the application; a time-out is taken from all services alike."""

ENLARGED = 0.3
"""What a larger table is worth: it holds until the load has grown again."""

MOST_MEMORY = 0.5
"""A table that would take more of the machine's memory than this is no remedy."""

ESTABLISHED = "nf_conntrack_tcp_timeout_established"


def remedies(case: Case, causes: tuple[Cause, ...] = ()) -> tuple[Remedy, ...]:
    """What helps at once where the table is short of room, then what lasts, each by its worth; then what does not help.

    The causes' own remedies are not repeated, but for those that help at once.
    """
    if case.census is None or not case.total:
        return ()
    at_once = [r for cause in causes for r in cause.remedies if r.now and r.matters] if case.crowded else []
    at_once = sorted(at_once, key=lambda remedy: -remedy.worth)[:MOST_AT_ONCE]
    repairs = [r for cause in causes[:2] for r in cause.remedies if r.kind is RemedyKind.REPAIR and r.matters]
    alone = [r for cause in causes[:2] for r in cause.remedies if r.kind in ALONE and not r.now and r.matters]
    found = [
        *at_once,
        *_enlarge(case),
        *repairs[:MOST_AT_ONCE],
        *alone[:MOST_AT_ONCE],
        *_untrack(case, causes),
        *_keep_alive(case),
        *_timeouts(case),
    ]
    return tuple(sorted(found, key=lambda remedy: (not remedy.matters, not remedy.now, -remedy.worth)))


def _told(
    case: Case, kind: RemedyKind, title: str, after: int, how: str, *, takes: tuple[str, str], matters: bool = True
) -> Remedy:
    """`takes`: how long it takes, and what in exchange."""
    worth = WEIGHT[kind] * (case.total - after) / case.total
    return Remedy(kind, title, after, worth, (how,), matters, works_in=takes[0], costs=takes[1])


def _candidates(case: Case, causes: tuple[Cause, ...]) -> list[ServiceCount]:
    """Services that `plan` would take: what it refuses is not offered, nor anything where it is not known who the host
    is, nor what is addressed to groups, which rules for a host's own addresses do not match. Where causes are known,
    only those services that they are about and that untracking cures.
    """
    assert case.census is not None
    if case.census.local_doubt:
        return []
    cured = {remedy.title for cause in causes for remedy in cause.remedies if remedy.kind is RemedyKind.UNTRACK}
    return [
        service
        for service in largest(case.census)
        if not obstacle(service)
        and not _to_groups(case, service)
        and (not causes or f"untrack {service.service}" in cured)
    ][:MOST_OFFERED]


def _to_groups(case: Case, service: ServiceCount) -> bool:
    """Whether entries of a service are addressed to groups."""
    assert case.census is not None
    what = service.service
    mine = (cell for cell in case.census.cells if (cell.path, cell.protocol) == (what.direction, what.protocol))
    if all(cell.kind is Kind.UNICAST for cell in mine):
        return False
    if case.specimen is None:
        return True
    view = View(case.specimen)
    return bool((view.is_service(what) & ~view.unicast).any())


def _untrack(case: Case, causes: tuple[Cause, ...]) -> Iterator[Remedy]:
    assert case.census is not None
    chosen = [candidate.service for candidate in _candidates(case, causes)]
    if len(chosen) > 1:
        after = entries_without(case.census, chosen)
        title = f"untrack these {len(chosen)} services together"
        yield _told(case, RemedyKind.UNTRACK, title, after, "conntrim plan", takes=UNTRACKED)
    for service in chosen:
        after = entries_without(case.census, [service])
        yield _told(case, RemedyKind.UNTRACK, f"untrack {service}", after, "conntrim plan", takes=UNTRACKED)


def _keep_alive(case: Case) -> Iterator[Remedy]:
    over = case.scale(sum(c.entries for c in case.census.cells if c.state == "tcp time_wait") if case.census else 0)
    after = case.total - over + over // REUSE
    if over >= WORTH_IT * case.total:
        title = f"keep-alive: {REUSE} requests a connection"
        yield _told(case, RemedyKind.KEEP_ALIVE, title, after, "in the application", takes=KEPT)


def _timeouts(case: Case) -> Iterator[Remedy]:
    """The time-outs that help, and those that many would shorten first and that do not."""
    assert case.census is not None
    for prediction in predictions(case.census, case.facts.timeouts):
        helps = case.total - prediction.entries_after >= WORTH_IT * case.total
        if helps or prediction.key == ESTABLISHED:
            yield _timeout(case, prediction, helps)


def _timeout(case: Case, prediction: Prediction, helps: bool) -> Remedy:
    key = sysctl_key(prediction.key, case.facts.era)
    short = prediction.key.removeprefix("nf_conntrack_")
    title = f"{short} {number(prediction.now)} -> {number(prediction.then)} s"
    after = prediction.entries_after
    how = f"sysctl -w {key}={prediction.then}"
    return _told(case, RemedyKind.TIMEOUT, title, after, how, takes=touched(prediction.now), matters=helps)


def lifetime(case: Case) -> int:
    """Seconds that most entries stay: the time-out of the commonest state that is not ESTABLISHED, else 120."""
    held: dict[str, int] = {}
    for service, _ in case.services():
        for state in service.states:
            held[state.state] = held.get(state.state, 0) + state.entries
    held.pop("tcp established", None)
    timeout = BY_STATE.get(max(held, key=lambda name: held[name], default=""))
    return 120 if timeout is None else case.facts.timeouts.get(timeout.key, timeout.default)


def demand(case: Case) -> int:
    """Entries the table would hold if it had room: those in it, and those turned away during one lifetime.

    Senders try again, so dropped packets are more than lost connections: an upper bound.
    """
    return (case.count or case.total) + steady_entries(case.per_second("drop") or 0, lifetime(case))


def _enlarge(case: Case) -> Iterator[Remedy]:
    needed = demand(case)
    wanted = size_for(needed, case.facts.slab_entry_bytes)
    if not case.crowded or (case.facts.max or 0) >= wanted.max:
        return
    buckets = max(wanted.buckets, case.facts.buckets or 0)
    needs = table_bytes(wanted.max, buckets, case.facts.slab_entry_bytes)
    title = f"enlarge: max {number(wanted.max)}, buckets {number(buckets)}, {size(needs)} when full"
    how = enlarging(case.facts.era, wanted.max, buckets)
    if case.facts.netns is not None and not case.facts.max_writable:
        how += ("in the initial namespace: one max for all, each may reach it",)  # K25
    fits = not case.facts.memory_total or needs <= case.facts.memory_total * MOST_MEMORY
    yield Remedy(
        RemedyKind.ENLARGE, title, needed, ENLARGED, how, fits, now=fits, works_in="at once",
        costs=f"{size(needs)} of memory when full",
    )  # fmt: skip


def enlarging(era: Era, maximum: int, buckets: int) -> tuple[str, ...]:
    """The settings; `hashsize=` alone would make max eight times as large (K27), so max is always set too."""
    if era is Era.IP:
        # Buckets could only be set when the module was loaded.
        return f"sysctl -w net.ipv4.ip_conntrack_max={maximum}", f"options ip_conntrack hashsize={buckets}"
    settings = {"nf_conntrack_max": maximum, "nf_conntrack_buckets": buckets}
    return tuple(f"sysctl -w net.netfilter.{key}={value}" for key, value in settings.items())
