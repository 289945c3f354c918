"""libnftables' JSON commands are carried out in their order, as nft does on an empty rule set."""

from __future__ import annotations

import json

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Ruleset, Verdict
from conntrim.core.parse.nft.commands import COMMANDS
from conntrim.core.parse.ruleset import read
from tests.unit.core.parse.nft.commanding import CASES, CHAIN, REFUSED, TABLE, document, rule


def ports(ruleset: Ruleset) -> list[str]:
    """The rules of the only chain, by the ports they name."""
    return [each.text.rpartition(" ")[2] for each in ruleset.tables[0].chains[0].rules]


def test_rules_stand_where_the_commands_put_them() -> None:
    """`add` appends, `insert` goes to the front, an index names a rule to stand behind or before."""
    assert ports(read(document(*CASES["order"]), "f")) == ["2", "1", "3"]
    assert ports(read(document(*CASES["index"]), "f")) == ["1", "4", "3", "2"]


def test_what_only_lists_changes_nothing() -> None:
    """`list` among the commands (on which nft 1.0.6 crashes) leaves the rules as they are."""
    assert ports(read(document({"list": {"ruleset": None}}, TABLE, CHAIN, {"add": rule(1)}), "f")) == ["1"]


def test_rules_have_places_of_their_own() -> None:
    """Commands carry no handles; two equal rules are still told apart."""
    rules = read(document(TABLE, CHAIN, {"add": rule(1)}, {"add": rule(1)}), "f").tables[0].chains[0].rules
    assert len({str(each.place) for each in rules}) == 2


def test_flush_and_delete_take_away_what_was_before_them() -> None:
    """Only what comes behind is left."""
    assert ports(read(document(*CASES["flush table"]), "f")) == ["2"]
    assert read(document(*CASES["flush ruleset"]), "f").tables == ()


def test_a_chain_may_get_its_policy_later() -> None:
    """The last word counts."""
    base = read(document(*CASES["policy"]), "f").tables[0].chains[0].base
    assert base is not None
    assert base.policy is Verdict.DROP


def test_elements_come_into_their_set() -> None:
    """`add element` fills the set that rules ask, `delete element` takes out."""
    sets = read(document(*CASES["elements"]), "f").tables[0].sets
    assert [each.text for each in sets if each.name == "s"] == ['["192.0.2.2", "192.0.2.3"]']


def test_an_object_without_a_command_is_added() -> None:
    """A listing wrapped into commands by a script, handles and all, is what it lists."""
    assert ports(read(document(*CASES["bare"]), "f")) == ["1", "2"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_nft_refuses_is_refused_with_its_number(name: str) -> None:
    """An error names the command, counted as they stand in the file."""
    commands = REFUSED[name]
    with pytest.raises(InputError, match=rf"^f: command {len(commands)}, "):
        read(document(*commands), "f")


@pytest.mark.parametrize("verb", sorted(COMMANDS - {"list", "reset", "monitor"}))
@pytest.mark.parametrize(
    "content", [None, 5, [], {}, {"rule": None}, {"chain": {"family": 4}}, {"element": {"elem": 7}}]
)
def test_any_shape_ends_in_one_line(verb: str, content: object) -> None:
    """A command of an odd shape is the operator's error, not a bug of ours."""
    with pytest.raises(InputError):
        read(json.dumps({"nftables": [{verb: content}]}), "f")
