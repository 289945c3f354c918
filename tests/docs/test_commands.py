"""Every verb is listed, can be called, and has its manual page."""

import importlib
from pathlib import Path

import click
import pytest

from conntrim.cli import lab
from conntrim.cli.main import VERBS

ROOT = Path(__file__).parents[2]
FACES = {path.stem for path in (ROOT / "src/conntrim/cli").glob("*.py")} - {
    "__init__",
    "main",
    "lazy",
    "options",
    "output",
    "rollout",
}
MODULES = [*VERBS, *(f"lab_{verb}" for verb in lab.VERBS)]


def test_every_face_is_listed() -> None:
    """The modules of cli/ that hold a verb are exactly those that the tables of verbs name."""
    assert FACES == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_verb_helps(name: str) -> None:
    """A verb is a command whose help starts with a sentence."""
    command = importlib.import_module(f"conntrim.cli.{name}").command
    assert isinstance(command, click.Command)
    assert (command.help or "").strip()


@pytest.mark.parametrize("name", [name for name in MODULES if name != "lab"])
def test_a_verb_has_a_manual_page(name: str) -> None:
    """docs/commands has a page of each verb, which names each of its options."""
    page = (ROOT / f"docs/commands/{name.replace('_', '-')}.md").read_text()
    command = importlib.import_module(f"conntrim.cli.{name}").command
    options = [p.opts[-1] for p in command.params if isinstance(p, click.Option) and "--help" not in p.opts]
    assert [] == [option for option in options if option not in page]


@pytest.mark.parametrize("name", [*(name for name in VERBS if name != "lab"), *(f"lab {verb}" for verb in lab.VERBS)])
def test_the_readme_names_every_verb(name: str) -> None:
    """A newcomer finds each verb in the README, with a link to its page."""
    assert f"[`{name}`](docs/commands/{name.replace(' ', '-')}.md)" in (ROOT / "README.md").read_text()
