"""The steps of a confirm's swap, cut so that whatever dies amid them leaves the trial whole or the kept rules whole.

An nft transaction holds any number of tables: neighbours of one phase are one step. First the guards lose their end,
which keeps all rules at once; then plain rules come in beside the guarded ones, and then these go (K104).

iptables has a transaction for each table of each family, and two of them are not one: kept accepts whose untracking
fell back admit what was never admitted before. So the kept rules come in beside the guarded ones first, inert
(*pending*): they want an address in a list of `-m recent` that is empty. Filling that list (`FLIP`) keeps all of them
at once. Only then, table by table, do plain rules take the place of both. Before the step that keeps all, everything
ends with the trial; after it nothing does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from conntrim.core.model.plan import KEPT_LIST, Batch, Plan
from conntrim.core.rollout.batches import Phase, phase, puts, table_of
from conntrim.core.rollout.record import Journal

FLIPPED = f"-m recent {KEPT_LIST} is filled"
"""Stands among our rules as listed, from the flip until the last pending rule is gone."""


@dataclass(frozen=True, slots=True)
class Flip:
    """The step after which the kept rules act, whatever comes."""


FLIP: Final = Flip()
Step = Batch | Flip


def flip_at(to_do: Sequence[Step]) -> int | None:
    """Which of the steps keeps all rules at once; None where only all of them together do."""
    return next((n for n, step in enumerate(to_do) if isinstance(step, Flip) or phase(step) is Phase.KEEP), None)


def steps(journal: Journal) -> tuple[Step, ...]:
    """What a confirm of the plan on trial does, each step changing what is listed of ours."""
    if journal.plan is None:
        return ()
    batches = journal.plan.confirm
    waiting = tuple(_pending(batches)) if journal.guard and journal.guard.recent else ()
    if len(waiting) < 2:  # one transaction needs no other to be whole
        return _one_nft(batches)
    return (*waiting, FLIP, *_one_nft([_final(batch) for batch in batches]))


def confirming(plan: Plan, batch: Batch) -> tuple[Batch, ...]:
    """What a confirm loads into the table that a batch of the trial fills."""
    return tuple(b for b in plan.confirm if (b.program, table_of(b)) == (batch.program, table_of(batch)))


def recent(program: str, name: str, seconds: int = 0) -> str:
    """A match: the list holds anything, not older than so many seconds where told; every address is one under /0."""
    mask = "::" if program.startswith("ip6") else "0.0.0.0"  # noqa: S104  # a mask, nothing is bound to it
    age = f" --seconds {seconds}" if seconds else ""
    return f"-m recent --name {name} --rcheck{age} --mask {mask} --rsource"


def _pending(batches: Sequence[Batch]) -> Iterator[Batch]:
    """The kept rules of each table, waiting in front of the guarded ones."""
    for batch in batches:
        inserts = _inserts(batch)
        lines = [
            # The guarded rules still stand there: one of them for each line to come shifts this one's place.
            f"-I {chain} {behind + 1 + sum(later == chain for later, *_ in inserts[at + 1 :])} {rule}"
            for at, (chain, behind, rule) in enumerate(inserts)
        ]
        if lines:
            yield Batch(batch.program, "\n".join([f"*{table_of(batch)}", *lines, "COMMIT\n"]))


def _final(batch: Batch) -> Batch:
    """The plan's own swap, with the pending rules going out first: then every place is again the plan's."""
    gone = [f"-D {chain} {rule}\n" for chain, _, rule in _inserts(batch)]
    head = f"*{table_of(batch)}\n"
    return replace(batch, text="".join([head, *gone, batch.text.removeprefix(head)])) if gone else batch


def _inserts(batch: Batch) -> list[tuple[str, int, str]]:
    """Chain, rules in front and pending text of each rule that a batch of iptables inserts into a chain of others."""
    if batch.program == "nft":
        return []
    waiting = recent(batch.program, KEPT_LIST)
    return [(p.chain, p.behind, f"{waiting} {p.text}") for p in puts([batch]) if p.behind is not None]


def _one_nft(batches: Sequence[Batch]) -> tuple[Batch, ...]:
    """The same batches, with neighbours of one phase that nft loads in one transaction."""
    runs = groupby(enumerate(batches), lambda item: phase(item[1]) if item[1].program == "nft" else item[0])
    found = [[batch for _, batch in run] for _, run in runs]
    return tuple(Batch(run[0].program, "".join(batch.text for batch in run)) for run in found)
