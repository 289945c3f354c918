"""The kernel accepts the texts.

How it is decided:
    The kernel is asked (`nft -c`, `iptables-restore --test`), where one is at
    hand: with `--ruleset` none is.

Broken means:
    A half-applied change.

What to do:
    Read the kernel's message; a missing module or an old nft is the usual
    reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import OPEN, Judgement, Spec

NAME = "loads"


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """Asked by whoever has a kernel at hand."""
    if c.texts.trial:
        yield OPEN, "no kernel was asked to check the texts", ""


SPEC = Spec(NAME, "there is nothing to load", by_plan=by_plan)
