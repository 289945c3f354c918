"""The incident of a NAT gateway on a real kernel: one client takes the table from twenty others, and gets a limit.

Nothing can go untracked on a gateway: what it does for its clients is tracking.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext

from conntrim.core.model.incident import Stage
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.host.facts import KernelFacts
from conntrim.host.signals import orderly_end
from conntrim.lab.cure import cure
from conntrim.lab.gateway import LAN, Gateway, gateway
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import sweep
from conntrim.render.plan import cure_text

CLIENTS, EACH, LIMIT = 20, 5, 1_000
"""Clients, connections that each of them holds open, nf_conntrack_max from stage `abuser` on."""
ABUSER, TRIES, AGAIN = f"{LAN}.{CLIENTS + 2}", 1_200, 130
"""Who takes the table, and how many connections it opens before and after the cure: each that is refused takes time."""
PATIENCE = 0.3
"""Seconds for a connection to come about: more than a busy machine needs, less than TCP waits to ask again."""
RULES = "iptables-nft"


def tell(limited: bool) -> Iterator[Stage]:
    """Run the story and yield each stage when it is over; `limited`: the table may be made small (K25)."""
    sweep()
    with orderly_end(), gateway(CLIENTS + 1) as made:
        made.load(RULES)
        # What is reset is over at once, so that the story need not wait for it.
        made.host.sysctl("net.netfilter.nf_conntrack_tcp_timeout_close", 1)
        yield _stage(made, "gateway", f"{CLIENTS} clients, {EACH} connections each: all are served", served=True)
        with global_limits(nf_conntrack_max=LIMIT) if limited else nullcontext():
            before = len(made.opened)
            taken = made.connects(ABUSER, TRIES, patience=0.05 if limited else 1, resets=True)
            lesson = f"{ABUSER} opens {taken:,} connections: "
            lesson += "the table is full, and nobody else gets in" if limited else "most of the table"
            yield _stage(made, "abuser", lesson, served=not limited)
            yield from _cured(made, before)


def _cured(made: Gateway, before: int) -> Iterator[Stage]:
    """From the diagnosis to a gateway that serves everybody, by conntrim's own commands."""
    with cure(made.host) as conntrim:
        verdict = conntrim.diagnose().said["summary"]
        yield Stage("diagnose", None, None, None, None, verdict, True)
        plan = conntrim.plan()
        yield _planned(plan)
        conntrim.apply([])
        _over(made, before)
        again = made.connects(ABUSER, AGAIN, patience=PATIENCE, resets=True)
        lesson = f"the abuser begins anew: {again:,} of {AGAIN:,} come about, and all others are served"
        yield _stage(made, "trial", lesson, served=True, right=again == _allowed(plan))
        conntrim.confirm()
        more = 2 * CLIENTS
        lesson = f"kept; the plan foretold {plan.entries_after:,} entries, and the clients have opened {more} more"
        yield _stage(made, "confirm", lesson, served=True)


def _planned(plan: Plan) -> Stage:
    statuses = Counter(obligation.standing for obligation in plan.obligations)
    lesson = (
        f"{', '.join(map(cure_text, plan.policy.cures))}; entries {plan.entries_before:,} -> {plan.entries_after:,}"
    )
    lesson += "; obligations: " + ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    return Stage(
        "plan", None, None, None, None, lesson, set(statuses) == {ObligationStatus.PROVED} and _allowed(plan) > 0
    )


def _allowed(plan: Plan) -> int:
    """The connections that the plan leaves to one client."""
    return next((limit.connections or 0 for limit in plan.policy.limits), 0)


def _over(made: Gateway, before: int) -> None:
    """The abuser's connections end, and their entries with them."""
    for each in made.opened[before:]:
        each.close()
    del made.opened[before:]
    end = time.monotonic() + 10
    while _entries(made) > before and time.monotonic() < end:
        time.sleep(0.1)


def _entries(made: Gateway) -> int:
    """Of the gateway's table, those that are over left out."""
    return len(made.host.run("conntrack", "-L").splitlines())


def _stage(made: Gateway, name: str, lesson: str, *, served: bool, right: bool = True) -> Stage:
    """Each client opens connections, which stay; who is not served fails."""
    before = _dropped(made)
    each = EACH if name == "gateway" else 1
    came = sum(made.connects(f"{LAN}.{n}", each, patience=PATIENCE) for n in range(2, CLIENTS + 2))
    drops, failed = _dropped(made) - before, CLIENTS * each - came
    return Stage(name, _entries(made), drops, failed, None, lesson, right and served == (drops == failed == 0))


def _dropped(made: Gateway) -> int:
    return KernelFacts().reading(made.host.name, 0).counters.values["drop"]
