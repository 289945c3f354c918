"""A batch of a trial as it can be loaded where no rule stands: to ask the kernel itself, statement by statement.

`iptables-restore --test` asks no kernel about a rule (K168). What takes objects of the host's by name that an empty
namespace lacks, or stands by a rule's handle, is left out: nothing is learnt of it there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from conntrim.core.model.plan import HANDLE, POLICY_NAME, Batch, slot_of_table
from conntrim.core.parse.listed import line_xt, words_xt
from conntrim.core.rollout.batches import puts, table_of

BUILTIN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
_TIMEOUT = "--timeout"
_OF_THE_HOST = frozenset({"--nfacct-name", _TIMEOUT})
"""Options that name what only ctnetlink and its like make, in one namespace; policies of ours are made there too."""
_SETS = frozenset({"--match-set", "--add-set", "--del-set", "--map-set"})
_COMMANDS = frozenset({"add", "insert", "flush"})


@dataclass(frozen=True, slots=True)
class Alone:
    """`frame` are the lines of the table and of the chains it needs, `statements` what is asked about, in order."""

    program: str
    frame: str
    statements: tuple[str, ...]

    def whole(self) -> Batch:
        """All of it, in one transaction."""
        body = "".join(f"{statement}\n" for statement in self.statements)
        return Batch(self.program, body if self.program == "nft" else f"{self.frame}{body}COMMIT\n")

    def each(self) -> Iterator[tuple[str, Batch]]:
        """Each statement with the batch that adds it to those before: the chains come with the first."""
        for at, statement in enumerate(self.statements):
            only = Alone(self.program, self.frame if at == 0 else self.frame.partition("\n")[0] + "\n", (statement,))
            yield statement, only.whole()

    def policies(self) -> dict[str, str]:
        """The time-out policies of ours that are named, each with its protocol."""
        lines = [words_xt(statement) for statement in self.statements if self.program != "nft"]
        told = [dict(pairwise(words)) for words in lines]
        return {words[_TIMEOUT]: words.get("-p", "") for words in told if _TIMEOUT in words}

    def sets(self) -> frozenset[str]:
        """The ipsets that are asked."""
        lines = [words_xt(statement) for statement in self.statements if self.program != "nft"]
        return frozenset(name for words in lines for option, name in pairwise(words) if option in _SETS)


def alone(batch: Batch, chains: Collection[str]) -> Alone:
    """The batch without what it stands beside; `chains` are those of the host that a rule may jump to."""
    return Alone(batch.program, "", tuple(_nft(batch.text))) if batch.program == "nft" else _xt(batch, chains)


def _theirs(words: Sequence[str]) -> bool:
    """Whether a rule needs what only the host has."""
    named = [name for option, name in pairwise(words) if option == _TIMEOUT]
    return bool(_OF_THE_HOST.intersection(words)) and not (named and all(map(POLICY_NAME.fullmatch, named)))


def _xt(batch: Batch, chains: Collection[str]) -> Alone:
    found = [f"-A {put.chain} {put.text}" for put in puts([batch])]
    rules = [rule for rule in found if not _theirs(words_xt(rule))]
    read = [line_xt(rule) for rule in rules]
    own = [line[1:].split()[0] for line in batch.text.split("\n") if line.startswith(":")]
    needed = (*own, *(r.chain for r in read), *(r.target for r in read if r.target in chains))
    named = dict.fromkeys(name for name in needed if name not in BUILTIN)
    return Alone(batch.program, f"*{table_of(batch)}\n" + "".join(f":{c} - [0:0]\n" for c in named), tuple(rules))


def _nft(text: str) -> Iterator[str]:
    """Commands about our own table; an object is written in several lines."""
    lines = iter(text.split("\n"))
    for line in lines:
        command, *words = line.split(" ", 4)
        whole = command == "table"
        where = words[:2] if whole else words[1:3] if command in _COMMANDS else []
        if len(where) == 2 and slot_of_table(*where) and HANDLE not in line:
            yield "\n".join((line, *_block(lines))) if whole else line


def _block(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if line == "}":
            return
