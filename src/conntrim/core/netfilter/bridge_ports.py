"""`-m physdev`: the ports of the bridge that a packet came in by and leaves by, where somebody said them; held to
the kernel by `tests/lab/test_bridge_ports.py`."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.ruleset import OpaqueMatch
from conntrim.core.netfilter.skb import Skb


def physdev(match: OpaqueMatch, skb: Skb) -> bool | None:
    """Whether the match holds; None where nobody said that the packet comes by a bridge.

    The port that it leaves by is known from FORWARD on; until then no match on it holds.
    """
    packet = skb.packet
    if not (packet.bridge_in or packet.bridge_out) or match.negated:
        return None
    out = packet.bridge_out if skb.oif else ""
    answers = [_answer(option, name, inverted, packet.bridge_in, out) for option, name, inverted in _asked(match)]
    return False if False in answers else None if None in answers else True


def _answer(option: str, name: str, inverted: bool, came: str, out: str) -> bool | None:
    """One option; None where the port that it is about was not given, or for an option that nobody knows."""
    match option:
        case "--physdev-in":
            return _is(came, name) is not inverted if came else None
        case "--physdev-out":
            return bool(out) and _is(out, name) is not inverted  # without a port it holds not inverted either
        case "--physdev-is-in":
            return bool(came) is not inverted
        case "--physdev-is-out" | "--physdev-is-bridged":
            return bool(out) is not inverted
    return None


def _is(port: str, name: str) -> bool:
    return port.startswith(name[:-1]) if name.endswith("+") else port == name


def _asked(match: OpaqueMatch) -> Iterator[tuple[str, str, bool]]:
    """Its options: the name behind each, and whether it is inverted."""
    words = match.text.split()  # rule text: bridges are no part of the model, only of what explain is told
    for at, word in enumerate(words):
        if word.startswith("--"):
            behind = words[at + 1] if at + 1 < len(words) else ""
            yield word, "" if behind.startswith(("--", "!")) else behind, at > 0 and words[at - 1] == "!"
