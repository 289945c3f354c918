"""The kernel asked about a batch: checked beside the rules that it is for, loaded where there are none.

The namespace has no name and is held by a descriptor: it is gone with this process, however that ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from conntrim.core.model.address import Family
from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import POLICIES, Batch
from conntrim.core.model.protocol import NUMBERS
from conntrim.core.parse.listed import sections
from conntrim.core.rollout.alone import Alone, alone
from conntrim.core.rollout.batches import table_of
from conntrim.core.rollout.record import Guard
from conntrim.host import programs
from conntrim.host.ct_timeouts import NEEDED, CtTimeouts
from conntrim.host.loader import HostLoader, programs_missing, refuse_unknown
from conntrim.host.netns import fresh

MISSING = {"nft": "nft is not installed, and the time-outs of services are nft's: Debian's package nftables has it"}


def complaint(batch: Batch, netns: str | None, guard: Guard) -> str:
    """Why this kernel, or the program, would not take the batch, beginning with the statement; "" where it would.

    HostError where an empty namespace cannot be made: then `--test` alone says yes, and it asks no kernel (K168).
    """
    refuse_unknown(batch.program)
    if batch.program in MISSING and programs_missing(batch.program):
        return MISSING[batch.program]
    try:
        HostLoader(netns).check(batch, guard)
    except HostError as error:
        return str(error)
    if batch.program == POLICIES:
        return _refused_policy(batch, guard)
    asked = alone(batch, _chains(batch, netns))
    refused = _refused([asked.whole()], asked, netns, guard) if asked.statements else None
    return _culprit(asked, netns, guard) or refused[1] if refused else ""


def _refused_policy(batch: Batch, guard: Guard) -> str:
    with fresh() as path:
        try:
            HostLoader(path).load(batch, guard)
        except HostError as error:
            return f"{error}; {NEEDED}"
    return ""


def _culprit(asked: Alone, netns: str | None, guard: Guard) -> str:
    """The first statement that is refused, and the program's words; "" where each alone is taken."""
    found = list(asked.each())
    refused = _refused([batch for _, batch in found], asked, netns, guard)
    return f"{' '.join(found[refused[0]][0].split())}: {refused[1]}" if refused else ""


def _refused(batches: Sequence[Batch], asked: Alone, netns: str | None, guard: Guard) -> tuple[int, str] | None:
    """The first of these batches that an empty namespace does not take after those before it, and why."""
    with fresh() as path:
        _sets(asked, netns, path)
        CtTimeouts(path).done([_like(*each, asked.program) for each in sorted(asked.policies().items())])
        for at, batch in enumerate(batches):
            try:
                HostLoader(path).load(batch, guard)
            except HostError as error:
                return at, " ".join(error.detail.split())
            if widened := _widened(batch, path):
                return at, f"{batch.program} loads {widened} as another prefix: it is older than 1.8.8"
    return None


_HOLES = re.compile(r"(?<= -[sd] )[^\s/]+/[0-9a-f]*[.:]\S*")
"""An address under a mask that is no prefix's."""


def _widened(batch: Batch, path: str) -> str:
    """An address under a mask with holes that was loaded as another one (K127); "" where all are listed as written."""
    if batch.program == "nft" or not (written := _HOLES.findall(batch.text)):
        return ""
    listed = _HOLES.findall(programs.run([batch.program.replace("-restore", "-save")], netns=path))
    return next((each for each in written if each not in listed), "")


def _like(name: str, protocol: str, program: str) -> TimeoutPolicy:
    """A policy of a name that rules of a program may take, whatever it says: the kernel asks family and protocol."""
    family = Family.IPV6 if program.startswith("ip6") else Family.IPV4
    return TimeoutPolicy(name, family, NUMBERS[protocol], ((FIRST[protocol], 10),))


FIRST = {"tcp": "close", "udp": "replied"}
"""A state of each protocol that policies are of."""


def _chains(batch: Batch, netns: str | None) -> frozenset[str]:
    """The chains of the host's table that the batch is about."""
    if batch.program == "nft":
        return frozenset()
    listing = programs.run([batch.program.replace("-restore", "-save")], netns=netns)
    table = table_of(batch)
    return frozenset(chain for section in sections(listing) if section.table == table for chain in section.chains)


def _sets(asked: Alone, netns: str | None, path: str) -> None:
    """The ipsets that are asked, empty."""
    if (wanted := asked.sets()) and programs.find("ipset"):
        lines = programs.run(["ipset", "save"], netns=netns).split("\n")
        made = [line for line in lines if line.startswith("create ") and line.split(" ", 2)[1] in wanted]
        programs.run(["ipset", "restore"], text="".join(f"{line}\n" for line in made), netns=path)
