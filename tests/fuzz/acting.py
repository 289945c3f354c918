"""Broken journals and plans on a host that has their rules: a namespace made for the run, so that verbs act."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

from conntrim.cli.main import run
from conntrim.core.rollout.record import Moment
from conntrim.host.clock import HostClock
from conntrim.lab.netns import LabHost, lab_host
from tests.lab.test_kept import load, revived_text, stop_of

HERE = "conntrim-@HERE@"
"""Stands in inputs for the name of the namespace, which is another one in each process."""
Prepare = Callable[[LabHost, Path], None]


@contextmanager
def acting(prepare: Prepare, folder: Path) -> Iterator[LabHost]:
    """A host with the rules of the input."""
    with lab_host("fuzz") as host:
        (folder / "state").mkdir(0o700)
        prepare(host, folder)
        yield host


@cache
def start() -> Moment:
    """When the kept trials begin anew: rules and journals speak of the same."""
    return HostClock().now()


def rules_of(dialect: str, name: str) -> Prepare:
    """Loads a kept listing."""

    def prepare(host: LabHost, folder: Path) -> None:
        load(host, dialect, name, stop_of(start()))

    return prepare


def journals(dialect: str, name: str) -> bytes:
    """A kept journal whose trial goes on from now."""
    return revived_text(dialect, name, start()).encode()


@cache
def plan_files(policy: bytes, dialect: str) -> dict[str, bytes]:
    """The directory of a plan that this release makes for the kept rules."""
    with tempfile.TemporaryDirectory(prefix="conntrim-fuzz-") as made, lab_host("fuzz") as host:
        load(host, dialect, "before")
        Path(made, "in.toml").write_bytes(policy)
        argv = ["plan", "--policy", f"{made}/in.toml", "--netns", host.name, "-o", f"{made}/plan"]
        with redirect_stdout(StringIO()) as said:
            try:
                code = run(argv)
            except SystemExit as ended:
                code = int(ended.code or 0)
        if code:
            raise RuntimeError(f"no plan to break: exit code {code}: {said.getvalue()}")
        root = Path(made, "plan")
        found = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        return {name: data.replace(host.name.encode(), HERE.encode()) for name, data in found.items()}


def directory_of(policy: bytes, dialect: str) -> Prepare:
    """Writes that directory, for one file of it to be overwritten, and loads the rules that it is for."""

    def prepare(host: LabHost, folder: Path) -> None:
        for name, data in plan_files(policy, dialect).items():
            path = folder / "plan" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.replace(HERE.encode(), host.name.encode()))
        load(host, dialect, "before")

    return prepare
