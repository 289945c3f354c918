"""The incident goes as told on this kernel, with privileges and without, and leaves nothing behind."""

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MAX = Path("/proc/sys/net/netfilter/nf_conntrack_max")
NOBODY = 65534
RUNTIME = ("click", "msgspec", "numpy", "oxidd", "typing_extensions")
"""What conntrim imports: entries of site-packages that start so (the package, its libraries, its metadata)."""


@pytest.fixture(scope="module")
def story() -> dict[str, Any]:
    """The whole incident, run once as root."""
    before = MAX.read_text()
    ended = subprocess.run(
        [sys.executable, "-m", "conntrim", "lab", "incident", "--json"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == ended.stderr
    assert before == MAX.read_text()
    told: dict[str, Any] = json.loads(ended.stdout) | {"exit": ended.returncode}
    return told


def stage(story: dict[str, Any], name: str) -> dict[str, Any]:
    """One stage by its name."""
    (found,) = [stage for stage in story["stages"] if stage["name"] == name]
    return dict(found)


def test_every_stage_goes_as_told(story: dict[str, Any]) -> None:
    """The kernel does what the story says in each stage, and the exit code says so."""
    assert [] == [stage for stage in story["stages"] if not stage["as_told"]]
    assert ("incident", 0, []) == (story["kind"], story["exit"], story["left_out"])


def test_the_table_was_full(story: dict[str, Any]) -> None:
    """At `full` packets were dropped and requests failed; the table held its maximum."""
    full = stage(story, "full")
    assert full["drops"] > 0
    assert full["failed"] > 0
    assert story["limit"] == full["entries"]


@pytest.mark.parametrize("role", ["", "cache: "])
def test_the_plan_quiets_the_table(story: dict[str, Any], role: str) -> None:
    """On the same small table the trial serves everything, and once confirmed nothing is tracked any more."""
    trial, confirm = stage(story, f"{role}trial"), stage(story, f"{role}confirm")
    assert (0, 0) == (trial["drops"], trial["failed"])
    assert (0, 0, 0) == (confirm["entries"], confirm["drops"], confirm["failed"])


def test_the_stranger_gets_in_on_the_documents_rules_and_not_on_ours(story: dict[str, Any]) -> None:
    """K20: source port 11211 reaches the closed port 3306 on the final rules, and is refused on the plan's."""
    assert stage(story, "stranger")["verdict"].endswith("gets in")
    assert stage(story, "same stranger")["verdict"].endswith("is refused")


def test_nothing_is_left_behind(story: dict[str, Any]) -> None:
    """No namespace of the site is left."""
    sites = ("conntrim-client-", "conntrim-web-", "conntrim-cache-")
    assert [] == [name for name in os.listdir("/run/netns") if name.startswith(sites)]


def test_a_gateway_goes_as_told() -> None:
    """The abuser fills the table, and clients fail; the plan's limit serves them, and the table is as foretold."""
    command = [sys.executable, "-m", "conntrim", "lab", "incident", "--host", "gateway", "--json"]
    ended = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False
    )
    assert ("", 0) == (ended.stderr, ended.returncode), ended.stdout
    told = json.loads(ended.stdout)
    full, confirm = stage(told, "abuser"), stage(told, "confirm")
    assert (told["limit"], True) == (full["entries"], full["failed"] > 0 and full["drops"] > 0)
    assert (0, 0, True) == (confirm["drops"], confirm["failed"], confirm["entries"] < told["limit"] / 2)


@pytest.fixture
def anyones() -> Iterator[dict[str, str]]:
    """An interpreter and a copy of the code that every user may read: `python`, and `PYTHONPATH` for it."""
    real = [Path(os.path.realpath(sys.executable)), Path("/usr/bin/python3")]
    python = next((p for p in real if p.exists() and readable(p) and same_version(p)), None)
    if python is None:
        pytest.skip(f"no Python {sys.version_info[:2]} that another user may run")
    with tempfile.TemporaryDirectory(prefix="conntrim-test-") as place:
        Path(place).chmod(0o755)
        shutil.copytree(ROOT / "src/conntrim", f"{place}/conntrim")
        for name in RUNTIME:
            for package in Path(sysconfig.get_path("purelib")).glob(f"{name}*"):
                copy = shutil.copytree if package.is_dir() else shutil.copy
                copy(package, f"{place}/{package.name}")
        yield {"python": str(python), "PYTHONPATH": place}


def readable(path: Path) -> bool:
    """Whether others may enter every folder on the way."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def same_version(python: Path) -> bool:
    """Whether compiled packages made for us work with that interpreter."""
    ask = [str(python), "-c", "import sys; print(*sys.version_info[:2])"]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split() == [
        str(number) for number in sys.version_info[:2]
    ]


def test_without_root_all_but_the_full_table_is_told(anyones: dict[str, str]) -> None:
    """A plain user sees every stage but `full`, which needs a global size, and is told why that is left out."""
    command = [anyones["python"], "-m", "conntrim", "lab", "incident", "--json"]
    ended = subprocess.run(
        command,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": anyones["PYTHONPATH"], "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == ended.stderr
    told = json.loads(ended.stdout)
    assert [] == [stage for stage in told["stages"] if not stage["as_told"]]
    assert "full" not in [stage["name"] for stage in told["stages"]]
    assert ["stage `full`: nf_conntrack_max is global to the kernel and needs root"] == told["left_out"]
