"""One rule of a plan as the text that iptables-restore or nft reads: the few matches and statements plans use.

Matches that a plan copied from an operator's rule without knowing them are written as they stood there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conntrim.core.emit.iptables import NotExpressible, rule_words
from conntrim.core.model.address import Family, format_range
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import format_ports
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.ruleset import (
    ADDRESS_TYPES,
    End,
    Field,
    In,
    InSet,
    Interface,
    Jump,
    Match,
    Notrack,
    Opaque,
    Return,
    Rule,
    Statement,
    TcpFlag,
)

FLAGS = [f.name for f in TcpFlag]
OLD_WORDS = (("-m conntrack --ctstate", "-m state --state"), ("-j CT --notrack", "-j NOTRACK"))
"""The 2.6 era's words: CT came with 2.6.34."""


def _flag_names(value: int) -> list[str]:
    return [name for name, bit in zip(FLAGS, TcpFlag, strict=True) if value & bit]


def _whole(match: In) -> tuple[bool, int]:
    """A flag match as (negated, value): one value, or all but one."""
    mask = match.mask if match.mask is not None else 0xFF
    possible = [v for v in range(256) if v & ~mask == 0]
    wanted = [v for v in possible if v in match.values]
    others = [v for v in possible if v not in match.values]
    if len(wanted) == 1:
        return False, wanted[0]
    if len(others) == 1:
        return True, others[0]
    raise NotExpressible("TCP flags")


def _one(values: Intervals) -> int:
    return values.ranges[0][0]


def xt_rule(rule: Rule, *, v6: bool, suffix: str = "", guard: Opaque | None = None, old: bool = False) -> str:
    """Everything of an iptables rule after `-A CHAIN`. `old`: in the words of the 2.6 era. NotExpressible."""
    matches = rule.matches if guard is None else (*rule.matches, guard)
    text = " ".join(rule_words(replace(rule, matches=matches, comment=rule.comment + suffix), v6))
    for now, then in OLD_WORDS if old else ():
        text = text.replace(now, then)
    return text


def _nft_set(items: list[str]) -> str:
    return items[0] if len(items) == 1 else "{ " + ", ".join(items) + " }"


def _nft_numbers(word: str) -> Callable[[In], str]:
    return lambda m: f"{word} {_nft_set(format_ports(m.values).split(','))}"


def _nft_address(word: str) -> Callable[[In], str]:
    def words(match: In) -> str:
        family = "ip6" if match.values.ranges[0][0] < 0xFFFF << 32 or match.values.ranges[0][0] >> 48 else "ip"
        return f"{family} {word} {_nft_set([format_range(*r) for r in match.values.ranges])}"

    return words


def _nft_icmp(match: In) -> str:
    kinds = sorted({v >> 8 for low, high in match.values.ranges for v in range(low, high + 1, 256)})
    return f"{'icmp' if match.field is Field.ICMP else 'icmpv6'} type {_nft_set([str(k) for k in kinds])}"


def _nft_flags(match: In) -> str:
    negated, value = _whole(match)
    mask = " | ".join(_flag_names(match.mask if match.mask is not None else 0xFF)).lower()
    names = " | ".join(_flag_names(value)).lower() or "0x0"
    return f"tcp flags & ({mask}) {'!=' if negated else '=='} {names}"


NFT_FIELDS: dict[Field, Callable[[In], str]] = {
    Field.FAMILY: lambda m: f"meta nfproto {'ipv4' if _one(m.values) == Family.IPV4 else 'ipv6'}",
    Field.PROTOCOL: lambda m: f"meta l4proto {protocol_name(_one(m.values)).replace('icmpv6', 'ipv6-icmp')}",
    Field.SRC: _nft_address("saddr"),
    Field.DST: _nft_address("daddr"),
    Field.SPORT: _nft_numbers("th sport"),
    Field.DPORT: _nft_numbers("th dport"),
    Field.TCP_FLAGS: _nft_flags,
    Field.ICMP: _nft_icmp,
    Field.ICMPV6: _nft_icmp,
    Field.CT_STATE: lambda m: f"ct state {','.join(CtState(s).name.lower() for s in m.values)}",
    Field.DST_TYPE: lambda m: f"fib daddr type {_nft_set([ADDRESS_TYPES[v].lower() for v in m.values])}",
}


def _nft_match(match: Match, protocol: str) -> str:
    match match:
        case In() if match.field in NFT_FIELDS:
            return NFT_FIELDS[match.field](match).replace("th ", f"{protocol} ", 1)
        case Interface(way=way, names=names):
            listed = _nft_set([f'"{n}"' for n in names])
            return f"{'iifname' if way == 'in' else 'oifname'} {'!= ' * match.negated}{listed}"
        case InSet(set_name=name, fields=(Field.PROTOCOL,), negated=False):
            return f"meta l4proto @{name}"
        case Opaque(text=text) if text and not text.startswith("{"):
            return text
    raise NotExpressible(type(match).__name__)


def _nft_statement(statement: Statement) -> str:
    match statement:
        case Notrack():
            return "notrack"
        case End(verdict="reject", text=text):
            return f"reject {text}".rstrip()
        case End(verdict=verdict):
            return str(verdict)
        case Jump(chain=chain, goto=goto):
            return f"{'goto' if goto else 'jump'} {chain}"
        case Return():
            return "return"
    raise NotExpressible(type(statement).__name__)


def nft_rule(rule: Rule, *, suffix: str = "", guard: str = "") -> str:
    """Everything of an nft rule after `add rule FAMILY TABLE CHAIN`. NotExpressible."""
    numbers = [_one(m.values) for m in rule.matches if isinstance(m, In) and m.field is Field.PROTOCOL]
    ported = any(isinstance(m, In) and m.field in (Field.SPORT, Field.DPORT) for m in rule.matches)
    protocol = protocol_name(numbers[0]) if numbers else "th"
    implied = ported or any(isinstance(m, In) and m.field in (Field.ICMP, Field.ICMPV6) for m in rule.matches)
    matches = [
        _nft_match(m, protocol)
        for m in rule.matches
        if not (implied and isinstance(m, In) and m.field is Field.PROTOCOL)
    ]
    statements = [_nft_statement(s) for s in rule.statements]
    return " ".join(w for w in (*matches, guard, *statements, f'comment "{rule.comment}{suffix}"') if w)
