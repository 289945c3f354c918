"""The steps of a confirm's swap: pending rules, the flip, then the plan's own texts."""

from dataclasses import replace
from textwrap import dedent

from conntrim.core.model.plan import Batch
from conntrim.core.rollout.record import Guard, Journal, Moment, Swap
from conntrim.core.rollout.states import State
from conntrim.core.rollout.status import resumed
from conntrim.core.rollout.swap import FLIP, FLIPPED, flip_at, steps
from tests.fakes.plans import fake_plan

GUARD = Guard(1_000, 100.0, "boot", recent=61)
NOW, LATER = Moment(990.0, 90.0, "boot"), Moment(2_000.0, 1_100.0, "boot")
FILTER = Batch("iptables-restore", "*filter\n-D IN a (trial)\n-D IN b (trial)\n-I IN 7 b\n-I IN 3 a\nCOMMIT\n")
RAW = Batch("ip6tables-restore", "*raw\n-D OUTPUT j (trial)\n-I OUTPUT j\nCOMMIT\n")


def journal(*confirm: Batch, guard: Guard = GUARD) -> Journal:
    """One amid the swap of these batches."""
    plan = replace(fake_plan(), confirm=confirm, trial=(Batch("iptables-restore", "+x"),))
    return Journal(State.SWAPPING, plan, guard, swap=Swap(0, ("trial",)))


def test_kept_rules_wait_beside_the_guarded_ones_until_the_flip() -> None:
    """Pending rules first, at places that count the guarded ones in front; the flip; then pending and guarded go."""
    waits = "-m recent --name conntrim-kept --rcheck --mask 0.0.0.0 --rsource"
    waits6 = waits.replace("0.0.0.0", "::")  # a mask
    expected = (
        f"""\
        *filter
        -I IN 8 {waits} b
        -I IN 3 {waits} a
        COMMIT
        """,
        f"""\
        *raw
        -I OUTPUT 1 {waits6} j
        COMMIT
        """,
        None,
        f"""\
        *filter
        -D IN {waits} b
        -D IN {waits} a
        -D IN a (trial)
        -D IN b (trial)
        -I IN 7 b
        -I IN 3 a
        COMMIT
        """,
        f"""\
        *raw
        -D OUTPUT {waits6} j
        -D OUTPUT j (trial)
        -I OUTPUT j
        COMMIT
        """,
    )
    got = tuple(step.text if isinstance(step, Batch) else None for step in steps(journal(FILTER, RAW)))
    assert tuple(text and dedent(text) for text in expected) == got


def test_nft_is_one_transaction() -> None:
    """All batches of nft that follow each other are one step, and need no flip: so in journals of earlier releases."""
    two = Batch("nft", "insert rule a\n"), Batch("nft", "flush chain b\n")
    assert (Batch("nft", "insert rule a\nflush chain b\n"),) == steps(journal(*two))
    assert None is flip_at(steps(journal(*two)))


def test_nft_goes_phase_by_phase() -> None:
    """Guards for good in all tables at once, then nothing falls back; plain rules; the guarded ones go."""
    phases = (
        ["flush set a\n", "flush set b\n"],
        ["insert rule a\n", "insert rule b\n"],
        ["delete rule a\n", "delete rule b\n"],
    )
    to_do = steps(dead := journal(*(Batch("nft", text) for phase in phases for text in phase)))
    assert tuple(Batch("nft", "".join(phase)) for phase in phases) == to_do
    assert 0 == flip_at(to_do)
    assert State.EXPIRED is resumed(dead, LATER, ("trial",)).state
    assert State.KEEPING is resumed(dead, LATER, ("trial for good",)).state


def test_without_the_second_guard_the_batches_are_the_steps() -> None:
    """Where the kernel has no list to flip, the plan's own batches follow each other."""
    assert (FILTER, RAW) == steps(journal(FILTER, RAW, guard=replace(GUARD, recent=0)))


def test_the_flip_decides_what_a_deadline_means() -> None:
    """Dead before the flip: over with the deadline. After it: kept, and a confirm goes on however late."""
    before, flipped = ("trial", "pending"), ("trial", "pending", FLIPPED)
    dead = replace(journal(FILTER, RAW), swap=Swap(2, before))
    assert FLIP == steps(dead)[2]
    assert State.SWAPPING is resumed(dead, NOW, before).state
    assert State.EXPIRED is resumed(dead, LATER, before).state
    assert State.KEEPING is resumed(dead, LATER, flipped).state
    last = replace(dead, swap=Swap(4, flipped))
    assert State.KEEPING is resumed(last, LATER, ("kept",)).state
    begun = replace(dead, state=State.KEEPING)
    assert State.SWAPPING is resumed(begun, NOW, before).state
    assert State.EXPIRED is resumed(begun, LATER, before).state


def test_a_restart_amid_the_swap_is_seen() -> None:
    """The rules are gone after a restart, which is no step of the swap."""
    dead = replace(journal(FILTER, RAW), swap=Swap(4, ("trial",)))
    assert State.LOST is resumed(dead, replace(NOW, boot="another"), ()).state
