"""Operations as lines for iptables-restore: both back ends, and the words of the 2.6 era."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from conntrim.core.change.apply import Draft, outer
from conntrim.core.emit.iptables import NotExpressible
from conntrim.core.emit.plan_rule import xt_rule
from conntrim.core.model.change import (
    AddChain,
    AddObject,
    AddSet,
    AddTable,
    AppendRule,
    DeleteChain,
    DeleteObject,
    DeleteRule,
    DeleteSet,
    DeleteTable,
    FillSet,
    FlushChain,
    InsertRule,
    Operation,
    PartOperation,
    ReplaceRule,
    RuleOperation,
)
from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.ruleset import Rule, TableFamily


def xt_lines(operation: Operation, draft: Draft, old: bool) -> Iterator[str]:
    """What says the operation in `*TABLE`, the table being as the draft has it; `old` in the words of the 2.6 era.

    NotExpressible.
    """
    return _rule(operation, draft, old) if isinstance(operation, RuleOperation) else _part(operation)


def policy_lines(operation: Operation) -> Iterator[str]:
    """What makes a time-out policy of ctnetlink, or deletes it: such an object is its own line. NotExpressible."""
    match operation:
        case AddObject(line):
            yield line
        case DeleteObject(line):
            yield str(TimeoutPolicy(line.split()[3]))
        case _:  # the rest: there are neither rules nor sets among policies
            raise NotExpressible(f"a time-out policy is no {operation}")


def _rule(operation: RuleOperation, draft: Draft, old: bool) -> Iterator[str]:
    chain = operation.chain

    def text(rule: Rule) -> str:
        return xt_rule(rule, v6=draft.key.family is TableFamily.IP6, old=old)

    def number(rule: Rule) -> int:
        return outer(draft.rules(chain), draft.span(chain, rule)[0])[0] + 1

    match operation:
        case AppendRule(_, rule, after):
            yield f"-A {chain} {text(rule)}" if after is None else f"-I {chain} {number(after) + 1} {text(rule)}"
        case InsertRule(_, rule, before):
            yield f"-I {chain} {before + 1 if isinstance(before, int) else number(before)} {text(rule)}"
        case ReplaceRule(_, was, rule):
            yield f"-R {chain} {number(was)} {text(rule)}"
        case DeleteRule(_, rule):
            yield f"-D {chain} {text(rule)}"
        case FlushChain():
            yield f"-F {chain}"
        case _:
            assert_never(operation)


def _part(operation: PartOperation) -> Iterator[str]:
    match operation:
        case AddTable():
            pass  # a table is there as soon as something is put into it
        case AddChain(name, None):
            yield f":{name} - [0:0]"
        case DeleteChain(name):
            yield from (f"-F {name}", f"-X {name}")
        case AddChain() | AddSet() | FillSet() | AddObject() | DeleteSet() | DeleteObject() | DeleteTable():
            raise NotExpressible(f"iptables-restore has no words for {operation}")
        case _:
            assert_never(operation)
