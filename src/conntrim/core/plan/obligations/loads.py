"""The kernel accepts the texts.

How it is decided:
    The kernel is asked, where one is at hand: with `--ruleset` none is. The
    programs check the texts beside the host's rules (`nft -c`,
    `iptables-restore --test`). Then the plan's rules are loaded into an empty
    network namespace, which is gone a moment later: `--test` asks no kernel
    (K168); the time-out policies that rules name are made there as well. A
    rule that takes other objects of ctnetlink's by name is only checked.
    Not decided where no namespace may be made.

Broken means:
    A half-applied change.

What to do:
    Read the statement that is named, and the kernel's message: a missing
    module or an old nft is the usual reason. Time-outs of services need nft,
    on a host of iptables too; or, where it is not there, policies of
    ctnetlink (nfnetlink_cttimeout).
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
