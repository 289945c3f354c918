"""An explanation: one packet's or connection's way through a rule set, ready to be printed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One step: hook, table and chain, the rule's place and text ("" where no rule did it), the state seen, why."""

    hook: str
    table: str
    chain: str
    place: str
    rule: str
    state: str
    matched: bool
    why: str


@dataclass(frozen=True, slots=True)
class Told:
    """One packet's story. `name` is its part in the dialogue, `packet` its addresses, `answer` REJECT's own packet."""

    name: str
    packet: str
    verdict: str
    state: str
    path: tuple[Line, ...]
    undecided: tuple[str, ...] = ()
    answer: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """`answer` says it in one sentence; `because` are the causes behind it, `remarks` what the rules did not tell."""

    verdict: str
    answer: str
    because: tuple[str, ...]
    packets: tuple[Told, ...]
    entries: int
    remarks: tuple[str, ...] = ()
