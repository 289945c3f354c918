"""Many rule sets on trial, in slices that can be run anywhere and put together: what was claimed, what was wrong."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random

from conntrim.core.model.errors import HostError
from conntrim.core.model.held import Example, Held
from conntrim.lab.held.corpus import Corpus, untracking
from conntrim.lab.held.judge import Counts, Disagreement, Fault
from conntrim.lab.held.kept import OPEN, KeptTrial, format_kept
from conntrim.lab.held.mutation import mutation
from conntrim.lab.held.rules import fitting, ruleset, strict
from conntrim.lab.held.stand import stand
from conntrim.lab.held.talks import SERVERS, Dialogue, choice
from conntrim.lab.held.trial import Bench, Exhibit, families_of
from conntrim.lab.held.untracking import count, lines_of, without
from conntrim.lab.held.verbs import PRESENT, Crash, Verbs
from conntrim.lab.private import privileged
from conntrim.lab.script import Script
from conntrim.lab.workers import side_by_side

PARTS = ("check", "edits", "compare")
"""What can be put on trial."""

TALKS = 56
"""Dialogues of one rule set; a third as many groups of unsolicited packets come with them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run: `rulesets` numbers from `first`, of which slice `slice_[0]` of `slice_[1]`; the same seed, the same
    rule sets. `corpus`: of other people's rule sets in this folder instead of made-up ones."""

    rulesets: int
    seed: int
    first: int = 0
    slice_: tuple[int, int] = (1, 1)
    parts: tuple[str, ...] = PARTS
    corpus: Path | None = None

    @property
    def name(self) -> str:
        """What tells this run from others."""
        number, of = self.slice_
        parts = " ".join(self.parts)
        text = f"seed {self.seed}, {self.rulesets} from {self.first}, slice {number}/{of}, {parts}"
        return f"{text}, corpus" if self.corpus else text

    @property
    def numbers(self) -> range:
        """The rule sets of this slice."""
        number, of = self.slice_
        return range(self.first + number - 1, self.first + self.rulesets, of)


@dataclass(slots=True)
class Tally:
    """What a run found so far."""

    rulesets: int = 0
    refused: int = 0
    undecided: int = 0
    not_again: int = 0
    counts: Counts = field(default_factory=Counts)
    faults: Counter[str] = field(default_factory=Counter)
    rulesets_with: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Example] = field(default_factory=dict)


def exhibit(seed: int, index: int, corpus: Corpus | None = None) -> Exhibit:
    """The rule set of a number, its dialogues, and a change of it."""
    random = Random(f"{seed}:{index}")  # noqa: S311 - made-up packets, no secrets
    foreign = corpus.foreign(index) if corpus else None
    script = untracking(random, foreign) if foreign else ruleset(random)
    ports = foreign.ports if foreign else SERVERS
    dialogues = choice(random, families_of(script), TALKS, ports)
    return Exhibit(script, strict(random, script), tuple(fitting(script, dialogues)), mutation(random, script))


@contextmanager
def bench(label: str, verbs: Verbs = PRESENT) -> Iterator[Bench]:
    """A bench of two stands in namespaces of their own."""
    with ExitStack() as stack:
        r, other = (stack.enter_context(stand(f"{label}{side}")) for side in "ab")
        yield Bench(r, other, verbs)


def run(wanted: Wanted, verbs: Verbs = PRESENT, workers: int = 1) -> Held:
    """Run it. Each worker has a slice of the slice."""
    if not privileged():
        raise HostError("lab claims", "it makes network namespaces and TUN devices", advice="run it as root")
    started = time.monotonic()
    if workers == 1:
        tally = _work(wanted, wanted.numbers, verbs, "claims")
    else:
        tally = Tally()
        jobs = (partial(_work, wanted, wanted.numbers[number::workers], verbs, "claims") for number in range(workers))
        for part in side_by_side("lab claims", jobs):
            _add(tally, part)
    return _held(wanted, tally, time.monotonic() - started)


def _work(wanted: Wanted, numbers: Sequence[int], verbs: Verbs, label: str) -> Tally:
    tally = Tally()
    with bench(label, verbs) as made:
        tally.counts = made.counts
        corpus = Corpus.of(wanted.corpus, made.other) if wanted.corpus else None
        for index in numbers:
            _one(made, wanted, (index, corpus), tally)
    return tally


# --- one rule set ---------------------------------------------------------------------------------------------------


def _one(made: Bench, wanted: Wanted, which: tuple[int, Corpus | None], tally: Tally) -> None:
    """Put one rule set on trial; what disagrees once more when it is played alone is counted."""
    index, corpus = which
    try:
        shown = exhibit(wanted.seed, index, corpus)
        found = tried(made, shown, wanted.parts, tally)
    except HostError:
        tally.refused += 1
        return
    finally:
        made.r.unload()
        made.other.unload()
    tally.rulesets += 1
    tally.undecided += bool(found is None)
    kinds: dict[str, list[Disagreement]] = {}
    for each in found or ():
        kinds.setdefault(each.kind, []).append(each)
    for kind, every in kinds.items():
        known = kind in tally.examples
        if every[0].dialogues and not known and not again(made, shown, every[0], part_of(every[0].fault)):
            tally.not_again += 1
            continue
        tally.faults[kind] += len(every)
        tally.rulesets_with[kind] += 1
        if not known:
            one = example_of(every[0], shown, (wanted.seed, index))
            # Strangers' rules stay where they are.
            tally.examples[kind] = replace(one, text=corpus.foreign(index).name, small=True) if corpus else one


def tried(made: Bench, shown: Exhibit, parts: Sequence[str], tally: Tally | None = None) -> list[Disagreement]:
    """All disagreements about one exhibit; HostError where the kernel refuses it."""
    if "check" not in parts and "edits" not in parts:
        told, before = made.alone(shown)
        if tally is not None:
            rows(tally.rows, shown, None)
        return made.compare(shown, told, before)
    found, told, checked, both = made.check(shown, edits="edits" in parts)
    if tally is not None:
        rows(tally.rows, shown, checked)
    if isinstance(checked, Crash) or "check" not in parts:
        found = [each for each in found if "check" in parts]
    if "edits" in parts and not isinstance(checked, Crash):
        found += made.edits(shown, checked, both)
    if "compare" in parts:
        found += made.compare(shown, told, [each.r for each in both])
    return found


def rows(seen: Counter[str], shown: Exhibit, checked: object) -> None:
    """What the generators made: dialects, families, untracking rules."""
    seen[f"dialect {shown.script.program}"] += 1
    seen.update(f"family {family.name}" for family in shown.families)
    seen[f"untracking rules {min(count(shown.script), 4)}"] += 1
    seen.update({f"path {each.path}" for each in shown.dialogues})
    seen.update({f"kind {each.kind}" for each in shown.dialogues})
    seen.update({f"code {finding.code}" for finding in getattr(checked, "findings", ())})


def again(made: Bench, shown: Exhibit, one: Disagreement, parts: Sequence[str]) -> bool:
    """Whether it is there once more when its dialogues are played alone, under rules loaded anew."""
    return any(each.kind == one.kind for each in _alone(made, shown, one.dialogues, parts))


def _alone(made: Bench, shown: Exhibit, dialogues: Sequence[Dialogue], parts: Sequence[str]) -> list[Disagreement]:
    kept = tuple(each for each in shown.dialogues if each in dialogues) or shown.dialogues
    counts, made.counts = made.counts, Counts()
    try:
        return tried(made, replace(shown, dialogues=kept), parts)
    except HostError:
        return []
    finally:
        made.counts = counts
        made.r.unload()
        made.other.unload()


def smaller(held: Held, most: int, tries: int, verbs: Verbs = PRESENT) -> Held:
    """The results with so many of their examples made small: of each fault the most frequent kind, then the next."""
    examples = {example.kind: example for example in held.examples}
    ranks: Counter[str] = Counter()
    ordered: list[tuple[int, int, Example]] = []
    for example in held.examples:
        fault = example.kind.partition(" | ")[0]
        ordered.append((ranks[fault], len(ordered), example))
        ranks[fault] += 1
    with bench("small", verbs) as made:
        for example in [each for _, _, each in sorted(ordered, key=lambda row: row[:2]) if not each.small][:most]:
            if found := _small(made, example, tries):
                examples[example.kind] = found
    return replace(held, examples=tuple(examples.values()))


def _small(made: Bench, example: Example, tries: int) -> Example | None:
    """One example made small; None where it does not show any more."""
    shown = exhibit(example.seed, example.index)
    try:
        found = tried(made, shown, PARTS)
    except HostError:
        return None
    finally:
        made.r.unload()
        made.other.unload()
    one = next((each for each in found if each.kind == example.kind), None)
    if one is None:
        return None
    less, one = smallest(made, shown, one, tries)
    return replace(example_of(one, less, (example.seed, example.index)), small=True)


def example_of(one: Disagreement, shown: Exhibit, number: tuple[int, int]) -> Example:
    """An example as results keep it: a kept trial's text."""
    kept = replace(shown, dialogues=one.dialogues, mutation=shown.mutation if one.fault is Fault.SAME else None)
    text = format_kept(KeptTrial(one.kind, OPEN, kept, (one.fault.value, *one.words)))
    return Example(one.kind, *number, text)


def smallest(made: Bench, shown: Exhibit, one: Disagreement, tries: int) -> tuple[Exhibit, Disagreement]:
    """The smallest rule set that still shows it, with the dialogues that do."""
    parts = part_of(one.fault)
    left = [one]

    def differs(script: Script) -> bool:
        less = replace(shown, script=script)
        if parts == ("compare",) and shown.mutation is not None and shown.mutation(script) is None:
            return False
        same = [d for d in _alone(made, less, one.dialogues, parts) if d.kind == one.kind]
        if same:
            left[0] = same[0]
        return bool(same)

    script = fewest(shown.script, differs, tries)
    kept = tuple(d for d in shown.dialogues if d in one.dialogues)
    return replace(shown, script=script, dialogues=kept), left[0]


def fewest(script: Script, differs: Callable[[Script], bool], tries: int) -> Script:
    """A script with few rules in which `differs` holds: ever smaller runs of rules are left out, then whole chains."""
    size = max(1, sum(1 for _ in lines_of(script)) // 2)
    while size and tries > 0:
        at = 0
        while at < sum(1 for _ in lines_of(script)) and tries > 0:
            less = without(script, range(at, at + size))
            tries -= 1
            if differs(less):
                script = less
            else:
                at += size
        size //= 2
    for lessen in (_full, *map(_setless, {name for s in script.sheets for name in s.sets}), *map(_sheetless, range(4))):
        less = lessen(script)
        if less != script and differs(less):
            script = less
    return script


def _full(script: Script) -> Script:
    """Without empty chains and tables."""
    sheets = (replace(s, blocks=tuple(b for b in s.blocks if b.lines)) for s in script.sheets)
    return replace(script, sheets=tuple(s for s in sheets if s.blocks))


def _setless(name: str) -> Callable[[Script], Script]:
    """Without one declaration."""
    return lambda script: replace(
        script, sheets=tuple(replace(s, sets=tuple(n for n in s.sets if n != name)) for s in script.sheets)
    )


def _sheetless(index: int) -> Callable[[Script], Script]:
    """Without one table, counted from the last."""
    return lambda script: replace(
        script, sheets=tuple(s for i, s in enumerate(reversed(script.sheets)) if i != index)[::-1] or script.sheets
    )


def part_of(fault: Fault) -> tuple[str, ...]:
    """The part that finds it, so that shrinking asks no more than that."""
    if fault is Fault.SAME:
        return ("compare",)
    return ("edits",) if fault.name.startswith("EDIT") else PARTS if fault is Fault.CRASH else ("check",)


# --- results --------------------------------------------------------------------------------------------------------


def _add(tally: Tally, other: Tally) -> None:
    tally.rulesets += other.rulesets
    tally.refused += other.refused
    tally.not_again += other.not_again
    tally.counts.claims += other.counts.claims
    tally.counts.undecided += other.counts.undecided
    tally.faults += other.faults
    tally.rulesets_with += other.rulesets_with
    tally.rows += other.rows
    for kind, example in other.examples.items():
        mine = tally.examples.get(kind)
        if mine is None or example.better(mine):
            tally.examples[kind] = example


def _held(wanted: Wanted, tally: Tally, seconds: float) -> Held:
    return Held(
        (wanted.name,),
        tally.rulesets, tally.refused, round(seconds, 1), tally.not_again, dict(tally.counts.claims),
        dict(tally.faults.most_common()), dict(tally.rulesets_with.most_common()),
        dict(tally.counts.undecided.most_common()), dict(sorted(tally.rows.items())),
        tuple(tally.examples[kind] for kind, _ in tally.faults.most_common()),
    )  # fmt: skip
