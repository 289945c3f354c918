"""Many hosts on trial, in slices that can be put together: how many plans were proved, what was wrong."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from conntrim.core.model.errors import HostError
from conntrim.core.model.held import Example, Held
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.lab.held.corpus import Corpus
from conntrim.lab.held.court import fewest
from conntrim.lab.held.kept import OPEN
from conntrim.lab.held.stand import stand
from conntrim.lab.held.verbs import Crash
from conntrim.lab.plans.course import Bench, Course, World, programs_listening
from conntrim.lab.plans.hosts import PlannedHost, host
from conntrim.lab.plans.judge import PlanDisagreement, PlanFault
from conntrim.lab.plans.kept import KeptCourse, format_course, without_talks
from conntrim.lab.plans.talks import Talks, talks_of
from conntrim.lab.private import privileged
from conntrim.lab.script import Script
from conntrim.lab.workers import side_by_side

ASKED_NOW = ("loads", "room")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run: `hosts` numbers from `first`, of which slice `slice_[0]` of `slice_[1]`; the same seed, the same
    hosts. `corpus`: strangers' rule sets in this folder instead of layouts and made-up ones."""

    hosts: int
    seed: int
    first: int = 0
    slice_: tuple[int, int] = (1, 1)
    corpus: Path | None = None

    @property
    def name(self) -> str:
        """What tells this run from others."""
        number, of = self.slice_
        text = f"plans, seed {self.seed}, {self.hosts} from {self.first}, slice {number}/{of}"
        return f"{text}, corpus" if self.corpus else text

    @property
    def numbers(self) -> range:
        """The hosts of this slice."""
        number, of = self.slice_
        return range(self.first + number - 1, self.first + self.hosts, of)


@dataclass(slots=True)
class Tally:
    """What a run found so far."""

    hosts: int = 0
    refused: int = 0
    not_again: int = 0
    claims: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    hosts_with: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Example] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A host and the dialogues that run on it."""

    host: PlannedHost
    talks: Talks


@contextmanager
def bench(label: str) -> Iterator[Bench]:
    """A bench of two stands in namespaces of their own."""
    with ExitStack() as stack:
        yield Bench(*(stack.enter_context(stand(f"{label}{side}")) for side in "ab"))


def run(wanted: Wanted, world: World, workers: int = 1) -> Held:
    """Run it. Each worker has a slice of the slice."""
    if not privileged():
        raise HostError("lab plans", "it makes network namespaces and TUN devices", advice="run it as root")
    started, tally = time.monotonic(), Tally()
    if workers == 1:
        tally = _work(wanted, wanted.numbers, world)
    else:
        jobs = (partial(_work, wanted, wanted.numbers[number::workers], world) for number in range(workers))
        for part in side_by_side("lab plans", jobs):
            _add(tally, part)
    return _held(wanted, tally, time.monotonic() - started)


def _work(wanted: Wanted, numbers: Sequence[int], world: World) -> Tally:
    tally = Tally()
    with bench("plans") as made:
        corpus = Corpus.of(wanted.corpus, made.twin) if wanted.corpus else None
        for index in numbers:
            _one(made, world, (wanted.seed, index), corpus, tally)
    return tally


# --- one host ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one host: its plan, what disagreed, how often a dialogue met untracking."""

    plan: Plan | Crash
    found: tuple[PlanDisagreement, ...] = ()
    untracked: int = 0


def tried(made: Bench, world: World, shown: Exhibit) -> Outcome:
    """One host's whole course; HostError where the kernel refuses its rules. A plan that is not proved goes nowhere."""
    course = Course(made, world, shown.host, shown.talks)
    try:
        made.load(shown.host)
        with programs_listening(made, shown.host):
            plan = course.planned()
            if isinstance(plan, Crash):
                return Outcome(plan, (PlanDisagreement(PlanFault.CRASH, "plan", str(plan)),))
            if plan.closed or not plan.trial or open_obligations(plan):
                return Outcome(plan)
            return Outcome(plan, tuple(course.run(plan)), course.untracked)
    finally:
        made.unload(shown.host)


def open_obligations(plan: Plan) -> dict[str, str]:
    """What stands in a plan's way, and why."""
    return {
        o.name: f"{o.standing}: {o.why}" for o in plan.obligations
        if o.standing is not ObligationStatus.PROVED
        and not (o.name in ASKED_NOW and o.standing is ObligationStatus.NOT_DECIDED)
    }  # fmt: skip


def exhibit(seed: int, index: int, corpus: Corpus | None = None) -> Exhibit:
    """The host of a number and its dialogues."""
    made = host(seed, index, corpus)
    return Exhibit(made, talks_of(seed, index, made))


def _one(made: Bench, world: World, number: tuple[int, int], corpus: Corpus | None, tally: Tally) -> None:
    """Put one host on trial; what disagrees once more when it is played alone is counted."""
    try:
        shown = exhibit(*number, corpus)
        outcome = tried(made, world, shown)
    except HostError:
        tally.refused += 1
        return
    tally.hosts += 1
    _count(tally, shown, outcome)
    kinds: dict[str, list[PlanDisagreement]] = {}
    for each in outcome.found:
        kinds.setdefault(each.kind, []).append(each)
    for kind, every in kinds.items():
        known = kind in tally.examples
        if every[0].dialogues and not known and not _again(made, world, shown, every[0]):
            tally.not_again += 1
            continue
        tally.faults[kind] += len(every)
        tally.hosts_with[kind] += 1
        if not known:
            one = example_of(every[0], shown, number)
            # Strangers' rules stay where they are.
            tally.examples[kind] = replace(one, text=shown.host.name, small=True) if corpus else one


def _count(tally: Tally, shown: Exhibit, outcome: Outcome) -> None:
    tally.rows[f"host {shown.host.name.partition(',')[0]}"] += 1
    tally.rows[f"back end {shown.host.dialects}"] += 1
    plan = outcome.plan
    if isinstance(plan, Crash):
        tally.claims["plans that fail"] += 1
        return
    if plan.closed:
        tally.claims["services that the rules do not admit"] += 1
        return
    if not plan.trial:
        tally.claims["nothing to change"] += 1
        return
    tally.claims["plans"] += 1
    left = open_obligations(plan)
    for name, why in left.items():
        tally.reasons[f"{name}: {reason(why)}"] += 1
    if left:
        broken = any(why.startswith(ObligationStatus.BROKEN) for why in left.values())
        tally.claims["plans broken" if broken else "plans not decided"] += 1
        tally.rows[f"open {shown.host.name.partition(',')[0]}: {', '.join(left)}"] += 1
        return
    tally.claims["plans proved"] += 1
    tally.claims["plans confirmed" if shown.host.keeps else "plans expired"] += 1
    tally.claims["dialogues"] += shown.talks.count
    tally.claims["dialogues played untracked"] += outcome.untracked


def reason(text: str) -> str:
    """The kind of a reason: rules, packets and numbers out."""
    text = re.sub(r" \(and [\d,]+ more\)|;? ?not so while .*", "", text)
    text = re.sub(r"(?:ip6?|inet) \S+ \S+ (?:rule|handle) \d+(?:: .*?)?(?= may | refuses|$)", "a rule", text)
    text = re.sub(r": (?:any protocol|tcp|udp|icmp|from|to|in by|out by|type).*", "", text)
    return re.sub(r"\d+", "N", text)[:110]


def _again(made: Bench, world: World, shown: Exhibit, one: PlanDisagreement) -> bool:
    """Whether it is there once more when its dialogues are played alone, under rules loaded anew."""
    return any(each.kind == one.kind for each in _alone(made, world, shown, one))


def _alone(made: Bench, world: World, shown: Exhibit, one: PlanDisagreement) -> tuple[PlanDisagreement, ...]:
    kept = frozenset[object](one.dialogues)
    less = replace(shown, talks=without_talks(shown.talks, kept)) if kept else shown
    try:
        return tried(made, world, less).found
    except HostError:
        return ()


# --- examples ---------------------------------------------------------------------------------------------------------


def example_of(one: PlanDisagreement, shown: Exhibit, number: tuple[int, int]) -> Example:
    """An example as results keep it."""
    talks = without_talks(shown.talks, frozenset(one.dialogues))
    text = format_course(KeptCourse(one.kind, OPEN, shown.host, talks, (one.fault.value, *one.words)))
    return Example(one.kind, *number, text)


def smaller(held: Held, most: int, tries: int, world: World) -> Held:
    """The results with so many of their examples made small."""
    examples = {example.kind: example for example in held.examples}
    with bench("small") as made:
        for example in [each for each in held.examples if not each.small][:most]:
            if found := _small(made, world, example, tries):
                examples[example.kind] = found
    return replace(held, examples=tuple(examples.values()))


def _small(made: Bench, world: World, example: Example, tries: int) -> Example | None:
    """One example made small; None where it does not show any more."""
    shown = exhibit(example.seed, example.index)
    try:
        found = tried(made, world, shown).found
    except HostError:
        return None
    one = next((each for each in found if each.kind == example.kind), None)
    if one is None:
        return None
    less, one = smallest(made, world, shown, one, tries)
    return replace(example_of(one, less, (example.seed, example.index)), small=True)


def smallest(
    made: Bench, world: World, shown: Exhibit, one: PlanDisagreement, tries: int
) -> tuple[Exhibit, PlanDisagreement]:
    """The host with the fewest rules that still shows it, with the dialogues that do."""
    less = replace(shown, talks=without_talks(shown.talks, frozenset(one.dialogues))) if one.dialogues else shown
    left = [one]
    for at in range(len(shown.host.scripts)):
        less = _fewer((made, world), less, at, left, tries)
    return less, left[0]


def _fewer(where: tuple[Bench, World], shown: Exhibit, at: int, left: list[PlanDisagreement], tries: int) -> Exhibit:
    """With one of its scripts made small; `left` is the disagreement that stays."""

    def changed(script: Script) -> Exhibit:
        scripts = shown.host.scripts
        return replace(shown, host=replace(shown.host, scripts=(*scripts[:at], script, *scripts[at + 1 :])))

    def differs(script: Script) -> bool:
        same = [d for d in _alone(*where, changed(script), left[0]) if d.kind == left[0].kind]
        left[:] = same[:1] or left
        return bool(same)

    return changed(fewest(shown.host.scripts[at], differs, tries))


# --- results ----------------------------------------------------------------------------------------------------------


def _add(tally: Tally, other: Tally) -> None:
    tally.hosts += other.hosts
    tally.refused += other.refused
    tally.not_again += other.not_again
    tally.claims += other.claims
    tally.reasons += other.reasons
    tally.faults += other.faults
    tally.hosts_with += other.hosts_with
    tally.rows += other.rows
    for kind, example in other.examples.items():
        mine = tally.examples.get(kind)
        if mine is None or example.better(mine):
            tally.examples[kind] = example


def _held(wanted: Wanted, tally: Tally, seconds: float) -> Held:
    return Held(
        (wanted.name,),
        tally.hosts, tally.refused, round(seconds, 1), tally.not_again, dict(sorted(tally.claims.items())),
        dict(tally.faults.most_common()), dict(tally.hosts_with.most_common()),
        dict(tally.reasons.most_common()), dict(sorted(tally.rows.items())),
        tuple(tally.examples[kind] for kind, _ in tally.faults.most_common()),
    )  # fmt: skip
