"""The model against the kernel: a short run, a run with a wrong table, and the cases kept from earlier runs."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.protocol import protocol_name
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.states import FRESH, Need, Row
from conntrim.lab.case import Case, format_case, parse_case
from conntrim.lab.dialogue import shots
from conntrim.lab.entries import dumped, listed
from conntrim.lab.expect import KERNEL, expected, observed, ruleset_of
from conntrim.lab.generate import ruleset
from conntrim.lab.oracle import Oracle, consulting, story
from conntrim.lab.talk import dialogues
from conntrim.lab.truth import Judged, Wanted, judged, run

CASES = sorted((Path(__file__).parents[1] / "golden" / "truth").glob("*.case"))


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    """One oracle for all cases."""
    with consulting("case") as made:
        yield made


def answered(oracle: Oracle, case: Case) -> Case:
    """The case with what this kernel says to it, and how it lists its rules."""
    oracle.load(case.batches)
    listing = oracle.listing() if case.listing or any(b.program == "nft" for b in case.batches) else ""
    traces = oracle.fire(shots([case.packets]))
    believed = expected(observed(ruleset_of(case.batches, listing)), case.packets)
    entries = listed(believed.entries or (), sorted(dumped(oracle.host.name)))
    oracle.unload()
    oracle.forget()
    return replace(case, listing=listing, stories=tuple(story(t) for t in traces), entries=entries)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_the_kernel_still_says_so(oracle: Oracle, path: Path) -> None:
    """Each packet has the story that stands in the file, which names all entries; GOLDEN=accept writes it."""
    case = parse_case(path.read_text(), path.name)
    now = answered(oracle, case)
    if os.environ.get("GOLDEN") == "accept":
        path.write_text(format_case(now if (now.stories, now.entries) != (case.stories, case.entries) else case))
    else:
        assert (case.stories, case.entries) == (now.stories, now.entries)


def test_model_and_kernel_agree() -> None:
    """20,000 packets over 40 rule sets: not one dialogue differs, and nearly all packets are decided."""
    truth = run(Wanted(20_000, 40, seed=1))
    assert (20_000, 40, 0, ()) == (truth.packets, truth.rulesets, truth.disagreements, truth.cases)
    assert truth.undecided < 1_000


WRONG = {
    CtState.NEW: CtState.INVALID, CtState.INVALID: CtState.UNTRACKED, CtState.UNTRACKED: CtState.NEW,
    CtState.RELATED: CtState.NEW,
}  # fmt: skip
"""What a row of the table of states is made to say instead."""


def broken(row: Row) -> Kernel:
    """The oracle's kernel with one row of its table of states turned round."""
    wrong = replace(row, state=WRONG[row.state], need=Need.NOTHING)
    return replace(KERNEL, fresh=tuple(wrong if each is row else each for each in FRESH))


@pytest.fixture(scope="module")
def heard(oracle: Oracle) -> list[Judged]:
    """What the kernel did with 10,000 packets under 20 rule sets; the model as it is agrees."""
    found: list[Judged] = []
    for index in range(20):
        random = Random(f"1:{index}")
        script = ruleset(random)
        found.append(judged(oracle, script, dialogues(random, 500), KERNEL, peers=True))
    assert 10_000 == sum(len(each.packets) for one in found for each in one.judgements)
    assert all(each.agreed for one in found for each in one.judgements)
    return found


@pytest.mark.parametrize("row", FRESH, ids=lambda row: row.fact)
def test_any_broken_row_of_the_state_table_is_found(heard: list[Judged], row: Row) -> None:
    """Whichever row of the table of states is turned round, 10,000 packets find it."""
    kernel = broken(row)
    wrong = (
        replace(each, believed=expected(one.model, each.packets, kernel))
        for one in heard
        for each in one.judgements
        if each.believed.entries is not None
    )
    assert any(not each.agreed for each in wrong)


def test_a_disagreement_is_made_small() -> None:
    """With the row of TCP's SYN turned round a run says how soon it found it; what is left of it is one bare packet."""
    truth = run(Wanted(2_000, 4, seed=1, cases=1), kernel=broken(FRESH[0]))
    case = parse_case(truth.cases[0], "case")
    assert truth.first_at is not None
    assert truth.disagreements > 0
    assert ((), 1, "tcp") == (case.batches, len(case.packets), protocol_name(case.packets[0].protocol))
