"""An explanation as text: the answer first, what lies behind it, then each packet's steps."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.explanation import Explanation, Line, Told
from conntrim.render.page import page, wrapped

ENDINGS = {
    "accept": "accepted",
    "drop": "dropped",
    "reject": "rejected",
    "answered": "answered",
    "not decided": "not decided",
}
"""A verdict as the end of a story."""


def explain_text(explanation: Explanation) -> str:
    """The whole text, under 80 columns, with a line feed at its end."""
    return page(_lines(explanation))


def _lines(explanation: Explanation) -> Iterator[str]:
    yield from wrapped(explanation.answer)
    for cause in explanation.because:
        yield ""
        yield from wrapped(cause)
    before: dict[tuple[object, ...], int] = {}
    for number, told in enumerate(explanation.packets, 1):
        yield ""
        like = before.setdefault((told.path, told.undecided, told.answer), number)
        yield from _packet(told, f"{number}. " if len(explanation.packets) > 1 else "", like if like < number else 0)
    for remark in explanation.remarks:
        yield ""
        yield from wrapped(f"note: {remark}")


def _packet(told: Told, number: str, like: int) -> Iterator[str]:
    """A packet whose way is that of an earlier one, `like`, is told in a line."""
    same = f", as packet {like}" if like else ""
    yield from wrapped(f"{number}{told.name}  {told.packet}: {ENDINGS[told.verdict]}, {told.state}{same}")
    if like:
        return
    for line in told.path:
        if _telling(line):
            yield from _step(line)
    for question in told.undecided:
        yield from wrapped(f"not decided: {question}", "   ")
    for answer in told.answer:
        yield from wrapped(
            f"the answer to it  {answer.packet}: {answer.name}, {ENDINGS[answer.verdict]}, {answer.state}", "   "
        )


def _telling(line: Line) -> bool:
    """A policy that accepts is told of the filter table only: the others are there to mark, not to judge."""
    return bool(line.rule) or line.table in ("", "filter") or line.why != "policy accept"


def _step(line: Line) -> Iterator[str]:
    where = f"{line.table} {line.chain}".strip() or "conntrack"
    place = f" {line.place}" if line.place else ""
    why = f": {line.why}" if line.why else ""
    yield from wrapped(f"{line.hook:<12} {where}{place}{why}", "   ")
    if line.rule:
        yield from wrapped(line.rule, " " * 16)
