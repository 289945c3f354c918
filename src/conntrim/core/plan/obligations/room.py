"""Where the policy names a size: the table is not lowered, or leaves room, in enough buckets.

How it is decided:
    `max` is not lower than now, or at least twice the entries that stay and
    1,024; `buckets` are at least an eighth of it (K27, K28).

Broken means:
    New connections are refused while the table is full, or because a chain
    is too long.

What to do:
    Name the size that the obligation names.
"""

from __future__ import annotations

from conntrim.core.capacity.sizing import HASHSIZE_FACTOR, crowded, size_for
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.plan import Obligation, ObligationStatus
from conntrim.core.model.policy import Policy
from conntrim.core.plan.obligations.spec import Spec

NAME = "room"


def room(policy: Policy, facts: HostFacts, entries: int | None) -> tuple[Obligation, ...]:
    """Does a new size leave room for the entries that stay, in chains that the kernel takes? Not asked where the policy
    names none."""
    if policy.max is None and policy.buckets is None:
        return ()
    return (_chains(policy, facts) or _entries(policy, facts, entries),)


def _chains(policy: Policy, facts: HostFacts) -> Obligation | None:
    """K28: an entry is refused whose chain is too long; the most is what the kernel makes of `hashsize=` (K27)."""
    maximum = policy.max if policy.max is not None else facts.max
    if policy.buckets is None or not maximum or policy.buckets * HASHSIZE_FACTOR >= maximum:
        return None
    least = -(-maximum // HASHSIZE_FACTOR)
    why = f"buckets = {policy.buckets:,} is too few for max = {maximum:,}, entries would be refused: {least:,} or more"
    return Obligation(NAME, ObligationStatus.BROKEN, why)


def _entries(policy: Policy, facts: HostFacts, entries: int | None) -> Obligation:
    if policy.max is None or (facts.max is not None and 0 < facts.max <= policy.max):
        return Obligation(NAME, ObligationStatus.PROVED, "max is not lowered")
    if entries is None:
        return Obligation(NAME, ObligationStatus.NOT_DECIDED, "the entries were not counted; they are before it is set")
    if crowded(policy.max, facts.max, entries):
        least = size_for(entries).max
        why = f"max = {policy.max:,} is too small for {entries:,} entries: {least:,} leaves them room"
        return Obligation(NAME, ObligationStatus.BROKEN, why)
    return Obligation(NAME, ObligationStatus.PROVED, "max is at least twice the entries that stay")


SPEC = Spec(NAME, "max is at least twice the entries that stay")
