"""A comparison as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import log2

from conntrim.core.model.service import Direction
from conntrim.core.prove.compare import Comparison, Difference
from conntrim.core.prove.packet_text import describe_packet
from conntrim.core.prove.populations import Population
from conntrim.render.json import to_json
from conntrim.render.page import page, wrapped

MOST_TARGETS = 4
"""Targets of translations named."""
LONGEST_EXACT = 32
"""Characters of a fraction that a reader still takes in; longer ones are in the JSON."""
LEAST_PERCENT, MOST_COUNTED = Fraction(1, 10_000), 10**12
"""From here on a share is told in percent; up to here as one in how many, else as one in a power of two."""

WHOSE: dict[Population, str] = {
    Population.UNSOLICITED: "unsolicited packets",
    Population.CONNECTIONS: "packets of connections",
    Population.ERRORS: "ICMP errors about connections",
    Population.EXPECTED: "connections that a helper expects",
    Population.TRANSLATED: "unsolicited packets",
    Population.WHOLE: "whole connections",
}
JSON_NAMES: dict[Population, str] = {
    Population.UNSOLICITED: "strangers", Population.CONNECTIONS: "connections", Population.ERRORS: "errors",
    Population.EXPECTED: "expected", Population.TRANSLATED: "translated", Population.WHOLE: "dialogues",
}  # fmt: skip
"""`strangers` is the name of the release before; it becomes `unsolicited` with the next one, as `packets` says now."""
WAYS: dict[Direction, str] = {
    Direction.INBOUND: "coming in", Direction.FORWARDED: "forwarded", Direction.OUTBOUND: "going out",
    Direction.LOOPBACK: "round lo",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Region:
    packets: str
    share: float
    exact_share: str
    witness: str


@dataclass(frozen=True, slots=True)
class _Difference:
    change: str
    family: str
    direction: str
    population: str
    packets: str
    share: float
    exact_share: str
    regions: list[_Region]
    all_regions: bool
    translated_to: list[str]


@dataclass(frozen=True, slots=True)
class ComparisonFields:
    """What `compare` prints as JSON."""

    same: bool
    differences: list[_Difference]
    others: list[str]
    undecided: list[str]
    remarks: list[str]


def compare_json(found: Comparison) -> str:
    """One JSON object, kind `comparison`."""
    told = [
        _Difference(
            "admitted" if d.admitted else "dropped", d.family.label, d.direction, JSON_NAMES[d.population],
            WHOSE[d.population],
            float(d.share), str(d.share),
            [_Region(r.words, float(r.share), str(r.share), describe_packet(r.witness)) for r in d.regions], d.whole,
            list(d.to),
        )
        for d in found.differences
    ]  # fmt: skip
    return to_json(
        "comparison", ComparisonFields(found.same, told, list(found.others), list(found.undecided), list(found.remarks))
    )


def compare_text(found: Comparison) -> str:
    """The answer on the first line, then each difference with its largest parts and a packet of each."""
    return page(_lines(found))


def _lines(found: Comparison) -> Iterator[str]:
    yield from wrapped(_answer(found), rest="")
    for difference in found.differences:
        yield ""
        yield from _difference(difference)
    for what in found.others:
        yield ""
        yield from wrapped(f"also differs: {what}" if found.differences else f"differs: {what}")
    for reason in found.undecided:
        yield ""
        yield from wrapped(f"not decided: {reason}")
    for remark in found.remarks:
        yield ""
        yield from wrapped(f"note: {remark}")


def _answer(found: Comparison) -> str:
    if found.same:
        return "the same: both rule sets treat every packet alike"
    if found.others and not found.differences:
        return "not the same: packets go where they went, but something else differs"
    if not found.differences:
        return "not decided"
    admits = {d.direction for d in found.differences if d.admitted and not d.to}
    drops = {d.direction for d in found.differences if not d.admitted and not d.to}
    parts = [
        f"{word} packets {_listed([WAYS[d] for d in WAYS if d in ways])}"
        for word, ways in (("admits", admits), ("drops", drops))
        if ways
    ]
    parts += [
        f"{word} {targets(tuple(dict.fromkeys(sent)))}"
        for admitted, word in ((True, "reaches"), (False, "loses"))
        if (sent := [to for d in found.differences if d.admitted is admitted for to in d.to])
    ]
    return f"AFTER newly {' and newly '.join(parts)}"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def targets(to: tuple[str, ...]) -> str:
    """Where packets are sent, the first of many."""
    more = len(to) - MOST_TARGETS
    return f"{', '.join(to[:MOST_TARGETS])} and {more} more" if more > 0 else _listed(list(to))


def _difference(difference: Difference) -> Iterator[str]:
    change = "newly admitted" if difference.admitted else "newly dropped"
    if difference.to:
        change = f"{'newly reachable' if difference.admitted else 'no longer reachable'}: {targets(difference.to)}, for"
    whose = f"{difference.family.label} {WHOSE[difference.population]} {WAYS[difference.direction]}"
    yield from wrapped(f"{change}{' ' if difference.to else ': '}{share(difference.share)} of {whose}")
    for region in difference.regions:
        yield from wrapped(f"- {region.words}", "  ")
        yield from wrapped(f"such as {describe_packet(region.witness)}", "      ")
    if not difference.whole:
        yield "  - and more"


def share(part: Fraction) -> str:
    """`12.50 %`, or as one in how many where that says more; beside it the exact part, where it is short."""
    if part == 1:
        return "all"
    exact, rough = _exact(part), _rough(part)
    return f"{rough} (exactly {exact})" if len(exact) <= LONGEST_EXACT else rough


def _rough(part: Fraction) -> str:
    if part >= LEAST_PERCENT:
        return f"{float(part):.2%}".replace("%", " %")
    often = round(1 / part)
    return f"1 in {often:,}" if often < MOST_COUNTED else f"1 in 2^{log2(often):.1f}"


def _exact(part: Fraction) -> str:
    """`2^-16` or `327677/2920577761280`."""
    below = part.denominator
    return f"2^-{below.bit_length() - 1}" if part.numerator == 1 and below & (below - 1) == 0 else str(part)
