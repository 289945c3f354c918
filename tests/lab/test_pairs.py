"""Random pairs of rule sets: `compare` says of each what z3 says, and the kernel confirms its witnesses.

`CONNTRIM_PAIRS` says how many pairs (`make cross-check`), `CONNTRIM_PAIRS_FROM` the number of the first; else a few,
always the same ones.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from random import Random

import pytest
import z3

from bench.peer_z3 import Peer, Walked
from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.errors import HostError
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.replay import Played
from conntrim.core.model.ruleset import Ruleset, SetZone
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import FAMILIES
from conntrim.core.prove.compare import Comparison, Region, compare
from conntrim.core.prove.populations import DIRECTIONS, Population
from conntrim.lab.claims import Scene, scenes_of
from conntrim.lab.expect import LOCAL, ruleset_of
from conntrim.lab.generate import ruleset
from conntrim.lab.limits import global_limits
from conntrim.lab.oracle import Oracle, consulting
from conntrim.lab.replay import interfaces, stage
from conntrim.lab.script import Block, Script
from conntrim.lab.truth import SIZES

MANY = int(os.environ.get("CONNTRIM_PAIRS", "25"))
FIRST = int(os.environ.get("CONNTRIM_PAIRS_FROM", "0"))
AT_ONCE = 13
"""Pairs that share a stage: so the short form makes one for each of two processors."""
MOST_UNDECIDED, MOST_MISSING = 0.02, 0.3
"""The parts of the pairs that may be left undecided, and of the witnesses that may be left unplayed."""
SEED = 4
MOST_DRAWS = 20
"""Draws for one number, until the kernel takes both rule sets; one in thirty is refused."""

Verdict = tuple[Family, Direction, Population, bool]
"""Packets that are treated differently: whose, and whether they are newly admitted."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rule sets that the kernel takes, and the addresses that the question names."""

    number: int
    scripts: tuple[Script, Script]
    before: Ruleset
    after: Ruleset
    local: Intervals


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """The table's size is held, so that no other lab run fills it meanwhile."""
    with global_limits(**SIZES):
        yield


EARLY = re.compile(r"priority -4\d\d")
"""A chain in front of what puts fragments together (K117)."""


def simpler(script: Script) -> Script:
    """The rule set without its nat chains, and those that meet fragments."""
    sheets = [
        replace(sheet, blocks=tuple(b for b in sheet.blocks if "type nat" not in b.head and not EARLY.search(b.head)))
        for sheet in script.sheets
        if sheet.name != "nat"
    ]
    return replace(script, sheets=tuple(sheets))


BEYOND_Z3 = re.compile(
    r"@timed|@flows|@rest|\. th |^ *th |\* (\}|:)|\bmap\b|numgen|jhash|ct status & |ct (timeout|expectation)"
    r"|(dscp|ttl|hoplimit|ecn|priority|size|[sd]addr|[sd]port) set|(?i:synproxy|tproxy)|-j (DSCP|TOS|TTL|HL|ECN|SET)"
)
"""What the peer does not read: `lab truth` and the oracle of claims ask the kernel about it."""


def known_to_z3(script: Script) -> Script:
    """The rule set without the rules that only the two evaluators read."""
    return replace(
        script,
        sheets=tuple(replace(sheet, blocks=tuple(map(_known_to_z3, sheet.blocks))) for sheet in script.sheets),
    )


def _known_to_z3(block: Block) -> Block:
    return replace(block, lines=tuple(line for line in block.lines if not BEYOND_Z3.search(str(line))))


def scripts(random: Random) -> tuple[Script, Script]:
    """Mostly one rule set and the same with other rules left out; sometimes two that have nothing in common."""
    whole = known_to_z3(ruleset(random))
    if random.random() < 0.2:
        return whole, known_to_z3(ruleset(random))
    return fewer(random, whole), fewer(random, whole)


def fewer(random: Random, script: Script) -> Script:
    """The rule set without up to three things."""
    for _ in range(random.randint(0, 3)):
        script = random.choice([*script.smaller(), script])
    return script


def loaded(oracle: Oracle, script: Script) -> Ruleset:
    """The model of a rule set that the kernel takes; HostError where it does not."""
    try:
        oracle.load(script.batches())
        return ruleset_of(script.batches(), oracle.listing() if script.program == "nft" else "")
    finally:
        oracle.unload()


def pairs(oracle: Oracle, numbers: range, counts: Counter[str]) -> Iterator[tuple[Pair, Comparison]]:
    """The pairs of these numbers, and what `compare` says. Where it does not decide, once more without translation and
    without what meets fragments."""
    for number in numbers:
        pair = drawn(oracle, number)
        found = compare(pair.before, pair.after, pair.local or None)
        if found.undecided:
            counts["drawn again without nat and fragments"] += 1
            one, other = map(simpler, pair.scripts)
            pair = Pair(number, (one, other), loaded(oracle, one), loaded(oracle, other), pair.local)
            found = compare(pair.before, pair.after, pair.local or None)
        yield pair, found


def drawn(oracle: Oracle, number: int) -> Pair:
    """The first pair of this number that the kernel takes."""
    for draw in range(MOST_DRAWS):
        random = Random(f"{SEED}:{number}:{draw}")
        one, other = scripts(random)
        try:
            models = loaded(oracle, one), loaded(oracle, other)
        except HostError:
            continue
        return Pair(number, (one, other), *models, random.choice((LOCAL, Intervals())))
    raise AssertionError(f"the kernel refuses every pair of number {number}")


# --- the cross-check by z3 ----------------------------------------------------------------------------------------


def z3_verdicts(pair: Pair) -> set[Verdict]:
    """z3's verdicts. What strangers' packets become that a rule translates neither of the two follows."""
    found: set[Verdict] = set()
    for family in families(pair):
        peer = Peer(family, (pair.before, pair.after), pair.local)
        for direction in DIRECTIONS:
            for population in ASKED:
                old, new = (walked(peer, r, direction, population) for r in (pair.before, pair.after))
                strangers = population is Population.UNSOLICITED
                left = z3.Or(old.moved, new.moved) if strangers else z3.BoolVal(False)
                universe = z3.And(
                    peer.packets(direction), peer.existing(direction), whose(peer, population), z3.Not(left)
                )
                for newly, part in (
                    (True, z3.And(new.alive, z3.Not(old.alive))),
                    (False, z3.And(old.alive, z3.Not(new.alive))),
                ):
                    solver = z3.SolverFor("QF_BV")
                    solver.add(universe, part)
                    if solver.check() == z3.sat:
                        found.add((family, direction, population, newly))
    return found


def families(pair: Pair) -> list[Family]:
    """The families that any table is about."""
    seen = {f for r in (pair.before, pair.after) for t in r.tables for f in FAMILIES.get(t.family, ())}
    return [family for family in Family if family in seen]


STATES = {Population.CONNECTIONS: CtState.ESTABLISHED, Population.ERRORS: CtState.RELATED}
ASKED = (Population.UNSOLICITED, *STATES)
"""Of whose packets z3 is asked: those that a packet by itself tells."""


def walked(peer: Peer, ruleset: Ruleset, direction: Direction, population: Population) -> Walked:
    """What becomes of the packets of a population."""
    strangers = population is Population.UNSOLICITED
    return peer.walked(ruleset, direction, peer.fresh() if strangers else z3.BitVecVal(STATES[population], 3))


def whose(peer: Peer, population: Population) -> z3.BoolRef:
    """The packets that a population has."""
    protocol, flags = peer.fields[Field.PROTOCOL], peer.fields[Field.TCP_FLAGS]
    if population is Population.UNSOLICITED:
        return z3.BoolVal(True)
    v4 = peer.family is Family.IPV4
    kind = z3.Extract(15, 8, peer.fields[Field.ICMP if v4 else Field.ICMPV6])
    tcp, icmp = protocol == int(Protocol.TCP), protocol == int(Protocol.ICMP if v4 else Protocol.ICMPV6)
    if population is Population.CONNECTIONS:
        carried = [f for f in range(64) if f & 0x37 in (0x12, 0x04, 0x14, 0x11, 0x31, 0x10, 0x30)]
        later = z3.Or(*(flags & 0x3F == f for f in carried))
        asked = z3.Or(*(kind == t for t in ((0, 8, *range(13, 19)) if v4 else (128, 129, 139, 140))))
        return z3.And(z3.Or(z3.Not(tcp), later), z3.Or(z3.Not(icmp), asked))
    types = (3, 4, 5, 11, 12) if v4 else (1, 2, 3, 4)
    return z3.And(icmp, z3.Or(*(kind == t for t in types)))


# --- the test -------------------------------------------------------------------------------------------------------


def differing(found: Comparison) -> set[Verdict]:
    """`compare`'s verdicts about packets by themselves."""
    asked = (d for d in found.differences if d.population in ASKED and d.direction in DIRECTIONS)
    return {(d.family, d.direction, d.population, d.admitted) for d in asked}


def compared(pair: Pair, found: Comparison, counts: Counter[str]) -> tuple[list[str], list[Scene]]:
    """Where z3 says otherwise, and the scenes for the kernel."""
    counts["pairs"] += 1
    if found.undecided:
        counts["not decided"] += 1
        counts["not decided: " + re.sub(r"^\S+:\S+ ", "", found.undecided[0])] += 1
        return [], []
    second = z3_verdicts(pair)
    perhaps = {v for v in differing(found) - second if all(r.conditions for r in regions_of(found, v))}
    counts["of them: compare leaves open what z3 decides"] += bool(perhaps)
    if differing(found) - perhaps != second:
        return [f"pair {pair.number}: z3 {second - differing(found)}, compare {differing(found) - second}"], []
    counts["z3 agrees"] += 1
    counts["of them: nothing differs"] += found.same
    return [], witnesses(found, counts)


def regions_of(found: Comparison, verdict: Verdict) -> list[Region]:
    """The parts of one difference: where each has a condition, the difference is one that may be."""
    told = (d for d in found.differences if (d.family, d.direction, d.population, d.admitted) == verdict)
    return [region for difference in told for region in difference.regions]


def witnesses(found: Comparison, counts: Counter[str]) -> list[Scene]:
    """Every witness as a scene; counted, where nobody can set the stage for it."""
    regions = [region for difference in found.differences for region in difference.regions]
    counts["witnesses"] += len(regions)
    translated = (d for d in found.differences if d.population is Population.TRANSLATED)
    alone = sum(not region.conditions for difference in translated for region in difference.regions)
    counts[f"{NOT_PLAYED}nobody stands where they are sent"] += alone
    asked = (next(iter(region.conditions)) for region in regions if region.conditions)
    counts.update(f"{OPEN}{text.partition(':')[0].partition(' --')[0]}" for text in asked)
    return list(scenes_of(found))


NOT_PLAYED = "witnesses not played: "
OPEN = "witnesses that depend on what is unknown to the model: "
"""A match or statement that the model leaves open: the witness names the answer under which it holds."""


def judged(numbers: range) -> tuple[Counter[str], list[str]]:
    """All three answers about the pairs of these numbers: what was counted, and where they differ."""
    counts: Counter[str] = Counter()
    with consulting("pairs") as oracle:
        made = list(pairs(oracle, numbers, counts))
    asked = [(pair, *compared(pair, found, counts)) for pair, found in made]
    wrong = [line for _, lines, _ in asked for line in lines]
    with stage(interfaces(scene for _, _, scenes in asked for scene in scenes)) as on:
        for pair, _, scenes in asked:
            one, other = pair.scripts
            played = on.play(one.batches(), other.batches(), scenes) if scenes else ()
            played = tuple(map(staged, played))
            if zones(pair):
                played = tuple(elsewhere(*each) for each in zip(played, scenes, strict=True))
            counts["witnesses played"] += sum(not p.missing for p in played)
            counts["witnesses confirmed"] += sum(p.confirmed for p in played)
            counts.update(f"{NOT_PLAYED}{p.missing}" for p in played if p.missing)
            wrong += [f"pair {pair.number}: {p}" for p in played if not p.confirmed and not p.missing]
    return counts, wrong


def staged(played: Played) -> Played:
    """Marked as not played where one of its packets found no route."""
    unsent = not (played.missing or played.confirmed or (played.before and played.after))
    return replace(played, missing="no route") if unsent else played


def zones(pair: Pair) -> bool:
    """Whether a rule sets a zone."""
    chains = (c for ruleset in (pair.before, pair.after) for t in ruleset.tables for c in t.chains)
    return any(isinstance(s, SetZone) for chain in chains for rule in chain.rules for s in rule.statements)


def elsewhere(played: Played, scene: Scene) -> Played:
    """A packet whose rules look for its connection, or for who expects it, in another zone than the stage's finds none
    there: the kernel says so right behind conntrack.
    """
    awaited = scene.expected or scene.known != (None, None)
    lost = not played.missing and awaited and any(map(unknown, (played.before, played.after)))
    return (
        replace(played, missing="its connection is looked for in a zone") if lost and not played.confirmed else played
    )


def unknown(story: str) -> bool:
    """Whether conntrack found no entry for the packet of this story."""
    return story.partition(",")[0].endswith((" new", " invalid"))


def test_compare_z3_and_the_kernel_say_the_same(alone: None) -> None:
    """For random pairs in both dialects `compare` and z3 find the same differences; the kernel confirms every witness
    that can be played, and few cannot."""
    starts = range(FIRST, FIRST + MANY, AT_ONCE)
    slices = [range(start, min(start + AT_ONCE, FIRST + MANY)) for start in starts]
    pool = ProcessPoolExecutor(os.cpu_count(), get_context("fork"))
    try:
        told = list(pool.map(judged, slices))
    finally:
        pool.shutdown(cancel_futures=True)
    counts = sum((found for found, _ in told), Counter[str]())
    width = max(map(len, counts))
    print(
        f"\npairs {FIRST} to {FIRST + MANY - 1}",
        *(f"{name:<{width}}{counts[name]:>6}" for name in sorted(counts)),
        sep="\n",
    )
    assert [] == [line for _, wrong in told for line in wrong]
    assert MANY == counts["pairs"] == counts["z3 agrees"] + counts["not decided"]
    assert counts["not decided"] <= MANY * MOST_UNDECIDED
    assert counts["witnesses played"] == counts["witnesses confirmed"]
    open_, missing = (sum(n for name, n in counts.items() if name.startswith(kind)) for kind in (OPEN, NOT_PLAYED))
    assert counts["witnesses"] == counts["witnesses played"] + open_ + missing
    assert missing <= (counts["witnesses"] - open_) * MOST_MISSING
