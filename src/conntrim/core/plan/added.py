"""What a plan adds, for a reader: each rule without guard, where, and why; and the comments of the rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from conntrim.core.emit.nft import object_lines
from conntrim.core.emit.plan_rule import nft_rule, xt_rule
from conntrim.core.model.plan import AddedRule, comment_of
from conntrim.core.model.ruleset import (
    CtTemplate,
    Dialect,
    End,
    Jump,
    NoEffect,
    Notrack,
    Return,
    Rule,
    Statement,
    Table,
    TableFamily,
)
from conntrim.core.plan.admission import Addition
from conntrim.core.plan.changes import Own


def marked(
    additions: Sequence[Addition], owns: Sequence[Own], mark: str
) -> tuple[tuple[Addition, ...], tuple[Own, ...]]:
    """The same, each rule with the comment that it is loaded with."""

    def said(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(replace(rule, comment=comment_of(mark, rule.comment)) for rule in rules)

    return (
        tuple(replace(a, rule=said((a.rule,))[0]) for a in additions),
        tuple(
            replace(
                own,
                rules={hook: said(rules) for hook, rules in own.rules.items()},
                inner={name: said(rules) for name, rules in own.inner.items()},
            )
            for own in owns
        ),
    )


def added_rules(additions: Sequence[Addition], owns: Sequence[Own], *, old: bool) -> tuple[AddedRule, ...]:
    """Rules in chains of others, then those of our own chains; `old` as for `xt_rule`."""

    def text(rule: Rule, where: Dialect, family: TableFamily, table: Table | None = None) -> str:
        if where is Dialect.NFTABLES:
            return nft_rule(rule, table=table)
        return xt_rule(rule, v6=family is TableFamily.IP6, old=old)

    found = []
    for a in additions:
        chain = a.table.chain(a.chain)
        before = chain.rules[a.index].text if chain and a.index < len(chain.rules) else ""
        where = f"{a.table.family} {a.table.name} {a.chain}"
        found.append(AddedRule(where, text(a.rule, a.table.dialect, a.table.family, a.table), a.why, before))
    for own in owns:
        for text_of in own.objects:
            if own.dialect is not Dialect.NFTABLES:
                found.append(AddedRule("ctnetlink", text_of, "the time-outs; the rules name them"))
                continue
            said = " ".join(" ".join(object_lines(json.loads(text_of))).split())
            found.append(AddedRule(str(own.table()), said, "the time-outs; what it does not name is nft's default"))
        hooked = {own.chain(hook): rules for hook, rules in own.rules.items()}
        for name, rules in (*hooked.items(), *own.inner.items()):
            where = f"{own.table()} {name}"
            found += [AddedRule(where, text(r, own.dialect, own.family), _own_why(r)) for r in rules]
    return tuple(found)


def _own_why(rule: Rule) -> str:
    """What a rule of an own chain does: a counter tells nothing beside what it counts."""
    done = {type(statement) for statement in rule.statements}
    return next((why for kind, why in OWN_WHY.items() if kind in done), "")


OWN_WHY: dict[type[Statement], str] = {
    Notrack: "untracks this leg",
    Return: "leaves this as it is",
    Jump: "counts the new connections of this class",
    End: "refuses new connections of a client over the limit",
    NoEffect: "gives the connection that this packet opens its own time-outs",
    CtTemplate: "gives the connection that this packet opens its own time-outs",
}
