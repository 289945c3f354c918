"""What to do about a finding, as rules in the operator's own dialect, words and chains."""

from __future__ import annotations

import re  # rule text: edits keep the operator's own words
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from conntrim.core.diagnose.rulesets.asked import states_asked
from conntrim.core.diagnose.rulesets.case import Home
from conntrim.core.emit.plan_rule import nft_rule, xt_rule
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.address import Family, format_address, parse_address
from conntrim.core.model.change import AppendRule, DeleteRule, InsertRule, PutRule, ReplaceRule, TableKey
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import Field, mirror
from conntrim.core.model.finding import Edit, How, Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nft_words import Unspeakable
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import (
    AnyOf,
    Dialect,
    End,
    In,
    InSet,
    Interface,
    Match,
    OpaqueMatch,
    Rule,
    Statement,
    TableFamily,
    Verdict,
    XtConntrack,
)
from conntrim.core.model.tcp_flags import NOT_SYN

ACCEPT = (End(Verdict.ACCEPT),)

_BLANKS: dict[str, dict[Family, int]] = {
    "SERVER": {Family.IPV4: parse_address("192.0.2.254"), Family.IPV6: parse_address("2001:db8::fffe")},
    "CLIENT": {Family.IPV4: parse_address("192.0.2.253"), Family.IPV6: parse_address("2001:db8::fffd")},
}
"""Addresses that nobody has (RFC 5737, RFC 3849) hold the place of those that the operator fills in."""

SYN_WORDS = "--tcp-flags FIN,SYN,RST,ACK SYN", "--syn"
"""What people write, and what iptables-save makes of it."""


def has_blank(text: str) -> bool:
    """Whether an edit's rule has an address to fill in."""
    return any(re.search(rf"\b{word}\b", text) for word in _BLANKS)


def blank(word: str, family: Family) -> In:
    """A source address to fill in, as a match."""
    return In(Field.SRC, Intervals.of(_BLANKS[word][family]))


def family_of_table(home: Home) -> Family:
    """The family whose addresses a rule of this table names; inet: IPv4."""
    return Family.IPV6 if home.table.family is TableFamily.IP6 else Family.IPV4


def made(matches: Iterable[Match], statements: Iterable[Statement], comment: str = "") -> Rule:
    """A rule that an edit puts somewhere."""
    return Rule(tuple(matches), tuple(statements), Place(""), "", comment)


def copied(rule: Rule) -> Rule:
    """The same rule for another place."""
    return made(rule.matches, rule.statements, rule.comment)


def replaced(home: Home, old: Rule, rule: Rule, like: Rule | None = None) -> tuple[Edit, ...]:
    """A rule instead of another. `like` is one of the operator's, `old` where none is named: whoever writes
    `-m state` and `-j NOTRACK` reads the same again. In a file it stands on the same line."""
    rule = replace(rule, place=old.place) if old.place.line else rule
    return _edit(home, How.REPLACE, old.place, ReplaceRule(home.chain.name, old, rule), like or old)


def before(home: Home, anchor: Rule, rule: Rule, like: Rule | None = None) -> tuple[Edit, ...]:
    """A rule in front of another."""
    return _edit(home, How.BEFORE, anchor.place, InsertRule(home.chain.name, rule, anchor), like)


def behind(home: Home, anchor: Rule, rule: Rule, like: Rule | None = None) -> tuple[Edit, ...]:
    """A rule behind another."""
    return _edit(home, How.AFTER, anchor.place, AppendRule(home.chain.name, rule, anchor), like)


def beside(home: Home, line: Rule, rule: Rule) -> tuple[Edit, ...]:
    """A rule on the line behind another, which may be of another chain: where its own goes on there, it goes in."""
    later = next((r for r in home.chain.rules if r.place.line > line.place.line), None)
    name = home.chain.name
    operation = InsertRule(name, rule, later) if later else AppendRule(name, rule)
    return _edit(home, How.AFTER, line.place, operation, line)


def last(home: Home, place: Place, rule: Rule, like: Rule | None = None) -> tuple[Edit, ...]:
    """A rule at the end of a chain; `place` is that of the last one there, or of what it goes behind in a file."""
    operation = AppendRule(home.chain.name, rule)
    if home.table.dialect is Dialect.NFTABLES:
        return _edit(home, How.APPEND, chain_place(home, place), operation, like)
    return _edit(home, How.AFTER, place, operation, like)


def chain_place(home: Home, beside: Place) -> Place:
    """A chain of nft as a place, of the same listing as another."""
    return Place(beside.source, 0, f"{TableKey.of(home.table)} {home.chain.name}")


def in_front(home: Home, anchor: Rule | None, rule: Rule, like: Rule | None = None) -> tuple[Edit, ...]:
    """A rule in front of another; where there is none, behind all that the chain holds."""
    if anchor is not None:
        return before(home, anchor, rule, like)
    return last(home, home.chain.rules[-1].place if home.chain.rules else home.chain.place, rule, like)


def removed(home: Home, rule: Rule) -> Edit:
    """A rule goes."""
    return Edit(How.REMOVE, rule.place, "", TableKey.of(home.table), DeleteRule(home.chain.name, rule))


def _edit(
    home: Home, how: How, place: Place, operation: PutRule | ReplaceRule, like: Rule | None
) -> tuple[Edit, ...]:  # fmt: skip
    """None where the dialect has no words for the rule."""
    text = spelt(home, operation.rule, like)
    return (Edit(how, place, text, TableKey.of(home.table), operation),) if text else ()


def spelt(home: Home, rule: Rule, like: Rule | None = None) -> str:
    """A rule as this table's listing has it (`-A CHAIN ...` for iptables); empty where it cannot be said: nft's tables
    do not know one another's sets."""
    if home.table.dialect is Dialect.NFTABLES and _sets_of(rule) - {each.name for each in home.table.sets}:
        return ""
    try:
        text = _spelt(home, rule, old_words(like) if like else False)
    except (NotExpressible, Unspeakable):
        return ""
    for word, addresses in _BLANKS.items():
        for address in map(format_address, addresses.values()):
            text = re.sub(rf"{re.escape(address)}(/32|/128)?", word, text)
    return text


def _sets_of(rule: Rule) -> set[str]:
    """The named sets that a rule asks."""
    return {m.set_name for m in rule.matches if isinstance(m, InSet)}


def _spelt(home: Home, rule: Rule, old: bool) -> str:
    if home.table.dialect is not Dialect.NFTABLES:
        text = xt_rule(rule, v6=home.table.family is TableFamily.IP6, old=old)
        return f"-A {home.chain.name} {text.replace(*SYN_WORDS)}"
    return nft_rule(rule, table=home.table)


def old_words(rule: Rule) -> bool:
    """Whether a rule is written in the words of the 2.6 era."""
    return "-m state " in rule.text or rule.text.endswith("-j NOTRACK")  # rule text: spelling, no meaning


def state_match(home: Home, *states: CtState) -> Match:
    """The ct state is one of these, as the dialect asks it."""
    values = Intervals.of(*map(int, states))
    return In(Field.CT_STATE, values) if home.table.dialect is Dialect.NFTABLES else XtConntrack(values)


def mirrored(matches: Iterable[Match], leaving: bool = False) -> tuple[Match, ...]:
    """The matches of the answers: addresses and ports swapped, no flags. `leaving`: they go out where the requests came
    in; else interfaces are left out."""
    swapped = (
        _turned(m)
        for m in matches
        if (leaving or not isinstance(m, Interface)) and not (isinstance(m, In) and m.field is Field.TCP_FLAGS)
    )
    return tuple(sorted(swapped, key=_rank))


def _turned(match: Match) -> Match:
    match match:
        case In(field=field):
            return replace(match, field=mirror(field))
        case AnyOf(alternatives=alternatives):
            return AnyOf(tuple(replace(each, field=mirror(each.field)) for each in alternatives))
        case InSet(fields=fields):
            return replace(match, fields=tuple(mirror(f) if isinstance(f, Field) else f for f in fields))
        case Interface():
            return replace(match, way="out")
        case XtConntrack() | CtIn() | OpaqueMatch():
            return match
        case _:
            assert_never(match)


ORDER = (Field.SRC, Field.DST, Field.PROTOCOL, Field.SPORT, Field.DPORT, Field.TCP_FLAGS)


def _rank(match: Match) -> int:
    return ORDER.index(match.field) if isinstance(match, In) and match.field in ORDER else len(ORDER)


def ordered(matches: Iterable[Match]) -> tuple[Match, ...]:
    """Matches as people write them: addresses, protocol, ports, flags, the rest."""
    return tuple(sorted(matches, key=_rank))


ADDRESSES = (Field.SRC, Field.DST)


def asks(matches: Iterable[Match], field: Field) -> bool:
    """Whether any of the matches is about this field."""
    return any(isinstance(m, In) and m.field is field for m in matches)


def over_tcp(matches: Iterable[Match]) -> bool:
    """Whether the matches name TCP and nothing else."""
    only = Intervals.of(int(Protocol.TCP))
    return any(isinstance(m, In) and m.field is Field.PROTOCOL and m.values == only for m in matches)


def tightened(rule: Rule, home: Home, peer: In | None) -> tuple[Match, ...]:
    """A rule's matches with the peer pinned and without SYNs, where they are not so already."""
    matches = list(rule.matches)
    if peer is not None and not asks(matches, Field.SRC):
        matches.append(peer)
    if over_tcp(matches) and not asks(matches, Field.TCP_FLAGS):
        matches.append(NOT_SYN)
    return ordered(matches)


def without_untracked(home: Home, rule: Rule) -> tuple[Edit, ...]:
    """The rule that no longer means UNTRACKED; none where it never did, or is part of a verdict map."""
    if any(other is not rule and rule.listed_with(other) for other in home.chain.rules):
        return ()
    states = next((states_asked(m) for m in rule.matches if states_asked(m)), Intervals())
    untracked = Intervals.of(int(CtState.UNTRACKED))
    if states == untracked:
        return (removed(home, rule),)
    if CtState.UNTRACKED not in states or any(isinstance(m, XtConntrack) and m.negated for m in rule.matches):
        return ()
    matches = (_narrowed(m, states - untracked) if states_asked(m) == states else m for m in rule.matches)
    return replaced(home, rule, made(matches, rule.statements, rule.comment))


def _narrowed(match: Match, states: Intervals) -> Match:
    return replace(match, states=states) if isinstance(match, XtConntrack) else In(Field.CT_STATE, states)
