"""`ipset save`: what the sets that iptables rules ask hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from conntrim.core.dialect.xt import SET_PARTS
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import (
    NATIVE_SET,
    Chain,
    Dialect,
    InSet,
    Key,
    NamedSet,
    OpaqueStatement,
    Rule,
    Ruleset,
    Table,
)  # fmt: skip
from conntrim.core.model.writes import AddToSet
from conntrim.core.parse.xt.numbers import address, number, ports, prefix, protocol
from conntrim.core.parse.xt.tokens import split

TCP_UDP = Intervals.of(Protocol.TCP, Protocol.UDP)
"""K56: the protocols whose ports a `bitmap:port` looks at."""

XT = frozenset({Dialect.IPTABLES_NFT, Dialect.IPTABLES_LEGACY})


@dataclass(slots=True)
class Raw:
    """A set being read: `width` is the number of keys of an element, `holes` those that `nomatch` takes out."""

    name: str
    parts: tuple[str, ...]
    kind: str
    v6: bool
    dynamic: bool
    options: tuple[str, ...] = ()
    elements: list[tuple[Key, ...]] = field(default_factory=list)
    nested: list[tuple[Key, bool]] = field(default_factory=list)
    known: bool = True
    members: list[str] = field(default_factory=list)

    @property
    def netmask(self) -> int | None:
        """The length of the prefixes that a set of single addresses keeps instead."""
        at = self.options.index("netmask") + 1 if "netmask" in self.options else 0
        return int(self.options[at]) if 0 < at < len(self.options) and self.parts[0] == "ip" else None

    @property
    def declaration(self) -> str:
        """What else it was made with: its default time-out."""
        at = self.options.index("timeout") if "timeout" in self.options else len(self.options)
        return " ".join(self.options[at : at + 2])


def _widened(addresses: Intervals, length: int, v6: bool) -> Intervals:
    """Addresses with all others of their prefixes."""
    rest = (1 << ((128 if v6 else 32) - length)) - 1
    return Intervals.of(*((low & ~rest, high | rest) for low, high in addresses.ranges))


def _address(text: str, v6: bool) -> tuple[Key, ...]:
    if "-" in text:
        low, _, high = text.partition("-")
        return (Intervals.union_of([(address(low, v6), address(high, v6))]),)
    found = prefix(Field.SRC, text, False, v6)
    return (found.values if found else Intervals.full(128),)


def _port(text: str, v6: bool) -> tuple[Key, ...]:
    """`tcp:80-90`: protocol and port. Protocols without ports have other things there."""
    name, colon, rest = text.partition(":")
    wanted = protocol(name) if colon else 6
    if wanted not in WITH_PORTS:
        raise LookupError(text)
    return Intervals.of(wanted), ports((rest if colon else name).replace("-", ":"))


def _interface(text: str) -> tuple[Key, ...]:
    """An interface's name; the port of a bridge is none that we look at."""
    if text.startswith("physdev:"):
        raise LookupError(text)
    return ((text,),)


READ: dict[str, Callable[[str, bool], tuple[Key, ...]]] = {
    "ip": _address,
    "net": _address,
    "port": _port,
    "mark": lambda text, v6: (Intervals.of(number(text, 0xFFFFFFFF, "mark")),),
    "mac": lambda text, v6: ((text.lower(),),),
    "iface": lambda text, v6: _interface(text),
}
"""Part of a set's type to how it is read."""


def read_ipsets(text: str, source: str) -> tuple[NamedSet, ...]:
    """The sets of a save; InputError with the line for what ipset would not print."""
    sets: dict[str, Raw] = {}
    for line, raw in enumerate(text.split("\n"), 1):
        try:
            words = _words(raw, sets)
            if words and not words[0].startswith("#"):
                _line(words, sets)
        except ValueError as error:
            raise InputError(source, str(error), line=line) from error
    for each in sets.values():
        _filled(each, sets)
    return tuple(_finished(each) for each in sets.values())


def _filled(to: Raw, sets: dict[str, Raw]) -> None:
    """A list holds what its members hold in the end, whichever was made or filled first."""
    for member in map(sets.get, to.members):
        to.known = to.known and member is not None and (not to.elements or to.parts == member.parts)
        if member is not None:
            to.parts, to.dynamic = member.parts, to.dynamic or member.dynamic
            to.elements += member.elements
            to.known = to.known and member.known and not any(hole for _, hole in member.nested)


_CREATE = re.compile(r"create (.*?) ((?:hash|bitmap|list):\S+)(.*)")


def _words(line: str, sets: dict[str, Raw]) -> list[str]:
    """The words of a line; a set's name may have spaces and quotes, and ipset prints it as it is (K76)."""
    if not line.startswith("add ") and (found := _CREATE.fullmatch(line.strip())):
        return ["create", found[1], found[2], *found[3].split()]
    odd = [name for name in sets if " " in name or '"' in name]
    for name in sorted(odd, key=len, reverse=True) if odd else ():
        if line.startswith(f"add {name} "):
            return ["add", name, *split(line.removeprefix(f"add {name} "))]
    return split(line)


def _line(words: list[str], sets: dict[str, Raw]) -> None:
    if words[0] == "create" and len(words) > 2:
        _, _, parts = words[2].partition(":")
        v6 = "inet6" in words[3:]
        made = Raw(words[1], tuple(parts.split(",")), words[2], v6, "timeout" in words[3:], tuple(words[3:]))
        made.known = "bitmask" not in made.options
        sets[words[1]] = made
    elif words[0] == "add" and len(words) > 2:
        if words[1] not in sets:
            raise ValueError(f"element of set {words[1]}, which is not created before")
        _add(sets[words[1]], words[2], _options(words[3:]))
    else:
        raise ValueError(f"{words[0]!r} is no line of ipset save")


def _options(words: list[str]) -> frozenset[str]:
    """The words behind an element, but for a comment, which may say anything."""
    at = words.index("comment") if "comment" in words else len(words)
    return frozenset(words[:at] + words[at + 2 :])


def _add(to: Raw, element: str, options: frozenset[str]) -> None:
    if to.kind == "list:set":
        to.members.append(element)
        return
    words = element.split(",")
    try:
        if to.kind == "bitmap:port":
            keys: tuple[Key, ...] = (TCP_UDP, ports(words[0].replace("-", ":")))
        else:
            keys = tuple(key for part, word in zip(to.parts, words, strict=True) for key in READ[part](word, to.v6))
    except (LookupError, ValueError) as error:
        if isinstance(error, ValueError) and len(words) == len(to.parts) and all(p in READ for p in to.parts):
            raise
        to.known = False
        return
    if isinstance(keys[0], Intervals) and (net := to.netmask) is not None:
        keys = (_widened(keys[0], net, to.v6), *keys[1:])
    if "wildcard" in options and isinstance(keys[-1], tuple):
        keys = (*keys[:-1], tuple(f"{name}*" for name in keys[-1]))
    hole = "nomatch" in options
    to.nested.append((keys[0], hole))
    to.elements.append(keys)
    if hole and len(keys) > 1:
        to.known = False


def _finished(raw: Raw) -> NamedSet:
    """The set with its holes taken out: the longest prefix that holds an address decides."""
    elements = raw.elements
    if any(hole for _, hole in raw.nested) and raw.known:
        held = Intervals()
        sized = [(key, hole) for key, hole in raw.nested if isinstance(key, Intervals)]
        for key, hole in sorted(sized, key=lambda one: -one[0].size):
            held = held - key if hole else held | key
        elements = [(held,)]
    return NamedSet(
        raw.name,
        tuple(elements) if raw.known else (),
        raw.known,
        kind=_kind(raw),
        dynamic=raw.dynamic,
        declaration=raw.declaration,
    )


def _kind(raw: Raw) -> str:
    return raw.kind if raw.kind != "list:set" else f"list:{','.join(raw.parts)}"


def with_ipsets(ruleset: Ruleset) -> Ruleset:
    """The rule set with every iptables table that asks an ipset holding it, and with the asked fields told."""
    named = {each.name: each for each in ruleset.ipsets}
    tables, missing = [], set()
    found = [(table, _asked(table) if table.dialect in XT else {}) for table in ruleset.tables]
    filled = {name for _, asked in found for name, writes in asked.items() if writes}
    for table, named_here in found:
        asked = {name: name in filled for name in named_here}
        missing |= {name for name in asked if name not in named}
        tables.append(_resolved(table, asked, named) if asked else table)
    remarks = tuple(f"the content of set {name} is not known: give me `ipset save` too" for name in sorted(missing))
    return replace(ruleset, tables=tuple(tables), remarks=ruleset.remarks + remarks)


def _asked(table: Table) -> dict[str, bool]:
    """The sets that the table's rules ask or write, and whether they write them."""
    found: dict[str, bool] = {}
    for _, part in table.unusual():
        if isinstance(part, InSet) and not part.set_name.startswith(NATIVE_SET):
            found.setdefault(part.set_name, False)
        elif isinstance(part, OpaqueStatement) and part.kind == "SET":
            found[_written(part.text)] = True
    statements = (s for rule in table.rules() for s in rule.statements)
    return found | {s.set_name: True for s in statements if isinstance(s, AddToSet)}


def _written(text: str) -> str:
    """The set of `--add-set NAME src`, whose name may be quoted."""
    words = split(text)
    return words[1] if len(words) > 1 else ""


def _resolved(table: Table, asked: dict[str, bool], named: dict[str, NamedSet]) -> Table:
    sets = tuple(
        replace(named[name], dynamic=named[name].dynamic or written) for name, written in asked.items() if name in named
    )
    chains = tuple(_chain(chain, named) for chain in table.chains)
    return replace(table, chains=chains, sets=(*(s for s in table.sets if s.name.startswith(NATIVE_SET)), *sets))


def _chain(chain: Chain, named: dict[str, NamedSet]) -> Chain:
    parts = (part for rule in chain.rules for part in (*rule.matches, *rule.statements))
    if not any(isinstance(part, InSet | AddToSet) for part in parts):
        return chain
    return replace(chain, rules=tuple(_rule(rule, named) for rule in chain.rules))


def _rule(rule: Rule, named: dict[str, NamedSet]) -> Rule:
    matches = tuple(_told(m, named) if isinstance(m, InSet) else m for m in rule.matches)
    done = tuple(_told(s, named) if isinstance(s, AddToSet) else s for s in rule.statements)
    return replace(rule, matches=matches, statements=done)


T = TypeVar("T", InSet, AddToSet)


def _told(match: T, named: dict[str, NamedSet]) -> T:
    """`--match-set NAME src,dst` with the fields that the set's type gives those directions; so `--add-set`, unless the
    set keeps another thing than what the packet has."""
    if match.set_name not in named:
        return match
    found = named[match.set_name]
    kind = found.kind
    parts = kind.partition(":")[2].split(",")
    ways = [way for way in match.fields if way in ("src", "dst")]
    if len(ways) < len(parts) or any((part, "src") not in SET_PARTS for part in parts):
        return match
    if isinstance(match, AddToSet) and (kind.startswith("list:") or "mask" in found.declaration):
        return match
    fields: tuple[Field | str, ...] = ()
    for part, way in zip(parts, ways, strict=False):
        fields += SET_PARTS[part, way]
    return replace(match, fields=fields)
