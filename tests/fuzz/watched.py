"""One verb in a process of its own: bounded, and watched for files and programs that it has no business with."""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import signal
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import conntrim
from conntrim.cli.main import run
from conntrim.host.netns import setns

PROGRAMS = frozenset(
    {"nft", "iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save", "ip6tables-legacy-save"}
)
LOADING = PROGRAMS | {
    "ip", "ipset", "iptables-nft-restore", "iptables-legacy-restore", "ip6tables-nft-restore",
    "ip6tables-legacy-restore", "iptables-restore", "ip6tables-restore",
}  # fmt: skip
"""On a host of its own."""
SWITCHES = "/proc/thread-self/net/xt_recent/"
"""What may be written there besides."""
MOST_BYTES, MOST_SECONDS, MOST_WRITTEN = 512 << 20, 20, 64 << 20
OUT, ERRORS = "out", "err"
SOURCES = os.path.dirname(conntrim.__path__[0])
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate"}
)
_STARTING = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"})


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended; `fault` is "" where it did nothing that it must not do."""

    code: int
    fault: str
    said: str


def warm() -> None:
    """Everything that a verb may import, so that a run costs a fork and its own work."""
    for module in pkgutil.walk_packages(conntrim.__path__, "conntrim."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


class How(StrEnum):
    """How a verb is run: forked and watched, or as the command itself under limits alone."""

    WATCHED = "watched"
    COMMAND = "command"


def watched(arguments: list[str], folder: Path, how: How = How.WATCHED, host: str | None = None) -> Ended:
    """The verb, which may write below `folder` only, in the namespace `host`."""
    out, errors = folder / OUT, folder / ERRORS
    child = os.fork()
    if child == 0:
        try:
            _child(arguments, folder, how, host)
        finally:
            os._exit(98)
    _, status, usage = os.wait4(child, 0)
    code, said = os.waitstatus_to_exitcode(status), (out.read_bytes() + errors.read_bytes()).decode("utf-8", "replace")
    return Ended(code, _fault(code, said, usage.ru_maxrss << 10), said)


def _fault(code: int, said: str, size: int) -> str:
    if code == 99:
        return said.rpartition("FUZZ ")[2].strip()
    if code not in (0, 1, 2, 3):
        return f"ended with {code}" + (" (too long)" if code == -signal.SIGALRM else "")
    if "a bug of ours" in said or "Traceback" in said:
        return "a bug: " + said[said.find("a bug of ours") :][:200]
    if size > MOST_BYTES:
        return f"{size >> 20} MiB"
    odd = {c for c in said if not c.isprintable()} - {"\n"}
    return f"unescaped: {odd}" if odd else ""


def _child(arguments: list[str], folder: Path, how: How, host: str | None) -> None:
    for path, number in ((os.devnull, 0), (folder / OUT, 1), (folder / ERRORS, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(MOST_SECONDS)
    if how is How.COMMAND:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_WRITTEN, MOST_WRITTEN))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "-m", "conntrim", *arguments], os.environ | {"PYTHONPATH": SOURCES})
    if host:  # whatever a verb takes for its own namespace is this one
        setns(os.open(f"/run/netns/{host}", os.O_RDONLY))
    sys.addaudithook(lambda event, given: _look(event, given, str(folder), LOADING if host else PROGRAMS))
    try:
        code = run(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _look(event: str, given: tuple[Any, ...], folder: str, programs: frozenset[str]) -> None:
    if event == "open" and isinstance(given[0], str) and os.path.isdir(given[0]):
        return  # a directory is opened for a file without a name (O_TMPFILE), gone with whoever opened it
    if (event == "open" and isinstance(given[2], int) and given[2] & _WRITING) or event in _CHANGING:
        _within(event, given[0], folder)
    elif event in _STARTING and os.path.basename(str(given[0])) not in programs:
        _stop(f"{event} {given[0]}")


def _within(event: str, path: Any, folder: str) -> None:
    if isinstance(path, int):
        return
    name = os.fsdecode(path)
    # A name without a directory is one in a directory that is open already (openat): it was looked at when opened.
    if name.startswith(SWITCHES):
        return
    if os.path.isabs(name) and not os.path.realpath(name).startswith(folder) and name != os.devnull:
        _stop(f"{event} {name}")


def _stop(what: str) -> None:
    os.write(2, f"FUZZ {what}\n".encode())
    os._exit(99)
