"""Every `match` over a closed set of types or names knows all of it, or says why not.

It ends in `assert_never`, as its last case or in the statement behind it: then a new kind does not type-check where it
was forgotten. A wildcard that takes all others says what they are in a comment `# the rest: ...`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from textwrap import indent

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "conntrim"
MODULES = sorted(SOURCE.rglob("*.py"))
OPEN = frozenset({"str", "int", "float", "bool", "list", "dict", "tuple", "bytes"})
"""Patterns of decoded JSON, which is never all there is."""
REASON = "# the rest: "


def closed(pattern: ast.AST) -> bool:
    """Whether a pattern names a class of ours or a member of an enumeration, itself or inside."""
    match pattern:
        case ast.MatchClass(cls=ast.Name(id=name)):
            return name not in OPEN
        case ast.MatchClass(cls=ast.Attribute()) | ast.MatchValue(value=ast.Attribute()):
            return True
        case ast.MatchOr(patterns=inner) | ast.MatchSequence(patterns=inner):
            return any(map(closed, inner))
        case ast.MatchAs(pattern=ast.pattern() as inner):
            return closed(inner)
    return False


def never(statement: ast.stmt | None) -> bool:
    """Whether it is `assert_never(...)`."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return True
    return False


def blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield block


def unfinished(source: str) -> Iterator[str]:
    """The matches over closed sets that may forget a kind."""
    lines = source.splitlines()
    for block in blocks(ast.parse(source)):
        for statement, behind in zip_longest(block, block[1:]):
            if not isinstance(statement, ast.Match) or not any(closed(case.pattern) for case in statement.cases):
                continue
            last = statement.cases[-1]
            ends = never(behind) or never(last.body[-1]) or REASON in lines[last.pattern.lineno - 1]
            if not ends:
                yield f"{statement.lineno}: {lines[statement.lineno - 1].strip()}"


def test_a_match_over_a_closed_set_ends_in_assert_never() -> None:
    """A kind that is new somewhere is forgotten nowhere."""
    found = {str(path.relative_to(SOURCE)): list(unfinished(path.read_text(encoding="utf-8"))) for path in MODULES}
    assert {} == {path: lines for path, lines in found.items() if lines}


def _match(*cases: str, behind: str = "pass") -> str:
    """A function with a match of these cases."""
    body = "".join(f"        {case}\n            return 1\n" for case in cases)
    return f"def f(x):\n    match x:\n{body}    {behind}\n"


@pytest.mark.parametrize("source", [
    _match("case End():"),
    _match("case End():", "case _:"),
    _match("case Verdict.DROP | Verdict.REJECT:"),
    _match("case (Jump() as only,):", "case other:"),
    _match("case model.End() as end:"),
    f"if True:\n    pass\nelse:\n{indent(_match('case End():'), '    ')}",
])  # fmt: skip
def test_a_match_that_may_forget_is_found(source: str) -> None:
    """Classes, members, one of several, in a sequence, under a name, amid other statements."""
    assert list(unfinished(source))


@pytest.mark.parametrize("source", [
    _match("case End():", behind="assert_never(x)"),
    _match("case End():", "case _:").replace("case _:\n            return 1", "case _:\n            assert_never(x)"),
    _match("case End():", "case _:  # the rest: they say nothing"),
    _match("case str():", "case {'a': int(n)}:", "case None:", "case 7:"),
    _match("case [str(first), *_]:"),
])  # fmt: skip
def test_a_match_that_knows_all_is_not(source: str) -> None:
    """Ended in or behind it, with a reason, or over what was decoded."""
    assert [] == list(unfinished(source))
