"""Plans as directories: written aside and renamed, so that a full disk or a crash leaves no half of one; read back
only where nobody but root and the user can have written them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence

from conntrim.app.ports.plans import Shown
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.json import read_json
from conntrim.core.model.plan import FileChange, Plan
from conntrim.core.model.raw_text import bytes_of
from conntrim.core.parse.plan import parse_plan
from conntrim.store.trusted import OPEN, Trust, host_error, planners

PLAN = "plan.json"
"""The file that tells a plan's directory from any other."""
LARGEST, LARGEST_TOGETHER = 16 << 20, 64 << 20
"""Bytes of one file and of all."""
MOST, DEEPEST = 256, 16
"""Files and directories in a plan's directory, and how deep: a plan has about twenty, `files/etc/sysctl.d/` three."""
ADVICE = "make the plan yourself, with conntrim plan -o DIR in a directory that only you can write"
NAMED = "name the directory that conntrim plan -o wrote"


def read_plan(directory: str) -> Plan:
    """The plan that a directory shows. InputError where there is none."""
    shown = PlanDirectories().read(directory)
    return parse_plan(shown.files[PLAN], os.path.join(shown.directory, PLAN))


class PlanDirectories:
    """Plans in the file system."""

    def write(self, directory: str, files: Sequence[FileChange]) -> None:
        """Write all files, or none; an earlier plan there is replaced, anything else is refused."""
        target = os.path.abspath(directory)
        self._refuse_foreign(directory, target)
        parent = os.path.dirname(target)
        try:
            os.makedirs(parent, exist_ok=True)
            aside = tempfile.mkdtemp(prefix=".conntrim-", dir=parent)
        except OSError as error:
            raise host_error("write", directory, error) from error
        try:
            for file in files:
                _write(os.path.join(aside, file.path), file.text)
            os.chmod(aside, 0o755)  # noqa: S103  # colleagues review it; mkdtemp makes it private
            _exchange(aside, target)
        except OSError as error:
            raise HostError(f"write {directory}", error.strerror or str(error), advice="nothing was changed") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _refuse_foreign(self, named: str, target: str) -> None:
        """InputError where the directory holds anything but a plan of ours, or is no directory."""
        try:
            names = os.listdir(target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(named, error.strerror or str(error), advice="name a directory for the plan") from error
        if names and _decoded(target).get("kind") != "plan":
            raise InputError(named, "this directory holds something that is no plan", advice="name another one")

    def read(self, directory: str) -> Shown:
        """All files, each opened in its directory, that one in its own, and nothing followed on the way."""
        given = directory.rstrip("/") or "/"
        named = (os.path.dirname(given) or ".") if os.path.basename(given) == PLAN else given
        trust = Trust(planners(), ADVICE)
        try:
            with trust.directory(named, reachable=True) as at:
                files = _Reading(trust).files(at, named)
        except OSError as error:
            raise InputError(named, error.strerror or str(error), advice=NAMED) from error
        if PLAN not in files:
            raise InputError(os.path.join(named, PLAN), "No such file or directory", advice=NAMED)
        return Shown(named, files)

    def name(self, directory: str) -> str:
        """The name in its plan.json, "" where that says none."""
        name = _decoded(directory).get("name")
        return name if isinstance(name, str) else ""


class _Reading:
    """One plan's directory being read."""

    def __init__(self, trust: Trust) -> None:
        self.trust, self.read, self.left, self.bytes = trust, dict[str, bytes](), MOST, LARGEST_TOGETHER

    def files(self, at: int, named: str) -> dict[str, bytes]:
        """Those of the directory that is open as `at`, by their paths in it."""
        self._into(at, named, "", 0)
        return self.read

    def _into(self, at: int, named: str, inner: str, depth: int) -> None:
        for name in self._names(at, named):
            path, inside = os.path.join(named, inner, name), os.path.join(inner, name)
            info = os.stat(name, dir_fd=at, follow_symlinks=False)
            if not stat.S_ISDIR(info.st_mode):
                self.read[inside] = self.trust.read(at, name, path, min(LARGEST, self.bytes))
                self.bytes -= len(self.read[inside])
                continue
            if depth == DEEPEST:
                raise InputError(path, "no plan has directories as deep as this", advice=ADVICE)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | OPEN, dir_fd=at)
            try:
                self.trust.refuse_writable(path, os.fstat(below))
                self._into(below, named, inside, depth + 1)
            finally:
                os.close(below)

    def _names(self, at: int, named: str) -> Iterator[str]:
        with os.scandir(at) as found:
            for entry in found:
                self.left -= 1
                if self.left < 0:
                    raise InputError(named, f"more than {MOST} files: this is no plan", advice=NAMED)
                yield entry.name


def _decoded(directory: str) -> dict[str, object]:
    """What plan.json says, nothing where there is none; InputError where it is none to read."""
    try:
        with open(os.open(os.path.join(directory, PLAN), os.O_RDONLY | OPEN), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return read_json(file.read(LARGEST), dict[str, object]) if regular else {}
    except (OSError, ValueError):
        return {}


def _write(path: str, text: str) -> None:
    """Whatever the umask is, only its owner may write it: `apply` believes nothing else."""
    _make(os.path.dirname(path))
    with open(path, "xb", opener=lambda p, flags: os.open(p, flags | os.O_CLOEXEC, 0o644)) as file:
        file.write(bytes_of(text))
        file.flush()
        os.fsync(file.fileno())


def _make(directory: str) -> None:
    if not os.path.isdir(directory):
        _make(os.path.dirname(directory))
        os.mkdir(directory, 0o755)


def _exchange(aside: str, target: str) -> None:
    """Put the new directory in place; the earlier one goes the other way and is then removed."""
    if not os.path.lexists(target):
        os.rename(aside, target)
        return
    old = f"{aside}.old"
    os.rename(target, old)
    try:
        os.rename(aside, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
