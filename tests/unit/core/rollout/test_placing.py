"""Where our rules stand: as the plan's texts say it, told from two listings."""

from __future__ import annotations

import pytest

from conntrim.core.model.plan import Batch
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.placing import around, chains, fed_by, misplaced

TRIAL = (
    Batch("iptables-nft-restore", "*filter\n-I INPUT 3 y\n-I INPUT 2 x\nCOMMIT\n"),
    Batch("nft", "insert rule inet f c index 1 x\nadd rule inet f c y\nadd rule inet conntrim p z\n"),
)
XT = "iptables-nft-restore"
OURS_XT = '-m comment --comment "conntrim: x" -j ACCEPT'
OURS_NFT = 'accept comment "conntrim: x"'
CLAIM = Claim(frozenset({(f"{XT} filter INPUT", "conntrim: x"), ("nft inet f c", "conntrim: x")}))
FED = fed_by(TRIAL)


def xt(*rules: str) -> dict[str, tuple[str, ...]]:
    """The chain INPUT with these rules; `*` is one of ours."""
    lines = [f"-A INPUT {OURS_XT if r == '*' else r}" for r in rules]
    return chains(XT, "\n".join(["*filter", ":INPUT ACCEPT [0:0]", *lines, "COMMIT\n"]), CLAIM, FED)


def nft(*rules: str) -> dict[str, tuple[str, ...]]:
    """The chain c with these rules; `*` is one of ours."""
    lines = [f"\t\t{OURS_NFT if r == '*' else r}" for r in rules]
    return chains("nft", "\n".join(["table inet f {", "\tchain c {", *lines, "\t}", "}\n"]), CLAIM, FED)


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (("a", "*", "b", "*", "c"), ""),
        (("*", "a", "b", "*", "c"), "in filter INPUT the rules stand behind [0, 2] rules of others, not [1, 2]"),
        (("a", "*", "b", "c"), "in filter INPUT the rules stand behind [1] rules of others, not [1, 2]"),
        (("n", "*", "a", "*", "b", "c"), "another program changed filter INPUT while the rules were loaded"),
    ],
)
def test_iptables_rules_stand_where_their_numbers_said(after: tuple[str, ...], why: str) -> None:
    """A number is one more than the rules in front of it; the rules of others must be the ones from before."""
    assert why == misplaced(TRIAL, XT, xt("a", "b", "c"), xt(*after))


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (("a", "*", "b", "*"), ""),
        (("a", "b", "*", "*"), "in table inet f chain c the rules stand behind [2, 2] rules of others, not [1, 2]"),
        (("a", "*", "*"), "another program changed table inet f chain c while the rules were loaded"),
    ],
)
def test_nft_rules_stand_where_their_index_said(after: tuple[str, ...], why: str) -> None:
    """An index is the number of rules in front; without one a rule stands at the end; the own table is our own."""
    assert why == misplaced(TRIAL, "nft", nft("a", "b"), nft(*after))


def test_a_digest_changes_with_order_and_neighbours_only() -> None:
    """What our rule says is another matter: the guarded and the plain one stand at the same place."""
    before = around(XT, xt("a", "*", "b"))
    assert list(before) == [f"{XT} filter INPUT"]
    assert around(XT, xt("a", "b", "*")) != before != around(XT, xt("a", "*", "c"))
    assert around(XT, xt("a", "b")) == {}
    assert around(XT, xt("a", "*", "*", "b")) == before != around(XT, xt("*", "a", "*", "b"))
