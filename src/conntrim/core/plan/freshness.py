"""Whether a host is still as it was when a plan was made for it, and where it differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from conntrim.core.model.address import format_range
from conntrim.core.model.circumstances import Circumstances, addresses_of, link_local, listeners, nameable
from conntrim.core.model.facts import HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Plan
from conntrim.core.model.policy import Policy
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Interface, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.plan.own import fingerprint, parts, without_own

SHOWN = 3
"""Differences that are named; the rest is counted."""


def made_for(facts: HostFacts, ruleset: Ruleset, policy: Policy) -> Circumstances:
    """What a plan keeps of where it was made; of a host that is known by files only the settings taken for granted."""
    there = facts.circumstances
    if not there.host:
        return there
    return replace(
        there,
        addresses=nameable(facts.local - policy.own_addresses),
        interfaces=_named(ruleset, there.interfaces),
        link_local=link_local(facts.local),
        listening=listeners({f: ports & _served(policy) for f, ports in facts.listening.items()}),
    )


def _served(policy: Policy) -> Intervals:
    """The TCP ports of the services that this host serves."""
    mine = [u for u in policy.untrack if (u.direction, u.protocol) == (Direction.INBOUND, Protocol.TCP)]
    return Intervals.union_of([r for entry in mine for r in entry.ports.ranges])


def elsewhere(plan: Plan, here: Circumstances) -> str:
    """Why a plan is not for this place; "" where it is, or where the plan carries no host."""
    made = plan.circumstances
    if not made.host or (made.host, made.namespace) == (here.host, here.namespace):
        return ""
    return f"this plan was made for {made.place}, and this is {here.place}"


def differences(plan: Plan, ruleset: Ruleset, here: Circumstances) -> tuple[str, ...]:
    """Everything that differs, in words: rules of others, addresses, interfaces, settings, who listens."""
    made, now = plan.circumstances, replace(here, interfaces=_named(ruleset, here.interfaces))
    return (*_rules(plan, ruleset), *_interfaces(made, now), *around(plan, here), *_listeners(made, here))


def around(plan: Plan, here: Circumstances) -> tuple[str, ...]:
    """What differs of addresses and settings: for this no rule has to be read."""
    told = _addresses(plan.circumstances, here, plan.policy.own_addresses)
    return (*told, *_settings(plan.circumstances, here))


def shown(words: Sequence[str]) -> str:
    """The first few of them as one line."""
    more = [f"and {len(words) - SHOWN} more"] if len(words) > SHOWN else []
    return ", ".join([*words[:SHOWN], *more])


def _rules(plan: Plan, ruleset: Ruleset) -> tuple[str, ...]:
    if not plan.ruleset_digest or plan.ruleset_digest == fingerprint(ruleset):
        return ()
    before, now = plan.ruleset_parts, parts(ruleset)
    words = [f"{name} is gone" for name in before if name not in now]
    words += [f"{name} is new" for name in now if name not in before]
    words += [f"{name} has changed" for name in now if before.get(name, now[name]) != now[name]]
    return tuple(words) or ("the rule set is not the one that it was made for",)


def _named(ruleset: Ruleset, present: Iterable[str]) -> tuple[str, ...]:
    """Those present that rules of others name; what only a wildcard covers comes and goes."""
    matches = (m for rule in without_own(ruleset).rules() for m in rule.matches)
    named = {name for match in matches if isinstance(match, Interface) for name in match.names}
    return tuple(sorted(named.intersection(present)))


def _interfaces(made: Circumstances, now: Circumstances) -> Iterator[str]:
    if made.host:
        yield from (f"interface {name} is gone" for name in made.interfaces if name not in now.interfaces)
        yield from (f"interface {name} is new" for name in now.interfaces if name not in made.interfaces)


def _addresses(made: Circumstances, now: Circumstances, at_times: Intervals) -> Iterator[str]:
    if made.host:
        before, after = addresses_of(made.addresses), addresses_of(now.addresses) - at_times
        yield from (f"address {format_range(*each)} is gone" for each in (before - after).ranges)
        yield from (f"address {format_range(*each)} is new" for each in (after - before).ranges)


def _listeners(made: Circumstances, now: Circumstances) -> Iterator[str]:
    """K74: where nobody listens programs may open connections from; a service that begins to listen harms nothing."""
    yield from (f"no program listens at {port} any more" for port in made.listening if port not in now.listening)


def _settings(made: Circumstances, now: Circumstances) -> Iterator[str]:
    for key, before in made.settings.items():
        after = now.settings.get(key, "")
        if after != before:
            yield f"{key} is {after or 'not there'}, was {before or 'not there'}"
