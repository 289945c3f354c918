"""`-m physdev`: the ports of the bridge that a packet came in by and leaves by, where somebody said them; held to
the kernel by `tests/lab/test_bridge_ports.py`."""

from __future__ import annotations

from conntrim.core.model.asks import BridgePorts
from conntrim.core.netfilter.skb import Skb


def physdev(ports: BridgePorts, skb: Skb) -> bool | None:
    """Whether the match holds; None where nobody said that the packet comes by a bridge.

    The port that it leaves by is known from FORWARD on; until then no match on it holds.
    """
    packet = skb.packet
    if not (packet.bridge_in or packet.bridge_out):
        return None
    out = packet.bridge_out if skb.oif else ""
    answers = [_answer(option, name, inverted, packet.bridge_in, out) for option, name, inverted in ports.options]
    return False if False in answers else None if None in answers else True


def _answer(option: str, name: str, inverted: bool, came: str, out: str) -> bool | None:
    """One option; None where the port that it is about was not given, or for an option that nobody knows."""
    match option:
        case "physdev-in":
            return _is(came, name) is not inverted if came else None
        case "physdev-out":
            return bool(out) and _is(out, name) is not inverted  # without a port it holds not inverted either
        case "physdev-is-in":
            return bool(came) is not inverted
        case "physdev-is-out" | "physdev-is-bridged":
            return bool(out) is not inverted
    return None


def _is(port: str, name: str) -> bool:
    return port.startswith(name[:-1]) if name.endswith("+") else port == name
