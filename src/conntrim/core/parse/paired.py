"""One table of iptables-nft from two listings, its save and nft's JSON, paired by chain and position.

A rule of which nft tells every part has nft's meaning; the save's words are kept where they say the same. A rule with
`xt` parts has the save's meaning, and what else nft tells of it. Neither listing is right alone (K36, K96).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from conntrim.core.model.ruleset import (
    NATIVE_SET,
    UNREAD,
    Chain,
    Dialect,
    In,
    InSet,
    Interface,
    Match,
    NoEffect,
    OpaqueMatch,
    OpaqueStatement,
    Rule,
    Statement,
    Table,
)
from conntrim.core.parse.nft.document import Listed, ListedTable


def paired(saved: Table, native: ListedTable) -> Table | None:
    """Both listings as one table, None where they are not of the same rules.

    Where nothing in it is iptables' own and iptables cannot tell all of it, it is nft's table as it is; so is one that
    the save calls incompatible: there iptables could not delete what it inserted (K75).
    """
    there = {c.name: c for c in native.table.chains}
    if not any(chain.name in there for chain in saved.chains):
        return native.table  # the save lists base chains that nobody made
    chains: list[Chain] = []
    foreign = False
    for chain in saved.chains:
        listed = native.rules.get(chain.name, ())
        if len(chain.rules) != len(listed) or (chain.name not in there and chain.base is None):
            return None
        pairs = [_rule(rule, each) for rule, each in zip(chain.rules, listed, strict=True)]
        if None in pairs:
            return None
        made = [rules for rules in pairs if rules is not None]
        foreign = foreign or any(rules != (rule,) for rules, rule in zip(made, chain.rules, strict=True))
        base = there[chain.name].base if chain.name in there else chain.base
        chains.append(replace(chain, rules=tuple(r for rules in made for r in rules), base=base))
    known = {c.name for c in saved.chains}
    chains += [_native_chain(c) for c in native.table.chains if c.name not in known]
    if foreign and not any(each.xt for listed in native.rules.values() for each in listed):
        return native.table
    return _table(saved, native.table, chains)


def together(saved: Iterable[Table], natives: Iterable[ListedTable]) -> tuple[list[Table], list[str]]:
    """Tables of files that list one host: what both listings have is one table; what does not fit stands twice, and is
    told: one of them may be older, or of another back end."""
    left = {(each.table.family, each.table.name, at): each for at, each in enumerate(natives)}
    made, remarks = [], []
    for table in saved:
        key = next((k for k in left if k[:2] == (table.family, table.name)), None)
        if table.dialect is not Dialect.IPTABLES_NFT or key is None:
            made.append(table)
        elif not _common(table, left[key].table) or (both := paired(table, left[key])) is None:
            made.append(table)
            remarks.append(f"table {table.family} {table.name} is in two listings that do not fit: both are taken")
        elif both.dialect is Dialect.IPTABLES_NFT:
            made.append(both)
            del left[key]
    return [*made, *(each.table for each in left.values())], remarks


def _common(saved: Table, native: Table) -> bool:
    """Whether the native table may be the saved one: it has chains of it, or the save shows nothing of its own."""
    return not any(c.rules for c in saved.chains) or any(native.chain(c.name) for c in saved.chains)


def _table(saved: Table, native: Table, chains: list[Chain]) -> Table:
    sets = tuple(replace(each, name=NATIVE_SET + each.name) for each in native.sets)
    return Table(Dialect.IPTABLES_NFT, saved.family, saved.name, tuple(chains), sets, native.dormant, native.objects)


def _rule(saved: Rule, listed: Listed) -> tuple[Rule, ...] | None:
    """What one listed rule means; None where the two cannot be one rule."""
    if not listed.xt:
        one = listed.rules[0] if len(listed.rules) == 1 else None
        return (saved,) if one and _same(saved, one) else tuple(map(_native_rule, listed.rules))
    if len(listed.rules) != 1 or any(isinstance(m, OpaqueMatch) and m.kind == UNREAD for m in saved.matches):
        return (saved,)
    return _with_told(saved, listed.rules[0])


def _same(saved: Rule, native: Rule) -> bool:
    """Whether both say the same. nft prints iptables' limit in other words."""
    return (set(map(_word, saved.matches)), _acts(saved), saved.comment) == (
        set(map(_word, native.matches)), _acts(native), native.comment
    )  # fmt: skip


def _acts(rule: Rule) -> list[Statement]:
    return [done for done in rule.statements if not isinstance(done, NoEffect)]


def _word(match: Match) -> Match:
    plain = isinstance(match, OpaqueMatch) and match.kind == "limit" and not {"over", "!"} & set(match.text.split())
    return OpaqueMatch("limit", "") if plain and isinstance(match, OpaqueMatch) and "bytes" not in match.text else match


def _with_told(saved: Rule, native: Rule) -> tuple[Rule, ...] | None:
    """The save's meaning, with what nft tells and the save does not (K92); what nft tells of the end must fit."""
    told = [done for done in _acts(native) if not isinstance(done, OpaqueStatement)]
    if told and told != _acts(saved):
        return None
    missing = [m for m in native.matches if isinstance(m, In | Interface | InSet) and not _implied(m, saved.matches)]
    return (replace(saved, matches=(*saved.matches, *map(_native_match, missing))),) if missing else (saved,)


def _implied(match: Match, by: Iterable[Match]) -> bool:
    if not isinstance(match, In):
        return match in by
    return any(
        isinstance(m, In) and (m.field, m.mask) == (match.field, match.mask) and m.values <= match.values for m in by
    )


def _native_chain(chain: Chain) -> Chain:
    return replace(chain, rules=tuple(map(_native_rule, chain.rules)))


def _native_rule(rule: Rule) -> Rule:
    return replace(rule, matches=tuple(map(_native_match, rule.matches)))


def _native_match(match: Match) -> Match:
    """nft's own sets have names of their own: an ipset may be called the same."""
    return replace(match, set_name=NATIVE_SET + match.set_name) if isinstance(match, InSet) else match
