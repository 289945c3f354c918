"""The layer contracts bite: a violation of each is found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VIOLATIONS = {
    "layers: command line above adapters, adapters above the core": ("app/x.py", "import conntrim.host.netns"),
    "inside the core the data goes one way": ("core/parse/x.py", "import conntrim.core.emit"),
    "the rollout knows the model and how listings are read": ("core/rollout/x.py", "import conntrim.core.emit"),
    "a change knows its operations and how they are written": ("core/change/x.py", "import conntrim.core.parse"),
    "the core and the renderer are pure: no I/O, clock, randomness, logging, environment": (
        "core/model/x.py",
        "import os",
    ),
    "decision diagrams have one door": ("core/plan/x.py", "import oxidd"),
    "netlink libraries stay in the adapters": ("app/y.py", "import pyroute2"),
    "terminal libraries stay in their faces": ("host/x.py", "import rich"),
}
"""Contract to a module that breaks it."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a copy of the code with all the violations in it, on one line."""
    copy = tmp_path_factory.mktemp("broken")
    shutil.copytree(ROOT / "src", copy / "src")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for file, line in VIOLATIONS.values():
        (copy / "src/conntrim" / file).write_text(f'"""A violation."""\n\n{line}\n')
    (copy / "src/conntrim/attic").mkdir()
    (copy / "src/conntrim/attic/__init__.py").write_text('"""A room that nobody placed."""\n')
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run(
        [linter, "--no-cache"],
        cwd=copy,
        env={"PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join(ended.stdout.split())


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_contract_catches_a_violation(contract: str, verdicts: str) -> None:
    """A module that breaks this contract is reported."""
    assert f"{contract} BROKEN" in verdicts


def test_a_room_that_nobody_placed_breaks_the_build(verdicts: str) -> None:
    """The list of layers is exhaustive: a new folder must be given its place."""
    assert "conntrim.attic" in verdicts
