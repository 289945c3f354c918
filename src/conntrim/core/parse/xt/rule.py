"""One rule line of a save file: words to matches and statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from conntrim.core.dialect.xt import OPTIONS, Says, XtOption
from conntrim.core.model.fields import DEVICES, Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import In, Interface, Jump, Match, OpaqueMatch, Statement
from conntrim.core.parse.xt.canonical import Given, Option
from conntrim.core.parse.xt.matches import meaning
from conntrim.core.parse.xt.numbers import known_protocol, matched, prefix, prefix_shaped, protocol
from conntrim.core.parse.xt.options import MANY, MATCHES, TARGETS, Options
from conntrim.core.parse.xt.targets import VERDICTS, effect

BASE: dict[str, str] = {
    "-s": "s", "--source": "s", "--src": "s", "-d": "d", "--destination": "d", "--dst": "d", "-p": "p",
    "--protocol": "p", "--proto": "p", "-i": "i", "--in-interface": "i", "-o": "o", "--out-interface": "o",
    "-f": "f", "--fragment": "f", "-m": "m", "--match": "m", "-j": "j", "--jump": "j", "-g": "g", "--goto": "g",
    "-c": "c", "--set-counters": "c", "-4": "4", "--ipv4": "4", "-6": "6", "--ipv6": "6",
}  # fmt: skip
"""The options that need no extension."""

IMPLIED: dict[int, str] = {
    1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "icmp6", 108: "ipcomp", 132: "sctp",
    135: "mh",
}  # fmt: skip
"""The match that `-p` loads by itself when one of its options comes."""

FREE_TEXT = frozenset({"comment", "string", "hex-string", "log-prefix", "nflog-prefix", "ulog-prefix"})
"""Options whose value may well be an exclamation mark."""

MODULE = re.compile(r"[\w-]{1,29}", re.ASCII)
"""What can be the name of a match or target (XT_EXTENSION_MAXNAMELEN)."""

SPACED = frozenset({"name", "hashlimit-name", "match-set", "add-set", "del-set", "map-set"})
"""Options with a name that may have spaces, which the save programs print without quotes (K76)."""

COMMENT = "comment"
"""The match that says nothing to the kernel."""

DEVICE = re.compile(r"[^\s/]{1,15}")
"""What can be the name of an interface (IFNAMSIZ)."""


@dataclass(slots=True)
class Group:
    """A match or target being read: its grammar (None: of an extension we do not know) and its options so far."""

    name: str
    grammar: Options | None
    options: list[Option] = field(default_factory=list)


@dataclass(slots=True)
class Reader:
    """Reads one rule's words from left to right. `listed`: the line, where a save program printed it: then all chains
    are known, and names may hold spaces."""

    words: list[str]
    v6: bool
    chains: Container[str]
    listed: str = ""
    at: int = 0
    negated: bool = False
    base: dict[str, tuple[bool, str]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    target: Group | None = None
    jump: Statement | None = None

    def read(self) -> None:
        """All words."""
        words = self.words
        while self.at < len(words):
            word = words[self.at]
            self.at += 1
            if word == "!":
                self.negated = True
                continue
            kind = BASE.get(word)
            if kind is None or (word == "--proto" and self.has_proto()):
                self.extension(word)
            elif kind in "sdpio":
                value = self.value(word)
                self.base[kind] = self.negated, value
            else:
                self.special(kind, word)
            self.negated = False
        if self.negated:
            raise ValueError("nothing follows the last !")

    def value(self, option: str) -> str:
        """The next word; the old order `-s ! X` puts the negation in front of it."""
        if self.at < len(self.words) and self.words[self.at] == "!" and option.lstrip("-") not in FREE_TEXT:
            self.negated = True
            self.at += 1
        if self.at >= len(self.words):
            raise ValueError(f"{option} wants a value")
        self.at += 1
        return self.words[self.at - 1]

    def special(self, kind: str, word: str) -> None:
        """-m, -j, -g, -f, -c and the family marks."""
        if kind == "m":
            name = self.value(word)
            if not MODULE.fullmatch(name):
                raise ValueError(f"{name[:30]!r} is no name of a match")
            self.groups.append(Group(name, MATCHES.get(name)))
        elif kind == "j":
            self.jump_to(self.value(word))
        elif kind == "g":
            self.jump = Jump(self.known(self.value(word)), goto=True)
        elif kind == "f":
            self.base["f"] = self.negated, ""
        elif kind == "c":
            self.at += 2

    def known(self, chain: str) -> str:
        """A chain's name that this table has."""
        if chain not in self.chains:
            raise ValueError(f"jump to chain {chain}, which this table does not have")
        return chain

    def jump_to(self, name: str) -> None:
        """-j: a verdict, a chain of this table, or an extension, which need not be one that we know."""
        if name in VERDICTS:
            self.jump = VERDICTS[name]
        elif name in self.chains:
            self.jump = Jump(name)
        elif name in TARGETS or self.listed or MODULE.fullmatch(name):
            self.target = Group(name, TARGETS.get(name))
        else:
            self.known(name)

    def owner(self, name: str) -> Group | None:
        """The match or target that knows the option: the one loaded last wins, as in xtables_merge_options."""
        groups = [self.target, *reversed(self.groups)] if self.target else self.groups[::-1]
        return next((g for g in groups if g.grammar is not None and name in g.grammar), None)

    def has_proto(self) -> bool:
        """Whether `--proto` is not -p: `policy` has an option of that name, and so may a module that nobody knows."""
        return self.owner("proto") is not None or (bool(self.groups) and self.groups[-1].grammar is None)

    def unabbreviated(self, name: str) -> str:
        """The one option that starts so, as getopt_long reads `--mac`; the name itself where there is none or two."""
        grammars = [g.grammar for g in (*self.groups, self.target) if g is not None and g.grammar]
        found = {option for grammar in grammars for option in grammar if option.startswith(name)}
        return found.pop() if name and len(found) == 1 else name

    def implied(self, name: str) -> Group | None:
        """The protocol's own match, loaded at its first option."""
        negated, text = self.base.get("p", (True, ""))
        unknown = negated or (self.listed and not known_protocol(text))
        module = None if unknown else IMPLIED.get(protocol(text))
        if module is None or name not in MATCHES[module]:
            return None
        self.groups.append(Group(module, MATCHES[module]))
        return self.groups[-1]

    def extension(self, word: str) -> None:
        """An option of a match or target."""
        name, equals, value = word[2:].partition("=")
        foreign = [g for g in (*self.groups, self.target) if g is not None and g.grammar is None]
        group = self.owner(name) or self.implied(name) or (foreign[-1] if foreign else None)
        if group is None:
            name = self.unabbreviated(name)
            group = self.owner(name)
        if not word.startswith("--") or group is None:
            raise ValueError(f"unknown option {word}")
        arity = MANY if group.grammar is None else group.grammar[name]
        if equals and arity == 0:
            raise ValueError(f"--{name} takes no value")
        if self.listed and name in SPACED and not equals:
            group.options.append(Option(self.negated, name, self.spaced(arity)))
            return
        values = [value] if equals else []
        values += self.greedy() if arity == MANY else [self.value(word) for _ in range(arity - len(values))]
        group.options.append(Option(self.negated, name, tuple(values)))

    def spaced(self, arity: int) -> tuple[str, ...]:
        """The words up to the next option as `arity` values, of which the first may be several words."""
        found = self.greedy()
        names = len(found) - arity + 1
        if names < 1:
            raise ValueError(f"{' '.join(found)!r} is no name")
        name = " ".join(found[:names])
        if names > 1 and f" {name} " not in f"{self.listed} ":
            raise ValueError(f"{name!r} has more between its words than one space")
        return (name, *found[names:])

    def greedy(self) -> list[str]:
        """Every word up to the next option."""
        start = self.at
        while self.at < len(self.words) and self.words[self.at] != "!" and not self.words[self.at].startswith("-"):
            self.at += 1
        return self.words[start : self.at]


@lru_cache(maxsize=4096)
def _interface(field: Field, name: str, negated: bool) -> Match | None:
    """-i or -o; `+` at the end is a wildcard, `+` alone any interface."""
    if not DEVICE.fullmatch(name):
        raise ValueError(f"{name[:30]!r} is no name of an interface")
    if name == "+" and not negated:
        return None
    return Interface(WAYS[field], (name[:-1] + "*" if name.endswith("+") else name,), negated)


@lru_cache(maxsize=1024)
def _protocol(text: str, negated: bool, listed: bool) -> Match | None:
    if listed and not known_protocol(text):  # of this host's own /etc/protocols
        return OpaqueMatch("protocol", f"{'! ' * negated}-p {text}")
    wanted = protocol(text)
    if wanted == 0:
        # ip_tables.c takes protocol 0 as "any" and never looks at the negation.
        return None
    return matched(Field.PROTOCOL, Intervals.of(wanted), negated)


OTHERS: dict[Says, Callable[[XtOption, str, bool, bool], Match | None]] = {
    Says.DEVICE: lambda row, text, negated, listed: _interface(row.field, text, negated),
    Says.PROTOCOL: lambda row, text, negated, listed: _protocol(text, negated, listed),
    Says.YES: lambda row, text, negated, listed: In(row.field, Intervals.of(0 if negated else 1)),
}
"""How the options are read that need no module, but for addresses, of which one rule may have many."""

BASE_ROWS = [row for row in OPTIONS if row.says in OTHERS]
ADDRESSES = [(row.option, row.field) for row in OPTIONS if row.says is Says.ADDRESS]

WAYS = {field: way for way, field in DEVICES.items()}


def _addresses(reader: Reader) -> list[list[Match]]:
    """-s and -d; lists of addresses make one rule for each pair, as iptables does."""
    found: list[list[Match]] = [[]]
    for option, where in ADDRESSES:
        if option not in reader.base:
            continue
        negated, text = reader.base[option]
        texts = text.split(",") if "," in text else [text]
        if negated and len(texts) > 1:
            raise ValueError("a list of addresses cannot be negated")
        each = [prefix(where, one, negated, reader.v6) for one in texts]
        found = [row + ([match] if match is not None else []) for row in found for match in each]
    return found


def _base(reader: Reader) -> list[Match]:
    """Interfaces, protocol, fragment, in iptables-save's order."""
    found: list[Match | None] = []
    for row in BASE_ROWS:
        if row.option in reader.base:
            negated, text = reader.base[row.option]
            found.append(OTHERS[row.says](row, text, negated, bool(reader.listed)))
    return [match for match in found if match is not None]


class Body(NamedTuple):
    """What a rule line says: one list of matches for each rule that it makes, statements, comment."""

    matches: list[tuple[Match, ...]]
    statements: tuple[Statement, ...]
    comment: str


def body(words: list[str], v6: bool, chains: Container[str], listed: str = "") -> Body:
    """The words behind `-A CHAIN`; ValueError says what is wrong with them. `listed` as `Reader` has it."""
    reader = Reader(words, v6, chains, listed)
    reader.read()
    ranges, tail = others(reader)
    rows = [(*sorted((*row, *ranges), key=_source_first), *tail) for row in _addresses(reader)]
    return Body(rows, statements(reader), comment(reader))


def comment(reader: Reader) -> str:
    """What the last comment says."""
    last = next((group for group in reversed(reader.groups) if group.name == COMMENT), None)
    return last.options[-1].values[0] if last and last.options else ""


def others(reader: Reader) -> tuple[list[In], tuple[Match, ...]]:
    """What a rule matches beside -s and -d: ranges that stand where those do, and what stands behind."""
    negated, text = reader.base.get("p", (True, ""))
    wanted = None if negated or (reader.listed and not known_protocol(text)) else protocol(text)
    extended: list[Match] = []
    for group in reader.groups:
        if group.name != COMMENT:
            extended += meaning(group.name, tuple(group.options), wanted, reader.v6)
    ranges = _lifted(reader, extended)
    return ranges, (*_base(reader), *extended)


def _lifted(reader: Reader, extended: list[Match]) -> list[In]:
    """Ranges of iprange that -s or -d could say as well: taken out, to stand where those stand."""
    found = []
    for option, where in ADDRESSES:
        ranges = [m for m in extended if isinstance(m, In) and m.field is where and prefix_shaped(m, reader.v6)]
        if ranges and option not in reader.base:
            extended.remove(ranges[0])
            found.append(ranges[0])
    return found


def _source_first(match: Match) -> bool:
    return isinstance(match, In) and match.field is Field.DST


def statements(reader: Reader) -> tuple[Statement, ...]:
    """What the rule does."""
    if reader.target is not None:
        given: Given = tuple(reader.target.options)
        return effect(reader.target.name, given, reader.v6)
    return (reader.jump,) if reader.jump is not None else ()
