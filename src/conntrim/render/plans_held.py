"""Plans against the kernel, as text: the answer in one line, the proved share, what stood in the way of the rest."""

from __future__ import annotations

from conntrim.core.model.held import Example, Held
from conntrim.render.page import page

MOST_REASONS = 30
"""Reasons that are printed; the JSON has all."""
MOST_LINES = 14


def plans_held_text(held: Held) -> str:
    """The whole answer."""
    count = sum(held.disagreements.values())
    found = f"{count:,} disagreements of {len(held.disagreements)} kinds" if count else "no disagreement"
    claims = held.claims
    plans, proved = claims.get("plans", 0), claims.get("plans proved", 0)
    share = f"{100 * proved / plans:.0f} %" if plans else "none"
    lines = [
        f"{found}: {held.rulesets:,} hosts, {claims.get('dialogues', 0):,} dialogues",
        f"{proved:,} of {plans:,} plans for services that the rules admit are proved: {share}",
        f"{claims.get('plans broken', 0):,} broken, {claims.get('plans not decided', 0):,} not decided; "
        f"{held.refused:,} hosts refused by the kernel, {held.seconds:.0f} s",
        f"{claims.get('dialogues played untracked', 0):,} times a dialogue went untracked",
        f"{held.not_again:,} disagreements were not there when played alone",
        *(f"  {number:,}: {reason}" for reason, number in list(held.undecided.items())[:MOST_REASONS]),
        *(f"{number:,} on {held.affected.get(kind, 0):,} hosts: {kind}" for kind, number in held.disagreements.items()),
    ]  # fmt: skip
    for example in held.examples:
        lines += ["", f"--- seed {example.seed}, host {example.index}", *_shown(example)]
    return page(lines)


def _shown(example: Example) -> list[str]:
    """All of a small one; of a large one what it is about."""
    lines = example.text.rstrip("\n").split("\n")
    return lines if example.small else [line for line in lines[:MOST_LINES] if not line.startswith("==")]
