"""What each kind of match and statement depends on and leaves behind, beyond the packet that it is asked about: one
table, which the evaluators, the proofs and the planner read. A kind that is not here may do anything.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from conntrim.core.model.ct_match import TRANSLATED, CtIn
from conntrim.core.model.fields import VARYING, Field
from conntrim.core.model.marks import SetMark
from conntrim.core.model.ruleset import (
    AnyOf,
    CtTemplate,
    End,
    In,
    InSet,
    Interface,
    Match,
    NoEffect,
    OpaqueMatch,
    OpaqueStatement,
    Statement,
    Table,
    Verdict,
    XtConntrack,
    asked_fields,
)


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
        "fib", "geoip", "ipcomp", "iprange", "mac", "mark", "meta ibrname", "meta ibrpvid", "meta iifgroup",
        "meta iifkind", "meta iiftype", "meta ipsec", "meta obrname", "meta oifgroup", "meta oifkind", "meta oiftype",
        "meta rtclassid", "meta sdif", "meta sdifname", "multiport", "physdev", "pkttype", "policy", "protocol",
        "realm", "rpfilter", "rt", "rt classid", "rt ipsec", "vlan id",
    ), Answer.SAME),
    **dict.fromkeys((
        "bpf", "cgroup", "cpu", "dccp", "dscp", "dst", "ecn", "exthdr", "frag", "hbh", "hl", "ip option", "ipv6header",
        "l2tp", "length", "meta cgroup", "meta cpu", "meta day", "meta hour", "meta length", "meta skgid",
        "meta skuid", "meta time", "osf", "owner", "payload", "sctp", "socket", "socket transparent", "socket wildcard",
        "string", "tcp", "tcp ackseq",
        "tcp checksum", "tcp doff", "tcp option", "tcp sequence", "tcp urgptr", "tcp window", "tcpmss", "time", "tos",
        "ttl", "u32", "udp length",
    ), Answer.VARIES),
    **dict.fromkeys((
        "condition", "hashlimit", "limit", "meta random", "meter", "nfacct", "nth", "numgen",
        "psd", "quota", "quota2", "random", "rateest", "recent", "set", "statistic",
    ), Answer.COUNTS),
}  # fmt: skip
"""OpaqueMatch matches by kind. `owner` varies: resets and what a socket in TIME_WAIT sends have none. A routing header
(`rt`) is an option of the sender's socket, and all its packets have it."""

STATEMENTS: dict[str, Effect] = {
    **dict.fromkeys(("TRACE", "comment", "counter", "last", "meta nftrace"), Effect.NOTHING),
    **dict.fromkeys(("AUDIT", "LOG", "NFLOG", "ULOG", "log"), Effect.LOGS),
    **dict.fromkeys((
        "CHECKSUM", "CLASSIFY", "CONNMARK", "CONNSECMARK", "DSCP", "ECN", "HL", "IDLETIMER", "LED", "RATEEST",
        "SECMARK", "SET", "TCPMSS", "TCPOPTSTRIP", "TEE", "TOS", "TTL", "ct event", "ct label", "ct mark",
        "ct secmark", "dup", "ip dscp", "ip ecn", "ip ttl", "ip6 dscp", "ip6 ecn", "ip6 hoplimit", "meta priority",
        "meta secmark", "quota", "tcp option",
    ), Effect.ACTS),
}  # fmt: skip
"""Statements, known or opaque, behind which the packet goes on with the next rule."""

WRITES: dict[str, tuple[Field, ...]] = {
    **dict.fromkeys(("TTL", "HL", "ip ttl", "ip6 hoplimit"), (Field.TTL,)),
    **dict.fromkeys(("DSCP", "ip dscp", "ip6 dscp"), (Field.DSCP,)),
    **dict.fromkeys(("ip ecn", "ip6 ecn"), (Field.ECN,)),
    "TOS": (Field.DSCP, Field.ECN),
}
"""Statements to the fields of the packet that they write: what later rules find there is not known any more."""

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
        case NoEffect(kind=kind) | OpaqueStatement(kind=kind):
            return STATEMENTS.get(kind, Effect.ACTS)
        case SetMark() | End(verdict=Verdict.QUEUE):
            return Effect.ACTS
        case _:
            return Effect.NOTHING


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
        case _:
            return False


def may_ask_the_state(kind: str) -> bool:
    """Whether an opaque match of this kind may answer another thing once its packet's ct state is another: nobody here
    knows the kind (a match of somebody else's module), or a listing lost what it asks (K36)."""
    return kind != ORDER and kind not in MATCHES and not asks_the_entry(kind)
