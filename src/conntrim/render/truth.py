"""The model against the kernel, as text: the answer in one line, then each disagreement as a case file."""

from __future__ import annotations

from conntrim.core.model.truth import Truth
from conntrim.render.page import page


def truth_text(truth: Truth) -> str:
    """The whole answer."""
    found = f"{truth.disagreements:,} disagreements" if truth.disagreements else "no disagreement"
    speed = truth.packets / truth.seconds if truth.seconds else 0
    lines = [
        f"{found}: {truth.packets:,} packets, {truth.rulesets:,} rule sets",
        f"{truth.undecided:,} packets not decided by the model, {truth.seconds:.1f} s, {speed:,.0f} packets/s",
    ]
    lines += [f"  {doubt.packets:,} for {doubt.kind}" for doubt in truth.doubts]
    if truth.first_at is not None:
        lines.append(f"the first came after {truth.first_at:,} packets; seed {truth.seed}")
    cases = (f"\n--- case {number}\n{case}" for number, case in enumerate(truth.cases, 1))
    return page("\n".join([*lines, *cases]).rstrip("\n").split("\n"))
