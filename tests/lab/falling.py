"""What a plan lists of the connections that do not survive falling back, read again by a test."""

from __future__ import annotations

import re

from conntrim.core.model.plan import Plan
from tests.lab.connections import CLIENT, SERVER


def listed(plan: Plan, service: str, first: str) -> str:
    """What the plan says of connections opened while untracked, over IPv4, if that end speaks next."""
    mine = [c for c in plan.costs if c.startswith(service) and "on lo" not in c.split(":")[0] and "(IPv6)" not in c]
    for cost in mine:
        said = cost.partition(": ")[2]
        if re.match(f"connections opened while untracked (whose {first} speaks next )?are cut", said):
            return "cut"
        if said.startswith(f"connections opened while untracked whose {first} speaks next stall"):
            return "stalls"
        if said.startswith("answers under way are lost") and first == SERVER:
            return "lost"
        if said.startswith("what the client sends is lost") and first == CLIENT:
            return "lost"
    return ""
