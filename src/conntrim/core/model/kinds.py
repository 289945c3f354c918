"""What each kind of match and statement depends on and leaves behind, beyond the packet that it is asked about: one
table, which the evaluators, the proofs and the planner read. A kind that is not here may do anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeGuard, assert_never

from conntrim.core.model.ct_match import TRANSLATED, CtIn
from conntrim.core.model.fields import VARYING, Field
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    AnyOf,
    CtTemplate,
    End,
    Helper,
    In,
    InSet,
    Interface,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueMatch,
    OpaqueStatement,
    Return,
    SetZone,
    Statement,
    Table,
    Verdict,
    XtConntrack,
    asked_fields,
)
from conntrim.core.model.writes import AddToSet, SetField


class Answer(Enum):
    """How a match answers the packets that one end of a connection sends."""

    SAME = "all alike"
    VARIES = "each for itself: by its length, its options, the hour"
    COUNTS = "by how often it was asked before, or asking leaves a trace"


class Effect(Enum):
    """What a statement does beside sending the packet on its way."""

    NOTHING = "nothing that anybody sees"
    LOGS = "tells somebody; harm is done by too much of it"
    ACTS = "what other rules, packets, the routing or other hosts see"


MATCHES: dict[str, Answer] = {
    **dict.fromkeys((
        "addrtype", "ah", "comment", "devgroup", "esp", "ether", "ether daddr", "ether saddr", "ether type", "eui64",
        "fib", "geoip", "ipcomp", "iprange", "jhash", "mac", "mark", "meta ibrname", "meta ibrpvid", "meta iifgroup",
        "meta iifkind", "meta iiftype", "meta ipsec", "meta obrname", "meta oifgroup", "meta oifkind", "meta oiftype",
        "meta rtclassid", "meta sdif", "meta sdifname", "multiport", "physdev", "pkttype", "policy", "protocol",
        "realm", "rpfilter", "rt", "rt classid", "rt ipsec", "vlan id",
    ), Answer.SAME),
    **dict.fromkeys((
        "bpf", "cgroup", "cpu", "dccp", "dscp", "dst", "ecn", "exthdr", "frag", "hbh", "hl", "ip option", "ipv6header",
        "l2tp", "length", "meta cgroup", "meta cpu", "meta day", "meta hour", "meta length", "meta skgid",
        "meta skuid", "meta time", "osf", "owner", "payload", "sctp", "socket", "socket transparent", "socket wildcard",
        "string", "symhash", "tcp", "tcp ackseq",
        "tcp checksum", "tcp doff", "tcp option", "tcp sequence", "tcp urgptr", "tcp window", "tcpmss", "time", "tos",
        "ttl", "u32", "udp length",
    ), Answer.VARIES),
    **dict.fromkeys((
        "condition", "hashlimit", "limit", "limit name", "meta random", "meter", "nfacct", "nth", "numgen",
        "psd", "quota", "quota2", "random", "rateest", "recent", "set", "statistic",
    ), Answer.COUNTS),
}  # fmt: skip
"""OpaqueMatch matches by kind. `owner` varies: resets and what a socket in TIME_WAIT sends have none. A routing header
(`rt`) is an option of the sender's socket, and all its packets have it."""


PRIVATE = frozenset({"limit", "meta random", "nth", "numgen", "quota", "random", "statistic"})
"""Kinds of what counts for its own rule alone: no other rule, table or program is asked for the same count."""


class Held(Enum):
    """Where a statement leaves behind what the same packet may be asked for later."""

    ENTRY = "the packet's conntrack entry"
    LISTS = "sets, lists and counters with names"


LEAVES: dict[str, frozenset[Held]] = {
    **dict.fromkeys(("CONNMARK", "CONNSECMARK", "ct label", "ct mark", "ct secmark"), frozenset({Held.ENTRY})),
    **dict.fromkeys(("SET", "quota"), frozenset({Held.LISTS})),
}
"""Kinds of statements, opaque or known by their kind, that do so."""


def counts_alone(match: OpaqueMatch) -> bool:
    """Whether what a match counts is its own rule's."""
    return match.kind.removeprefix("xt ") in PRIVATE


@dataclass(frozen=True, slots=True)
class Does:
    """What a statement of a kind does: beside, to the packet's way, and to what later rules find.

    `goes_on` False: it may end the packet's way; `takes`: it does, a program has the packet or it is lost. `writes`:
    fields of the packet that nobody knows behind it; `entry_mark`: the entry's mark is not known either.
    """

    effect: Effect
    goes_on: bool = True
    takes: bool = False
    writes: tuple[Field, ...] = ()
    entry_mark: bool = False


EXPECTATION = "ct expectation"
"""nft's statement that sets one for an entry, which only a new one takes (K136)."""

ANYTHING = Does(Effect.ACTS, goes_on=False)
"""What a statement of an unknown kind may do; that it writes to the packet is not looked for."""

DOES: dict[str, Does] = {
    **dict.fromkeys(("TRACE", "comment", "counter", "last", "meta nftrace"), Does(Effect.NOTHING)),
    **dict.fromkeys(("AUDIT", "LOG", "NFLOG", "ULOG", "log"), Does(Effect.LOGS)),
    **dict.fromkeys((
        "CHECKSUM", "CLASSIFY", "CONNSECMARK", "ECN", "IDLETIMER", "LED", "RATEEST", "SECMARK", "SET", "TCPMSS",
        "TCPOPTSTRIP", "TEE", "ct event", "flow", EXPECTATION, "ct label", "ct secmark", "ct timeout", "dup",
        "meta priority", "meta secmark",
        "quota", "tcp option",
    ), Does(Effect.ACTS)),
    **dict.fromkeys(("TTL", "HL", "ip ttl", "ip6 hoplimit"), Does(Effect.ACTS, writes=(Field.TTL,))),
    **dict.fromkeys(("DSCP", "ip dscp", "ip6 dscp"), Does(Effect.ACTS, writes=(Field.DSCP,))),
    **dict.fromkeys(("ip ecn", "ip6 ecn"), Does(Effect.ACTS, writes=(Field.ECN,))),
    "TOS": Does(Effect.ACTS, writes=(Field.DSCP, Field.ECN)),
    "map": Does(Effect.ACTS),
    "tproxy": Does(Effect.ACTS),
    "TPROXY": Does(Effect.ACTS, goes_on=False, takes=True, writes=(Field.MARK,)),
    "meta mark": Does(Effect.ACTS, writes=(Field.MARK,)),
    "ct mark": Does(Effect.ACTS, entry_mark=True),
    "CONNMARK": Does(Effect.ACTS, writes=(Field.MARK,), entry_mark=True),
}  # fmt: skip
"""Statements, known or opaque, whose packets go on with the next rule: one table, for both evaluators, the proofs and
the planner. `CONNMARK` is opaque only where it shifts a mark on its way."""


def expects(statement: Statement) -> TypeGuard[OpaqueStatement]:
    """Whether a statement sets an expectation."""
    return isinstance(statement, OpaqueStatement) and statement.kind == EXPECTATION


def does(statement: NoEffect | OpaqueStatement) -> Does:
    """What a statement does that the model knows by its kind alone."""
    return DOES.get(statement.kind, ANYTHING)


SYNPROXY = frozenset({"SYNPROXY", "synproxy"})
"""Statements that answer a SYN themselves, whatever becomes of it behind them (K24, K138)."""

HANDING = frozenset({"TPROXY", "tproxy"})
"""Targets and statements that hand the packet to a socket of this host, or drop it where there is none, untracked or
not."""

WITHOUT_ENTRY: dict[str, bool] = {
    "ct": False, "connmark": False, "connbytes": False, "cluster": False, "helper": True, "connlabel": True,
}  # fmt: skip
"""What matches on the entry, by the first word of their kind, say of a packet without one (K21, K23); True: yes where
written negated."""

ENTRY_KINDS = ("conn", "ct", "cluster", "helper", "state")
"""Beginnings of opaque kinds that ask the entry: connmark, connlabel, connbytes, connlimit, ct mark (K21, K23)."""

ORDER = "order"
"""The kind of a match that stands for the place of a rule among others."""


def answer_of(match: Match, table: Table | None) -> Answer:
    """How a match of a rule in `table` answers; what packets or programs put into a set may change at any time.

    What asks the entry is a matter by itself (no-ct-dependence asks for it by name).
    """
    match match:
        case OpaqueMatch(kind=kind):
            return Answer.SAME if asks_the_entry(kind) else MATCHES.get(kind.removeprefix("xt "), Answer.COUNTS)
        case InSet(set_name=name):
            named = table.set(name) if table else None
            return Answer.SAME if named is not None and named.known and not named.dynamic else Answer.VARIES
        case In() | AnyOf() | Interface() | XtConntrack() | CtIn():
            return Answer.VARIES if VARYING.intersection(asked_fields(match)) else Answer.SAME
        case _:
            assert_never(match)


def effect_of(statement: Statement) -> Effect:
    """What a statement does beside; translations, templates and NOTRACK are looked at by themselves."""
    match statement:
        case NoEffect() | OpaqueStatement():
            return does(statement).effect
        case SetMark() | SetField() | AddToSet() | End(verdict=Verdict.QUEUE):
            return Effect.ACTS
        case End() | Jump() | Return() | Notrack() | SetZone() | CtTemplate() | Helper() | Nat():
            return Effect.NOTHING
        case _:
            assert_never(statement)


def asks_the_entry(kind: str) -> bool:
    """Whether an opaque match of this kind looks at the conntrack entry, or counts entries."""
    return kind.startswith(ENTRY_KINDS)


def asks_entry(match: Match) -> bool:
    """Whether a match looks at the conntrack entry beyond its state, counts entries, or is of a kind that is unknown;
    but for whether the flow is translated."""
    match match:
        case XtConntrack():
            return bool(match.others) or match.states is None or match.snat or match.dnat
        case CtIn():
            return match not in TRANSLATED
        case OpaqueMatch():
            return asks_the_entry(match.kind) or may_ask_the_state(match.kind)
        case In() | Interface() | InSet() | AnyOf():
            return False
        case _:
            assert_never(match)


def writes_entry(statement: Statement) -> bool:
    """Whether a statement keeps something in the packet's conntrack entry, or takes it from there."""
    match statement:
        case OpaqueStatement(kind=kind) | NoEffect(kind=kind):
            return kind.removeprefix("xt ") in ("CONNMARK", "CONNSECMARK", "CT") or kind.startswith("ct ")
        case SetMark():
            return statement.of_entry
        case CtTemplate():
            return True
        case End() | Jump() | Return() | Notrack() | SetZone() | Helper() | Nat() | SetField() | AddToSet():
            return False
        case _:
            assert_never(statement)


def leaves(statement: Statement) -> frozenset[Held]:
    """Where a statement changes what later matches are told of the same packet."""
    match statement:
        case OpaqueStatement() | NoEffect():
            unknown = frozenset(Held) if does(statement) is ANYTHING else frozenset[Held]()
            return LEAVES.get(statement.kind.removeprefix("xt "), unknown)
        case SetMark():
            return frozenset({Held.ENTRY}) if statement.to is MarkOf.ENTRY else frozenset()
        case AddToSet():
            return frozenset({Held.LISTS})
        case End() | Jump() | Return() | Notrack() | SetZone() | CtTemplate() | Helper() | Nat() | SetField():
            return frozenset()
        case _:
            assert_never(statement)


def may_ask_the_state(kind: str) -> bool:
    """Whether an opaque match of this kind may answer another thing once its packet's ct state is another: its kind is
    unknown to the model (a match of somebody else's module), or a listing lost what it asks (K36)."""
    return kind != ORDER and kind not in MATCHES and not asks_the_entry(kind)
