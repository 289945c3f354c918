"""The model against the kernel: made-up rule sets and dialogues, injected, read back, compared packet by packet."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from conntrim.core.model.errors import ConntrimError, HostError
from conntrim.core.model.packet import Packet
from conntrim.core.model.truth import Doubt, Truth
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.netfilter.kernel import Kernel
from conntrim.lab.apart import apart, clear
from conntrim.lab.case import Case, format_case
from conntrim.lab.dialogue import shots
from conntrim.lab.entries import Kept, alike, dumped, listed
from conntrim.lab.expect import KERNEL, Believed, expected, observed, ruleset_of
from conntrim.lab.generate import ruleset
from conntrim.lab.limits import global_limits
from conntrim.lab.oracle import Oracle, Trace, consulting, story
from conntrim.lab.private import limits_writable
from conntrim.lab.script import Script
from conntrim.lab.shrink import shrink
from conntrim.lab.talk import dialogues, key, key_of
from conntrim.lab.wire import MAX_NUMBER
from conntrim.lab.workers import side_by_side

GROUP = 20
"""So many rule sets are one piece of work."""

SIZES = {"nf_conntrack_max": 262_144, "nf_conntrack_buckets": 262_144}
"""Held for the run, so that no other lab fills the table or makes its chains long: both look like a disagreement."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run: packets in all, rule sets, where chance begins.

    Each worker makes so many of its disagreements small that it has that many `cases`: more mostly say the same.
    """

    packets: int
    rulesets: int
    seed: int
    cases: int = 3

    def share(self, index: int) -> int:
        """The packets of one rule set."""
        return self.packets // self.rulesets + (index < self.packets % self.rulesets)


@dataclass(slots=True)
class Tally:
    """What one worker, or all of them, found."""

    packets: int = 0
    rulesets: int = 0
    undecided: int = 0
    disagreements: int = 0
    first_at: int | None = None
    cases: list[str] = field(default_factory=list)
    doubts: Counter[str] = field(default_factory=Counter)

    def count(self, judgement: Judgement, before: int) -> None:
        """Take in one dialogue; `before` packets came before it."""
        packets, believed = len(judgement.packets), judgement.believed
        self.packets += packets
        self.undecided += packets - len(believed.traces)
        if believed.doubt:
            self.doubts[kind_of(believed.doubt)] += packets - len(believed.traces)
        if not judgement.agreed:
            self.disagreements += 1
            self.first_at = before if self.first_at is None else min(before, self.first_at)

    def add(self, other: Tally) -> None:
        """Take in another tally."""
        firsts = [at for at in (self.first_at, other.first_at) if at is not None]
        self.packets += other.packets
        self.rulesets += other.rulesets
        self.undecided += other.undecided
        self.disagreements += other.disagreements
        self.first_at = min(firsts, default=None)
        self.cases += other.cases
        self.doubts += other.doubts


def kind_of(doubt: str) -> str:
    """The kind of the first question that the model left open: what is the same in questions of one kind."""
    return doubt.split(";", maxsplit=1)[0].partition(":")[0]


def run(wanted: Wanted, workers: int | None = None, kernel: Kernel = KERNEL) -> Truth:
    """Run it all. The same `wanted` gives the same rule sets and packets, whatever the number of workers."""
    if not limits_writable():
        raise HostError("lab truth", "it makes TUN devices and holds the table's size", advice="run it as root")
    groups = -(-wanted.rulesets // GROUP)
    count = max(1, min(workers or os.cpu_count() or 1, groups))
    tally = Tally()
    with global_limits(**SIZES):
        started = time.monotonic()  # waiting for another lab run is not ours
        jobs = (partial(_work, wanted, range(number, groups, count), kernel) for number in range(count))
        for part in side_by_side("lab truth", jobs):
            tally.add(part)
        seconds = round(time.monotonic() - started, 1)
    return Truth(
        tally.packets, tally.rulesets, wanted.seed, count, tally.disagreements, tally.undecided, tally.first_at,
        seconds, tuple(tally.cases), tuple(Doubt(kind, packets) for kind, packets in tally.doubts.most_common()),
    )  # fmt: skip


def _work(wanted: Wanted, groups: Sequence[int], kernel: Kernel) -> Tally:
    with consulting("truth") as oracle:
        return Bench(oracle, wanted, kernel).work(groups)


# --- one rule set ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Bench:
    """One worker's oracle and what it found so far."""

    oracle: Oracle
    wanted: Wanted
    kernel: Kernel
    tally: Tally = field(default_factory=Tally)

    def work(self, groups: Sequence[int]) -> Tally:
        """Oracle some groups of rule sets, one after the other."""
        for group in groups:
            for index in range(group * GROUP, min((group + 1) * GROUP, self.wanted.rulesets)):
                self._ruleset(index)
        return self.tally

    def _ruleset(self, index: int) -> None:
        random = Random(f"{self.wanted.seed}:{index}")  # noqa: S311 - made-up packets, no secrets
        script = ruleset(random)
        talks = dialogues(random, self.wanted.share(index))
        before = sum(self.wanted.share(i) for i in range(index))
        self.tally.rulesets += 1
        try:
            judgements = judged(self.oracle, script, talks, self.kernel, peers=True).judgements
        except HostError as error:
            raise HostError("lab truth", f"rule set {index} of seed {self.wanted.seed}: {error}") from error
        for judgement in judgements:
            self.tally.count(judgement, before)
            if not judgement.agreed and len(self.tally.cases) < self.wanted.cases:
                self.tally.cases.append(minimal(self.oracle, script, judgement.packets, self.kernel))
            before += len(judgement.packets)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One dialogue: what the kernel did with each packet, which entries it kept, and what the model believed."""

    packets: tuple[Packet, ...]
    traces: tuple[Trace, ...]
    entries: tuple[Kept, ...]
    believed: Believed

    @property
    def agreed(self) -> bool:
        """Whether the kernel did what the model says, as far as that goes."""
        believed = self.believed
        same = believed.traces == self.traces[: len(believed.traces)]
        return same and (believed.entries is None or alike(believed.entries, self.entries))


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of some dialogues under one rule set, how the kernel lists it, and what the model makes of that."""

    judgements: list[Judgement]
    listing: str
    model: Arranged


def judged(
    oracle: Oracle, script: Script, talks: Sequence[tuple[Packet, ...]], kernel: Kernel, peers: bool = False
) -> Judged:
    """Load, fire, look at the table, and leave an empty oracle behind.

    `peers`: most dialogues' answers to translated packets are those of peers who saw the translated addresses.
    """
    oracle.load(script.batches())
    listing = oracle.listing() if script.program == "nft" else ""
    model = observed(ruleset_of(script.batches(), listing))
    believed = [expected(model, talk, kernel, peers and bool(i % OBLIVIOUS)) for i, talk in enumerate(talks)]
    if peers:
        believed = apart(believed)
    traces: list[tuple[Trace, ...]] = []
    for batch in _batches([each.packets for each in believed]):
        start = oracle.start(sum(map(len, batch)))
        fired = iter(oracle.fire(shots(batch, start), start))
        traces += [tuple(next(fired) for _ in packets) for packets in batch]
    entries = by_dialogue(believed, dumped(oracle.host.name))
    if peers:
        believed = clear(believed, entries)
    oracle.unload()
    oracle.forget()
    found = zip(believed, traces, entries, strict=True)
    return Judged([Judgement(each.packets, said, kept, each) for each, said, kept in found], listing, model)


OBLIVIOUS = 7
"""In every so many-th dialogue the peers answer as if nothing had been translated."""


def by_dialogue(believed: Sequence[Believed], entries: Iterable[Kept]) -> list[tuple[Kept, ...]]:
    """The entries of each dialogue, in order; HostError for one that belongs to none: packets that are not ours.

    Behind a doubt the model says no more under which addresses packets come to conntrack, where rules rewrite them:
    there one endpoint tells whose an entry is.
    """
    whose = {key(pair): index for index, each in enumerate(believed) for pair in each.tuples}
    whose |= {key_of(packet): index for index, each in enumerate(believed) for packet in each.packets}
    doubted = {
        (p.protocol, *end): index
        for index, each in enumerate(believed) if each.doubt
        for p in each.packets for end in ((p.src, p.sport), (p.dst, p.dport))
    }  # fmt: skip
    found: list[list[Kept]] = [[] for _ in believed]
    for entry in entries:
        original = entry.original
        ends = ((original.protocol, original.src, original.sport), (original.protocol, original.dst, original.dport))
        index = whose.get(key(original), doubted.get(ends[0], doubted.get(ends[1])))
        if index is None:
            raise HostError("lab truth", f"an entry that no packet of ours made: {entry}")
        found[index].append(entry)
    return [tuple(sorted(each)) for each in found]


def _batches(talks: Sequence[tuple[Packet, ...]]) -> Iterator[list[tuple[Packet, ...]]]:
    """As many dialogues at once as there are numbers for packets."""
    batch: list[tuple[Packet, ...]] = []
    size = 0
    for packets in talks:
        if size + len(packets) >= MAX_NUMBER:
            yield batch
            batch, size = [], 0
        batch.append(packets)
        size += len(packets)
    yield batch


def minimal(oracle: Oracle, script: Script, packets: tuple[Packet, ...], kernel: Kernel) -> str:
    """The smallest rule set and dialogue that still disagree, as a case file with the kernel's answer."""

    def differs(less: Script, fewer: tuple[Packet, ...]) -> bool:
        try:
            return not judged(oracle, less, [fewer], kernel).judgements[0].agreed
        except ConntrimError:  # it does not load any more: that is another story
            oracle.unload()
            return False

    script, packets = shrink(script, packets, differs)
    found = judged(oracle, script, [packets], kernel)
    (judgement,) = found.judgements
    believed = judgement.believed
    why = ["the model said:", *(f"  {story(trace) or 'nothing'}" for trace in believed.traces)]
    why += [f"  {entry}" for entry in believed.entries or ()] + [f"  then: {believed.doubt}"] * bool(believed.doubt)
    stories = tuple(story(trace) for trace in judgement.traces)
    entries = listed(believed.entries or (), judgement.entries)
    return format_case(Case("\n".join(why), script.batches(), found.listing, packets, stories, entries))
