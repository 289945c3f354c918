"""A whole `nft -j list ruleset`: tables with their chains, rules, sets and objects."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from conntrim.core.model.errors import InputError
from conntrim.core.model.finding import Place
from conntrim.core.model.nft_words import Json, Unspeakable, one_key
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    Dialect,
    NamedSet,
    Opaque,
    Rule,
    Ruleset,
    Table,
    TableFamily,
    Verdict,
)  # fmt: skip
from conntrim.core.model.service import Hook
from conntrim.core.parse.chains import check_jumps
from conntrim.core.parse.nft.matches import Context
from conntrim.core.parse.nft.rule import Maps, Told, rules, text_of
from conntrim.core.parse.nft.sets import named_set, object_text, volatile, written

ADVICE = "give me the whole output of `nft -j list ruleset`"
ON_THE_PATH = frozenset({TableFamily.IP, TableFamily.IP6, TableFamily.INET})
NEXTHDR = "`ip6 nexthdr` is read as the layer-4 protocol: packets with extension headers are not looked at"
"""A remark: the field is the next header's number, which is the protocol only where no extension header stands."""


@dataclass(slots=True)
class Gathered:
    """The objects of one table in listing order."""

    family: TableFamily
    name: str
    dormant: bool = False
    chains: dict[str, Json] = field(default_factory=dict)
    rules: dict[str, list[Json]] = field(default_factory=dict)
    sets: list[Json] = field(default_factory=list)
    maps: Maps = field(default_factory=dict)
    objects: list[tuple[str, Json]] = field(default_factory=list)


TableName = tuple[TableFamily, str]


def read_nft(text: str, source: str, without: Collection[TableName] = ()) -> Ruleset:
    """The tables of a listing but those named; InputError for anything that nft would not print."""
    document = _json(text, source)
    try:
        gathered = [each for each in _gathered(document) if (each.family, each.name) not in without]
        tables = tuple(_table(each, source) for each in gathered)
    except InputError:
        raise
    except SHAPES as error:
        # Shapes that no nft prints; which key was missed tells where to look.
        raise InputError(source, f"an object in a shape that nft does not print: {error}", advice=ADVICE) from error
    return Ruleset(tables, tuple(_remarks(tables, text, source)))


SHAPES = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, StopIteration, RuntimeError,
)  # fmt: skip
"""What reading JSON of an unexpected shape ends in."""


def native_tables(text: str, source: str) -> set[TableName]:
    """The tables with sets, maps or verdict maps: no iptables made these, and iptables-nft-save misprints them."""
    found: set[TableName] = set()
    try:
        for each in _gathered(_json(text, source)):
            said = json.dumps(list(each.rules.values()))
            mapped = any(kind == "map" and content["map"] == "verdict" for kind, content in each.objects)
            if each.sets or mapped or '{"set": ' in said or '"right": "@' in said or '"vmap"' in said:
                found.add((each.family, each.name))
    except SHAPES as error:
        raise InputError(source, f"an object in a shape that nft does not print: {error}", advice=ADVICE) from error
    return found


def _json(text: str, source: str) -> Json:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(source, f"no JSON: {error.msg}", line=error.lineno, advice=ADVICE) from error
    except RecursionError as error:
        raise InputError(source, "JSON nested deeper than any listing", advice=ADVICE) from error


def _gathered(document: Json) -> list[Gathered]:
    """The listing's objects by table."""
    tables: dict[tuple[str, str], Gathered] = {}
    for item in document["nftables"]:
        kind, content = one_key(item)
        if kind == "metainfo":
            continue
        name = (str(content["family"]), str(content["name"] if kind == "table" else content["table"]))
        table = tables.get(name)
        if table is None:
            table = tables[name] = Gathered(TableFamily(name[0]), name[1])
        _sort(kind, content, table)
    return list(tables.values())


def _sort(kind: str, content: Json, table: Gathered) -> None:
    """One object to its place."""
    if kind == "table":
        flags = content.get("flags", [])
        # nft 1.0.6 prints only the first letter of the flags.
        table.dormant = flags == "d" or "dormant" in flags
    elif kind == "chain":
        table.chains[str(content["name"])] = content
    elif kind == "rule":
        table.rules.setdefault(str(content["chain"]), []).append(content)
    elif kind == "set":
        table.sets.append(content)
    elif kind != "element":
        table.objects.append((kind, content))
        if kind == "map" and content["map"] == "verdict" and not volatile(content):
            table.maps[str(content["name"])] = list(content.get("elem", []))


def _table(table: Gathered, source: str) -> Table:
    context = Context(table.family)
    chains: list[Chain] = []
    for name in table.rules:
        if name not in table.chains:
            raise InputError(source, f"rules of chain {name}, which table {table.name} does not have", advice=ADVICE)
    for name, content in table.chains.items():
        listed = [made for rule in table.rules.get(name, ()) for made in _rules(rule, context, table.maps, source)]
        chains.append(Chain(name, tuple(listed), _base(content), Place(source)))
    check_jumps(chains, source)
    filled = {name for listed in table.rules.values() for rule in listed for name in written(rule["expr"])}
    sets: list[NamedSet] = [named_set(content, table.family, filled) for content in table.sets] + context.anonymous
    objects = tuple(object_text(kind, content, filled) for kind, content in table.objects)
    return Table(Dialect.NFTABLES, table.family, table.name, tuple(chains), tuple(sets), table.dormant, objects)


def _base(content: Json) -> Base | None:
    """The hook of a base chain; a user's chain has none."""
    if "hook" not in content:
        return None
    devices = content.get("dev", [])
    names = (devices,) if isinstance(devices, str) else tuple(map(str, devices))
    policy = Verdict(content.get("policy", "accept"))
    return Base(str(content["type"]), Hook(content["hook"]), int(content["prio"]), policy, names)


def _rules(content: Json, context: Context, maps: Maps, source: str) -> list[Rule]:
    """One listed rule."""
    expressions = content["expr"]
    handle = int(content.get("handle", 0))
    within = f"{content['family']} {content['table']} {content['chain']} handle {handle}"
    told = Told(Place(source, 0, within), text_of(expressions), str(content.get("comment", "")), handle)
    try:
        return rules(expressions, told, context, maps)
    except Unspeakable as error:
        raise ValueError(f"rule {told.handle}: {error}") from error


def _remarks(tables: tuple[Table, ...], text: str, source: str) -> Iterator[str]:
    """What the listing cannot tell."""
    for table in tables:
        opaque = {
            part.kind
            for chain in table.chains for rule in chain.rules for part in (*rule.matches, *rule.statements)
            if isinstance(part, Opaque)
        }  # fmt: skip
        lost = sorted(kind[3:] for kind in opaque if kind.startswith("xt "))
        if lost:
            yield (
                f"{source}: table {table.family} {table.name} holds iptables' {', '.join(lost)}, whose arguments nft "
                "does not list: take it from iptables-save"
            )
        if "chain" in opaque:
            yield f"{source}: table {table.family} {table.name} has anonymous chains, which nft lists as raw text"
        if any(c.base and c.base.hook in (Hook.INGRESS, Hook.EGRESS) and not c.base.devices for c in table.chains):
            yield f"{source}: table {table.family} {table.name} has a chain whose device the listing does not name"
        if table.family not in ON_THE_PATH:
            yield f"{source}: table {table.family} {table.name} is not on the path of IP packets"
        if any('"flowtable"' in each for each in table.objects):
            yield f"{source}: table {table.family} {table.name} has a flowtable: offloaded packets see no rule"
    if '"nexthdr"' in text:
        yield f"{source}: {NEXTHDR}"
