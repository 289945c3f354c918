"""A whole `nft -j list ruleset`, or commands that make one: tables with their chains, rules, sets and objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from conntrim.core.model.address import Family
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Place
from conntrim.core.model.nft_words import Json, Unspeakable, one_key
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    Dialect,
    Helper,
    InSet,
    NamedSet,
    Rule,
    Ruleset,
    Table,
    TableFamily,
    Verdict,
)  # fmt: skip
from conntrim.core.model.service import Hook
from conntrim.core.parse.chains import check_jumps
from conntrim.core.parse.nft.commands import commanded, listing_of
from conntrim.core.parse.nft.matches import Context
from conntrim.core.parse.nft.rule import Maps, Told, once, rules, text_of
from conntrim.core.parse.nft.sets import named_set, object_text, volatile, written
from conntrim.core.parse.nft.statements import writes
from conntrim.core.parse.unread import opaque_rule

ADVICE = "give me the whole output of `nft -j list ruleset`"
_DECODER = json.JSONDecoder()
MOST_OBJECTS, MOST_VALUES = 1_200_000, 4_000_000
"""What a quarter of a gigabyte holds of JSON: a hundred thousand rules, a million elements of sets."""
ON_THE_PATH = frozenset({TableFamily.IP, TableFamily.IP6, TableFamily.INET, TableFamily.NETDEV})
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


_FAMILIES = frozenset(map(str, TableFamily))
TableName = tuple[TableFamily, str]


@dataclass(frozen=True, slots=True)
class Listed:
    """One listed rule: the rules that it stands for (a verdict map: several), and whether nft tells only the names of
    some of its matches or targets (K36)."""

    rules: tuple[Rule, ...]
    xt: bool


@dataclass(frozen=True, slots=True)
class ListedTable:
    """A table as nft lists it, and its listed rules by chain."""

    table: Table
    rules: dict[str, tuple[Listed, ...]]


def read_nft(text: str, source: str) -> Ruleset:
    """The tables of a listing; InputError for anything that nft would not print."""
    listed, told = document_tables(_json(text, source), text, source)
    tables = tuple(each.table for each in listed)
    return Ruleset(tables, told.remarks, unread=(*told.unread, *lost_of(tables, source)))


def document_tables(document: Json, text: str, source: str) -> tuple[list[ListedTable], Ruleset]:
    """The tables of a listing, or of libnftables' commands, rule by rule, and what else is to be known of them.

    `text` is the document's text.
    """
    unread: list[str] = []
    try:
        if commanded(document):
            document = listing_of(document, source)
        listed = [_table(each, source) for each in _gathered(document, source, unread)]
    except InputError:
        raise
    except SHAPES as error:
        # Shapes that no nft prints; which key was missed tells where to look.
        raise InputError(source, f"an object in a shape that nft does not print: {error}", advice=ADVICE) from error
    remarks = tuple(remarks_of([each.table for each in listed], text, source))
    return listed, Ruleset(remarks=remarks, unread=tuple(unread))


def listed_tables(text: str, source: str) -> tuple[list[ListedTable], list[str]]:
    """The tables of a kernel's listing, and what is not understood: that costs its own rule, chain or table."""
    unread: list[str] = []
    found = []
    for each in _gathered(_json(text, source), source, unread):
        try:
            found.append(_table(each, source, unread))
        except (InputError, *SHAPES) as error:
            unread.append(f"{source}: table {each.family} {each.name}: {_said(error)}")
    return found, unread


def _said(error: Exception) -> str:
    return error.message if isinstance(error, InputError) else f"a shape that nft does not print: {error}"


SHAPES = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, StopIteration, RuntimeError,
)  # fmt: skip
"""What reading JSON of an unexpected shape ends in."""


def decode(text: str, source: str, at: int = 0) -> tuple[Json, int]:
    """The document that begins there, and where it ends; InputError for what is no JSON, or larger than memory."""
    if sum(map(text.count, "{[")) > MOST_OBJECTS or text.count(",") > MOST_VALUES:
        raise InputError(source, f"JSON of more than {MOST_OBJECTS:,} objects or {MOST_VALUES:,} values", advice=ADVICE)
    while text[at : at + 1].isspace():
        at += 1
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise InputError(source, f"no JSON: {error.msg}", line=error.lineno, advice=ADVICE) from error
    except RecursionError as error:
        raise InputError(source, "JSON nested deeper than any listing", advice=ADVICE) from error


def _json(text: str, source: str) -> Json:
    document, end = decode(text, source)
    if text[end:].strip():
        raise InputError(source, "no JSON: more stands behind it", line=text.count("\n", 0, end) + 1, advice=ADVICE)
    return document


def _gathered(document: Json, source: str, unread: list[str]) -> list[Gathered]:
    """The listing's objects by table; a table of a family that is unknown to the model is unread."""
    tables: dict[tuple[str, str], Gathered] = {}
    for item in document["nftables"]:
        kind, content = one_key(item)
        if kind == "metainfo":
            continue
        name = (str(content["family"]), str(content["name"] if kind == "table" else content["table"]))
        if name[0] not in _FAMILIES:
            unread += [f"{source}: table {' '.join(name)} is of a family that is not known"] if kind == "table" else []
            continue
        table = tables.get(name)
        if table is None:
            table = tables[name] = Gathered(TableFamily(name[0]), name[1])
        _sort(kind, content, table)
        if kind == "table" and isinstance(content.get("flags"), str) and content["flags"] != "dormant":  # K130
            unread.append(f"{source}: table {' '.join(name)} has flags that this nft does not tell: it may be dormant")
    return list(tables.values())


def _sort(kind: str, content: Json, table: Gathered) -> None:
    """One object to its place."""
    if kind == "table":
        flags = content.get("flags", [])
        table.dormant = "dormant" in ([flags] if isinstance(flags, str) else flags)
    elif kind == "chain":
        table.chains[str(content["name"])] = content
    elif kind == "rule":
        table.rules.setdefault(str(content["chain"]), []).append(content)
    elif kind == "set":
        table.sets.append(content)
    elif kind != "element":
        table.objects.append((kind, content))
        if kind == "map" and not volatile(content):
            table.maps[str(content["name"])] = list(content.get("elem", []))


HELPED = {"ip": Family.IPV4, "ip6": Family.IPV6}
"""The families of helper objects; `inet` is both."""


def _helper(content: Json) -> Helper:
    return Helper(str(content["name"]), str(content["type"]), HELPED.get(content.get("l3proto", "")))


def _table(table: Gathered, source: str, unread: list[str] | None = None) -> ListedTable:
    """A table read; with `unread`, what is not understood is noted there and stands as an opaque rule."""
    helpers = [_helper(each) for kind, each in table.objects if kind == "ct helper"]
    context = Context(table.family, {helper.name: helper for helper in helpers})
    filled = {name for found in table.rules.values() for rule in found for name in written(rule["expr"])}
    maps = {name: elements for name, elements in table.maps.items() if name not in filled}
    chains: list[Chain] = []
    listed: dict[str, tuple[Listed, ...]] = {}
    for name in table.rules:
        if name not in table.chains:
            raise InputError(source, f"rules of chain {name}, which table {table.name} does not have", advice=ADVICE)
    for name, content in table.chains.items():
        found = enumerate(table.rules.get(name, ()), 1)
        listed[name] = tuple(
            _listed(rule, _place(rule, number, source), context, maps, unread) for number, rule in found
        )
        made = tuple(rule for each in listed[name] for rule in each.rules)
        chains.append(Chain(name, made, _base(content), Place(source)))
    check_jumps(chains, source)
    chains = _looked_up_once(chains, listed)
    sets: list[NamedSet] = [named_set(content, table.family, filled) for content in table.sets] + context.anonymous
    objects = tuple(object_text(kind, content, filled) for kind, content in table.objects)
    read = Table(Dialect.NFTABLES, table.family, table.name, tuple(chains), tuple(sets), table.dormant, objects)
    return ListedTable(read, listed)


def _looked_up_once(chains: list[Chain], listed: dict[str, tuple[Listed, ...]]) -> list[Chain]:
    """The chains with what a verdict map's rules cannot be asked left open."""
    if not any(len(each.rules) > 1 for found in listed.values() for each in found):
        return chains
    whole, known = Table(Dialect.NFTABLES, TableFamily.INET, "", tuple(chains)), dict[str, frozenset[Field]]()

    def written(name: str) -> frozenset[Field]:
        if name not in known and (target := whole.chain(name)) is not None:
            rules = (rule for chain in whole.below(target) for rule in chain.rules)
            known[name] = frozenset[Field]().union(*(writes(s) for rule in rules for s in rule.statements))
        return known.get(name, frozenset())

    for name, found in listed.items():
        listed[name] = tuple(replace(each, rules=once(each.rules, written)) for each in found)
    return [replace(c, rules=tuple(r for each in listed[c.name] for r in each.rules)) for c in chains]


def _listed(content: Json, place: Place, context: Context, maps: Maps, unread: list[str] | None) -> Listed:
    """One listed rule."""
    try:
        made = _rules(content, place, context, maps)
        return Listed(tuple(made), any(isinstance(each, dict) and "xt" in each for each in content["expr"]))
    except SHAPES as error:
        if unread is None:
            raise
        unread.append(f"{place}: a shape that is not known: {error}")
        return Listed((opaque_rule(json.dumps(content), place),), xt=False)


def _base(content: Json) -> Base | None:
    """The hook of a base chain; a user's chain has none."""
    if "hook" not in content:
        return None
    devices = content.get("dev", [])
    names = (devices,) if isinstance(devices, str) else tuple(map(str, devices))
    policy = Verdict(content.get("policy", "accept"))
    return Base(str(content["type"]), Hook(content["hook"]), int(content["prio"]), policy, names)


def _place(content: Json, number: int, source: str) -> Place:
    """Where a rule stands: by its handle on the host, where the listing tells it, else by its number in its chain."""
    name = f"handle {content['handle']}" if content.get("handle") else f"rule {number}"
    return Place(source, 0, f"{content['family']} {content['table']} {content['chain']} {name}")


def _rules(content: Json, place: Place, context: Context, maps: Maps) -> list[Rule]:
    """One listed rule."""
    expressions = content["expr"]
    told = Told(place, text_of(expressions), str(content.get("comment", "")), int(content.get("handle", 0)))
    try:
        return rules(expressions, told, context, maps)
    except Unspeakable as error:
        raise ValueError(f"{place.within}: {error}") from error


def lost_of(tables: Iterable[Table], source: str) -> Iterator[str]:
    """What the listing hides: arguments of iptables' matches and targets (K36), the content of chains (K38)."""
    for table in tables:
        opaque = {part.kind for _, part in table.unusual() if not isinstance(part, InSet)}
        lost = sorted(kind[3:] for kind in opaque if kind.startswith("xt "))
        if lost:
            yield (
                f"{source}: table {table.family} {table.name} holds iptables' {', '.join(lost)}, whose arguments nft "
                "does not list: take it from iptables-save"
            )
        if "chain" in opaque:
            yield f"{source}: table {table.family} {table.name} has anonymous chains, which nft lists as raw text"


def remarks_of(tables: Iterable[Table], text: str, source: str) -> Iterator[str]:
    """What else must be known of the listing."""
    for table in tables:
        if any(c.base and c.base.hook in (Hook.INGRESS, Hook.EGRESS) and not c.base.devices for c in table.chains):
            yield f"{source}: table {table.family} {table.name} has a chain whose device the listing does not name"
        if any(c.base and c.base.hook is Hook.EGRESS for c in table.chains):
            yield f"{source}: table {table.family} {table.name} has an egress chain, which is not followed"
        if table.family not in ON_THE_PATH:
            yield f"{source}: table {table.family} {table.name} is not on the path of IP packets"
        if any('"flowtable"' in each for each in table.objects):
            yield f"{source}: table {table.family} {table.name} has a flowtable: offloaded packets see no rule"
    if '"nexthdr"' in text:
        yield f"{source}: {NEXTHDR}"
