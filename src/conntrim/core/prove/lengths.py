"""Dialogues whose packets have the lengths that plain programs send, where rules ask for the length: packets of one
connection have different ones, so a rule may take some of them and leave the others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from conntrim.core.model.address import Family
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.ruleset import In, Rule, Ruleset
from conntrim.core.netfilter.answers import HEADERS, LONGEST
from conntrim.core.netfilter.dialogue import Talk
from conntrim.core.netfilter.hooks import tables_of
from conntrim.core.prove.scripts import Script

TCP_HEADER, OTHER_HEADER = 20, 8
"""Bytes behind the network's header of a packet without data: TCP without options, UDP and echoes."""

OF_SYN, OF_OTHERS = 20, 12
"""Bytes of the options of a SYN, and of other TCP packets, as Linux sends them; small stacks send none."""

LARGEST = 1500
"""An Ethernet frame's packet."""

USUAL = 64
"""Data in bytes, where nothing asks for another length."""


def asked_lengths(ruleset: Ruleset, family: Family) -> tuple[int, ...]:
    """Where a rule of a family begins to treat lengths otherwise, in order; empty where none asks."""
    rules = (
        rule for table in tables_of(ruleset, family) for chain in table.chains for rule in chain.those(_asks_length)
    )
    asking = [m for rule in rules for m in rule.matches if isinstance(m, In)]
    spans = [span for m in asking if m.field is Field.LENGTH for span in m.values.ranges]
    return tuple(sorted({edge for low, high in spans for edge in (low, high + 1)}))


def _asks_length(rule: Rule) -> bool:
    return any(isinstance(m, In) and m.field is Field.LENGTH for m in rule.matches)


def sized(script: Script, family: Family, edges: Sequence[int]) -> Iterator[Script]:
    """The script with lengths, once for each way in which the rules may tell its packets apart: by few lengths of data,
    with TCP options and without. Without rules that ask, as it is."""
    if not edges:
        yield script
        return
    seen = set[tuple[int, ...]]()
    tcp = script.talk is Talk.TCP
    for options in (True, False) if tcp else (False,):
        least = HEADERS[family] + (TCP_HEADER + OF_OTHERS * options if tcp else OTHER_HEADER)
        for data in _data(edges, least):
            lengths = tuple(_lengths(script, family, options, data))
            kinds = tuple(bisect_right(edges, length) for length in lengths)
            if kinds not in seen:
                seen.add(kinds)
                turns = (replace(turn, length=length) for turn, length in zip(script.turns, lengths, strict=True))
                yield replace(script, turns=tuple(turns))


def _data(edges: Sequence[int], least: int) -> Iterator[tuple[int, int]]:
    """Lengths of a query and its answer: alike, or a short query with another answer."""
    bounds = [least + 1, *(edge for edge in edges if least + 1 < edge <= LARGEST), LARGEST + 1]
    spans = [(low, high - 1) for low, high in pairwise(bounds)]
    few = [min(max(least + USUAL, low), high) for low, high in (spans if len(spans) < 4 else (*spans[:2], spans[-1]))]
    yield from ((each, each) for each in few)
    yield from ((few[0], each) for each in few[1:])


def _lengths(script: Script, family: Family, options: bool, data: tuple[int, int]) -> Iterator[int]:
    made: list[int] = []
    echo = script.talk is Talk.ECHO
    for turn in script.turns:
        if turn.about is not None:
            made.append(min(HEADERS[family] + OTHER_HEADER + made[turn.about], LONGEST[family]))
        elif turn.flags is None or turn.flags & TcpFlag.PSH:
            made.append(data[turn.back and not echo])
        else:
            more = OF_SYN if turn.flags & TcpFlag.SYN else OF_OTHERS
            made.append(HEADERS[family] + TCP_HEADER + more * options)
        yield made[-1]
