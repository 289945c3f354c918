"""Plans as directories: written aside and renamed, so that a full disk or a crash leaves no half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence

from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.json import read_json
from conntrim.core.model.plan import FileChange, Plan
from conntrim.core.parse.plan import parse_plan

PLAN = "plan.json"
"""The file that tells a plan's directory from any other."""
LARGEST = 64 << 20
"""Bytes of a plan.json; that of a host with 55,000 rules has a few hundred thousand."""


def read_plan(directory: str) -> Plan:
    """The plan of a directory, or of its plan.json named itself. InputError where there is none."""
    path = os.path.join(directory, PLAN) if os.path.isdir(directory) else directory
    try:
        with open(path, "rb") as file:
            return parse_plan(file.read(), path)
    except OSError as error:
        advice = "name the directory that conntrim plan -o wrote"
        raise InputError(path, error.strerror or str(error), advice=advice) from error


class PlanDirectories:
    """Plans in the file system."""

    def write(self, directory: str, files: Sequence[FileChange]) -> None:
        """Write all files, or none; an earlier plan there is replaced, anything else is refused."""
        target = os.path.abspath(directory)
        _refuse_foreign(directory, target)
        parent = os.path.dirname(target)
        try:
            os.makedirs(parent, exist_ok=True)
            aside = tempfile.mkdtemp(prefix=".conntrim-", dir=parent)
        except OSError as error:
            raise HostError(f"write {directory}", error.strerror or str(error)) from error
        try:
            for file in files:
                _write(os.path.join(aside, file.path), file.text)
            os.chmod(aside, 0o755)  # noqa: S103  # colleagues review it; mkdtemp makes it private
            _exchange(aside, target)
        except OSError as error:
            raise HostError(f"write {directory}", error.strerror or str(error), advice="nothing was changed") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _refuse_foreign(named: str, target: str) -> None:
    """InputError where the directory holds anything but a plan of ours, or is no directory."""
    try:
        names = os.listdir(target)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(named, error.strerror or str(error), advice="name a directory for the plan") from error
    if names and not _is_plan(os.path.join(target, PLAN)):
        raise InputError(named, "this directory holds something that is no plan", advice="name another one")


def _is_plan(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            given = read_json(file.read(LARGEST), dict[str, object])
    except (OSError, ValueError):
        return False
    return given.get("kind") == "plan"


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


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
