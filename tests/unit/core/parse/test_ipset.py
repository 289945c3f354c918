"""What ipsets hold, and what a rule then asks them."""

from __future__ import annotations

import pytest

from conntrim.core.model.address import parse_prefix
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import InSet, NamedSet
from conntrim.core.parse.ruleset import read, read_all

RULES = "*filter\n-A INPUT -m set --match-set {} {} -j DROP\n{}COMMIT\n"


def only_set(ipsets: str, ways: str = "src", more: str = "") -> tuple[NamedSet, InSet]:
    """The set that the table holds, and the match that asks it."""
    name = ipsets.splitlines()[-1].split()[1]
    table = read_all([("rules.v4", RULES.format(name, ways, more)), ("ipsets", ipsets)]).tables[0]
    chain = table.chain("INPUT")
    assert chain is not None
    match = chain.rules[0].matches[0]
    assert isinstance(match, InSet)
    return table.sets[0], match


def prefix(text: str) -> Intervals:
    """The addresses of a prefix."""
    return Intervals((parse_prefix(text),))


def test_addresses() -> None:
    """A set of networks holds them; the rule compares them with the source."""
    named, match = only_set("create block hash:net family inet\nadd block 192.0.2.0/24\nadd block 198.51.100.1\n")
    assert ((prefix("192.0.2.0/24"),), (prefix("198.51.100.1"),)) == named.elements
    assert ((Field.SRC,), False) == (match.fields, named.dynamic)


def test_ports_carry_their_protocol() -> None:
    """An element with a port means one protocol's port, on the side that the rule names."""
    named, match = only_set("create web hash:ip,port family inet\nadd web 192.0.2.1,udp:53\n", "src,dst")
    assert ((prefix("192.0.2.1"), Intervals.of(17), Intervals.of(53)),) == named.elements
    assert (Field.SRC, Field.PROTOCOL, Field.DPORT) == match.fields


def test_nomatch_takes_out() -> None:
    """`nomatch` makes a hole; a longer prefix inside it holds again."""
    text = "create n hash:net\nadd n 10.0.0.0/8\nadd n 10.1.0.0/16 nomatch\nadd n 10.1.1.0/24\n"
    expected = prefix("10.0.0.0/8") - prefix("10.1.0.0/16") | prefix("10.1.1.0/24")
    assert ((expected,),) == only_set(text)[0].elements


def test_what_fills_itself_is_dynamic() -> None:
    """Elements with a time-out, and sets that a rule adds to, are no promise."""
    assert only_set("create t hash:ip timeout 60\nadd t 192.0.2.1 timeout 5\n")[0].dynamic
    assert only_set("create s hash:ip\nadd s 192.0.2.1\n", more="-A INPUT -j SET --add-set s src\n")[0].dynamic


def test_a_list_holds_what_its_sets_hold() -> None:
    """list:set is the union of its members."""
    text = "create a hash:ip\nadd a 192.0.2.1\ncreate b hash:ip\nadd b 192.0.2.2\ncreate l list:set\nadd l a\nadd l b\n"
    assert ((prefix("192.0.2.1"),), (prefix("192.0.2.2"),)) == only_set(text)[0].elements


def test_a_set_that_nobody_listed_is_said() -> None:
    """Without `ipset save` the match stays undecided, and a remark asks for it."""
    ruleset = read_all([("rules.v4", RULES.format("block", "src", ""))])
    assert ("the content of set block is not known: give me `ipset save` too",) == ruleset.remarks


@pytest.mark.parametrize(
    "text", ["add x 192.0.2.1\n", "create x hash:ip\nadd x 192.0.2.300\n", "create x hash:ip\nhm\n"]
)
def test_bad_saves_name_the_line(text: str) -> None:
    """What ipset would not print ends in an error with its line."""
    with pytest.raises(InputError) as caught:
        read(text, "ipsets")
    assert text.count("\n") == caught.value.line
