"""Rule sets to text for `nft -f`: the opposite of `parse.nft`.

A verdict map that was read as several rules is written as several rules; they mean the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import assert_never

from conntrim.core.emit.nft_match import around, key_text, match_text, refused
from conntrim.core.model.address import Family, family_of, format_address
from conntrim.core.model.fields import Field
from conntrim.core.model.marks import EVERY, MarkOf, SetMark
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.nft_words import Json, Unspeakable, statement_words, words
from conntrim.core.model.refusal import CODES, RESET, Queue, Reject
from conntrim.core.model.ruleset import (
    Chain,
    CtTemplate,
    Dialect,
    End,
    Helper,
    In,
    Jump,
    Match,
    NamedSet,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    Rule,
    Ruleset,
    SetZone,
    Statement,
    Table,
    TableFamily,
)  # fmt: skip
from conntrim.core.model.service import Hook
from conntrim.core.model.writes import AddToSet, SetField


def nft_text(ruleset: Ruleset) -> str:
    """What `nft -f` is fed to hold the nft tables of the rule set; NotExpressible for what nft cannot say."""
    return "".join(table_text(table) for table in ruleset.tables if table.dialect is Dialect.NFTABLES)


def table_text(table: Table) -> str:
    """One table with everything in it."""
    sets = {each.name: each for each in table.sets}
    lines = [f"table {table.family} {table.name} {{"]
    lines += ["\tflags dormant"] if table.dormant else []
    for text in table.objects:
        lines += object_lines(json.loads(text))
    for each in table.sets:
        lines += [] if each.anonymous else _set(each)
    for chain in table.chains:
        lines += _chain(chain, table.family, sets)
    return "\n".join([*lines, "}", ""])


def _chain(chain: Chain, family: TableFamily, sets: dict[str, NamedSet]) -> Iterator[str]:
    yield f"\tchain {chain.name} {{"
    if chain.base is not None:
        base = chain.base
        devices = ", ".join(f'"{name}"' for name in base.devices)
        if base.hook in (Hook.INGRESS, Hook.EGRESS) and not devices:
            refused(f"a chain at {base.hook} whose device the listing does not name")
        device = f" devices = {{ {devices} }}" if devices else ""
        yield f"\t\ttype {base.type} hook {base.hook}{device} priority {base.priority}; policy {base.policy};"
    for rule in chain.rules:
        yield f"\t\t{rule_text(rule, family, sets)}"
    yield "\t}"


def rule_text(rule: Rule, family: TableFamily, sets: dict[str, NamedSet] | None = None) -> str:
    """One rule; `sets` are its table's, by name."""
    context = around(rule.matches, family, sets or {})
    parts = [match_text(match, context) for match in rule.matches]
    parts = _icmp_said(rule.matches, parts) if family is TableFamily.INET else [FAMILY_SAID.get(p, p) for p in parts]
    parts += (statement_text(statement, family) for statement in rule.statements)
    # A rule that neither asks nor does anything is none that nft takes.
    parts = parts or ["continue"]
    comment = [f'comment "{rule.comment}"'] if rule.comment else []
    return " ".join([*parts, *comment])


FAMILY_SAID = {"meta nfproto ipv4": "meta protocol ip", "meta nfproto ipv6": "meta protocol ip6"}
"""nft takes `meta nfproto` in inet tables only."""

ICMP_SAID = {
    "meta l4proto 1": ("meta nfproto ipv4", "ip protocol 1"),
    "meta l4proto 58": ("meta nfproto ipv6", "ip6 nexthdr 58"),
}
"""nft 1.0.6 lists a family check together with ICMP's number as the number alone."""


def _icmp_said(matches: tuple[Match, ...], parts: list[str]) -> list[str]:
    """The family and ICMP's number as one header field, which nft lists as it is."""
    if any(isinstance(match, In) and match.field in (Field.ICMP, Field.ICMPV6) for match in matches):
        return parts
    for number, (family, said) in ICMP_SAID.items():
        if number in parts and family in parts:
            return [said if part == number else part for part in parts if part != family]
    return parts


def _end(end: End) -> str:
    match end.how:
        case None:
            return end.verdict.value
        case Reject():
            return f"reject with {_answer(end.how)}"
        case Queue():
            return _queue(end.how)
    assert_never(end.how)


def _answer(reject: Reject) -> str:
    if reject == RESET:
        return reject.kind.value
    names = {code: name for name, code in CODES[reject.kind].items()}
    return f"{reject.kind} type {names.get(reject.code, reject.code)}"  # the word `type` is what nft 0.9.8 wants (K140)


def _queue(queue: Queue) -> str:
    flags = ",".join(name for name, on in (("bypass", queue.bypass), ("fanout", queue.fanout)) if on)
    several = f"{queue.first}-{queue.last}" if queue.first != queue.last else str(queue.first)
    return f"queue{' flags ' + flags if flags else ''} to {queue.unread or several}"


def _mark(mark: SetMark) -> str:
    """A mark written as an expression of one mark: its own, or the source's."""
    if mark.source is not None and mark.mask != EVERY:
        refused(mark)
    kept = EVERY ^ mark.mask if mark.source is None else mark.kept
    return f"{mark.to} mark set {_computed(mark.source or mark.to, kept, mark.value, mark.source is None)}"


def _computed(source: MarkOf, kept: int, value: int, own: bool) -> str:
    """(the source's mark & kept) ^ value."""
    if not kept and own:
        return f"{value:#x}"
    if kept == EVERY:
        return f"{source} mark ^ {value:#x}" if value or own else f"{source} mark"
    if not value:
        return f"{source} mark & {kept:#x}"
    if value == EVERY ^ kept:
        return f"{source} mark | {value:#x}"
    return f"{source} mark & {kept:#x} {'^' if value & kept else '|'} {value:#x}"


def _nat(nat: Nat, family: TableFamily) -> str:
    """A translation; in tables of both families with the word for its own."""
    flags = "".join(f" {','.join(nat.flags)}" for _ in nat.flags[:1])
    if nat.kind is NatKind.NETMAP or (nat.elsewhere is not None and nat.elsewhere.text.startswith("--")):
        refused(nat)
    if nat.elsewhere is not None:
        return f"{nat.kind} {nat.elsewhere.text}{flags}"
    if nat.addresses is None and nat.ports is None:
        return f"{nat.kind}{flags}"
    ports = "" if nat.ports is None else ":" + "-".join(map(str, dict.fromkeys(nat.ports)))
    if nat.addresses is None:
        return f"{nat.kind} to {ports}{flags}"
    v4 = family_of(nat.addresses[0]) is Family.IPV4
    said = [format_address(each) for each in dict.fromkeys(nat.addresses)]
    hosts = "-".join(said if v4 or not ports else (f"[{each}]" for each in said))
    own = f" {'ip' if v4 else 'ip6'}" if family is TableFamily.INET else ""
    return f"{nat.kind}{own} to {hosts}{ports}{flags}"


def statement_text(statement: Statement, family: TableFamily) -> str:
    """One statement in a table of this family."""
    match statement:
        case End():
            return _end(statement)
        case Jump(chain, goto):
            return f"{'goto' if goto else 'jump'} {chain}"
        case Return():
            return "return"
        case Notrack():
            return "notrack"
        case SetZone() | CtTemplate():
            return _template(statement)
        case SetMark():
            return _mark(statement)
        case Helper(name):
            return f'ct helper set "{name}"'
        case Nat():
            return _nat(statement, family)
        case NoEffect() | SetField() | AddToSet() | OpaqueStatement():
            return _worded(statement)
    assert_never(statement)


def _template(statement: SetZone | CtTemplate) -> str:
    """Of what is attached before conntrack nft says a zone by its number."""
    if isinstance(statement, CtTemplate) or statement.zone is None:
        refused(statement)
    return f"ct {f'{statement.way} ' if statement.way else ''}zone set {statement.zone}"


def _worded(statement: NoEffect | SetField | AddToSet | OpaqueStatement) -> str:
    """Statements that kept nft's words."""
    if isinstance(statement, AddToSet) and statement.text.startswith("--"):
        refused(statement)
    if isinstance(statement, SetField | AddToSet):
        return statement.text
    if statement.kind.isupper() or statement.text.startswith("{"):
        refused(statement)
    if isinstance(statement, OpaqueStatement) or statement.text.startswith(statement.kind):
        return statement.text
    return f"{statement.kind} {statement.text}".strip()


def _set(named: NamedSet) -> Iterator[str]:
    """A named set with its content."""
    kinds = named.kind.split(" . ")
    yield f"\tset {named.name} {{"
    yield f"\t\ttype {named.kind}"
    for part in named.declaration.split("; ") if named.declaration else ():
        yield f"\t\t{part}"
    if not named.known:
        refused(f"set {named.name}, whose content is not known")
    if named.elements:
        said = (
            " . ".join(key_text(key, kind) for key, kind in zip(element, kinds, strict=True))
            for element in named.elements
        )
        yield f"\t\telements = {{ {', '.join(said)} }}"
    yield "\t}"


def _map(content: Json) -> Iterator[str]:
    kind = content["type"] if isinstance(content["type"], list) else [content["type"]]
    quote = kind == ["ifname"]
    yield f"\tmap {content['name']} {{"
    yield f"\t\ttype {' . '.join(kind)} : {content['map']}"
    flags = content.get("flags", [])
    if flags:
        yield f"\t\tflags {','.join([flags] if isinstance(flags, str) else flags)}"
    pairs = [
        f"{words(value, quote)} : {statement_words(data) if content['map'] == 'verdict' else words(data)}"
        for value, data in content.get("elem", ())
    ]
    if pairs:
        yield f"\t\telements = {{ {', '.join(pairs)} }}"
    yield "\t}"


def _helper(content: Json) -> Iterator[str]:
    yield f'\tct helper {content["name"]} {{\n\t\ttype "{content["type"]}" protocol {content["protocol"]}'
    yield f"\t\tl3proto {content['l3proto']}\n\t}}"


def _stateful(kind: str) -> Callable[[Json], Iterator[str]]:
    def said(content: Json) -> Iterator[str]:
        text = "" if kind == "counter" else statement_words({kind: content}).removeprefix(kind)
        yield f"\t{kind} {content['name']} {{\n\t\t{text.strip()}\n\t}}"

    return said


def _flowtable(content: Json) -> Iterator[str]:
    devices = content.get("dev", [])
    names = ", ".join(f'"{name}"' for name in ([devices] if isinstance(devices, str) else devices))
    yield f"\tflowtable {content['name']} {{\n\t\thook {content['hook']} priority {content['prio']}"
    yield f"\t\tdevices = {{ {names} }}\n\t}}" if names else "\t}"


def _ct_timeout(content: Json) -> Iterator[str]:
    seconds = ", ".join(f"{state} : {value}" for state, value in (content["policy"] or {}).items())
    yield f"\tct timeout {content['name']} {{\n\t\tprotocol {content['protocol']}"
    yield f"\t\tl3proto {content['l3proto']}\n\t\tpolicy = {{ {seconds} }}\n\t}}"


OBJECTS: dict[str, Callable[[Json], Iterator[str]]] = {
    "map": _map,
    "ct helper": _helper,
    "ct timeout": _ct_timeout,
    "counter": _stateful("counter"),
    "limit": _stateful("limit"),
    "quota": _stateful("quota"),
    "flowtable": _flowtable,
}
"""nft's other objects to how they are declared."""


def object_lines(item: Json) -> Iterator[str]:
    """How an object of a table is declared within it; NotExpressible."""
    kind, content = next(iter(item.items()))
    if kind not in OBJECTS:
        refused(kind)
    try:
        yield from OBJECTS[kind](content)
    except (Unspeakable, KeyError):
        refused(item)
