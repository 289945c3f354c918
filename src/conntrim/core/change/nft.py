"""Operations as commands of nft."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import assert_never

from conntrim.core.change.apply import Draft, outer
from conntrim.core.emit.nft import object_lines
from conntrim.core.emit.nft_match import key_text
from conntrim.core.emit.plan_rule import nft_rule
from conntrim.core.emit.refusal import NotExpressible
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
from conntrim.core.model.plan import HANDLE
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.ruleset import Base, Key, NamedSet, Rule


def nft_lines(operation: Operation, draft: Draft) -> Iterator[str]:
    """What says the operation, the table being as the draft has it. NotExpressible.

    What is added is added empty, whatever was there of that name: only what is ours is.
    """
    return _rule(operation, draft) if isinstance(operation, RuleOperation) else _part(operation, str(draft.key))


def _rule(operation: RuleOperation, draft: Draft) -> Iterator[str]:
    where, context = f"{draft.key} {operation.chain}", draft.context()

    def text(rule: Rule) -> str:
        return nft_rule(rule, table=context)

    match operation:
        case AppendRule(chain, rule, after):
            yield f"add rule {where} {f'{_beside(after, chain, draft)} ' if after else ''}{text(rule)}"
        case InsertRule(chain, rule, before):
            place = f"index {before}" if isinstance(before, int) else _beside(before, chain, draft)
            yield f"insert rule {where} {place} {text(rule)}"
        case ReplaceRule(_, old, rule):
            # `replace rule` would say both, but nft 1.0.6 aborts on ranges in it (K49).
            yield f"insert rule {where} {_handle(old, where)} {text(rule)}"
            yield f"delete rule {where} {_handle(old, where)}"
        case DeleteRule(_, rule):
            yield f"delete rule {where} {_handle(rule, where)}"
        case FlushChain():
            yield f"flush chain {where}"
        case _:
            assert_never(operation)


def _beside(rule: Rule, chain: str, draft: Draft) -> str:
    """A rule as another's neighbour: by its number where it was read from what tells no handles."""
    if not rule.text or rule.handle:
        return _handle(rule, f"{draft.key} {chain}")
    index, _ = outer(draft.rules(chain), draft.span(chain, rule)[0])
    return f"index {index}"


def _handle(rule: Rule, where: str) -> str:
    """A rule as nft names it; one of the change's own by its comment, for the loader to look up. NotExpressible."""
    if rule.handle:
        return f"handle {rule.handle}"
    if rule.text:
        raise NotExpressible(f"nft takes a rule away by its handle, which nothing tells: {rule.place}")
    return f'handle {HANDLE} {where} "{rule.comment}"@'


def _part(operation: PartOperation, where: str) -> Iterator[str]:
    match operation:
        case AddTable():
            yield f"add table {where}"
        case AddChain(name, base):
            yield f"add chain {where} {name}{_hung(base)}"
            yield f"flush chain {where} {name}"
        case AddSet(named):
            declared = "; ".join(part for part in (f"type {named.kind}", named.declaration) if part)
            yield f"add set {where} {named.name} {{ {declared}; }}"
            yield f"flush set {where} {named.name}"
        case FillSet(named, timeout):
            yield from _elements(where, named, timeout)
        case AddObject(text):
            yield "\n".join([f"table {where} {{", *object_lines(json.loads(text)), "}"])
        case DeleteChain(name):
            yield from (f"flush chain {where} {name}", f"delete chain {where} {name}")
        case DeleteSet(name):
            yield f"delete set {where} {name}"
        case DeleteObject(text):
            kind, content = next(iter(json.loads(text).items()))
            yield f"delete {kind} {where} {content['name']}"
        case DeleteTable():
            yield f"delete table {where}"
        case _:
            assert_never(operation)


def _hung(base: Base | None) -> str:
    if base is None:
        return ""
    return f" {{ type {base.type} hook {base.hook} priority {base.priority}; policy {base.policy}; }}"


def _elements(where: str, named: NamedSet, timeout: str) -> Iterator[str]:
    yield f"flush set {where} {named.name}"
    if named.elements:
        lives = f" timeout {timeout}" if timeout else ""
        kinds = named.kind.split(" . ")
        said = (" . ".join(map(_key, element, kinds)) + lives for element in named.elements)
        yield f"add element {where} {named.name} {{ {', '.join(said)} }}"


def _key(key: Key, kind: str) -> str:
    """Protocols by name, as nft lists them."""
    if kind == "inet_proto" and not isinstance(key, tuple) and key.size == 1:
        return protocol_name(key.ranges[0][0]).replace("icmpv6", "ipv6-icmp")
    return key_text(key, kind)
