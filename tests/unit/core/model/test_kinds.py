"""What matches and statements depend on and leave behind: the table, and what is not in it."""

import pytest

from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import Answer, Effect, answer_of, effect_of
from conntrim.core.model.marks import SetMark
from conntrim.core.model.ruleset import (
    Dialect,
    End,
    In,
    InSet,
    Match,
    NamedSet,
    NoEffect,
    OpaqueMatch,
    OpaqueStatement,
    Statement,
    Table,
    TableFamily,
    Verdict,
)

ONE = ((Intervals.of(1),),)
TABLE = Table(
    Dialect.NFTABLES, TableFamily.INET, "t", (), (NamedSet("fixed", ONE), NamedSet("filled", ONE, dynamic=True))
)
ANSWERS: list[tuple[Match, Answer]] = [
    (In(Field.DPORT, Intervals.of(80)), Answer.SAME),
    (In(Field.LENGTH, Intervals.of(60)), Answer.VARIES),
    (OpaqueMatch("mac", "--mac-source 02:00:00:00:00:01"), Answer.SAME),
    (OpaqueMatch("tcpmss", "--mss 536"), Answer.VARIES),
    (OpaqueMatch("xt tcpmss", ""), Answer.VARIES),
    (OpaqueMatch("limit", "limit rate 1/second"), Answer.COUNTS),
    (OpaqueMatch("set", "add @d { ip saddr limit rate 1/second }"), Answer.COUNTS),
    (OpaqueMatch("nobody knows", ""), Answer.COUNTS),
    (InSet("fixed", (Field.SRC,)), Answer.SAME),
    (InSet("filled", (Field.SRC,)), Answer.VARIES),
    (InSet("not listed", (Field.SRC,)), Answer.VARIES),
]
EFFECTS: list[tuple[Statement, Effect]] = [
    (End(Verdict.ACCEPT), Effect.NOTHING),
    (End(Verdict.QUEUE), Effect.ACTS),
    (NoEffect("counter"), Effect.NOTHING),
    (NoEffect("LOG"), Effect.LOGS),
    (NoEffect("TEE"), Effect.ACTS),
    (SetMark(1), Effect.ACTS),
    (OpaqueStatement("SET", "--add-set s src"), Effect.ACTS),
    (OpaqueStatement("nobody knows", ""), Effect.ACTS),
]


@pytest.mark.parametrize(("match", "answer"), ANSWERS, ids=str)
def test_answers(match: Match, answer: Answer) -> None:
    """How a match answers one end's packets; one that nobody knows may count, a set that is not known may change."""
    assert answer is answer_of(match, TABLE)


@pytest.mark.parametrize(("statement", "effect"), EFFECTS, ids=str)
def test_effects(statement: Statement, effect: Effect) -> None:
    """What a statement does beside; one that nobody knows may do anything."""
    assert effect is effect_of(statement)
