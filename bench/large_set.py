"""A host whose rules ask one set of many networks, as blocklists are: iptables' rules, and `ipset save` behind them.

`python -m bench.large_set 25000` prints it.
"""

from __future__ import annotations

import sys
from random import Random

RULES = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 53 -m set ! --match-set bad src -j CT --notrack
-A OUTPUT -p udp -m udp --sport 53 -j CT --notrack
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m set --match-set bad src -j DROP
-A INPUT -p udp -m udp --dport 53 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT
COMMIT
"""
NETWORKS = 25_000
"""Of a large blocklist."""
LENGTHS = (20, 22, 24, 24, 24, 26, 28, 30, 32, 32)
"""How long the prefixes of a blocklist are."""


def networks(count: int, seed: int = 1) -> list[tuple[int, int]]:
    """So many prefixes, none of which touches another: address and length; the same for the same seed."""
    chance = Random(seed)  # noqa: S311 - addresses, not keys
    step = (1 << 32) // count
    found = []
    for at in range(count):
        length = chance.choice(LENGTHS)
        size = 1 << (32 - length)
        # Not the last of its part of all addresses: the next one's first would touch it.
        found.append((at * step + step // 4 & -size, length))
    return found


def _dotted(address: int) -> str:
    return ".".join(str(address >> at & 0xFF) for at in (24, 16, 8, 0))


def ipset_host(count: int) -> str:
    """Rules and the set that they ask, one after the other as both programs print them."""
    adds = (f"add bad {_dotted(address)}/{length}" for address, length in networks(count))
    return "\n".join([RULES + "create bad hash:net family inet hashsize 16384 maxelem 65536", *adds, ""])


if __name__ == "__main__":
    sys.stdout.write(ipset_host(int(sys.argv[1])))
