"""Lines that are read by their form mean what the reader makes of them word by word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from conntrim.core.parse.ruleset import read, read_all
from conntrim.core.parse.xt.form import Forms, Lines
from conntrim.core.parse.xt.rule import Body, body
from conntrim.core.parse.xt.tokens import split

ROWS = Path(__file__).parents[4] / "golden" / "rules" / "iptables.t"
CHAINS = frozenset({"user", "LOG", "tcp"})
ODD = (
    "!",
    "-x",
    "",
    "--sport",
    "--foo=1",
    "LOG",
    "ACCEPT",
    "tcp",
    "user",
    "nowhere",
    "10.0.0.1,10.0.0.2",
    "6",
    "a b",
    "-j",
)


def _rows() -> list[list[str]]:
    lines = (
        line.partition(" ; ")[0]
        for line in ROWS.read_text().splitlines()
        if line.startswith(("-", "!")) and "unclosed" not in line
    )
    return [split(line) for line in lines]


def _told(make: Callable[[], Body]) -> Body | str:
    try:
        return make()
    except ValueError as error:
        return str(error)


def _same(forms: Forms, words: list[str]) -> None:
    line = " ".join(words)
    listed = line if forms.listed else ""
    expected = _told(lambda: body(words, forms.v6, forms.chains, listed))
    assert expected == _told(lambda: forms.body(words, line)), words


def test_every_row_of_the_golden_tables_is_read_the_same() -> None:
    """Whether a form is new or known makes no difference, for both families and for what a program lists."""
    for v6 in (False, True):
        for listed in (False, True):
            forms = Forms(v6, CHAINS, listed)
            for words in 2 * _rows():
                _same(forms, words)


def test_words_that_lead_the_reader_are_no_values() -> None:
    """A value that is changed into an option, a negation, a name or another value never takes the form's meaning."""
    chance, rows = Random(3), _rows()
    pool = sorted({word for words in rows for word in words})
    forms = [Forms(v6, CHAINS, listed) for v6 in (False, True) for listed in (False, True)]
    for _ in range(10_000):
        words = list(chance.choice(rows))
        for _ in range(chance.choice((1, 1, 2))):
            words[chance.randrange(len(words))] = chance.choice(ODD if chance.random() < 0.5 else pool)
        _same(chance.choice(forms), words)


def test_lines_of_one_form_share_what_is_equal() -> None:
    """Rules with the same matches hold the same objects, so that whoever looks at matches may look at each once."""
    text = "*filter\n:INPUT ACCEPT [0:0]\n{}COMMIT\n".format(
        "".join(f'-A INPUT -p tcp -m comment --comment "{n}" -m tcp --dport 80 -j DROP\n' for n in range(3))
    )
    rules = read(text, "f").tables[0].chains[0].rules
    assert ["0", "1", "2"] == [rule.comment for rule in rules]
    assert 1 == len({id(rule.matches) for rule in rules}) == len({id(rule.statements) for rule in rules})


BEFORE = """*filter
:INPUT ACCEPT [0:0]
:OLD - [0:0]
:web - [0:0]
-A INPUT -s 10.0.0.1/32 -m comment --comment "a b" -j web
-A INPUT -p tcp -m tcp --dport 22 -j OLD
-A web -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
"""


def test_lines_read_before_are_read_the_same() -> None:
    """A second state of a host shares what its lines say with the first, at its own places; a line whose chain is gone
    is a jump no more."""
    lines = Lines()
    first = read_all([("before", BEFORE)], lines=lines)
    after = BEFORE.replace(":OLD - [0:0]\n", "").replace("-j OLD", "-j DROP")
    second = read_all([("after", after)], lines=lines)
    assert second == read_all([("after", after)])
    rules = {r.text: r for r in first.rules()}
    again = list(second.rules())
    assert [r.text in rules and rules[r.text].matches is r.matches for r in again] == [True, False, True]
    assert [(r.place.source, r.place.line) for r in again] == [("after", 4), ("after", 5), ("after", 6)]
    torn = BEFORE.replace(":OLD - [0:0]\n", "")
    assert read_all([("torn", torn)], lines=lines) == read_all([("torn", torn)])
