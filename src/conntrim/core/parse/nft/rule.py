"""One nft rule as rules of the model: matches before statements, a rule for each element of a verdict map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Place
from conntrim.core.model.kinds import ORDER
from conntrim.core.model.nft_words import Json
from conntrim.core.model.ruleset import (
    Jump,
    Match,
    NoEffect,
    OpaqueMatch,
    OpaqueStatement,
    Rule,
    Statement,
    asked_fields,
)
from conntrim.core.parse.nft.matches import Context, comparison, spoken
from conntrim.core.parse.nft.statements import MATCHING, needs, statement, writes

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
    """The rules of one verdict map: the kernel looks its key up once (K131), and a chain jumped to may change it.

    `written` tells the fields that rules of a chain write. A rule behind such a jump cannot be asked for them.
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
            if kind == "vmap":
                self.mapped(expression["vmap"], left[at + 1 :], self.flushed(sofar))
                return
            if kind == "match" or kind in MATCHING or (_xt_match(expression) and not _comment(expression)):
                sofar = self.matching(expression, kind, self.flushed(sofar))
            elif _nameless(expression):
                held = self.matching({"xt": {"name": NAMELESS}}, kind, self.flushed(sofar))
                sofar = Sofar(held.matches, (*held.statements, OpaqueStatement(f"xt {NAMELESS}", "")))
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
            found = [OpaqueMatch(name, spoken(expression))]
        fresh = [match for match in found if match not in sofar.matches]
        return Sofar((*sofar.matches, *fresh), sofar.statements)

    def doing(self, expression: Json, sofar: Sofar) -> Sofar:
        """One more statement."""
        done = statement(expression, self.context.family)
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
        if elements is None:
            unknown = OpaqueStatement("vmap", spoken({"vmap": vmap}))
            self.made.append(Sofar(sofar.matches, (*sofar.statements, unknown)).rule(self.told))
            return
        for value, verdict in elements:
            asked = {"left": vmap["key"], "op": "==", "right": value}
            found = comparison(asked, self.context, sofar.matches)
            inner = Sofar((*sofar.matches, *(m for m in found if m not in sofar.matches)), sofar.statements)
            if "continue" in verdict:
                self.read(rest, inner)
            else:
                self.made.append(self.doing(verdict, inner).rule(self.told))
