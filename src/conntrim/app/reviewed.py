"""From a plan's directory to the plan that `apply` runs: its policy compiled anew, and refused where it shows another.

What people review is the directory; what is executed never comes from there. It comes from policy.toml, compiled
against the rules and facts of this moment by the same code as the verb `plan`. The two must then be equal, file by
file: so whoever wrote the directory, and whatever has changed since, what was reviewed is what is loaded.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import fields, replace
from itertools import takewhile

from conntrim import __version__
from conntrim.app.plan import PLAN, POLICY, Inputs, Live, Planned, files_of, make_plan
from conntrim.app.ports.freshness import Freshness
from conntrim.app.ports.plans import Shown
from conntrim.app.rollout_rules import refuse_other_host
from conntrim.app.rollout_run import RefusedError
from conntrim.core.model.circumstances import with_link_local
from conntrim.core.model.errors import InputError
from conntrim.core.model.plan import Obligation, Plan
from conntrim.core.model.policy import Policy
from conntrim.core.model.raw_text import bytes_of
from conntrim.core.parse.plan import ADVICE, parse_plan, refuse_other_version
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.canary import Some, for_clients
from conntrim.core.plan.own import without_own, without_trial
from conntrim.render.json import to_json

EVERYBODY = Some()
"""No clients are named: the trial is of all."""


def reviewed(shown: Shown, live: Live, freshness: Freshness, some: Some = EVERYBODY) -> Plan:
    """The plan that the directory's policy compiles to here and now; of `some` clients, for these alone.

    InputError where the directory holds no plan of this version; RefusedError where the rules have changed since it
    was made, or anything in it differs from what was compiled. The changed rules are told first: they are no edit.
    """
    plan = _plan(shown)
    policy = parse_policy(_file(shown, POLICY), os.path.join(shown.directory, POLICY))
    refuse_other_host(plan, freshness)
    if edited := _edited(shown, plan):
        raise RefusedError(f"{edited}; {_again(shown, live.netns)}")
    if policy.unplaced() != plan.policy:
        raise RefusedError(f"{POLICY} was edited; {_again(shown, live.netns)}")
    try:
        made, inputs = _compiled(shown, plan, _as_then(live.inputs(policy, plan.dialect), plan))
    except RefusedError as error:
        raise RefusedError(f"{error}; {_again(shown, live.netns)}") from error
    return _canary(policy, inputs, some) if some else made


def _plan(shown: Shown) -> Plan:
    source, data = os.path.join(shown.directory, PLAN), _file(shown, PLAN)
    plan = parse_plan(data, source)
    refuse_other_version(data, source, __version__)
    return plan


def _file(shown: Shown, name: str) -> bytes:
    if name not in shown.files:
        raise InputError(os.path.join(shown.directory, name), "No such file or directory", advice=ADVICE)
    return shown.files[name]


def _again(shown: Shown, netns: str | None) -> str:
    made = ["conntrim", "plan", "--policy", os.path.join(shown.directory, POLICY), "-o", shown.directory]
    command = shlex.join([*made, *(["--netns", netns] if netns else [])])
    return f"edits to a plan's directory have no effect; edit its {POLICY} and make the plan again: {command}"


def _edited(shown: Shown, plan: Plan) -> str:
    """The first file that is not what plan.json says, and how; "" where all are. The policy is told apart by itself."""
    texts = {file.path: bytes_of(file.text) for file in files_of(Planned(plan, ""))}
    for name in sorted({*texts, *shown.files} - {PLAN, POLICY}):
        if name not in shown.files:
            return f"{name} is missing"
        if name not in texts:
            return f"{name} is no file of this plan"
        if shown.files[name] != texts[name]:
            return f"{name} was edited in line {_line(shown.files[name], texts[name])}"
    return ""


def _line(one: bytes, other: bytes) -> int:
    """The line in which two texts begin to differ."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one.splitlines(), other.splitlines(), strict=False))
    return len(list(same)) + 1


def _as_then(inputs: Inputs, plan: Plan) -> Inputs:
    """With the link-local addresses of the plan: they come and go with each virtual cable, and it is not stale by that.

    Nothing else that is compiled from is taken from what the directory says of itself but the name of the dialect.
    """
    local = with_link_local(inputs.facts.local, plan.circumstances.link_local)
    return replace(inputs, facts=replace(inputs.facts, local=local))


def _canary(policy: Policy, inputs: Inputs, some: Some) -> Plan:
    """The plan for these clients alone, proved like the whole; what was reviewed holds it."""
    narrow = for_clients(policy, some)
    if not narrow.cures:
        if some.clients:
            raise InputError("--clients", "no service of the plan has clients there", advice="name some of its clients")
        raise InputError("--share", "no service of the plan has clients", advice="this host is the client of them all")
    return make_plan(replace(inputs, policy=narrow)).plan


def _compiled(shown: Shown, plan: Plan, inputs: Inputs) -> tuple[Plan, Inputs]:
    """The plan compiled now, where it is the one that is shown, and from what; RefusedError.

    A plan is made for the rules without any of ours; while it is on trial they are loaded, so it is compiled without
    them first. One that was made beside those of an earlier plan is compiled beside these.
    """
    bare, earlier, differing = without_own(inputs.ruleset), without_trial(inputs.ruleset), ""
    for ruleset in (bare, *([earlier] if bare != earlier else [])):
        taken = replace(inputs, ruleset=ruleset)
        made = _with_shown(make_plan(taken).plan, plan, inputs)
        if bytes_of(to_json("plan", made)) == shown.files[PLAN]:
            return made, taken
        differing = differing or _difference(plan, made)
    raise RefusedError(f"{PLAN} is not what {POLICY} compiles to on this host now: {differing}")


def _with_shown(made: Plan, plan: Plan, inputs: Inputs) -> Plan:
    """What is shown and nothing else: the census's numbers, what a confirm may have set since (answers look at the
    sysctls themselves), and remarks on how rules and facts could be read then.

    Those change with an empty table that somebody has touched. A remark of the plan's own must stand there.
    """
    then = {key: plan.settings_before[key] for key in made.settings_before if key in plan.settings_before}
    reading = {*inputs.ruleset.remarks, *inputs.facts.remarks}
    own = all(remark in plan.remarks for remark in made.remarks if remark not in reading)
    return replace(
        made,
        entries_before=plan.entries_before,
        entries_after=plan.entries_after,
        left_out=plan.left_out,
        over_now=plan.over_now,
        harm=plan.harm,
        settings_before=then,
        remarks=plan.remarks if own else made.remarks,
    )


def _difference(plan: Plan, made: Plan) -> str:
    """The first thing in which the plan shown is not the one that was made, in words."""
    for field in fields(Plan):
        then, now = getattr(plan, field.name), getattr(made, field.name)
        if then != now:
            return _obligation(then, now) if field.name == "obligations" else f"`{field.name}` differs"
    return "it was edited"


def _obligation(then: tuple[Obligation, ...], now: tuple[Obligation, ...]) -> str:
    wrong = next((pair for pair in zip(then, now, strict=False) if pair[0] != pair[1]), None)
    if wrong is None:
        return "obligations are missing"
    said, found = wrong
    if said.standing == found.standing:
        return f"{found.name} is {found.standing} for another reason ({found.why})"
    return f"{said.name} is {found.standing} here ({found.why}), {said.standing} in the plan"
