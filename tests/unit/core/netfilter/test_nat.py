"""Where nat statements of both dialects point, and what that makes of an entry's packets."""

from __future__ import annotations

import pytest

from conntrim.core.model.address import format_address
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Nat
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import Entry, tuple_of
from conntrim.core.netfilter.nat import rewritten, target_of, translated
from tests.unit.core.netfilter.made import US, packet

ROWS: dict[tuple[str, str], tuple[str | None, int | None, bool]] = {
    ("dnat", "--to-destination 10.0.0.1:8080"): ("10.0.0.1", 8080, True),
    ("dnat", "--to-destination 10.0.0.1"): ("10.0.0.1", None, True),
    ("dnat", "--to-destination :8080"): (None, 8080, True),
    ("dnat", "--to-destination 10.0.0.1-10.0.0.9:80-90"): ("10.0.0.1", 80, False),
    ("dnat", "--to-destination 10.0.0.1:8080 --persistent"): ("10.0.0.1", 8080, True),
    ("dnat", "--to-destination [2001:db8::5]:83"): ("2001:db8::5", 83, True),
    ("dnat", "--to-destination 2001:db8::5"): ("2001:db8::5", None, True),
    ("dnat", "--to-destination 2001:db8::5-2001:db8::9"): ("2001:db8::5", None, False),
    ("dnat", "ip to 10.0.0.1:8080"): ("10.0.0.1", 8080, True),
    ("dnat", "ip6 to [2001:db8::5]:83"): ("2001:db8::5", 83, True),
    ("snat", "ip to 192.0.2.1"): ("192.0.2.1", None, True),
    ("snat", "--to-source 192.0.2.1-192.0.2.9"): ("192.0.2.1", None, False),
    ("redirect", "--to-ports 8080"): (US, 8080, True),
    ("redirect", "to :8081"): (US, 8081, True),
    ("redirect", ""): (US, None, True),
    ("dnat", "to tcp dport map { 80 : 10.0.0.1 }"): (None, None, False),
}  # fmt: skip
"""Kind and arguments as iptables and nft list them: address, port, and whether the kernel has no choice."""


@pytest.mark.parametrize("written", ROWS, ids=" ".join)
def test_targets_as_both_dialects_write_them(written: tuple[str, str]) -> None:
    """Every form of a target is read; of a range the first, and then it is not certain."""
    target = target_of(Nat(*written), packet(), Kernel(Intervals.of(packet().dst)), Hook.PREROUTING)
    address = None if target.address is None else format_address(target.address)
    assert ROWS[written] == (address, target.port, target.certain)


def test_an_entry_rewrites_both_directions() -> None:
    """DNAT: the original direction gets a new destination, the answer its old source back."""
    client = packet(sport=4000, dport=80)
    original = tuple_of(client)
    reply = original.inverted()
    assert reply is not None
    target = target_of(Nat("dnat", "--to-destination 10.0.0.1:8080"), client, Kernel(), Hook.PREROUTING)
    entry = translated(Entry(original, reply), target, Hook.PREROUTING)
    sent = rewritten(client, entry, False, Hook.PREROUTING)
    assert ("10.0.0.1", 8080) == (format_address(sent.dst), sent.dport)
    answer = packet(src="10.0.0.1", sport=8080, dst=format_address(client.src), dport=4000)
    back = rewritten(answer, entry, True, Hook.POSTROUTING)
    assert (US, 80) == (format_address(back.src), back.sport)
