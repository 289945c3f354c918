"""One rule of a plan as the text that iptables-restore or nft reads: the few matches and statements plans use.

Matches that a plan copied from an operator's rule without knowing them are written as they stood there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from conntrim.core.dialect.nft import EXPRESSIONS
from conntrim.core.emit.iptables import rule_words
from conntrim.core.emit.nft import statement_text
from conntrim.core.emit.nft_match import Around, around, chosen, match_text
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.emit.xt_match import in_order
from conntrim.core.model.address import family_of
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.ruleset import Dialect, In, Match, Rule, Table, TableFamily, asked_fields

OLD_WORDS = (("-m conntrack --ctstate", "-m state --state"), ("-j CT --notrack", "-j NOTRACK"))
"""The 2.6 era's words: CT came with 2.6.34."""


def xt_rule(rule: Rule, *, v6: bool, old: bool = False) -> str:
    """Everything of an iptables rule after `-A CHAIN`; `old`: in the words of the 2.6 era. NotExpressible."""
    text = " ".join(rule_words(rule, v6))
    for now, then in OLD_WORDS if old else ():
        text = text.replace(now, then)
    return _alone(text, _MORE["xt"])


def nft_rule(rule: Rule, *, table: Table | None = None) -> str:
    """Everything of an nft rule after `add rule FAMILY TABLE CHAIN`; `table` is where it goes. NotExpressible."""
    context = _context(rule, table)
    matches = [_match(m, context) for m in _said(rule.matches)]
    statements = [statement_text(s, table.family if table else TableFamily.INET) for s in rule.statements]
    comment = [f'comment "{rule.comment}"'] if rule.comment else []
    text = " ".join([*matches, *statements, *comment])
    return _alone(text, _MORE["nft"])


_MORE = {"xt": re.compile(r"(?!)"), "nft": re.compile(r'(?:[^"]|"[^"]*")*?(?:[;#$\\\n]|"[^"]*$)')}
"""What ends a rule and begins something else, by dialect: in nft also a semicolon or `#` that no quotes hold."""


def _alone(text: str, more: re.Pattern[str]) -> str:
    """The text, where it is one rule and nothing behind it: names in it are the operator's, or anybody's."""
    if not text.isprintable() or more.match(text):
        raise NotExpressible("a name in the rule would be read as more than a name")
    return text


def listed_matches(rule: Rule, table: Table) -> tuple[Match, ...]:
    """The matches in the order in which the kernel asks and lists them once it has read the rule.

    iptables asks its base options first. nft leaves out what a field implies, the family and the protocol; whoever
    reads its listing finds them in front of that field. NotExpressible.
    """
    if table.dialect is not Dialect.NFTABLES:
        return in_order(rule.matches, table.family is TableFamily.IP6)
    found: list[Match] = []
    for match in _said(rule.matches):
        found += (need for need in _implied(match, rule, table) if need not in found)
        found.append(match)
    return tuple(found)


def _implied(match: Match, rule: Rule, table: Table) -> Iterator[In]:
    context = _context(rule, table)
    for row in (chosen(field, context) for field in asked_fields(match)):
        if row is not None and row.family is not None and table.family is TableFamily.INET:
            yield In(Field.FAMILY, Intervals.of(row.family))
        if row is not None and row.protocol is not None:
            yield from (m for m in rule.matches if isinstance(m, In) and _is_protocol(m))


def _said(matches: tuple[Match, ...]) -> tuple[Match, ...]:
    """Those that nft is told: a protocol that a field names needs no word of its own."""
    told = any(isinstance(m, In) and m.field in CARRIED for m in matches)
    return tuple(m for m in matches if not (told and _is_protocol(m)))


CARRIED = {row.field for row in EXPRESSIONS if row.protocol is not None}
"""What names its protocol itself in nft: `tcp dport`, `icmp type`."""


def _context(rule: Rule, table: Table | None) -> Around:
    """What the rule's matches and its table say of each other; an address tells the family too."""
    sets = {each.name: each for each in table.sets} if table else {}
    found = around(rule.matches, table.family if table else TableFamily.INET, sets)
    addresses = [m.values for m in rule.matches if isinstance(m, In) and m.field in (Field.SRC, Field.DST) and m.values]
    if found.family is None and addresses:
        return replace(found, family=family_of(addresses[0].ranges[0][0]))
    return found


def _is_protocol(match: Match) -> bool:
    return isinstance(match, In) and match.field is Field.PROTOCOL and match.values.size == 1


def _match(match: Match, context: Around) -> str:
    """By name where nft has one: a plan is read by people."""
    if isinstance(match, In) and _is_protocol(match):
        return f"meta l4proto {protocol_name(match.values.ranges[0][0]).replace('icmpv6', 'ipv6-icmp')}"
    return match_text(match, context)
