"""Dialogues by the lengths of their packets, where rules ask for them."""

from conntrim.core.model.address import Family
from conntrim.core.netfilter.dialogue import Talk
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.lengths import asked_lengths, sized
from conntrim.core.prove.scripts import Script, scripts

RULES = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m length ! --length 40:60 -j CT --notrack\nCOMMIT\n"
EDGES = (0, 40, 61, 65536)


def first(talk: Talk) -> Script:
    """The whole dialogue of a kind."""
    return next(script for script in scripts(Family.IPV4) if script.talk is talk)


def lengths(talk: Talk) -> list[list[int | None]]:
    """Those of its packets, each way in which it is played."""
    return [[turn.length for turn in each.turns] for each in sized(first(talk), Family.IPV4, EDGES)]


def test_the_edges_are_where_a_rule_of_the_family_asks() -> None:
    """A match and its negation tell the same lengths apart; another family's rules are about none of these packets."""
    assert EDGES == asked_lengths(read(RULES, "rules"), Family.IPV4)
    assert asked_lengths(read(RULES, "rules"), Family.IPV6) == ()


def test_without_rules_that_ask_nothing_changes() -> None:
    """One script, without lengths."""
    script = first(Talk.TCP)
    assert [script] == list(sized(script, Family.IPV4, ()))


def test_packets_of_one_connection_have_the_lengths_that_programs_send() -> None:
    """A SYN with the options that Linux sends, ACKs with fewer, data longer; small stacks send no options."""
    assert [60, 60, 52, 60, 60, 52, 52, 52] in lengths(Talk.TCP)
    assert [60, 60, 52, 116, 116, 52, 52, 52] in lengths(Talk.TCP)
    assert [40, 40, 40, 60, 60, 40, 40, 40] not in lengths(Talk.TCP), "to these rules it is the same"


def test_queries_and_answers_differ_and_echoes_do_not() -> None:
    """A short query has a short answer or a longer one; an echo comes back as it went."""
    assert [[39] * 4, [60] * 4, [92] * 4, [39, 60] * 2, [39, 92] * 2] == lengths(Talk.UDP)
    assert [[39] * 2, [60] * 2, [92] * 2] == lengths(Talk.ECHO)
