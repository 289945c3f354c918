"""nft's named sets and maps, and what else a table holds."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator

from conntrim.core.dialect.nft import EXPRESSIONS, TYPES, Spelt
from conntrim.core.model.nft_words import Json, Unspeakable, words
from conntrim.core.model.ruleset import Key, NamedSet, TableFamily
from conntrim.core.parse.nft.left import Left, Name, Unread, left
from conntrim.core.parse.nft.matches import key
from conntrim.core.parse.nft.statements import WRITES

PARTS: dict[str, Left | Name] = {
    row.type: Name("in") if TYPES[row.type].spelt is Spelt.DEVICES else Left(row.field, row.type) for row in EXPRESSIONS
}
"""nft's type to how its values are read."""

VOLATILE = frozenset({"dynamic", "timeout"})
"""Flags of sets whose content changes by itself."""

STATE = frozenset({"handle", "packets", "bytes", "used"})
"""Keys of objects that tell how things stand, not what they are."""


def kind_text(kind: Json) -> str:
    """`ipv4_addr . inet_service`; a set declared by expressions says `typeof ...`."""
    if isinstance(kind, list):
        return " . ".join(map(str, kind))
    if isinstance(kind, dict):
        inner = kind.get("typeof", kind)
        return f"typeof {words(inner)}"
    return str(kind)


def _parts(kind: Json, family: TableFamily) -> list[Left | Name | str]:
    """How each part of an element is read; text where the type is unknown."""
    if isinstance(kind, dict):
        inner = kind.get("typeof", kind)
        expressions = inner["concat"] if isinstance(inner, dict) and "concat" in inner else [inner]
        return [_typed(expression, family) for expression in expressions]
    return [PARTS.get(str(name), str(name)) for name in (kind if isinstance(kind, list) else [kind])]


def _typed(expression: Json, family: TableFamily) -> Left | Name | str:
    try:
        return left(expression, family)
    except Unread:
        return words(expression)


def _element(value: Json, parts: list[Left | Name | str]) -> tuple[Key, ...]:
    if isinstance(value, dict) and "elem" in value:
        return _element(value["elem"]["val"], parts)
    if isinstance(value, dict) and "concat" in value:
        return tuple(key(of, part) for of, part in zip(parts, value["concat"], strict=True))
    return (key(parts[0], value),)


def written(expressions: Iterable[Json]) -> Iterator[str]:
    """The sets and maps that rules write to: nft 1.0.6 leaves the flag `dynamic` out of its JSON (K100)."""
    for expression in expressions:
        if isinstance(expression, str) and (told := WRITES.match(expression)):
            yield told[1]
        for kind in ("set", "map"):
            content = expression.get(kind) if isinstance(expression, dict) else None
            if isinstance(content, dict) and "op" in content:
                yield str(content[kind]).removeprefix("@")


def volatile(content: Json) -> bool:
    """Whether a set's or map's elements come and go by themselves, as far as it says so itself."""
    flags = content.get("flags", [])
    return bool(VOLATILE & set([flags] if isinstance(flags, str) else flags)) or "timeout" in content


def named_set(content: Json, family: TableFamily, filled: Collection[str] = ()) -> NamedSet:
    """A `set` object; content that the model cannot read is not known. `filled` are the names that rules write to."""
    flags = content.get("flags", [])
    flags = [flags] if isinstance(flags, str) else flags
    elements: tuple[tuple[Key, ...], ...] = ()
    known = True
    try:
        parts = _parts(content["type"], family)
        elements = tuple(_element(value, parts) for value in content.get("elem", ()))
    except (Unread, Unspeakable):
        known = False
    return NamedSet(
        str(content["name"]), elements, known, json.dumps(_lasting(content.get("elem", []))),
        kind_text(content["type"]), volatile(content) or str(content["name"]) in filled,
        declaration=_declaration(content, flags),
    )  # fmt: skip


PASSING = frozenset({"expires", "counter"})
"""What an element says of how things stand."""


def _lasting(elements: Json) -> Json:
    """Elements without what is another thing at each listing; counters say nothing, limits and time-outs stay."""
    return [
        {"elem": {k: v for k, v in each["elem"].items() if k not in PASSING}}
        if isinstance(each, dict) and isinstance(each.get("elem"), dict) else each
        for each in elements
    ]  # fmt: skip


def _declaration(content: Json, flags: list[str]) -> str:
    """What a loader needs beyond type and elements."""
    said = [f"flags {','.join(sorted(map(str, flags)))}"] if flags else []
    said += [f"timeout {content['timeout']}s"] if "timeout" in content else []
    said += [f"size {content['size']}"] if "size" in content else []
    return "; ".join(said)


def object_text(kind: str, content: Json, filled: Collection[str] = ()) -> str:
    """Any other object of a table, as JSON without its state; a map that fills itself without what it holds."""
    state = STATE | {"elem"} if kind == "map" and (volatile(content) or content["name"] in filled) else STATE
    kept = {name: value for name, value in content.items() if name not in state}
    return json.dumps({kind: kept}, sort_keys=True)
