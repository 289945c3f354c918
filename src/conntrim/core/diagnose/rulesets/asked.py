"""What a rule asks for, told by its matches alone: states, fields, a source port that it trusts."""

from __future__ import annotations

from typing import assert_never

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import AnyOf, End, In, InSet, Interface, Match, OpaqueMatch, Rule, Verdict, XtConntrack


def states_asked(match: Match) -> Intervals:
    """The ct states that a match wants; empty where it asks for something else."""
    match match:
        case XtConntrack():
            return match.states or Intervals()
        case In(field=Field.CT_STATE):
            return match.values
        case In() | Interface() | CtIn() | InSet() | AnyOf() | OpaqueMatch():
            return Intervals()
        case _:
            assert_never(match)


def names_untracked(rule: Rule) -> bool:
    """Whether a rule asks for UNTRACKED, among other states or alone, and not by naming what it is not."""
    asked = [states_asked(m) for m in rule.matches]
    return any(CtState.UNTRACKED in found and CtState.INVALID not in found for found in asked)


def names_field(rule: Rule, name: Field) -> bool:
    """Whether a rule names values of this field."""
    return name in [m.field for m in rule.matches if type(m) is In]


def trusts_source_port(rule: Rule) -> bool:
    """An accept that names a source port and nothing that its sender cannot choose."""
    if not names_field(rule, Field.SPORT) or End(Verdict.ACCEPT) not in rule.statements:
        return False
    asked = [states_asked(m) for m in rule.matches if states_asked(m)]
    known = any(CtState.NEW not in states and CtState.UNTRACKED not in states for states in asked)
    plain = not any(isinstance(m, OpaqueMatch | CtIn) for m in rule.matches)
    return plain and not known and not any(names_field(rule, name) for name in (Field.DPORT, Field.SRC))


def by_target(rule: Rule) -> bool:
    """Whether the rule takes packets by their destination port, and not by their source port."""
    fields = {m.field for m in rule.matches if isinstance(m, In)}
    return Field.DPORT in fields and Field.SPORT not in fields
