"""Rule sets in and out: what is written is read back, and no input ends in anything but a rule set or a clear error."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from conntrim.core.emit.iptables import restore_text
from conntrim.core.emit.nft import nft_text
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.address import MAPPED, parse_address
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat, NatFlag, NatKind
from conntrim.core.model.refusal import RESET, Answered, Queue, Reject
from conntrim.core.model.ruleset import (
    CT_STATES,
    Base,
    Chain,
    CtTemplate,
    Dialect,
    End,
    In,
    Interface,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueMatch,
    Return,
    Rule,
    Ruleset,
    SetZone,
    Statement,
    Table,
    TableFamily,
    Verdict,
    XtConntrack,
)  # fmt: skip
from conntrim.core.model.service import Hook
from conntrim.core.parse.ruleset import read
from tests.golden.nft_rows import listing, nft_rows
from tests.golden.rows import ROWS, rows

LOCAL = Place("property")


def _negated(values: Intervals, bits: int, flip: bool) -> Intervals:
    return values.complement(bits) if flip else values


@st.composite
def prefixes(draw: st.DrawFn, field: Field) -> In:
    """-s or -d with a prefix, or with all others."""
    length = draw(st.integers(1, 32))
    low = MAPPED | draw(st.integers(0, (1 << length) - 1)) << (32 - length)
    values = Intervals(((low, low + (1 << (32 - length)) - 1),))
    every = Intervals(((MAPPED, MAPPED + 0xFFFFFFFF),))
    return In(field, every - values if draw(st.booleans()) else values)


@st.composite
def ports(draw: st.DrawFn, field: Field) -> In:
    """A port, a range, or none of them; never every port."""
    low = draw(st.integers(1, 65_534))
    return In(field, _negated(Intervals(((low, draw(st.integers(low, 65_534))),)), 16, draw(st.booleans())))


@st.composite
def flags(draw: st.DrawFn) -> In:
    """--tcp-flags."""
    mask = draw(st.integers(1, 63))
    return In(Field.TCP_FLAGS, _negated(Intervals.of(draw(st.integers(0, 63)) & mask), 8, draw(st.booleans())), mask)


states = st.sets(st.sampled_from([int(s) for s in CT_STATES]), min_size=1).map(lambda s: XtConntrack(Intervals.of(*s)))
marks = st.builds(
    lambda value, mask, flip: In(Field.MARK, _negated(Intervals.of(value), 32, flip), mask),
    st.integers(0, 2**32 - 1), st.none() | st.integers(0, 2**32 - 2), st.booleans(),
)  # fmt: skip
names = st.from_regex(r"[a-z][a-z0-9.]{0,10}[*]?", fullmatch=True)
texts = st.from_regex(r"[ -~]{1,40}", fullmatch=True)
opaque = st.sampled_from([OpaqueMatch("limit", "--limit 5/min"), OpaqueMatch("mac", "--mac-source 00:11:22:aa:bb:cc")])
tcp = In(Field.PROTOCOL, Intervals.of(6))

US = parse_address("192.0.2.1")
STATEMENTS: list[Statement] = [
    End(Verdict.ACCEPT), End(Verdict.DROP), Return(), Jump("user"), Jump("user", goto=True), Notrack(), SetZone(5),
    SetMark(5, 0xFF), SetMark(1), End(Verdict.REJECT, Reject(Answered.ICMP, 10)), NoEffect("LOG", '--log-prefix "a b"'),
    Nat(NatKind.DNAT, (US, US + 8), (80, 90), (NatFlag.RANDOM, NatFlag.PERSISTENT)), Nat(NatKind.SNAT, (US, US)),
    Nat(NatKind.REDIRECT, ports=(8080, 8080)), Nat(NatKind.MASQUERADE, flags=(NatFlag.FULLY_RANDOM,)),
    Nat(NatKind.NETMAP, (US & ~0xFF, US | 0xFF)), Nat(NatKind.DNAT, ports=(80, 80)),
    SetMark(5, 0xFF, MarkOf.ENTRY), SetMark(0, 0xFF, MarkOf.ENTRY, MarkOf.PACKET, 0xF),
    SetMark(0, 0xF, MarkOf.PACKET, MarkOf.ENTRY, 0xFF), SetZone(None, "reply"), CtTemplate(), CtTemplate("--timeout x"),
    End(Verdict.QUEUE, Queue(1, 5, True)), End(Verdict.REJECT, RESET),
]  # fmt: skip


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule as parse makes it: base options in their order, then extensions."""
    matches: list[Match] = []
    for field in (Field.SRC, Field.DST):
        matches += draw(st.lists(prefixes(field), max_size=1))
    for way in ("in", "out"):
        matches += draw(st.lists(st.builds(Interface, st.just(way), st.tuples(names), st.booleans()), max_size=1))
    matches.append(tcp)
    for extension in (ports(Field.SPORT), ports(Field.DPORT), flags(), states, marks, opaque):
        matches += draw(st.lists(extension, max_size=1))
    statements = draw(st.sampled_from([(), *((s,) for s in STATEMENTS)]))
    return Rule(tuple(matches), statements, LOCAL, "", draw(st.just("") | texts))


@given(st.lists(rules(), max_size=6))
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back(listed: list[Rule]) -> None:
    """parse(emit(x)) == x for iptables."""
    base = Base("filter", Hook.PREROUTING, -300, Verdict.DROP)
    chains = (
        Chain("PREROUTING", tuple(listed), base), Chain("OUTPUT", (), Base("filter", Hook.OUTPUT, -300)),
        Chain("user", ()),
    )  # fmt: skip
    ruleset = Ruleset((Table(Dialect.IPTABLES_NFT, TableFamily.IP, "raw", chains),))
    assert ruleset == read(restore_text(ruleset, Dialect.IPTABLES_NFT, TableFamily.IP), "property", TableFamily.IP)


def outcome(data: str | bytes) -> type[Ruleset] | type[InputError]:
    """A rule set, which can be written or is refused, or a clear error; anything else is our bug and goes up."""
    try:
        ruleset = read(data, "fuzz")
    except InputError:
        return InputError
    with suppress(NotExpressible):
        written(ruleset)
    return type(ruleset)


def written(ruleset: Ruleset) -> None:
    """Written in each of its dialects; what iptables text came out is read again."""
    nft_text(ruleset)
    for dialect, family in {(t.dialect, t.family) for t in ruleset.tables if t.dialect is not Dialect.NFTABLES}:
        read(restore_text(ruleset, dialect, family), "written", family)


SEEDS = [row.save() for path in ROWS.glob("ip*tables.t") for row in rows(path)]
NFT_SEEDS = [listing(row.family, row.json) for row in nft_rows(ROWS / "nft.t")]
IPSET = "create a hash:ip,port family inet\nadd a 192.0.2.1,tcp:80\ncreate b list:set\nadd b a\n"


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes(data: bytes) -> None:
    """Any bytes are a rule set or a clear error."""
    assert outcome(data) in (Ruleset, InputError)


PIECES = ["!", "--", "-", ":", "/", ",", '"', "0", "-1", "é", "\0", "[]"]


@st.composite
def mutated(draw: st.DrawFn, seeds: list[str]) -> str:
    """A save with a piece cut out, doubled, or replaced."""
    text = draw(st.sampled_from(seeds))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 20)))
    piece = draw(st.sampled_from(["", text[start:end] * 2, *PIECES]))
    return text[:start] + piece + text[end:]


@given(mutated([*SEEDS, IPSET]))
@settings(max_examples=400, deadline=None)
def test_mutated_saves(text: str) -> None:
    """A damaged save of iptables or ipset is a rule set or a clear error."""
    assert outcome(text) in (Ruleset, InputError)


@given(mutated(NFT_SEEDS))
@settings(max_examples=400, deadline=None)
def test_mutated_listings(text: str) -> None:
    """A damaged listing of nft is a rule set or a clear error."""
    assert outcome(text) in (Ruleset, InputError)


KEYS = [
    "match",
    "left",
    "right",
    "op",
    "payload",
    "protocol",
    "field",
    "set",
    "range",
    "prefix",
    "concat",
    "elem",
    "val",
    "meta",
    "key",
    "ct",
    "vmap",
    "data",
    "jump",
    "target",
    "mangle",
    "value",
    "limit",
    "xt",
    "&",
    "|",
]
WORDS = ["tcp", "@s", "dport", "saddr", "ip", "", "new"]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            KEYS
        ), inner, max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(values, max_size=3))
@settings(max_examples=400, deadline=None)
def test_any_json_as_a_rule(expressions: list[object]) -> None:
    """Any JSON in the place of a rule is a rule set or a clear error."""
    assert outcome(listing("inet", json.dumps({"expr": expressions}))) in (Ruleset, InputError)
