"""A plan for the terminal, and as a Markdown report for the colleague who reviews it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import assert_never

from conntrim.core.model.plan import AddedRule, Obligation, ObligationStatus, Plan
from conntrim.core.model.policy import ClientLimit, Cure, Policy, ServiceTimeout, Untrack
from conntrim.render.hints import Options
from conntrim.render.markdown import block, cell, code, prose
from conntrim.render.page import page, wrapped

NO_OPTIONS = Options()
SIGNS = {ObligationStatus.PROVED: "ok", ObligationStatus.BROKEN: "BROKEN", ObligationStatus.NOT_DECIDED: "open"}


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return wrapped(text, first, rest, long=False)


def cure_text(cure: Cure) -> str:
    """One cure: `untrack inbound tcp/80`."""
    match cure:
        case Untrack():
            return f"untrack {cure}"
        case ClientLimit():
            return f"limit {cure}"
        case ServiceTimeout():
            return f"time-outs of {cure}"
        case _:
            assert_never(cure)


def what_of(plan: Plan) -> str:
    """What the policy does, in numbers: untracked services are told even where there is nothing else."""
    services, limits, timed = (
        len(each) for each in (plan.policy.untrack, plan.policy.limits, plan.policy.service_timeouts)
    )
    parts = [f"{services} service{'s' * (services != 1)} untracked"] if services or not (limits or timed) else []
    parts += [f"time-outs of {timed} service{'s' * (timed != 1)}"] if timed else []
    parts += [f"{limits} limit{'s' * (limits != 1)} for clients"] if limits else []
    return ", ".join(parts)


def answer(plan: Plan) -> str:
    """The plan in one line: how it stands, what it does to the table."""
    bad = [o for o in plan.obligations if o.standing is not ObligationStatus.PROVED]
    what = what_of(plan)
    if plan.entries_before is not None and plan.entries_after is not None:
        what += f", entries {plan.entries_before:,} -> {plan.entries_after:,}"
    if plan.policy == Policy():
        return f"nothing to do: no cure takes 5 % of the table, and its size needs no change{what.removeprefix(NONE)}"
    if not plan.trial and not plan.settings:
        return f"nothing to do: the rules of this policy are loaded ({what})"
    if plan.only_settings:
        what = f"{len(plan.settings)} setting{'s' * (len(plan.settings) != 1)}, nothing to try, no service untracked"
    if plan.closed:
        what += f"; the rules do not let {', '.join(plan.closed)} through"
    if not bad:
        proved = f"all {len(plan.obligations)} obligations" if not plan.only_settings else ROOM_ONLY
        return f"ready: {what}" + (f"; {proved} proved" if plan.obligations else "")
    return f"not ready: {what}; {_named(bad)}"


NONE = "0 services untracked"
ROOM_ONLY = "room for the entries"
"""All that is asked of settings alone."""


def _named(bad: Sequence[Obligation]) -> str:
    broken = [o.name for o in bad if o.standing is ObligationStatus.BROKEN]
    names = broken or [o.name for o in bad]
    return f"{'broken' if broken else 'not decided'}: {', '.join(names)}"


SETTINGS = "settings cannot expire: they are set at confirm, and undone by rollback"


def _setting(plan: Plan, key: str) -> str:
    """`KEY 65,536 -> 262,144`; files do not tell what there is now."""
    before, value = plan.settings_before.get(key), plan.settings[key]
    return f"{key} = {value}" if before is None else f"{key} {before:,} -> {value:,}"


def plan_text(plan: Plan, directory: str = "", given: Options = NO_OPTIONS) -> str:
    """The answer first, then services, changes, obligations and what else must be known; `given` are the options that
    advised commands need."""
    lines = [*_wrapped(answer(plan), "", "  "), f"{plan.name}, {plan.dialect}, {len(plan.trial)} batches", ""]
    lines += [line for cure in plan.policy.cures for line in _wrapped(cure_text(cure), "  ", "    ")]
    lines += [f"  set {_setting(plan, key)}" for key in plan.settings]
    lines += [f"  {SETTINGS}"] if plan.settings else []
    lines += [f"  write {file.path}" for file in plan.files]
    lines += ["", "rules, without the guard that a trial adds:", *_change_lines(plan.changes)] if plan.changes else []
    lines += ["", "obligations:"] if plan.obligations else []
    for o in plan.obligations:
        lines += _wrapped(f"{SIGNS[o.standing]:<7} {o.name}: {given.hinted(o.why)}", "  ", " " * 10)
        lines += _wrapped(o.witness, " " * 10, " " * 12) if o.witness else []
    for title, found in (
        ("newly admitted", plan.residual),
        ("may be refused", plan.refused),
        ("over it now", plan.over_now),
        ("may be cut", tuple(each.words for each in plan.harm)),
        ("falling back", plan.costs),
        ("left out", plan.left_out),
        ("note", plan.remarks),
    ):
        lines += [""] * bool(found)
        lines += [line for text in found for line in _wrapped(f"{title}: {given.hinted(text)}", "", "  ")]
    lines += ["", *(given.hinted(line) for line in _next(plan, directory))]
    return page(lines)


def _change_lines(changes: Sequence[AddedRule]) -> Iterator[str]:
    for chain, group in groupby(changes, key=lambda c: c.chain):
        yield f"  {chain}"
        for change in group:
            yield from _wrapped(change.rule, "    ", "      ")
            if change.before:
                yield from _wrapped(f"before {change.before}", "      ", "        ")


def _next(plan: Plan, directory: str) -> list[str]:
    if not plan.trial and not plan.settings:
        return ["next: nothing"]
    if not directory:
        return ["next: conntrim plan ... -o DIR writes it down for conntrim apply"]
    sets = ["      conntrim confirm then sets them"] if plan.only_settings else []
    return [f"next: review {directory}/REPORT.md, then conntrim apply {shlex.quote(directory)}", *sets]


def _table(plan: Plan) -> Iterator[str]:
    yield "| obligation | status | why |"
    yield "| --- | --- | --- |"
    for o in plan.obligations:
        why = prose(o.why) + (f". Witness: {code(o.witness)}" if o.witness else "")
        yield f"| {o.name} | **{o.standing}** | {cell(why)} |"


BY_FORM = (
    "`fragments` is judged by who uses conntrack, `guard-expired` by the form of the texts and by sets of all packets,",
    "`helper-kept` by the ports of helpers as well, `loads` by the kernel; the others by sets of all packets alone.",
)
"""What the proofs rest on."""


def plan_report(plan: Plan) -> str:
    """REPORT.md: what changes, where and why, what was proved, what it exposes, how to undo it."""
    lines = [f"# {prose(f'{plan.name}: {answer(plan)}')}", ""]
    lines += ["## What it is for", "", *(f"- **{prose(cure_text(cure))}**" for cure in plan.policy.cures)]
    lines += [f"- set {code(_setting(plan, key))}" for key in plan.settings]
    lines += ["", f"{SETTINGS.capitalize()}."] if plan.settings else []
    if plan.entries_before is not None and plan.entries_after is not None:
        lines += ["", f"Entries now {plan.entries_before:,}, afterwards {plan.entries_after:,}, by the census."]
    lines += ["", "## Obligations", "", *_table(plan), "", *BY_FORM, "", "## Rules", ""]
    lines += _reported(plan.changes) if plan.changes else ["None."]
    lines += [
        "",
        "Each rule of the trial in a chain that is not conntrim's own carries a guard that ends in the kernel.",
    ]
    lines += ["", "## Newly admitted", "", *(f"- {prose(text)}" for text in plan.residual or ("nothing",))]
    if plan.refused:
        lines += ["", "## May be refused", "", *(f"- {prose(text)}" for text in (*plan.refused, *plan.over_now))]
    if plan.harm:
        lines += ["", "## May be cut", "", *(f"- {prose(each.words)}" for each in plan.harm)]
    lines += ["", "## What falling back costs", "", *(f"- {prose(text)}" for text in plan.costs or ("nothing",))]
    if plan.left_out or plan.remarks:
        lines += ["", "## To know", "", *(f"- {prose(text)}" for text in (*plan.left_out, *plan.remarks))]
    for title, step in (("Undo a trial", plan.rollback_trial), ("Undo the confirmed plan", plan.rollback_confirmed)):
        lines += ["", f"## {title}", ""]
        for batch in step:
            lines += [f"{code(batch.program)}:", "", *block(batch.text), ""]
    lines += ["## Files", ""]
    for file in plan.files:
        lines += [f"{code(file.path)}:", "", *block(file.text), ""]
    lines += [] if plan.files else ["None."]
    return "".join(f"{line}\n" for line in lines).rstrip() + "\n"


def _reported(changes: Sequence[AddedRule]) -> Iterator[str]:
    for chain, group in groupby(changes, key=lambda c: c.chain):
        yield f"{code(chain)}:"
        yield ""
        for change in group:
            yield f"- {code(change.rule)}"
            yield f"  {prose(change.why)}" + (f"; it stands before {code(change.before)}" if change.before else "")
        yield ""
