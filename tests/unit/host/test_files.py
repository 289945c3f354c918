"""Files written whole, with a dated copy, and put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import FileChange
from conntrim.host.files import HostFiles

CHANGE = FileChange("/etc/iptables/rules.v4", "new\n")


def test_an_existing_file_is_copied_replaced_and_put_back(tmp_path: Path) -> None:
    """The dated copy holds the old text; restoring brings back text and mode, and the copy goes."""
    files, path = HostFiles(str(tmp_path)), tmp_path / "etc/iptables/rules.v4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old \xff\r\n")
    path.chmod(0o640)
    saved = files.look(CHANGE.path, "20261122T000000Z")
    files.write(CHANGE, saved)
    copy = path.with_name("rules.v4.20261122T000000Z")
    assert (path.read_text(), copy.read_bytes()) == ("new\n", b"old \xff\r\n")
    assert files.restore(CHANGE, saved) == ""
    assert (path.read_bytes(), path.stat().st_mode & 0o777, list(path.parent.iterdir())) == (
        b"old \xff\r\n", 0o640, [path],
    )  # fmt: skip


def test_a_file_that_was_not_there_goes_again(tmp_path: Path) -> None:
    """Its directory is made where it is missing; restoring twice is no error."""
    files = HostFiles(str(tmp_path))
    saved = files.look(CHANGE.path, "now")
    files.write(CHANGE, saved)
    assert (tmp_path / "etc/iptables/rules.v4").read_text() == "new\n"
    assert [files.restore(CHANGE, saved), files.restore(CHANGE, saved)] == ["", ""]
    assert not (tmp_path / "etc/iptables/rules.v4").exists()


def test_a_change_by_hand_is_not_overwritten(tmp_path: Path) -> None:
    """Restoring leaves what somebody wrote since, and says so."""
    files = HostFiles(str(tmp_path))
    saved = files.look(CHANGE.path, "now")
    files.write(CHANGE, saved)
    (tmp_path / "etc/iptables/rules.v4").write_text("by hand\n")
    assert files.restore(CHANGE, saved) == "/etc/iptables/rules.v4 was changed since; left as it is"
    assert (tmp_path / "etc/iptables/rules.v4").read_text() == "by hand\n"


def test_a_symbolic_link_keeps_standing(tmp_path: Path) -> None:
    """The link's target is written, not the link replaced."""
    files = HostFiles(str(tmp_path))
    (tmp_path / "etc/iptables").mkdir(parents=True)
    (tmp_path / "real").write_text("old\n")
    (tmp_path / "etc/iptables/rules.v4").symlink_to(tmp_path / "real")
    files.write(CHANGE, files.look(CHANGE.path, "now"))
    assert (tmp_path / "real").read_text() == "new\n"
    assert (tmp_path / "etc/iptables/rules.v4").is_symlink()


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file in the place of the directory: the kernel's word with the path."""
    (tmp_path / "etc").write_text("")
    files = HostFiles(str(tmp_path))
    with pytest.raises(HostError, match=r"rules\.v4: Not a directory"):
        files.look(CHANGE.path, "now")
