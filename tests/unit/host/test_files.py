"""Files written whole, with a dated copy, and put back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import FileChange
from conntrim.core.rollout.record import SavedFile
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
    """The link's target is written, not the link replaced; below "/" an absolute link leads where the kernel goes."""
    (tmp_path / "etc/iptables").mkdir(parents=True)
    (tmp_path / "real").write_text("old\n")
    link = tmp_path / "etc/iptables/rules.v4"
    for files, target, path in (
        (HostFiles(str(tmp_path)), Path("../../real"), CHANGE.path),
        (HostFiles(), tmp_path / "real", str(link)),
    ):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        change = FileChange(path, f"new by {target}\n")
        saved = files.look(path, "now")
        assert saved.copy == str(tmp_path / "real.now")
        files.write(change, saved)
        assert (tmp_path / "real").read_text() == change.text
        assert (tmp_path / "real.now").read_bytes() == saved.content
        assert files.restore(change, saved) == ""
        assert link.is_symlink()
        assert (tmp_path / "real").read_text() == "old\n"


LEADING_OUT = {
    "a file by an absolute link": ("etc/iptables/rules.v4", "{outside}/rules.v4"),
    "a file by a relative link": ("etc/iptables/rules.v4", "../../../outside/rules.v4"),
    "a directory by an absolute link": ("etc/iptables", "{outside}"),
    "a directory by a relative link": ("etc/iptables", "../../outside"),
    "the top directory": ("etc", "{outside}"),
    "a chain of links": ("etc/iptables", "../hop"),
}
"""What is a link in an image, and where it leads."""


@pytest.mark.parametrize("name", LEADING_OUT)
def test_no_link_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    """Below a root an absolute link begins at the root and `..` ends there: the file outside is neither read nor
    written, nothing is made beside it, and what was written inside is put back."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "iptables").mkdir(parents=True)
    for kept in (outside / "rules.v4", outside / "iptables/rules.v4"):
        kept.write_text("not ours\n")
    link, target = root / LEADING_OUT[name][0], LEADING_OUT[name][1].format(outside=outside)
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    (root / "hop").symlink_to(outside)
    files = HostFiles(str(root))
    saved = files.look(CHANGE.path, "now")
    assert saved.content is None
    files.write(CHANGE, saved)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_text() == CHANGE.text]
    assert written
    assert all(path.resolve().is_relative_to(root) for path in written)
    names = ["iptables", "iptables/rules.v4", "rules.v4"]
    assert sorted(str(path.relative_to(outside)) for path in outside.rglob("*")) == names
    assert files.look(CHANGE.path, "").content == CHANGE.text.encode()
    assert files.restore(CHANGE, saved) == ""
    assert {path.read_text() for path in outside.rglob("*.v4")} == {"not ours\n"}


def test_a_path_with_dots_is_refused(tmp_path: Path) -> None:
    """`..` in the path itself, which no plan of ours has, is not followed."""
    (tmp_path / "root").mkdir()
    files = HostFiles(str(tmp_path / "root"))
    change = FileChange("/etc/../../outside", "new\n")
    with pytest.raises(HostError, match=r"a path with \.\. is not followed"):
        files.look(change.path, "now")
    with pytest.raises(HostError, match=r"a path with \.\. is not followed"):
        files.write(change, SavedFile(change.path, None))
    assert [path.name for path in tmp_path.rglob("*")] == ["root"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """As the kernel says it: too many levels of symbolic links."""
    (tmp_path / "etc").symlink_to("etc")
    with pytest.raises(HostError, match="Too many levels of symbolic links"):
        HostFiles(str(tmp_path)).look(CHANGE.path, "now")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "directory"])
def test_only_regular_files_are_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A FIFO in a file's place is told, and nobody waits for its writer."""
    make(tmp_path / "rules")
    with pytest.raises(HostError, match="no regular file"):
        HostFiles(str(tmp_path)).look("/rules", "now")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file in the place of the directory: the kernel's word with the path."""
    (tmp_path / "etc").write_text("")
    files = HostFiles(str(tmp_path))
    with pytest.raises(HostError, match=r"rules\.v4: Not a directory"):
        files.look(CHANGE.path, "now")
