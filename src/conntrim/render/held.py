"""The verbs' claims against the kernel, as text: the answer in one line, then each kind of disagreement."""

from __future__ import annotations

from conntrim.core.model.held import Held
from conntrim.render.page import page


def held_text(held: Held) -> str:
    """The whole answer."""
    count = sum(held.disagreements.values())
    found = f"{count:,} disagreements of {len(held.disagreements)} kinds" if count else "no disagreement"
    speed = held.rulesets / held.seconds if held.seconds else 0
    claims = held.claims
    lines = [
        f"{found}: {held.rulesets:,} rule sets, {claims.get('dialogues', 0):,} dialogues",
        f"{held.refused:,} rule sets refused by the kernel, {held.seconds:.1f} s, {speed:.1f} rule sets/s",
        f"{claims.get('dialogues untracked', 0):,} dialogues met an untracking rule",
        f"{held.not_again:,} disagreements were not there when played alone",
        f"{sum(held.undecided.values()):,} rule sets not decided",
        *(f"  {number:,}: {reason}" for reason, number in held.undecided.items()),
        *(f"{number:,} in {held.affected.get(kind, 0):,} rule sets: {kind}" for kind, number in
          held.disagreements.items()),
    ]  # fmt: skip
    for example in held.examples:
        lines += ["", f"--- seed {example.seed}, rule set {example.index}", *example.text.rstrip("\n").split("\n")]
    return page(lines)
