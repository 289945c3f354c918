"""One nft rule as rules of the model: matches before statements, a rule for each element of a verdict map."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from conntrim.core.model.fields import FIELDS, Field
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import ORDER
from conntrim.core.model.nft_words import Json, words
from conntrim.core.model.protocol import WITH_PORTS
from conntrim.core.model.ruleset import (
    Helper,
    In,
    Jump,
    Match,
    NoEffect,
    OpaqueMatch,
    OpaqueStatement,
    Rule,
    Statement,
    asked_fields,
)
from conntrim.core.parse.nft.asks import asked
from conntrim.core.parse.nft.left import implied
from conntrim.core.parse.nft.matches import Context, comparison, spoken
from conntrim.core.parse.nft.statements import matching, needs, statement, writes

PORTED = In(Field.PROTOCOL, Intervals.of(*map(int, WITH_PORTS)))
UNPORTED = In(Field.PROTOCOL, PORTED.values.complement(FIELDS[Field.PROTOCOL].bits))
"""The packets of which `th dport` is a port, and those of which nobody knows what stands there."""


HASHES = frozenset({"numgen", "jhash", "symhash"})
"""Keys whose value nobody can tell from the packet; one of them it is."""

MOST_ELEMENTS = 4096
"""A larger map is left unread: each element is a rule."""


def _pair(element: Json) -> Json:
    """A map's element as a pair of value and data, without its comment and time-out."""
    value, data = element
    return [value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value, data]


def _map_in(expression: Json) -> Json:
    """The first map that a statement looks something up in."""
    if isinstance(expression, dict):
        if "map" in expression and isinstance(expression["map"], dict):
            return expression["map"] if "key" in expression["map"] else None
        return next((found for each in expression.values() if (found := _map_in(each)) is not None), None)
    if isinstance(expression, list):
        return next((found for each in expression if (found := _map_in(each)) is not None), None)
    return None


def _put(expression: Json, found: Json, data: Json) -> Json:
    """The statement with what the map gives in the map's place; an address and a port each in its own."""
    if isinstance(expression, list):
        return [_put(each, found, data) for each in expression]
    if not isinstance(expression, dict):
        return expression
    if expression.get("map") is found:
        return data
    if isinstance(expression.get("addr"), dict) and expression["addr"].get("map") is found and "concat" in data:
        rest = {key: value for key, value in expression.items() if key not in ("addr", "type_flags")}
        return dict(zip(("addr", "port"), data["concat"], strict=True)) | rest
    return {key: _put(value, found, data) for key, value in expression.items()}


def portless(content: Json, before: tuple[Match, ...]) -> bool:
    """Whether a comparison or map asks `th` for a port where no protocol is named, neither by itself."""
    asked = content.get("left", content.get("key"))
    parts = asked.get("concat", [asked]) if isinstance(asked, dict) else ()
    said = [f"{p['payload']['protocol']}" for p in parts if isinstance(p, dict) and "protocol" in p.get("payload", {})]
    named = any(isinstance(m, In) and m.field is Field.PROTOCOL and m.mask is None for m in before)
    return "th" in said and not named and {"meta": {"key": "l4proto"}} not in parts


Maps = dict[str, list[Json]]
"""The named verdict maps of a table: their elements."""


@dataclass(frozen=True, slots=True)
class Told:
    """What every rule made from one nft rule has in common."""

    place: Place
    text: str
    comment: str
    handle: int


@dataclass(frozen=True, slots=True)
class Sofar:
    """A rule being read from left to right."""

    matches: tuple[Match, ...] = ()
    statements: tuple[Statement, ...] = ()

    def rule(self, told: Told) -> Rule:
        """The rule as it stands."""
        return Rule(self.matches, self.statements, told.place, told.text, told.comment, told.handle)


def once(made: tuple[Rule, ...], written: Callable[[str], frozenset[Field]]) -> tuple[Rule, ...]:
    """The rules of one map: the kernel looks its key up once (K131), and what the rule does, or a chain that it jumps
    to, may change it meanwhile.

    `written` tells the fields that rules of a chain write. A rule behind such a jump or statement cannot be asked for
    them.
    """
    lost, kept = frozenset[Field](), list[Rule]()
    for rule in made:
        matches = tuple(m for m in rule.matches if not lost.intersection(asked_fields(m)))
        kept.append(
            rule if matches == rule.matches else replace(rule, matches=(*matches, OpaqueMatch(ORDER, rule.text)))
        )
        for done in rule.statements:
            if isinstance(done, Jump) and not done.goto:
                lost |= written(done.chain)
            lost |= writes(done)
    return tuple(kept)


def text_of(expressions: list[Json]) -> str:
    """The rule in nft's words; what has none stands as JSON."""
    return " ".join(map(spoken, expressions))


def rules(expressions: list[Json], told: Told, context: Context, maps: Maps) -> list[Rule]:
    """All rules that one nft rule stands for."""
    reading = Reading(told, context, maps)
    reading.read(list(expressions), Sofar())
    return reading.made


def _xt_match(expression: Json) -> bool:
    """A match of iptables' that nft cannot tell (K36): its extensions' names are in lower case, targets in upper."""
    xt = expression.get("xt") if isinstance(expression, dict) else None
    return isinstance(xt, dict) and (xt.get("type") == "match" or str(xt.get("name", "")).islower())


def _comment(expression: Json) -> bool:
    """iptables' comment: a match that holds for every packet."""
    xt = expression.get("xt") if isinstance(expression, dict) else None
    return isinstance(xt, dict) and xt.get("name") == "comment"


def _nameless(expression: Json) -> bool:
    """nft before 1.0.3 does not even say which part of iptables' it is: it may be a match, or a target."""
    return isinstance(expression, dict) and "xt" in expression and not isinstance(expression["xt"], dict)


NAMELESS = "match or target"


@dataclass(slots=True)
class Reading:
    """One nft rule being read, and the rules made from it."""

    told: Told
    context: Context
    maps: Maps
    made: list[Rule] = field(default_factory=list)

    def read(self, left: list[Json], sofar: Sofar) -> None:
        """The rest of a rule; each expression adds a match or a statement, or splits the rule."""
        for at, expression in enumerate(left):
            kind = next(iter(expression)) if isinstance(expression, dict) and expression else ""
            if kind in ("match", "vmap") and portless(expression[kind], sofar.matches):
                sofar = self.flushed(sofar)
                self.read(left[at:], Sofar((*sofar.matches, PORTED), sofar.statements))
                sofar = Sofar((*sofar.matches, UNPORTED), sofar.statements)
            if kind == "vmap":
                self.mapped(expression["vmap"], left[at + 1 :], self.flushed(sofar))
                return
            held = kind == "match" or (bool(kind) and matching(kind, expression[kind]))
            if held or (_xt_match(expression) and not _comment(expression)):
                sofar = self.matching(expression, kind, self.flushed(sofar))
            elif _nameless(expression):
                asked = self.matching({"xt": {"name": NAMELESS}}, kind, self.flushed(sofar))
                sofar = Sofar(asked.matches, (*asked.statements, OpaqueStatement(f"xt {NAMELESS}", "")))
            elif self.spread(expression, left[at + 1 :], sofar):
                return
            elif kind != "continue" and not _comment(expression):
                sofar = self.doing(expression, sofar)
        if sofar.matches or sofar.statements or not left:
            self.made.append(sofar.rule(self.told))

    def matching(self, expression: Json, kind: str, sofar: Sofar) -> Sofar:
        """One more match."""
        if kind == "match":
            found = comparison(expression["match"], self.context, sofar.matches)
        else:
            named = kind == "limit" and isinstance(expression["limit"], str)
            name = f"xt {expression['xt'].get('name', '')}" if kind == "xt" else "limit name" if named else kind
            opaque = OpaqueMatch(name, spoken(expression), asks=asked(expression))
            found = [*implied(expression, self.context.family), opaque]
        return self._with(found, sofar)

    def doing(self, expression: Json, sofar: Sofar) -> Sofar:
        """One more statement."""
        done = statement(expression, self.context.family)
        if isinstance(done, Helper):
            done = self.context.helpers.get(done.name, done)
        wanted = tuple(need for need in needs(expression, done, self.context.family) if need not in sofar.matches)
        if wanted:
            sofar = self.flushed(sofar)
        return Sofar((*sofar.matches, *wanted), (*sofar.statements, done))

    def flushed(self, sofar: Sofar) -> Sofar:
        """Before a match that stands behind a statement: what was done was done whether or not the match holds.

        So it becomes a rule of its own. A match that reads what the statement has written cannot be asked twice.
        """
        if all(isinstance(done, NoEffect) for done in sofar.statements):
            return sofar
        self.made.append(sofar.rule(self.told))
        written = frozenset[Field]().union(*map(writes, sofar.statements))
        kept = tuple(m for m in sofar.matches if not written.intersection(asked_fields(m)))
        return Sofar(kept if kept == sofar.matches else (*kept, OpaqueMatch(ORDER, self.told.text)))

    def mapped(self, vmap: Json, rest: list[Json], sofar: Sofar) -> None:
        """A verdict map: a rule for each element; where none of them holds, the nft rule ends."""
        data = vmap["data"]
        elements = self.maps.get(data.removeprefix("@")) if isinstance(data, str) else data["set"]
        if elements is not None:
            elements = [_pair(each) for each in elements]
        if elements is None:
            unknown = OpaqueStatement("vmap", spoken({"vmap": vmap}))
            self.made.append(Sofar(sofar.matches, (*sofar.statements, unknown)).rule(self.told))
            return
        for inner, verdict in self.looked_up(vmap["key"], elements, sofar):
            if "continue" in verdict:
                self.read(rest, inner)
            else:
                self.made.append(self.doing(verdict, inner).rule(self.told))

    def looked_up(self, key: Json, elements: list[Json], sofar: Sofar) -> Iterator[tuple[Sofar, Json]]:
        """The rule so far for each element of a map that a key is looked up in, and what the element gives."""
        values = [value for value, _ in elements if value != "*"]
        if isinstance(key, dict) and set(key) & HASHES:
            yield from self._hashed(key, elements, sofar)
            return
        for value, data in sorted(elements, key=lambda element: bool(element[0] == "*")):
            # A catch-all element is for what no other one has.
            rest = value == "*" and values
            asked = {"left": key, "op": "!=" if rest else "==", "right": {"set": values} if rest else value}
            yield self._with(comparison(asked, self.context, sofar.matches), sofar), data

    def _hashed(self, key: Json, elements: list[Json], sofar: Sofar) -> Iterator[tuple[Sofar, Json]]:
        """The same for a number that the packet does not tell: what it gives for several values is one question."""
        kind = next(iter(key))
        needs, whole = implied(key, self.context.family), len(elements) == key[kind]["mod"]
        groups: dict[str, list[Json]] = {}
        for element in elements:
            groups.setdefault(json.dumps(element[1], sort_keys=True), []).append(element)
        before: tuple[Match, ...] = ()
        for at, group in enumerate(groups.values(), 1):
            said = words(group[0][0] if len(group) == 1 else {"set": [value for value, _ in group]})
            asked = OpaqueMatch(kind, f"{words(key)} {said}")
            last = whole and at == len(groups)
            yield self._with([*needs, *before, *(() if last else (asked,))], sofar), group[0][1]
            before = (*before, replace(asked, text=f"{words(key)} != {said}", asked=asked.text))

    @staticmethod
    def _with(found: Iterable[Match], sofar: Sofar) -> Sofar:
        return Sofar((*sofar.matches, *(m for m in found if m not in sofar.matches)), sofar.statements)

    def spread(self, expression: Json, rest: list[Json], sofar: Sofar) -> bool:
        """A statement with a map in it: a rule for each element; False where it has none, or it is not known.

        Where the key is none of the elements' the rule ends (K53).
        """
        found = _map_in(expression)
        data = found["data"] if found is not None else None
        elements = self.maps.get(data.removeprefix("@")) if isinstance(data, str) else (data or {}).get("set")
        if found is None or not elements or len(elements) > MOST_ELEMENTS:
            return False
        sofar, key = self.flushed(sofar), found["key"]
        made = list(self.looked_up(key, [_pair(each) for each in elements], sofar))
        asked = [m for inner, _ in made for m in inner.matches if isinstance(m, OpaqueMatch) and m not in sofar.matches]
        if asked and not (isinstance(key, dict) and set(key) & HASHES):
            return False
        for inner, value in made:
            self.read([_put(expression, found, value), *rest], inner)
        return True
