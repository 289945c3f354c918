"""Other people's rule sets: what is found in them, counted, so that a change of a check is seen.

The largest hosts take a second each: all but one of them only with CONNTRIM_TORTURE set.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from conntrim.core.diagnose.rulesets.registry import Checked, check_ruleset
from conntrim.core.model.errors import InputError
from conntrim.core.parse.ruleset import read_all

ROUTER = "ip4__TUM_Net__iptables_25.07.2014.save"
LARGE = 200_000
"""Bytes; beyond it are seven snapshots of one university's router, and its IPv6 half."""

PER_ROUTER = Counter({"CT101": 12, "CT102": 10, "CT103": 2, "CT104": 2, "CT106": 1, "CT109": 2, "CT117": 5})
"""Of the router as it was in July 2014."""

OTHERS = Counter({"CT103": 3, "CT106": 1, "CT107": 3, "CT114": 11})
"""Of all smaller rule sets together."""

EVERY = Counter({"CT101": 87, "CT102": 70, "CT103": 14, "CT104": 11, "CT106": 8, "CT107": 3, "CT109": 14, "CT114": 14})


def found_in(path: Path) -> Checked | None:
    """The findings of one file; None where it is no complete listing."""
    try:
        ruleset = read_all([(path.name, path.read_bytes())])
    except InputError:
        return None
    return check_ruleset(ruleset, None)


def counted(paths: list[Path]) -> Counter[str]:
    """How many findings there are of each code."""
    return Counter(f.code for path in paths if (checked := found_in(path)) for f in checked.findings)


def files(corpus: Path) -> list[Path]:
    """All rule sets."""
    return sorted([*corpus.glob("iptables/*.save"), *corpus.glob("nft/*.json")])


def test_the_small_rule_sets(corpus: Path) -> None:
    """A firewall expert has read these findings; the counts tell when there are others."""
    assert OTHERS == counted([path for path in files(corpus) if path.stat().st_size < LARGE])


def test_the_routers_one_sided_rule(corpus: Path) -> None:
    """The packets of 131.159.14.221 are untracked, and no rule takes their answers."""
    checked = found_in(corpus / "iptables" / ROUTER)
    assert checked is not None
    assert PER_ROUTER == Counter(f.code for f in checked.findings)
    lonely = [f for f in checked.findings if f.code == "CT103" and "131.159.14.221" in f.evidence[0]]
    assert ["-A OUTPUT -d 131.159.14.221/32 -o eth1.1011 -j NOTRACK"] == [e.text for f in lonely for e in f.edits]


def test_every_rule_set(corpus: Path) -> None:
    """All seven snapshots of the router as well, in the long form."""
    if os.environ.get("CONNTRIM_TORTURE"):
        assert EVERY == counted(files(corpus))
