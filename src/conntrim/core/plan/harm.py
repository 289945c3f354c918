"""What shorter time-outs would cut: connections that get a packet after a silence that their entry does not outlive.

Asked is the state in which a connection lives and may be idle: TCP's established, UDP's longer of the two. What the
others end is a connection that is being opened or closed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from conntrim.core.model.plan import TimeoutHarm
from conntrim.core.model.policy import ServiceTimeout
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.silences import Silences
from conntrim.core.plan.timed import touches_service

NOT_LOOKED = "was not observed; plan --again 60 looks for five minutes"
LIVES: dict[int, tuple[str, ...]] = {Protocol.TCP: ("established",), Protocol.UDP: ("replied", "unreplied")}
"""States of a policy in which a connection may be silent and go on."""
Z95 = 1.645
"""Of the normal distribution, for a bound on one side."""
NONE_SEEN = 3.0
"""The rule of three: of what was not seen at all at most three were to be expected, at 95 %."""
HOUR = 3_600


def harm(timeouts: Sequence[ServiceTimeout], silences: Silences | None) -> Iterator[TimeoutHarm]:
    """For each time-out what the readings tell of it, and what they do not."""
    for each in timeouts:
        seconds = next((each.seconds[s] for s in LIVES.get(each.protocol, tuple(each.seconds)) if s in each.seconds), 0)
        if not seconds:
            yield TimeoutHarm(each.what, f"{each.what}: only connections that are being opened or closed are shortened")
        elif silences is None:
            yield TimeoutHarm(
                each.what, f"{each.what}: which of its connections are idle for longer {NOT_LOOKED}", seconds
            )
        else:
            yield _observed(each, seconds, silences)


def _observed(timeout: ServiceTimeout, seconds: int, silences: Silences) -> TimeoutHarm:
    # With ends named there are more than the time-out's own among them, and the bound holds.
    mine = [s for s in silences.services if touches_service(timeout, s.service)]
    entries = sum(s.entries for s in mine)
    unknown = f"{timeout.what}: which of its connections are idle for longer than {seconds:,} s is not known"
    if not silences.watched or not mine:
        return TimeoutHarm(timeout.what, f"{unknown}: none of them was observed", seconds)
    if seconds <= silences.noticed:
        why = f"silences below {silences.noticed:.0f} s are missed; --every {max(seconds // 2, 1)} notices them"
        return TimeoutHarm(timeout.what, f"{unknown}: {why}", seconds, silences.watched, entries)
    cut = sum(int((s.gaps > seconds).sum()) for s in mine)
    spread = 1 + Z95 * math.sqrt(silences.doubt)
    most = most_expected(cut) * silences.weight * spread / silences.watched * HOUR
    words = (
        f"{timeout.what}: of {entries:,} followed for {silences.watched:,.0f} s {cut:,} got a packet after a silence "
        f"that may have been longer than {seconds:,} s, and would have been cut; at 95 % it is at "
        f"most {math.ceil(most):,} an hour"
    )
    return TimeoutHarm(timeout.what, words, seconds, silences.watched, entries, cut, round(most, 1))


def most_expected(counted: int) -> float:
    """The Poisson mean of which no more than so many are counted in one of twenty cases (Byar's approximation)."""
    if not counted:
        return NONE_SEEN
    more = counted + 1
    return more * (1 - 1 / (9 * more) + Z95 / (3 * math.sqrt(more))) ** 3
