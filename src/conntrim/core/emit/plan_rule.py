"""One rule of a plan as the text that iptables-restore or nft reads: the few matches and statements plans use.

Matches that a plan copied from an operator's rule without knowing them are written as they stood there.
"""

from __future__ import annotations

import re
from dataclasses import replace

from conntrim.core.emit.iptables import rule_words
from conntrim.core.emit.nft import statement_text
from conntrim.core.emit.nft_match import Around, around, match_text
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.address import family_of
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.ruleset import Field, In, Match, OpaqueMatch, Rule, Table, TableFamily

OLD_WORDS = (("-m conntrack --ctstate", "-m state --state"), ("-j CT --notrack", "-j NOTRACK"))
"""The 2.6 era's words: CT came with 2.6.34."""


def xt_rule(rule: Rule, *, v6: bool, suffix: str = "", guard: OpaqueMatch | None = None, old: bool = False) -> str:
    """Everything of an iptables rule after `-A CHAIN`, the guard before all that a module is asked: a rule that has
    expired asks nobody. `old`: in the words of the 2.6 era. NotExpressible."""
    matches = rule.matches if guard is None else (guard, *rule.matches)
    text = " ".join(rule_words(replace(rule, matches=matches, comment=rule.comment + suffix), v6))
    for now, then in OLD_WORDS if old else ():
        text = text.replace(now, then)
    return _alone(text, _MORE["xt"])


def nft_rule(rule: Rule, *, table: Table | None = None, suffix: str = "", guard: str = "") -> str:
    """Everything of an nft rule after `add rule FAMILY TABLE CHAIN`, the guard first; `table` is where it goes.
    NotExpressible."""
    context, told = _context(rule, table), any(isinstance(m, In) and m.field in CARRIED for m in rule.matches)
    matches = [_match(m, context) for m in rule.matches if not (told and _is_protocol(m))]
    statements = [statement_text(s) for s in rule.statements]
    text = " ".join(w for w in (guard, *matches, *statements, f'comment "{rule.comment}{suffix}"') if w)
    return _alone(text, _MORE["nft"])


_MORE = {"xt": re.compile(r"(?!)"), "nft": re.compile(r'(?:[^"]|"[^"]*")*?(?:[;#$\\\n]|"[^"]*$)')}
"""What ends a rule and begins something else, by dialect: in nft also a semicolon or `#` that no quotes hold."""


def _alone(text: str, more: re.Pattern[str]) -> str:
    """The text, where it is one rule and nothing behind it: names in it are the operator's, or anybody's."""
    if not text.isprintable() or more.match(text):
        raise NotExpressible("a name in the rule would be read as more than a name")
    return text


CARRIED = (Field.SPORT, Field.DPORT, Field.ICMP, Field.ICMPV6)
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
