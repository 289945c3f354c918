"""All causes, the more special before the more general: each takes what is its, and leaves the rest to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes import (
    accept_queue,
    amplification,
    answered_syn,
    asymmetric,
    close_wait,
    dns_client,
    dns_cluster,
    dns_resolver,
    group_noise,
    half_open,
    health_checks,
    idle_established,
    idle_pool,
    not_closed,
    ntp_pool,
    offloaded,
    one_client,
    one_sided,
    overlay,
    peer_to_peer,
    picked_up,
    port_scan_in,
    port_scan_out,
    short_lived,
    syn_flood,
    tor_relay,
    unanswered,
)
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.view import View
from conntrim.core.model.cause import Cause
from conntrim.core.model.finding import Severity


class CauseModule(Protocol):
    """What a file of this folder has to have to be a cause."""

    CODE: str
    NAME: str
    HABIT: Habit
    __doc__: str | None

    @property
    def claim(self) -> Callable[[Case, View, Mask], Claim | None]:
        """The entries that are its, among those that are free, and the evidence; None where there are none."""


MODULES: tuple[CauseModule, ...] = (
    one_sided, group_noise, offloaded, overlay, port_scan_out, port_scan_in, syn_flood, accept_queue, answered_syn,
    peer_to_peer, amplification, ntp_pool, tor_relay, asymmetric, picked_up, close_wait, dns_cluster, dns_resolver,
    one_client, dns_client, health_checks, half_open, idle_pool, short_lived, idle_established, not_closed, unanswered,
)  # fmt: skip

LEAST_ENTRIES = 10
"""A cause of fewer is an anecdote, such as one connection that is older than the rules."""

LEAST_SHARE = 0.05
"""In a table that is short of room a cause explains something when at least every twentieth entry is its."""

ROOMY_SHARE = 0.2
"""In one with room it is worth a word from every fifth entry on."""

UNKNOWN_SHARE = 0.3
"""Where it is not known how large the table is, what any busy host has is told from here on."""


def causes(case: Case) -> tuple[Cause, ...]:
    """The causes of a table, the one with most entries first; none without its specimen."""
    if case.specimen is None or not len(case.specimen):
        return ()
    view = View(case.specimen)
    free = np.ones(len(view), np.bool_)
    found = []
    for module in MODULES:
        claim = module.claim(case, view, free)
        if claim is None:
            continue
        claim = replace(claim, mask=claim.mask & free)
        enough = view.entries(claim.mask) >= LEAST_ENTRIES
        if not enough or view.share(claim.mask) < least(case, module.HABIT):
            # What is as it should be in a table with room is no other cause either.
            if enough and claim.expected(view) and view.share(claim.mask) >= LEAST_SHARE:
                free &= ~claim.mask
            continue
        free &= ~claim.mask
        found.append(_cause(case, view, module, claim))
    return tuple(sorted(found, key=lambda cause: -cause.entries))


def least(case: Case, habit: Habit) -> float:
    """The share of the table from which on a cause is told."""
    if case.crowded:
        return LEAST_SHARE
    if habit is Habit.USUAL:
        return UNKNOWN_SHARE if case.fill is None and case.facts.max is None else 2.0
    return ROOMY_SHARE


def _cause(case: Case, view: View, module: CauseModule, claim: Claim) -> Cause:
    share = view.share(claim.mask)
    remedies = sorted(claim.remedies, key=lambda remedy: not remedy.now)
    return Cause(
        code=module.CODE,
        title=claim.title,
        severity=Severity.WARNING if module.HABIT is Habit.WRONG else case.pressing,
        entries=view.entries(claim.mask),
        share=share,
        bound=view.bound(claim.mask),
        evidence_for=claim.evidence_for,
        evidence_against=claim.evidence_against,
        remedies=tuple(remedies),
        who=claim.who,
        interfaces={who: case.facts.interfaces[who] for who in claim.who if who in case.facts.interfaces},
    )
