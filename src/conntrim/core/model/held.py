"""What came of holding the verbs' claims to the kernel; results of several slices add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Example:
    """A rule set that shows a kind of disagreement, with its dialogues, as the text of a kept trial; `small` where
    nothing more could be taken away."""

    kind: str
    seed: int
    index: int
    text: str
    small: bool = False

    def better(self, other: Example) -> bool:
        """Whether this one tells more with less."""
        return (not self.small, len(self.text)) < (not other.small, len(other.text))


@dataclass(frozen=True, slots=True)
class Held:
    """The answer of some runs. `runs` says which, so that none is counted twice.

    `claims` are numbers of what was compared, by name; `disagreements` by kind, `affected` the rule sets that show a
    kind, `undecided` rule sets by reason, `rows` what the generators made. `refused` rule sets did not load;
    `not_again` disagreements were not there when their dialogue was played alone. `seconds` of wall-clock time.
    """

    runs: tuple[str, ...] = ()
    rulesets: int = 0
    refused: int = 0
    seconds: float = 0.0
    not_again: int = 0
    claims: dict[str, int] = field(default_factory=dict)
    disagreements: dict[str, int] = field(default_factory=dict)
    affected: dict[str, int] = field(default_factory=dict)
    undecided: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()

    def __add__(self, other: Held) -> Held:
        """Both together; of two examples of a kind the smaller one. A kind may have none: files keep a few of them."""
        examples = {example.kind: example for example in self.examples}
        for example in other.examples:
            mine = examples.get(example.kind)
            if mine is None or example.better(mine):
                examples[example.kind] = example
        counts = _sum(self.disagreements, other.disagreements)
        return Held(
            (*self.runs, *other.runs), self.rulesets + other.rulesets, self.refused + other.refused,
            round(self.seconds + other.seconds, 1), self.not_again + other.not_again, _sum(self.claims, other.claims),
            counts, _sum(self.affected, other.affected), _sum(self.undecided, other.undecided),
            _sum(self.rows, other.rows), tuple(examples[kind] for kind in counts if kind in examples),
        )  # fmt: skip


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return dict((Counter(one) + Counter(other)).most_common())
