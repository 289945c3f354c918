"""What a match that counts answers a client that nothing has counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conntrim.core.model.ruleset import OpaqueMatch
from conntrim.core.netfilter.newcomer import ALWAYS, Counted, counted
from conntrim.core.parse.ruleset import read

ANSWERS: dict[str, Counted | None] = {
    "recent --set --name door --mask 255.255.255.255 --rsource": Counted(answer=True),
    "recent --update --seconds 60 --hitcount 4 --name door --mask 255.255.255.255 --rsource": Counted(
        answer=False, most=4, listed="door"
    ),
    "recent --rcheck --seconds 60": Counted(answer=False, most=1, listed="DEFAULT"),
    "recent ! --rcheck --name door": None,
    "recent --rcheck --seconds 61 --name conntrim --mask 0.0.0.0 --rsource": None,
    "recent --rcheck --name conntrim-kept --rsource": None,
    "limit --limit 3/min": Counted(answer=True, most=5),
    "limit --limit 3/min --limit-burst 12": Counted(answer=True, most=12),
    "hashlimit --hashlimit-upto 9/min --hashlimit-burst 20 --hashlimit-name x": Counted(answer=True, most=20),
    "hashlimit --hashlimit-above 9/min --hashlimit-burst 5 --hashlimit-name x": Counted(answer=False, most=5),
    "hashlimit --hashlimit-above 512kb/s --hashlimit-name x": None,
    "connlimit --connlimit-above 10 --connlimit-mask 32 --connlimit-saddr": Counted(answer=False, most=ALWAYS),
    "connlimit --connlimit-upto 10 --connlimit-mask 32 --connlimit-saddr": Counted(answer=True, most=ALWAYS),
    "rpfilter --loose": Counted(answer=True),
    "rpfilter --invert": Counted(answer=False),
    "string --string x --algo bm": None,
    "statistic --mode random --probability 0.5": None,
}
"""By match of iptables; None: nobody knows that of a newcomer either."""

NFT: tuple[tuple[dict[str, Any], Counted | None], ...] = (
    ({"limit": {"rate": 10, "per": "second", "burst": 5, "inv": True}}, Counted(answer=False, most=5)),
    ({"limit": {"rate": 3, "per": "second", "burst": 7}}, Counted(answer=True, most=7)),
    ({"limit": {"rate": 3, "per": "second"}}, Counted(answer=True, most=5)),
    ({"limit": {"rate": 10, "rate_unit": "kbytes", "per": "second"}}, None),
    ({"limit": "lane"}, None),
    ({"ct count": {"val": 20, "inv": True}}, Counted(answer=False)),
    ({"ct count": {"val": 20}}, Counted(answer=True)),
    ({"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": False}},
     Counted(answer=False)),
    ({"match": {"op": "!=", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": "missing"}},
     Counted(answer=True)),
    ({"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["daddr"]}}, "right": False}}, None),
)  # fmt: skip


@pytest.mark.parametrize("match", ANSWERS)
def test_what_a_newcomer_is_answered(match: str) -> None:
    """Lists do not know it, limits are unused, and how many of its own packets that bears."""
    (table,) = read(f"*filter\n-A INPUT -m {match}\nCOMMIT\n", "rules").tables
    (found,) = (m for m in table.chains[0].rules[0].matches if isinstance(m, OpaqueMatch))
    assert ANSWERS[match] == counted(found)


@pytest.mark.parametrize(("expression", "answer"), NFT)
def test_what_nft_answers_a_newcomer(expression: dict[str, Any], answer: Counted | None) -> None:
    """The same of nft's expressions, with the burst that 0.9.8 does not list (K140)."""
    listed = [
        {"table": {"family": "inet", "name": "t"}}, {"chain": {"family": "inet", "table": "t", "name": "c"}},
        {"rule": {"family": "inet", "table": "t", "chain": "c", "handle": 3, "expr": [expression, {"drop": None}]}},
    ]  # fmt: skip
    (table,) = read(json.dumps({"nftables": listed}), "rules").tables
    (found,) = (m for m in table.chains[0].rules[0].matches if isinstance(m, OpaqueMatch))
    assert answer == counted(found)


def test_what_is_negated_is_left_open() -> None:
    """Nobody has measured those."""
    (table,) = read("*filter\n-A INPUT -m limit ! --limit 3/min\nCOMMIT\n", "rules").tables
    assert [None] == [counted(m) for m in table.chains[0].rules[0].matches if isinstance(m, OpaqueMatch)]
