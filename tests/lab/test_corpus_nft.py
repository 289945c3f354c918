"""Other people's nft rule sets against the kernel: read, written, loaded and listed again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.core.emit.nft import nft_text
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.normal import normal
from conntrim.core.model.ruleset import Chain, OpaqueMatch, OpaqueStatement, Rule, Ruleset
from conntrim.core.parse.nft.document import read_nft
from conntrim.lab.netns import lab_host

pytestmark = pytest.mark.corpus

LOST = {"KaseiHaku_Software__V2Ray_TransparentProxy_nftables_nftablesRuleset.json"}
"""nft 1.0.6 lists the ingress chain there without its device: nobody can load what it says."""


def rulesets(corpus: Path) -> list[tuple[str, Ruleset]]:
    """Every listing, read."""
    return [
        (path.name, normal(read_nft(path.read_text(encoding="utf-8"), path.name)))
        for path in sorted((corpus / "nft").glob("*.json"))
    ]


def without_text(ruleset: Ruleset) -> Ruleset:
    """What the rules are, not how they were spelled: a map that picks at random is written as a rule for each value."""

    def bare(rule: Rule) -> Rule:
        matches = (OpaqueMatch(m.kind, m.text) if isinstance(m, OpaqueMatch) else m for m in rule.matches)
        return replace(rule, text="", matches=tuple(matches))

    def chain(found: Chain) -> Chain:
        return replace(found, rules=tuple(map(bare, found.rules)))

    tables = (replace(table, chains=tuple(map(chain, table.chains))) for table in ruleset.tables)
    return replace(ruleset, tables=tuple(tables), remarks=())


def test_written_and_listed_again(corpus: Path) -> None:
    """Every listing, written as nft text, loaded and listed again, is the same rule set."""
    refused = set()
    for name, ruleset in rulesets(corpus):
        try:
            text = nft_text(ruleset)
        except NotExpressible:
            refused.add(name)
            continue
        with lab_host("again") as host:
            host.run("nft", "-f", "-", text=text)
            again = host.run("nft", "-j", "list", "ruleset")
        assert without_text(ruleset) == without_text(normal(read_nft(again, name))), name
    assert refused == LOST


def test_what_stays_opaque_is_counted(corpus: Path) -> None:
    """Every opaque part has the name of the expression that the model does not read."""
    count = Counter(
        part.kind
        for _, ruleset in rulesets(corpus) for table in ruleset.tables for chain in table.chains
        for rule in chain.rules for part in (*rule.matches, *rule.statements)
        if isinstance(part, OpaqueMatch | OpaqueStatement)
    )  # fmt: skip
    print("opaque:", ", ".join(f"{kind} {number}" for kind, number in count.most_common()))
    expected = {
        "limit", "chain", "socket mark", "socket transparent", "tproxy", "meta oifgroup", "meta iifgroup",
        "meta skuid", "tcp option", "ct status", "exthdr", "fib", "ip dscp", "ip6 dscp", "jhash",
    }  # fmt: skip
    assert expected >= set(count)
