"""What our untracking rules have counted: by that a probe is known to have met them, and whose rules it met.

Jumps and accepts do not count: a jump meets every packet, whoever's it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conntrim.core.model.policy import Untrack
from conntrim.core.model.service import Direction
from conntrim.core.parse.listed import line_xt, sections
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.ours import is_ours_xt, nft_items, nft_statements


def counted_xt(program: str, listing: str, claim: Claim) -> dict[str, int]:
    """The packets that our untracking rules have counted, by their comments, of an `iptables-save -c` listing."""
    found: dict[str, int] = {}
    for each in sections(listing):
        for packets, line in each.counted:
            if is_ours_xt(program, each.table, line, claim) and (rule := line_xt(line)).untracks:
                label = rule.comment.partition(" ")[2] if rule.comment.startswith("conntrim:") else ""
                found[label] = found.get(label, 0) + packets
    return found


def counted_nft(listing: str, claim: Claim) -> dict[str, int]:
    """The same, of an `nft -j list ruleset` listing."""
    found: dict[str, int] = {}
    items, with_table = nft_items(listing, claim)
    for kind, body in items if with_table else ():
        if kind != "rule" or not claim.owns_table(body.get("family", ""), body.get("table", "")):
            continue
        done = nft_statements(body)
        if any("notrack" in each for each in done):
            label = str(body.get("comment", "")).partition(" ")[2]
            packets = sum(each["counter"]["packets"] for each in done if "counter" in each)
            found[label] = found.get(label, 0) + packets
    return found


def met(services: Iterable[Untrack], before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The packets that each service's rules have counted in between, by its name; under "" those of rules without one.

    Of an inbound service only requests that came from the network count: what goes over `lo` meets its rules in OUTPUT
    and once more in PREROUTING (K16), and says nothing of a client's packets.
    """
    more = {label: count - before.get(label, 0) for label, count in after.items()}
    found = {"": more.get("", 0)}
    for service in services:
        name = service.name
        ways = ("request",) if service.direction is Direction.INBOUND else ("request", "reply")
        found[name] = sum(more.get(f"{name} {way}", 0) for way in ways) - more.get(f"{name} request lo", 0)
    return {name: count for name, count in found.items() if count > 0}
