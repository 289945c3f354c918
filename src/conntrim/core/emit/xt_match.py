"""Matches as words of an iptables rule; the text parses to the same matches again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, assert_never

from conntrim.core.dialect.xt import OPTIONS, PORT_MODULES, SET_PARTS
from conntrim.core.emit.ct import connmark, xt_option
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.emit.xt_option import base_words, listed_ports, option_words, port_list
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import DEVICES, Field
from conntrim.core.model.ruleset import (
    CT_STATES,
    NATIVE_SET,
    AnyOf,
    In,
    InSet,
    Interface,
    Match,
    OpaqueMatch,
    XtConntrack,
)  # fmt: skip

SET_WAYS: dict[Field | str, str] = {name: way for (_, way), names in reversed(SET_PARTS.items()) for name in names} | {
    "src": "src",
    "dst": "dst",
}
"""What is compared with a part of an ipset's elements, to the direction that says it."""


def _refused(match: Match) -> NoReturn:
    raise NotExpressible(f"no iptables match says {match}")


def _conntrack(match: XtConntrack, v6: bool) -> str:
    text = ""
    if match.states is not None:
        states = CT_STATES - match.states if match.negated else match.states
        pseudo = [n for n, on in (("SNAT", match.snat), ("DNAT", match.dnat)) if on]
        names = [CtState(n).name for n in states] + pseudo
        # Without a name there is nothing to list: the empty set is what no state is left of.
        text = f"{'! ' if match.negated else ''}--ctstate {','.join(names)}" if names else (
            f"! --ctstate {','.join(state.name for state in CtState)}"
        )  # fmt: skip
    return " ".join(word for word in (text, *(xt_option(other, v6) for other in match.others)) if word)


def _said(match: Match, protocol: int | None, v6: bool) -> tuple[str, str]:
    """A match behind the base options, as module and options."""
    match match:
        case In():
            return option_words(match, protocol, v6) or _refused(match)
        case XtConntrack():
            return "conntrack", _conntrack(match, v6)
        case CtIn() if (text := connmark(match)) is not None:
            return "connmark", text
        case InSet(name, fields, negated) if not name.startswith(NATIVE_SET):
            ways = ",".join(SET_WAYS[f] for f in fields if f is not Field.PROTOCOL)
            return "set", f"{'! ' if negated else ''}--match-set {_word(name)} {ways}"
        case AnyOf(alternatives):
            text = port_list(alternatives[0].values)
            if {a.field for a in alternatives} == {Field.SPORT, Field.DPORT} and text is not None:
                return "multiport", f"--ports {text}"
        case OpaqueMatch(kind, text) if not text or text.startswith(("--", "! --")):  # else nft's own words
            return kind, text
        case Interface() | CtIn() | InSet() | OpaqueMatch():
            pass
        case _:
            assert_never(match)
    _refused(match)


def _word(name: str) -> str:
    """A name as iptables-restore reads it back."""
    if not set(name) & set(" \t\"'\\#"):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


BASE_ROWS = [row for row in OPTIONS if not row.module]
"""The base options in the order in which they parse; past an extension there is none."""


def _base(match: Match, v6: bool) -> tuple[int, str] | None:
    """The match as a base option and its place among them, None where it has to be an extension."""
    match match:
        case In(field=field):
            text = base_words(match, v6)
        case Interface(way, (name,), negated):
            field, spelt = DEVICES[way], name[:-1] + "+" if name.endswith("*") else name
            row = next(row for row in BASE_ROWS if row.field is field)
            text = f"{'! ' if negated else ''}-{row.option} {spelt}"
        case Interface() | XtConntrack() | CtIn() | InSet() | AnyOf() | OpaqueMatch():
            return None
        case _:
            assert_never(match)
    return None if text is None else ([row.field for row in BASE_ROWS].index(field), text)


@dataclass(slots=True)
class Writer:
    """Extensions being written from left to right."""

    v6: bool
    protocol: int | None
    module: str = ""
    rank: int = 0

    def words(self, match: Match) -> str:
        """One match; ports and flags of one protocol share one `-m`."""
        module, options = _said(match, self.protocol, self.v6)
        rank = _rank(match)
        if module == self.module and module not in ALONE and rank > self.rank:
            self.rank = rank
            return options
        if module == self.module and rank and module in PORT_MODULES and isinstance(match, In):
            # Back in order: the nft back end would merge two -m of one protocol and change the order.
            module, options = "multiport", listed_ports(match, self.v6) or _refused(match)
        self.module, self.rank = module, rank
        return f"-m {module} {options}".strip()


ALONE = frozenset({"multiport", "iprange"})


def match_words(matches: tuple[Match, ...], v6: bool) -> Iterator[str]:
    """The matches, piece by piece, base options first; NotExpressible for one that iptables cannot say."""
    named = (m.values for m in matches if isinstance(m, In) and m.field is Field.PROTOCOL)
    protocol = next((values.ranges[0][0] if values.size == 1 else None for values in named), None)
    base, rest = _parted(matches, v6)
    yield from (text for text, _ in base)
    writer = Writer(v6, protocol)
    yield from map(writer.words, rest)


def in_order(matches: tuple[Match, ...], v6: bool) -> tuple[Match, ...]:
    """The matches as iptables asks and lists them: its base options first; NotExpressible."""
    base, rest = _parted(matches, v6)
    return (*(match for _, match in base), *rest)


def _parted(matches: tuple[Match, ...], v6: bool) -> tuple[list[tuple[str, Match]], list[Match]]:
    """The base options with their texts, in iptables' order, and the extensions."""
    base: dict[int, tuple[str, Match]] = {}
    rest = []
    for match in matches:
        found = _base(match, v6)
        if found is not None and found[0] not in base:
            base[found[0]] = found[1], match
        else:
            rest.append(match)
    return [base[rank] for rank in sorted(base)], rest


SHARING = [row.field for row in OPTIONS if row.module in ("tcp", "addrtype")]
"""The fields whose options may stand behind one `-m`, in their order there."""


def _rank(match: Match) -> int:
    """Where an option stands inside its module; 0: it never shares one."""
    return SHARING.index(match.field) + 1 if isinstance(match, In) and match.field in SHARING else 0
