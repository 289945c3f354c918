"""What reaches the terminal: errors of one bounded line, and nothing that steers it, whichever verb speaks."""

import ast
from pathlib import Path

import pytest

from conntrim.cli.main import run
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.render.json import to_json
from conntrim.render.rollout import to_text
from tests.unit.cli.hostile import FAKE, VERBS, hostile

SRC = Path(__file__).parents[3] / "src/conntrim"
LONG = 2_000_000


def test_only_one_module_of_the_command_line_prints() -> None:
    """A new verb cannot forget to escape: nothing else calls click.echo or print."""
    printing = {
        path.name
        for path in (SRC / "cli").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("click.echo", "print", "click.secho")
    }
    assert printing == {"output.py"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "/nowhere/\x1b]0;x\x07\n" + "x" * 200],
        ["check", "--\x1b[2J"],
        ["explain", "-p", "tcp\x1b", "-s", "a" * LONG, "-d", "b"],
        ["census", "\u202e", "--sample", "\x9b" * LONG],
        ["no\x1bverb"],
    ],
)
def test_an_error_is_one_bounded_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments are from outside too: a file name or option shows escaped, and is cut where it is long."""
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert len(said.err) <= 320
    assert said.err[:-1].isprintable()


@pytest.mark.parametrize("verb", VERBS, ids=VERBS)
def test_nothing_hostile_reaches_the_terminal(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules, listings, logs, policies, plans and journals full of controls: line feeds are all that comes out.

    None of the fake lines that their names hold stands in a line of its own, and nothing is called a bug.
    """
    arguments = VERBS[verb](hostile(tmp_path))
    monkeypatch.chdir(tmp_path)
    try:
        code = run(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    said = capsys.readouterr()
    text = said.out + said.err
    assert text
    assert {c for c in text if not c.isprintable()} <= {"\n"}
    assert "a bug of ours" not in text
    assert code in (0, 1, 2, 3)
    assert [] == [line for line in text.splitlines() if line.strip().startswith("ready: all 12")]


def test_a_report_of_a_rollout_is_escaped() -> None:
    """What the journal, the kernel and the programs say is from outside, in text and in JSON."""
    report = Report(
        "refused", 1, State.STRAY, why=FAKE, plan=FAKE, services=(FAKE,), missing=(FAKE,), added=(FAKE,), moved=(FAKE,),
        broken=(FAKE,), lasting=(FAKE,), by_hand=(FAKE, FAKE), remarks=(FAKE,), managers=(FAKE,),
    )  # fmt: skip
    for text in (to_text(report), to_json("status", report)):
        assert {c for c in text if not c.isprintable()} == {"\n"}
    assert [] == [line for line in to_text(report).splitlines() if line.strip().startswith("ready: all 12")]
