"""Lines about time-out policies, as `nfct` takes them, read: what a plan or a journal holds for ctnetlink."""

from __future__ import annotations

from conntrim.core.model.ct_timeout import FAMILY_WORDS, TimeoutPolicy
from conntrim.core.model.errors import HostError
from conntrim.core.model.protocol import NUMBERS

FAMILIES = {word: family for family, word in FAMILY_WORDS.items()}


def policies_of(text: str) -> tuple[TimeoutPolicy, ...]:
    """The lines in their order; HostError for one that is none, as of a journal that somebody has edited."""
    return tuple(map(policy_of, filter(None, text.split("\n"))))


def policy_of(line: str) -> TimeoutPolicy:
    """One of them."""
    match line.split():
        case ["nfct", "delete", "timeout", name]:
            return TimeoutPolicy(name)
        case ["nfct", "add", "timeout", name, family, protocol, *states] if (
            family in FAMILIES and protocol in NUMBERS and states and len(states) % 2 == 0
        ):
            pairs = [(state, seconds) for state, seconds in zip(states[::2], states[1::2], strict=True)]
            if all(seconds.isdecimal() for _, seconds in pairs):
                told = sorted((state, int(seconds)) for state, seconds in pairs)
                return TimeoutPolicy(name, FAMILIES[family], NUMBERS[protocol], tuple(told))
        case _:
            pass
    raise HostError("nfct", f"no line about a time-out policy: {line[:80]!r}")
