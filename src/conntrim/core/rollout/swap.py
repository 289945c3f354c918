"""The steps of a confirm's swap, cut so that whatever dies amid them leaves the trial whole or the kept rules whole.

An nft transaction holds any number of tables: the batches of nft are one step. iptables has a transaction for each
table of each family, and two of them are not one: kept accepts whose untracking fell back admit what was never
admitted before. So the kept rules come in beside the guarded ones first, inert (*pending*): they want an address in a
list of `-m recent` that is empty. Filling that list (`FLIP`) keeps all of them at once. Only then, table by table, do
plain rules take the place of both. Before the flip everything ends with the trial; after it nothing does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from conntrim.core.model.plan import Batch
from conntrim.core.rollout.batches import puts, table_of
from conntrim.core.rollout.record import Journal

TRIAL_LIST, KEPT_LIST = "conntrim", "conntrim-kept"
"""Names of the lists: the trial's rules want a recent entry in the first, pending ones any in the second."""
FLIPPED = f"-m recent {KEPT_LIST} is filled"
"""Stands among our rules as listed, from the flip until the last pending rule is gone."""


@dataclass(frozen=True, slots=True)
class Flip:
    """The step after which the kept rules act, whatever comes."""


FLIP: Final = Flip()
Step = Batch | Flip


def steps(journal: Journal) -> tuple[Step, ...]:
    """What a confirm of the plan on trial does, each step changing what is listed of ours."""
    if journal.plan is None:
        return ()
    batches = journal.plan.confirm
    waiting = tuple(_pending(batches)) if journal.guard and journal.guard.recent else ()
    if len(waiting) < 2:  # one transaction needs no other to be whole
        return _one_nft(batches)
    return (*waiting, FLIP, *_one_nft([_final(batch) for batch in batches]))


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
    """The same batches, with neighbours that nft loads in one transaction."""
    merged: list[Batch] = []
    for batch in batches:
        if merged and merged[-1].program == batch.program == "nft":
            merged[-1] = Batch("nft", merged[-1].text + batch.text)
        else:
            merged.append(batch)
    return tuple(merged)
