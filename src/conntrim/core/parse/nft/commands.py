"""libnftables' JSON commands as the listing that an empty rule set shows after them.

They are carried out in their order: `add`, `create`, `insert`, `delete`, `destroy` and `flush`; an object without a
command is added, as nft takes it. What names a rule by its handle speaks of a running rule set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from conntrim.core.model.errors import InputError
from conntrim.core.model.nft_words import Json, one_key

COMMANDS = frozenset({
    "add", "create", "insert", "delete", "destroy", "flush", "replace", "rename", "reset", "list", "monitor",
})  # fmt: skip
"""What libnftables-json(5) has; a listing holds objects only."""

SHOWING = frozenset({"list", "reset", "monitor", "metainfo"})
BASE: dict[str, type] = {"type": str, "hook": str, "prio": int}
"""What makes a base chain: nft makes a chain on no hook of one that lacks any of them, without a word."""

Name = tuple[str, str]
"""A table: family and name."""


class CommandError(ValueError):
    """What nft or the kernel would refuse."""


@dataclass(slots=True)
class _Table:
    """One table as it stands: its objects by kind and name, its rules by chain."""

    content: Json
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    rules: dict[str, list[Json]] = field(default_factory=dict)


def commanded(document: Json) -> bool:
    """Whether any item is a command, so that this is no listing: elements by themselves are added, none lists them."""
    ours = COMMANDS | {"element"}
    return any(isinstance(item, dict) and not ours.isdisjoint(item) for item in document["nftables"])


def without_handles(document: Json) -> Json:
    """A listing whose rules have no handles: those of another kernel than the host's would name other rules there."""
    for item in document["nftables"]:
        item.get("rule", {}).pop("handle", None)
    return document


def listing_of(document: Json, source: str) -> Json:
    """The listing of what the commands leave; InputError with the command's number for one that would fail."""
    state = _State()
    for number, item in enumerate(document["nftables"], 1):
        kind, content = one_key(item)
        verb, (kind, content) = (kind, one_key(content)) if kind in COMMANDS else ("add", (kind, content))
        try:
            if verb not in SHOWING and kind not in SHOWING:
                state.do(verb, kind, content)
        except CommandError as error:
            raise InputError(source, f"command {number}, {verb} {kind}: {error}") from error
    return {"nftables": list(state.items())}


@dataclass(slots=True)
class _State:
    """The rule set between two commands. Its rules have no handles: those are given by the kernel that takes them."""

    tables: dict[Name, _Table] = field(default_factory=dict)

    def do(self, verb: str, kind: str, content: Json) -> None:
        """One command."""
        does = _OF_KIND.get(kind, _OBJECT).get(verb)
        if does is None:
            raise CommandError("it speaks of a running rule set (give me `nft -j list ruleset`)")
        does(self, verb, kind, content)

    def clear(self, verb: str, kind: str, content: Json) -> None:
        """Everything goes."""
        self.tables.clear()

    def add_table(self, verb: str, kind: str, content: Json) -> None:
        """A table; one that is there stays."""
        name = _table_name(content)
        if verb == "create" and name in self.tables:
            raise CommandError("it exists")
        self.tables.setdefault(name, _Table(content))

    def delete_table(self, verb: str, kind: str, content: Json) -> None:
        """A table with all that is in it."""
        if self.tables.pop(_table_name(content), None) is None and verb == "delete":
            raise CommandError("there is no such table")

    def flush(self, verb: str, kind: str, content: Json) -> None:
        """The rules of a table or of a chain, the elements of a set."""
        if kind == "table":
            self.table(content, "name").rules.clear()
        elif kind == "chain":
            self.table(content).rules.pop(self.known(kind, content)["name"], None)
        else:
            self.known(kind, content)["elem"] = []

    def table(self, content: Json, key: str = "table") -> _Table:
        """The table that an object is in."""
        name = _table_name(content, key)
        if name not in self.tables:
            raise CommandError(f"there is no table {' '.join(name)}")
        return self.tables[name]

    def known(self, kind: str, content: Json, key: str = "name") -> Json:
        """An object that is there."""
        found = self.table(content).objects.get((kind, _text(content, key)))
        if found is None:
            raise CommandError(f"there is no {kind} {content[key]}")
        return found

    def rule(self, verb: str, kind: str, content: Json) -> None:
        """A rule to the end of its chain or the front, or behind or before the one with that index."""
        chain = _text(self.known("chain", content, "chain"), "name")
        rules = self.table(content).rules.setdefault(chain, [])
        index = content.get("index")
        if index is not None and not 0 <= index < len(rules):
            raise CommandError(f"there is no rule {index}")
        front = verb == "insert"
        at = (0 if front else len(rules)) if index is None else index + (not front)
        rules.insert(at, {name: value for name, value in content.items() if name != "handle"})

    def object(self, verb: str, kind: str, content: Json) -> None:
        """A chain, set, map or any other object; one that is there stays, but for what a chain's policy is now."""
        objects, key = self.table(content).objects, (kind, _text(content, "name"))
        if kind == "chain" and not all(isinstance(content.get(name), of) for name, of in BASE.items()):
            content = {name: value for name, value in content.items() if name not in (*BASE, "policy", "dev")}
        if key not in objects:
            objects[key] = {**content, "elem": _listed(content["elem"])} if "elem" in content else dict(content)
        elif verb == "create":
            raise CommandError("it exists")
        elif "policy" in content:
            objects[key]["policy"] = content["policy"]
        elif "elem" in content:
            objects[key]["elem"] = [*objects[key].get("elem", ()), *_listed(content["elem"])]

    def elements(self, verb: str, kind: str, content: Json) -> None:
        """Elements into a set or map, or out of it."""
        objects, name = self.table(content).objects, _text(content, "name")
        to = objects.get(("set", name), objects.get(("map", name)))
        if to is None:
            raise CommandError(f"there is no set {name}")
        had, given = to.get("elem", []), _listed(content["elem"])
        if verb in ("add", "create"):
            to["elem"] = [*had, *(each for each in given if each not in had)]
            return
        if verb == "delete" and any(each not in had for each in given):
            raise CommandError("there is no such element")
        to["elem"] = [each for each in had if each not in given]

    def delete(self, verb: str, kind: str, content: Json) -> None:
        """An object, and a chain's rules with it."""
        if "name" not in content:
            raise CommandError("it names no object")
        table = self.table(content)
        if table.objects.pop((kind, _text(content, "name")), None) is None and verb == "delete":
            raise CommandError(f"there is no {kind} {content['name']}")
        if kind == "chain":
            table.rules.pop(content["name"], None)

    def items(self) -> list[Json]:
        """The objects in a listing's order."""
        found: list[Json] = []
        for table in self.tables.values():
            found.append({"table": table.content})
            found += [{kind: content} for (kind, _), content in table.objects.items()]
            found += [{"rule": rule} for rules in table.rules.values() for rule in rules]
        return found


def _text(content: Json, key: str) -> str:
    """A name in an object."""
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, str):
        raise CommandError(f"it tells no {key}")
    return found


def _table_name(content: Json, key: str = "name") -> Name:
    return _text(content, "family"), _text(content, key)


def _listed(elements: Json) -> list[Json]:
    return elements if isinstance(elements, list) else [elements]


_Does = Callable[[_State, str, str, Json], None]
_OF_KIND: dict[str, dict[str, _Does]] = {
    "ruleset": {"flush": _State.clear},
    "table": {
        "add": _State.add_table, "create": _State.add_table, "delete": _State.delete_table,
        "destroy": _State.delete_table, "flush": _State.flush,
    },
    "rule": {"add": _State.rule, "insert": _State.rule},
    "element": dict.fromkeys(("add", "create", "delete", "destroy"), _State.elements),
}  # fmt: skip
_OBJECT: dict[str, _Does] = {
    "add": _State.object, "create": _State.object, "delete": _State.delete, "destroy": _State.delete,
    "flush": _State.flush,
}  # fmt: skip
"""What each command does, by the kind of its object; any other kind is a chain, a set or the like."""
