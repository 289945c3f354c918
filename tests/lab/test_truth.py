"""The model against the kernel: a short run, a run with a wrong table, and the cases kept from earlier runs."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.protocol import protocol_name
from conntrim.core.netfilter.states import FRESH
from conntrim.lab.case import Case, format_case, parse_case
from conntrim.lab.dialogue import shots
from conntrim.lab.entries import dumped, told
from conntrim.lab.expect import KERNEL, expected, observed, ruleset_of
from conntrim.lab.judge import Judge, judging, story
from conntrim.lab.truth import Wanted, run

CASES = sorted((Path(__file__).parents[1] / "golden" / "truth").glob("*.case"))


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """One judge for all cases."""
    with judging("case") as made:
        yield made


def answered(judge: Judge, case: Case) -> Case:
    """The case with what this kernel says to it, and how it lists its rules."""
    judge.load(case.batches)
    listing = judge.listing() if case.listing or any(b.program == "nft" for b in case.batches) else ""
    traces = judge.fire(shots([case.packets]))
    believed = expected(observed(ruleset_of(case.batches, listing)), case.packets)
    entries = told(believed.entries or (), sorted(dumped(judge.host.name)))
    judge.unload()
    judge.forget()
    return replace(case, listing=listing, stories=tuple(story(t) for t in traces), entries=entries)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_the_kernel_still_says_so(judge: Judge, path: Path) -> None:
    """Each packet has the story that stands in the file, which names all entries; GOLDEN=accept writes it."""
    case = parse_case(path.read_text(), path.name)
    now = answered(judge, case)
    if os.environ.get("GOLDEN") == "accept":
        path.write_text(format_case(now if (now.stories, now.entries) != (case.stories, case.entries) else case))
    else:
        assert (case.stories, case.entries) == (now.stories, now.entries)


def test_model_and_kernel_agree() -> None:
    """20,000 packets over 40 rule sets: not one dialogue differs, and nearly all packets are decided."""
    truth = run(Wanted(20_000, 40, seed=1))
    assert (20_000, 40, 0, ()) == (truth.packets, truth.rulesets, truth.disagreements, truth.cases)
    assert truth.undecided < 1_000


BROKEN = {"a SYN opens a connection": ("tcp",), "an answer nobody asked for": ("icmp", "icmpv6")}
"""Rows of the table of states, by their fact, and the protocols that they are about."""


@pytest.mark.parametrize(("fact", "protocols"), BROKEN.items())
def test_a_broken_row_of_the_state_table_is_found(fact: str, protocols: tuple[str, ...]) -> None:
    """With a row of the table of states turned round 10,000 packets find it; what is left of it is one bare packet."""
    wrong = {CtState.NEW: CtState.INVALID, CtState.INVALID: CtState.NEW}
    table = tuple(replace(row, state=wrong[row.state]) if row.fact == fact else row for row in FRESH)
    truth = run(Wanted(10_000, 20, seed=1, cases=1), kernel=replace(KERNEL, fresh=table))
    case = parse_case(truth.cases[0], "case")
    assert truth.first_at is not None
    assert ((), 1) == (case.batches, len(case.packets))
    assert protocol_name(case.packets[0].protocol) in protocols
