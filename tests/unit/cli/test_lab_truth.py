"""Where `lab truth` writes what disagrees."""

from pathlib import Path

import pytest

from conntrim.cli.lab_truth import make
from conntrim.core.model.errors import InputError


def test_the_folder_is_made(tmp_path: Path) -> None:
    """A folder that is missing is made with its parents; one that is there stays."""
    for _ in range(2):
        make(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_that_cannot_be_made_is_said_before_the_run(tmp_path: Path) -> None:
    """A million packets are not sent first: the option is named, with the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--save"):
        make(tmp_path / "file" / "b")
