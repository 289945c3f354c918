"""One rule-set model for iptables and nftables: tables of chains of rules, a rule being matches and statements.

A match is *a field in a set of numbers* wherever that says it all; what the model does not know stays opaque, with
its exact text and is *not decided*, never dropped. Every rule keeps its place and its original text.

More than 400 lines: matches and statements are two closed sets, and whoever reads one wants to see all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from conntrim.core.model.address import Family
from conntrim.core.model.asks import Asks
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import DEVICES, Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.place import Place
from conntrim.core.model.refusal import Queue, Reject
from conntrim.core.model.service import Hook
from conntrim.core.model.writes import AddToSet, SetField


class Dialect(StrEnum):
    """Who holds a table: the three are invisible to each other's listings in part (K36, K37)."""

    IPTABLES_NFT = "iptables-nft"
    IPTABLES_LEGACY = "iptables-legacy"
    NFTABLES = "nftables"


class TableFamily(StrEnum):
    """The address families of tables, by nft's names."""

    IP = "ip"
    IP6 = "ip6"
    INET = "inet"
    ARP = "arp"
    BRIDGE = "bridge"
    NETDEV = "netdev"


CT_STATES = Intervals.of(*map(int, CtState))
"""Every ct state: what a negated `ct state` or `--ctstate` is resolved against."""


@dataclass(frozen=True, slots=True)
class In:
    """`field & mask` is one of `values`. Negation is resolved into the set; `mask` None means all bits.

    A packet that lacks the field (a port of an ICMP packet) does not match, whatever the set.
    """

    field: Field
    values: Intervals
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    """The incoming (`way` "in") or outgoing interface is one of `names`; a trailing `*` is a wildcard.

    `negated`: it is none of them. On a hook without such an interface the name is empty.
    """

    way: str
    names: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class XtConntrack:
    """iptables' `-m conntrack` and `-m state` (K21).

    `states` holds `CtState` numbers; None where `--ctstate` is not given; its negation is resolved into the set, and
    `snat`/`dnat` say that the pseudo-states of that name are listed. `others` is every other option; they
    are not looked at on packets without an entry where states are given, and without states such packets never match.
    """

    states: Intervals | None
    snat: bool = False
    dnat: bool = False
    others: tuple[CtIn, ...] = ()
    negated: bool = False
    """True where the states were written negated: only then a pseudo-state widens differently; text keeps the rest."""


@dataclass(frozen=True, slots=True)
class InSet:
    """The tuple of `fields` is (not) an element of the named set; the set's content is in `Table.sets`.

    A field given as plain text (`ether saddr`, an ipset's `src` where the set is not listed) is none that the model
    knows, and leaves the match undecided.
    """

    set_name: str
    fields: tuple[Field | str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class OpaqueMatch:
    """A match that the model does not know, by its kind (`hashlimit`) and its exact text; `negated`: with a `!`.

    `asked` is the question whose answer must be no for it to hold, where another match has that for its text. `asks` is
    what it asks of the host, where that has a type.
    """

    kind: str
    text: str
    negated: bool = field(default=False, repr=False)
    asked: str = field(default="", repr=False)
    asks: Asks | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OpaqueStatement:
    """A statement that the model does not know, by its kind (`TPROXY`) and its exact text.

    `may_break`: nft ends the rule there where a look-up finds nothing, or where there is no entry to read (K53).
    """

    kind: str
    text: str
    may_break: bool = field(default=False, repr=False)


UNREAD = "unread"
"""The kind of what stands for a rule that was not understood at all."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the alternatives matches: multiport's `--ports`, which means either port."""

    alternatives: tuple[In, ...]


Match = In | Interface | XtConntrack | CtIn | InSet | AnyOf | OpaqueMatch


def entry_questions(match: Match) -> tuple[CtIn, ...]:
    """What a match asks of the conntrack entry in one question, beside its state."""
    if isinstance(match, XtConntrack):
        return match.others
    return (match,) if isinstance(match, CtIn) else ()


def asked_fields(match: Match) -> tuple[Field, ...]:
    """The fields that a match asks, as far as the model knows them."""
    match match:
        case In(field=name):
            return (name,)
        case Interface(way=way):
            return (DEVICES[way],)
        case XtConntrack():
            return (Field.CT_STATE,)
        case InSet(fields=names):
            return tuple(name for name in names if isinstance(name, Field))
        case AnyOf(alternatives=alternatives):
            return tuple(each.field for each in alternatives)
        case OpaqueMatch() | CtIn():
            return ()
        case _:
            assert_never(match)


class Verdict(StrEnum):
    """The terminating verdicts."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class End:
    """A verdict; `how` is what a REJECT answers with, which queue a QUEUE means: None where nothing is said."""

    verdict: Verdict
    how: Reject | Queue | None = None


@dataclass(frozen=True, slots=True)
class Jump:
    """To a chain of the same table; `goto` does not come back to this chain."""

    chain: str
    goto: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    """Back to the calling chain, or to the policy of a base chain."""


@dataclass(frozen=True, slots=True)
class Notrack:
    """NOTRACK, `CT --notrack`, `notrack` (K9, K17)."""


@dataclass(frozen=True, slots=True)
class SetZone:
    """A zone template; `way` is "", "original" or "reply" (K10). `zone` None: the packet's mark says it."""

    zone: int | None
    way: str = ""


@dataclass(frozen=True, slots=True)
class CtTemplate:
    """A template (K10) with nothing in it that the model follows: iptables' `CT` with time-outs, events, or bare."""

    options: str = ""


@dataclass(frozen=True, slots=True)
class Helper:
    """A conntrack helper (`ftp`, ...) is attached (K10, K24); `of`: which one, where nft's object has the name; `only`:
    the family for which that object has one, None: every."""

    name: str
    of: str = ""
    only: Family | None = None

    def serves(self, family: Family) -> bool:
        """Whether packets of a family are given it."""
        return self.only in (None, family)


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Log, count, comment and the like: no influence on where the packet goes."""

    kind: str
    text: str = ""


Statement = (
    End | Jump | Return | Notrack | SetZone | CtTemplate | SetMark | Helper | Nat | SetField | AddToSet | NoEffect
    | OpaqueStatement
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A conjunction of matches and what happens then. `text` is the rule as it was written, `comment` its comment.

    An nft rule with a verdict map stands here as one rule for each element of the map, all with the same text, place
    and handle. Two rules are equal if they mean the same: place, text and handle are not compared.
    """

    matches: tuple[Match, ...]
    statements: tuple[Statement, ...]
    place: Place = field(compare=False)
    text: str = field(compare=False)
    comment: str = ""
    handle: int = field(default=0, compare=False)
    """nft's handle, 0 where there is none."""

    @property
    def where(self) -> str:
        """Its place; a listing without lines tells it by what it says."""
        return str(self.place) if self.place.line else f"{self.place}: {self.text}"

    def listed_with(self, other: Rule) -> bool:
        """Whether both stand for one rule of nft's listing."""
        named = bool(self.text and (self.handle or self.place.within))
        return named and (self.place, self.handle, self.text) == (other.place, other.handle, other.text)


@dataclass(frozen=True, slots=True)
class Base:
    """Where a base chain hangs: its type (filter, nat, route), hook, priority and policy (K1).

    `devices` are those of an ingress or egress chain.
    """

    type: str
    hook: Hook
    priority: int
    policy: Verdict = Verdict.ACCEPT
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; `base` is None for a user's chain."""

    name: str
    rules: tuple[Rule, ...]
    base: Base | None = None
    place: Place = field(default=Place(""), compare=False)
    _jumps: list[tuple[str, ...]] = field(init=False, compare=False, repr=False, default_factory=list)
    _those: dict[Callable[[Rule], bool], tuple[Rule, ...]] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )

    def those(self, test: Callable[[Rule], bool]) -> tuple[Rule, ...]:
        """Its rules for which a test holds that looks at the rule alone. Each test, a function that stays, is made
        once: rule sets of which one chain differs share all others."""
        if test not in self._those:
            self._those[test] = tuple([rule for rule in self.rules if test(rule)])
        return self._those[test]

    def jumps(self) -> tuple[str, ...]:
        """The names of the chains that its rules send packets to, in their order: whoever walks a table asks."""
        if not self._jumps:
            self._jumps.append(tuple([s.chain for rule in self.rules for s in rule.statements if type(s) is Jump]))
        return self._jumps[0]


ROOM = 64
"""So many elements a few connections add at most."""

Key = Intervals | tuple[str, ...]
"""One part of a set's element: numbers of the field it is compared with, or names (interfaces, `*` a wildcard)."""


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A set's content: each element a tuple of keys, one for each field of the `InSet` that asks.

    `known` False: the listing lacks the content, or it is of a kind that the model does not read. `dynamic`: packets
    add to it or elements time out, so what it holds now is no promise. `kind` is the set's type (`ipv4_addr .
    inet_service`, `hash:ip,port`); `declaration` what a loader needs beyond it (flags, time-out, size). Anonymous
    sets of concatenations have `anonymous` set and a name made of what they hold.
    """

    name: str
    elements: tuple[tuple[Key, ...], ...]
    known: bool = True
    text: str = field(default="", compare=False)
    kind: str = ""
    dynamic: bool = False
    anonymous: bool = False
    declaration: str = ""
    _numbers: list[Intervals] = field(init=False, compare=False, repr=False, default_factory=list)

    def numbers(self) -> Intervals:
        """What the first parts of all elements are, as far as they are numbers: all of a set of one part. Sets have
        tens of thousands of elements, and are asked by every rule that names them."""
        if not self._numbers:
            spans = [span for key, *_ in self.elements if isinstance(key, Intervals) for span in key.ranges]
            self._numbers.append(Intervals.union_of(spans))
        return self._numbers[0]

    @property
    def full(self) -> bool:
        """Whether the elements listed leave no room for what rules may add in a short time."""
        sizes = [int(part[5:]) for part in self.declaration.split("; ") if part.startswith("size ")]
        return any(len(self.elements) + ROOM > size for size in sizes)


Unusual = InSet | OpaqueMatch | OpaqueStatement
UNUSUAL = (InSet, OpaqueMatch, OpaqueStatement)
"""Parts of rules that mean something only together with what stands elsewhere, or nothing that is known."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of one dialect; chains and sets in listing order.

    A `dormant` table's base chains are not on any hook. `objects` are nft's other objects, as JSON (helpers,
    flowtables, limits, data maps ...): kept, not read.
    """

    dialect: Dialect
    family: TableFamily
    name: str
    chains: tuple[Chain, ...]
    sets: tuple[NamedSet, ...] = ()
    dormant: bool = False
    objects: tuple[str, ...] = ()
    _chains: dict[str, Chain] = field(init=False, compare=False, repr=False)
    _sets: dict[str, NamedSet] = field(init=False, compare=False, repr=False)
    _below: dict[str, tuple[Chain, ...]] = field(init=False, compare=False, repr=False)
    _kinds: dict[str, frozenset[type[Statement]]] = field(init=False, compare=False, repr=False)
    _unusual: list[tuple[tuple[Rule, Unusual], ...]] = field(
        init=False, compare=False, repr=False, default_factory=list
    )

    def __post_init__(self) -> None:
        # The first of a name counts; a node of Kubernetes has tens of thousands of chains, each jumped to by name.
        object.__setattr__(self, "_chains", {chain.name: chain for chain in reversed(self.chains)})
        object.__setattr__(self, "_sets", {each.name: each for each in reversed(self.sets)})
        object.__setattr__(self, "_below", {})
        object.__setattr__(self, "_kinds", {})

    def rules(self) -> Iterator[Rule]:
        """All rules, chain by chain."""
        return (rule for chain in self.chains for rule in chain.rules)

    def chain(self, name: str) -> Chain | None:
        """The chain of that name."""
        return self._chains.get(name)

    def below(self, chain: Chain) -> tuple[Chain, ...]:
        """A chain of this table and all that packets may come to from there, each once."""
        if chain.name not in self._below:
            found, todo = {chain.name: chain}, [chain]
            while todo:
                for name in todo.pop().jumps():
                    if name not in found and (target := self._chains.get(name)) is not None:
                        found[name] = target
                        todo.append(target)
            self._below[chain.name] = tuple(found.values())
        return self._below[chain.name]

    def kinds(self, chain: Chain) -> frozenset[type[Statement]]:
        """What the rules do that packets may come to from a chain of this table, by type."""
        if chain.name not in self._kinds:
            every = (rule.statements for below in self.below(chain) for rule in below.rules)
            self._kinds[chain.name] = frozenset({type(s) for statements in every for s in statements})
        return self._kinds[chain.name]

    def unusual(self) -> tuple[tuple[Rule, Unusual], ...]:
        """The sets that rules ask and what the model does not know of them, each with its rule: of most none."""
        if not self._unusual:
            rules = [rule for chain in self.chains for rule in chain.rules]
            found = [(r, part) for r in rules for part in r.matches + r.statements if isinstance(part, UNUSUAL)]
            self._unusual.append(tuple(found))
        return self._unusual[0]

    def set(self, name: str) -> NamedSet | None:
        """The set of that name."""
        return self._sets.get(name)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All tables of one network namespace; `remarks` say what else must be known of the listings.

    `unread` is what a listing shows or hides that was not understood (K36, K96): anything may depend on it, so nothing
    is proved over it. `ipsets` are the sets of `ipset save`; those that a table's rules ask stand in its `sets` too.
    """

    tables: tuple[Table, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)
    ipsets: tuple[NamedSet, ...] = ()
    unread: tuple[str, ...] = field(default=(), compare=False)

    def rules(self) -> Iterator[Rule]:
        """All rules, table by table."""
        return (rule for table in self.tables for rule in table.rules())

    def those(self, test: Callable[[Rule], bool]) -> Iterator[Rule]:
        """The rules for which a test holds that looks at the rule alone, table by table; a test is a function that
        stays (Chain)."""
        return (rule for table in self.tables for chain in table.chains for rule in chain.those(test))

    def __add__(self, other: Ruleset) -> Ruleset:
        return Ruleset(
            self.tables + other.tables,
            self.remarks + other.remarks,
            self.ipsets + other.ipsets,
            self.unread + other.unread,
        )


NATIVE_SET = "@"
"""How the names of nft's own sets begin in a table of iptables-nft, where ipsets may have the same names."""


def asks_ipset(match: InSet, table: Table | None) -> bool:
    """Whether a rule of this table asks an ipset, not a set of nft's (K50)."""
    native = match.set_name.startswith(NATIVE_SET) or (table is not None and table.dialect is Dialect.NFTABLES)
    return table is not None and not native


XT_HOOKS: dict[str, tuple[str, int]] = {
    "raw": ("filter", -300),
    "mangle": ("filter", -150),
    "nat": ("nat", -100),
    "filter": ("filter", 0),
    "security": ("filter", 50),
}
"""iptables' tables: base chain type and priority (K1); nat chains in POSTROUTING and INPUT are at +100."""

XT_CHAINS: dict[str, tuple[str, ...]] = {
    "raw": ("prerouting", "output"),
    "mangle": ("prerouting", "input", "forward", "output", "postrouting"),
    "nat": ("prerouting", "input", "output", "postrouting"),
    "filter": ("input", "forward", "output"),
    "security": ("input", "forward", "output"),
}
"""The hooks of iptables' tables; their built-in chains carry the same names in capitals."""


def xt_priority(dialect: Dialect, table: str, hook: Hook) -> int:
    """The priority of a built-in chain: source NAT comes late, iptables-nft's security table later still (K1)."""
    if table == "nat" and hook in (Hook.POSTROUTING, Hook.INPUT):
        return 100
    return 150 if (dialect, table) == (Dialect.IPTABLES_NFT, "security") else XT_HOOKS[table][1]
