"""Rule lines by their form: large rule sets are some dozen forms of lines with other addresses, comments and chains.

The one `Reader` reads each form once, with a mark in the place of every word that is only somebody's value. Where the
marks come out says which words of any line of that form are what, so that a form means what the reader makes of it.
What is no such line (lists of addresses, a protocol by number, a form that the reader refuses) is read word by word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from conntrim.core.model.fields import Field
from conntrim.core.model.place import Place
from conntrim.core.model.protocol import NUMBERS
from conntrim.core.model.ruleset import Jump, Match, Rule, Statement
from conntrim.core.parse.xt.canonical import Given, Option
from conntrim.core.parse.xt.numbers import prefix
from conntrim.core.parse.xt.options import MATCHES, TARGETS
from conntrim.core.parse.xt.rule import ADDRESSES, Body, Group, Reader, body, comment, others, statements
from conntrim.core.parse.xt.targets import VERDICTS, effect

LONGEST = 100
"""Words of a line that has a form; the others are rare."""

MARKS = tuple(f"\0{at}" for at in range(LONGEST))
"""What stands in the place of each word. No line of a text holds such a word, and no option has it as a name."""

PLACES = {mark: at for at, mark in enumerate(MARKS)}

SIGNS = "-!"
"""How a word begins that is no value, or need not be one. The empty word, whose beginning is in here too, is one."""

LEADING = frozenset({*MATCHES, *TARGETS, *VERDICTS, *NUMBERS, "all"})
"""Words by which the reader goes another way: names of matches, targets and protocols."""

Shape = tuple[str | None, ...]
"""The words that lead the reader, None for every other."""


@dataclass(frozen=True, slots=True)
class Form:
    """Where the words of a line go: `-s` and `-d` with whether they are negated, the place of the comment (-1: `said`
    is it) and of the chain that is jumped to (-1: `done` is what the rule does, or `target` with its options).

    `read` is what the reader made of it; `asked` are the places of what its other matches say, and `tails` those
    matches by these words, None where a range of theirs stands among the addresses.
    """

    read: Reader
    addresses: tuple[tuple[Field, bool, int], ...]
    comment: int
    said: str
    chain: int
    goto: bool
    done: tuple[Statement, ...] | None
    target: Group | None
    asked: tuple[int, ...]
    tails: dict[tuple[str, ...], tuple[Match, ...] | None] = field(default_factory=dict)

    def tail(self, words: list[str]) -> tuple[Match, ...] | None:
        """The matches beside -s and -d. May raise ValueError."""
        key = tuple([words[at] for at in self.asked])
        if key not in self.tails:
            ranges, tail = others(filled(self.read, words))
            self.tails[key] = None if ranges else tail
        return self.tails[key]


@dataclass(slots=True)
class Forms:
    """The forms of one table's lines, as they come. `listed`: a save program printed them."""

    v6: bool
    chains: frozenset[str]
    listed: bool
    known: dict[Shape, Form | None] = field(default_factory=dict)
    jumps: dict[tuple[str, bool], tuple[Statement, ...]] = field(default_factory=dict)

    def body(self, words: list[str], line: str) -> Body:
        """The words behind `-A CHAIN` of a line; ValueError says what is wrong with them."""
        shape = tuple([w if w[:1] in SIGNS or w in LEADING else None for w in words])
        try:
            form = self.known[shape]
        except KeyError:
            form = self.known[shape] = self._form(shape, line)
        try:
            found = None if form is None else self._said(form, words)
        except ValueError:  # a line may have several faults: which one is told is the reader's
            found = None
        return body(words, self.v6, self.chains, line if self.listed else "") if found is None else found

    def _form(self, shape: Shape, line: str) -> Form | None:
        """A shape as the reader understands it; None where that depends on more than the shape."""
        if len(shape) > LONGEST:
            return None
        marked = [MARKS[at] if word is None else word for at, word in enumerate(shape)]
        chains = _Chains(self.chains)
        reader = Reader(marked, self.v6, chains, line if self.listed else "")
        try:
            reader.read()
            return _form(reader, chains.marked)
        except ValueError:  # of this line or of all of its form: the reader says so of each
            return None

    def _said(self, form: Form, words: list[str]) -> Body | None:
        """What a line of the form says; None where it has to be read word by word."""
        tail = form.tail(words)
        if tail is None:
            return None
        if form.addresses:
            row = []
            for where, negated, at in form.addresses:
                text = words[at]
                if "," in text:
                    return None
                match = prefix(where, text, negated, self.v6)
                if match is not None:
                    row.append(match)
            tail = (*row, *tail)
        done = form.done
        if form.chain >= 0:
            done = self._jump(words[form.chain], form.goto)
        elif form.target is not None:
            done = effect(form.target.name, given(form.target, words), self.v6)
        return None if done is None else Body([tail], done, words[form.comment] if form.comment >= 0 else form.said)

    def _jump(self, chain: str, goto: bool) -> tuple[Statement, ...] | None:
        """To a chain of the table; None where it has none of that name."""
        if chain not in self.chains:
            return None
        key = chain, goto
        if key not in self.jumps:
            self.jumps[key] = (Jump(chain, goto),)
        return self.jumps[key]


@dataclass(slots=True)
class Lines:
    """What rule lines say that were read already, by whether they are IPv6's and by their text, each with the name of
    its chain: two files of one host have most of their lines in common."""

    said: tuple[dict[str, tuple[str, Rule]], dict[str, tuple[str, Rule]]] = field(default_factory=lambda: ({}, {}))

    def again(self, line: str, place: Place, rules: dict[str, list[Rule]], *, v6: bool) -> bool:
        """Puts the rule of a line into its chain if one says the same already; not where the chain that it jumps to is
        none of these."""
        chain, rule = self.said[v6].get(line, ("", None))
        if rule is None or chain not in rules:
            return False
        if any([type(s) is Jump and s.chain not in rules for s in rule.statements]):
            return False
        rules[chain].append(Rule(rule.matches, rule.statements, place, line, rule.comment))
        return True


@dataclass(slots=True)
class _Chains:
    """The chains of a table, and any word in a place; these are noted."""

    own: frozenset[str]
    marked: list[int] = field(default_factory=list)

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str) and name in PLACES:
            self.marked.append(PLACES[name])
            return True
        return name in self.own


def _form(reader: Reader, jumped: list[int]) -> Form | None:
    """Where the marks came out; None where one of them may lead the reader, as a chain does that is not jumped to."""
    base = dict(reader.base)
    if base.get("p", (False, ""))[1] in PLACES:
        return None
    addresses = [(where, *base.pop(option)) for option, where in ADDRESSES if option in base]
    if any(text not in PLACES for *_, text in addresses):
        return None
    options = [option for group in reader.groups if group.name != "comment" for option in group.options]
    said, jump = comment(reader), reader.jump
    chain = PLACES.get(jump.chain, -1) if isinstance(jump, Jump) and reader.target is None else -1
    if any(at != chain for at in jumped):
        return None
    target = reader.target if reader.target and list(_places(reader.target.options)) else None
    return Form(
        reader,
        tuple((where, negated, PLACES[text]) for where, negated, text in addresses),
        PLACES.get(said, -1),
        said,
        chain,
        isinstance(jump, Jump) and jump.goto,
        None if target else statements(reader),
        target,
        (*(PLACES[text] for _, text in base.values() if text in PLACES), *_places(options)),
    )


def _places(options: Iterable[Option]) -> Iterable[int]:
    return (PLACES[value] for option in options for value in option.values if value in PLACES)


def given(group: Group, words: list[str]) -> Given:
    """The options of a match or target with the words of a line in their places."""
    return tuple(
        [
            Option(negated, name, tuple([words[PLACES[text]] if text in PLACES else text for text in values]))
            for negated, name, values in group.options
        ]
    )


def filled(read: Reader, words: list[str]) -> Reader:
    """What the reader would have made of the matches of a line with these words in their places."""
    base = {
        kind: (negated, words[PLACES[text]] if text in PLACES else text) for kind, (negated, text) in read.base.items()
    }
    groups = [Group(each.name, each.grammar, list(given(each, words))) for each in read.groups]
    return replace(read, base=base, groups=groups)
