"""The source document's incident on a real kernel: from a full table to a quiet one, stage by stage.

Each stage puts rules on one host of the site, empties its table, puts load on the site and looks at what the table
held, what was dropped and what failed. The story says what should be seen; the kernel decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

from conntrim.core.model.facts import Reading
from conntrim.core.model.incident import Stage
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.host.facts import KernelFacts
from conntrim.host.signals import orderly_end
from conntrim.lab import document
from conntrim.lab.attempts import ATTEMPTS, FULL, HEALTHY, HOLE, REUSED, Attempt, Knock, Seen
from conntrim.lab.cure import cure
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import LabHost, sweep
from conntrim.lab.site import CACHE, Site, site

REQUESTS = 1_500
LIMIT = 1_000
"""nf_conntrack_max from stage `full` on: a request takes two entries on the web host, so it fills early."""


def tell(limited: bool) -> Iterator[Stage]:
    """Run the story and yield each stage when it is over.

    Without `limited` the size of the table, which is global to the kernel (K25), is left alone and stage `full` left
    out. HostError where a program is missing or a step fails. Close the iterator, and everything is put back.
    """
    sweep()
    with orderly_end(), site() as made:
        yield attempt(made, HEALTHY)
        with global_limits(nf_conntrack_max=LIMIT) if limited else nullcontext():
            if limited:
                yield attempt(made, FULL)
            for tried in ATTEMPTS:
                yield attempt(made, tried)
            yield knocked("stranger", made, HOLE)
            dress(made.web, document.raw() + document.firewall(document.WEB_PORTS))
            yield from cured(made, made.web, WEB_ROLE)
            yield knocked("same stranger", made, replace(HOLE, opens=False))
            dress(made.cache, document.firewall(document.CACHE_PORTS))
            yield from cured(made, made.cache, CACHE_ROLE)


@dataclass(frozen=True, slots=True)
class Role:
    """What one host's cure is told with: the stages' prefix, and the services that the plan must name."""

    prefix: str
    services: frozenset[str]


WEB_ROLE = Role("", frozenset({"inbound tcp/80", f"outbound tcp/11211 to {CACHE}"}))
CACHE_ROLE = Role("cache: ", frozenset({"inbound tcp/11211"}))


def cured(made: Site, host: LabHost, role: Role) -> Iterator[Stage]:
    """One host from a tracked load to a quiet table, by conntrim's own commands."""
    with cure(host) as conntrim:
        seen = under_load(made, host)
        verdict = conntrim.diagnose()
        as_told = seen.full or seen.entries >= REQUESTS * REUSED
        yield stage(f"{role.prefix}diagnose", seen, verdict.said["summary"], as_told)
        plan = conntrim.plan()
        yield planned(plan, role)
        conntrim.apply([o.name for o in plan.obligations if o.standing is ObligationStatus.NOT_DECIDED])
        on_trial = loaded(made, host)
        lesson = "guarded rules: served past the full table; the old entries stay until confirm"
        yield stage(f"{role.prefix}trial", on_trial, lesson, on_trial.served and on_trial.entries <= seen.entries)
        purged = conntrim.confirm().said["purged"]
        kept = loaded(made, host)
        lesson = f"kept, {purged:,} stale entries deleted: nothing of these services is tracked"
        yield stage(f"{role.prefix}confirm", kept, lesson, kept.quiet)


def planned(plan: Plan, role: Role) -> Stage:
    """The stage in which the plan is made: what it leaves untracked, and how its obligations stand."""
    services = [str(service) for service in plan.policy.untrack]
    statuses = Counter(obligation.standing for obligation in plan.obligations)
    lesson = f"leaves {' and '.join(services)} untracked; obligations: " + ", ".join(
        f"{count} {status}" for status, count in statuses.most_common()
    )
    as_told = role.services == set(services) and plan.status() is not ObligationStatus.BROKEN
    return Stage(f"{role.prefix}plan", None, None, None, None, lesson, as_told)


def attempt(made: Site, tried: Attempt) -> Stage:
    """One of the document's rule sets on the web host, under load."""
    dress(made.web, tried.raw + document.firewall(document.WEB_PORTS, tried.states))
    seen = under_load(made, made.web)
    as_told = tried.told(seen) and (tried.knock is None or opens(made, tried.knock) == tried.knock.opens)
    return stage(tried.name, seen, tried.lesson, as_told)


def dress(host: LabHost, rules: str) -> None:
    """Load a rule set in place of what was there."""
    host.run("iptables-restore", text=rules)


def under_load(made: Site, host: LabHost) -> Seen:
    """Empty the host's table, put load on the site, and look at that host."""
    host.run("conntrack", "--flush")
    return loaded(made, host)


def loaded(made: Site, host: LabHost) -> Seen:
    """Put load on the site, and look at that host."""
    before = look(host)
    load = made.load(REQUESTS)
    after = look(host)
    return Seen(load, after.count or 0, after.counters.values["drop"] - before.counters.values["drop"])


def look(host: LabHost) -> Reading:
    """The host's changing numbers, now."""
    return KernelFacts().reading(host.name, 0)


def opens(made: Site, knock: Knock) -> bool:
    """Whether the stranger's knock is answered."""
    return made.unsolicited(knock.source_port, knock.port)


def knocked(name: str, made: Site, knock: Knock) -> Stage:
    """A stage that is only a stranger's knock."""
    opened = opens(made, knock)
    how = "gets in" if opened else "is refused"
    lesson = f"from source port {knock.source_port} to closed port {knock.port}: {how}"
    return Stage(name, None, None, None, None, lesson, opened == knock.opens)


def stage(name: str, seen: Seen, lesson: str, as_told: bool) -> Stage:
    """A stage with load, as a value."""
    speed = round(seen.load.requests_per_second, 1)
    return Stage(name, seen.entries, seen.drops, seen.load.failed, speed, lesson, as_told)
