"""Nothing behind the parsers reads a rule's text again: it is shown, never understood.

A line that has to (it edits the operator's own words, or reads a listing as the kernel printed it) says why in a
comment that begins with `rule text:`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "src" / "conntrim" / "core"
FOLDERS = ("netfilter", "prove", "diagnose/rulesets", "plan", "rollout", "change")
MODULES = sorted(path for folder in FOLDERS for path in (CORE / folder).rglob("*.py"))

TEXTS = frozenset({"text", "others"})
"""Attributes of rules, matches and statements that hold or held words."""

OWN = frozenset({"batch", "load", "self"})
"""Variables whose text we wrote ourselves: no rule of anybody's."""

SHOWN = frozenset({"encode", "isprintable"})
"""Methods that do not look into a text."""

SEARCHES = frozenset({"match", "fullmatch", "search", "sub", "subn", "findall", "finditer"})
"""Methods of regular expressions."""

EXCEPTION = "# rule text: "


def of_rules(node: ast.AST) -> bool:
    """`rule.text`, `match.others`, whatever is then taken of it or called on it."""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute) and node.attr in TEXTS:
            return not (isinstance(node.value, ast.Name) and node.value.id in OWN)
        node = node.func if isinstance(node, ast.Call) else node.value
    return False


def offending(node: ast.AST) -> bool:
    """Whether a node reads a text: a method or part of it, a search in it, a comparison, regular expressions."""
    match node:
        case ast.Import(names=names):
            return any(name.name == "re" for name in names)
        case ast.ImportFrom(module=module):
            return module == "re"
        case ast.Call(func=ast.Attribute(value=value, attr=method)) if of_rules(value):
            return method not in SHOWN
        case ast.Call(func=ast.Attribute(attr=method), args=given) if any(map(of_rules, given)):
            return method in SEARCHES
        case ast.Subscript(value=value):
            return of_rules(value)
        case ast.Compare(ops=ops, comparators=right, left=left):
            searched = any(
                isinstance(op, ast.In | ast.NotIn) and of_rules(side) for op, side in zip(ops, right, strict=True)
            )
            words = any(isinstance(side, ast.Constant) and side.value != "" for side in (left, *right))
            return searched or (words and any(map(of_rules, (left, *right))))
        case ast.For(iter=looped) | ast.comprehension(iter=looped):
            return isinstance(looped, ast.Attribute) and looped.attr == "text" and of_rules(looped)
    return False


def offences(source: str) -> Iterator[str]:
    """The lines that read a text, but for those that say why."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if offending(node):
            at: int = getattr(node, "lineno", 0) or getattr(getattr(node, "target", node), "lineno", 1)
            if EXCEPTION not in lines[at - 1]:
                yield f"{at}: {lines[at - 1].strip()}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CORE)))
def test_no_text_of_a_rule_is_read_behind_the_parsers(path: Path) -> None:
    """Evaluators, proofs, checks, planner and changes read values with types."""
    assert [] == list(offences(path.read_text(encoding="utf-8")))


def test_who_reads_a_text_after_all() -> None:
    """The one reader of journals' batches, edits of the operator's own words, and the ignore comment: nobody else."""
    excepted = {str(path.relative_to(CORE)) for path in MODULES if EXCEPTION in path.read_text(encoding="utf-8")}
    assert excepted == {"rollout/batches.py", "diagnose/rulesets/rewrite.py", "diagnose/rulesets/ignored.py"}


BITES = (
    "import re",
    "from re import compile",
    "yes = '!' in match.text.split()",
    "yes = match.text.startswith('--limit')",
    "head, _, tail = statement.text.partition('/')",
    "yes = 'zone mark' in statement.text",
    "yes = 'restore' not in rule.statements[0].text",
    "words = rule.text.replace('==', '').split()",
    "first = hit.statement.text[0]",
    "yes = s.text == 'tcp-reset'",
    "text = m.text.removeprefix('ct ')",
    "for letter in rule.text:\n    pass",
    "found = [w for w in rule.text.split()]",
    "found = FORM.fullmatch(match.text)",
    "yes = next(iter(rules)).text.endswith('-j NOTRACK')",
)


@pytest.mark.parametrize("snippet", BITES)
def test_reading_a_text_is_an_offence(snippet: str) -> None:
    """Each of these once stood in an evaluator; the test above would find it."""
    assert list(offences(snippet))


@pytest.mark.parametrize("snippet", [
    "evidence = (rule.text, f'{rule.place}: {rule.text}')",
    "import re  # rule text: the operator's own words are edited",
    "same = earlier.text == later.text",
    "there = bool(rule.text) and rule.text != ''",
    "lines = batch.text.splitlines()",
    "known = {rule.text for rule in rules}",
    "asked = tuple(match.others)",
])  # fmt: skip
def test_showing_a_text_is_none(snippet: str) -> None:
    """A text may be shown, compared with another and kept; what edits it says why."""
    assert [] == list(offences(snippet))
