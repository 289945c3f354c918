"""A rule set's own knowledge of its rules."""

from __future__ import annotations

from dataclasses import replace

from conntrim.core.model.ruleset import Rule, Ruleset
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.inert import inert, untracks

TEXT = (
    "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -p udp -j CT --notrack\n"
    "-A PREROUTING -i lo -j ACCEPT\n-A OUTPUT -p udp -j CT --notrack\n-A OUTPUT -j ACCEPT\nCOMMIT\n"
)


def rules() -> Ruleset:
    """Two rules of four untrack."""
    return read(TEXT, "rules")


def test_those_are_the_rules_that_the_test_holds_for_in_their_order() -> None:
    """Chain by chain, as a look at all rules finds them."""
    found = rules()
    assert [rule for rule in found.rules() if untracks(rule)] == list(found.those(untracks))
    assert len(list(found.those(untracks))) == 2


def test_each_test_is_made_once_for_a_chain_that_rule_sets_share() -> None:
    """Of the other rule set only the chain that is another one is looked at."""
    asked: list[Rule] = []

    def asking(rule: Rule) -> bool:
        asked.append(rule)
        return True

    (table,) = rules().tables
    assert len(list(Ruleset((table,)).those(asking))) == len(asked) == 4
    first, second = table.chains
    fewer = replace(table, chains=(replace(first, rules=first.rules[:1]), second))
    assert len(list(Ruleset((fewer,)).those(asking))) == 3
    assert len(asked) == 5


def test_inert_rules_do_nothing_and_the_others_stay_the_same_things() -> None:
    """What untracked and does nothing else is not there; a rule that did not is the rule itself."""
    found = rules()
    after = inert(found)
    assert not list(after.those(untracks))
    kept = [rule for rule in found.rules() if not untracks(rule)]
    assert [id(rule) for rule in kept] == [id(rule) for rule in after.rules()]


def test_inert_rules_are_the_same_whatever_untracks() -> None:
    """With one untracking rule less; one that asks a state, or counts, switches something on and stays."""
    whole = rules()
    first, *more = whole.those(untracks)
    fewer = without(whole, first)
    assert more
    assert inert(whole) == inert(fewer) != fewer
    for asks in ("-m conntrack --ctstate NEW", "-m recent --set --name seen --mask 255.255.255.255 --rsource"):
        text = f"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp {asks} -j CT --notrack\nCOMMIT\n"
        assert len(list(inert(read(text, "rules")).rules())) == 1


def without(ruleset: Ruleset, rule: Rule) -> Ruleset:
    """The rule set without one of its rules."""
    tables = (replace(t, chains=tuple(replace(c, rules=tuple(r for r in c.rules if r is not rule)) for c in t.chains))
              for t in ruleset.tables)  # fmt: skip
    return replace(ruleset, tables=tuple(tables))
