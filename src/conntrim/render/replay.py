"""Witnesses on a kernel, as text: the answer in one line, then each witness with what the kernel did."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.replay import Played, Replay
from conntrim.render.page import page, wrapped


def replay_text(replay: Replay) -> str:
    """The whole answer."""
    return page(_lines(replay))


def _lines(replay: Replay) -> Iterator[str]:
    yield _answer(replay)
    for played in replay.played:
        yield ""
        yield from _one(played)
    for reason in replay.undecided:
        yield ""
        yield from wrapped(f"not decided: {reason}")


def _answer(replay: Replay) -> str:
    if not replay.played:
        return "nothing to replay" if replay.undecided else "the same: both rule sets treat every packet alike"
    return f"this kernel confirms {replay.confirmed} of {len(replay.played)} witnesses"


def _one(played: Played) -> Iterator[str]:
    status = "not replayed" if played.missing else "confirmed" if played.confirmed else "NOT CONFIRMED"
    yield from wrapped(f"{status}: {played.claim}: {played.words}")
    for packet in played.packets:
        yield from wrapped(packet, "  ")
    if played.missing:
        yield from wrapped(played.missing, "    ")
        return
    yield from wrapped(f"before: {played.before or 'nothing'}", "    ")
    yield from wrapped(f"after:  {played.after or 'nothing'}", "    ")
