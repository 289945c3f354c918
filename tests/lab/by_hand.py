"""`conntrim apply` of a plan made by hand: `python -m tests.lab.by_hand PLAN_DIR ...` with apply's own options.

The command itself takes no such plan: it compiles each anew. What comes after that is the command's own code.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from conntrim import wiring
from conntrim.app import rollout
from conntrim.cli import apply
from conntrim.core.model.errors import ConntrimError
from conntrim.core.parse.plan import parse_plan

ROOT = Path(__file__).parents[2]
ARGV = [sys.executable, "-m", "tests.lab.by_hand"]


@click.pass_context
def _apply(
    ctx: click.Context, /, *, plan_dir: str, trial: str, accept: tuple[str, ...], probed: tuple[str, ...],
    commands: tuple[str, ...], yes: bool, wait: bool, netns: str | None, state: str | None, root: str | None,
    as_json: bool, **others: object,
) -> None:  # fmt: skip
    assert not any(others.values()), others
    seconds, probes = apply.seconds_of(trial), apply.probes_of(probed, commands, yes)
    plan = parse_plan(Path(plan_dir, "plan.json").read_bytes(), plan_dir)
    act = partial(rollout.apply, plan=plan, seconds=seconds, accepted=accept, probes=probes, unattended=yes)
    apply.carry_out(ctx, act, wiring.rollout(netns, state, root), yes=yes, wait=wait, as_json=as_json)


if __name__ == "__main__":
    try:
        code = click.Command("apply", params=apply.command.params, callback=_apply).main(standalone_mode=False)
    except ConntrimError as error:
        sys.exit(f"conntrim: {error}")
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
