"""Runs the system's programs: found by absolute path, never through a shell, optionally in a network namespace."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import IO

from conntrim.core.model.errors import HostError
from conntrim.core.model.raw_text import bytes_of, text_of
from conntrim.host.netns import entered

PATH = ("/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin")
"""Where programs are looked for; the caller's $PATH is not asked, conntrim often runs as root."""

OF_THE_PROGRAMS = ("XTABLES_", "IPTABLES_", "IP6TABLES_")
"""Variables that give iptables other extensions, and so rules another meaning, than those that were read."""

PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""

_libc = ctypes.CDLL(None)

PACKAGES = {"nft": "nftables", "iptables-save": "iptables", "ip": "iproute2", "ab": "apache2-utils"}
"""Program to Debian package, where the names differ."""

PARTS_OF_BYTES = (
    "nft 1.0.6 dies of rules put beside others where a loaded rule looks up a part of a byte in a set, such as "
    "`ip dscp { af11, ef }` (K169)"
)
DYING: dict[tuple[str, int], str] = {("nft", signal.SIGSEGV): PARTS_OF_BYTES}
"""Of which signal a program is known to die, and why."""

_PATH: ContextVar[tuple[str, ...]] = ContextVar("path", default=PATH)


@contextmanager
def preferring(directory: str, *, alone: bool = False) -> Iterator[None]:
    """Look into this directory first, or there `alone`: the lab asks the programs of other releases, or lacks some, and
    nobody else does."""
    before = _PATH.set((directory,) if alone else (directory, *_PATH.get()))
    try:
        yield
    finally:
        _PATH.reset(before)


def find(name: str) -> str | None:
    """The absolute path of a program, None where it is not installed; a path stays what it is."""
    if name.startswith("/"):
        return name
    return next((p for d in _PATH.get() if os.access(p := f"{d}/{name}", os.X_OK)), None)


def environment() -> dict[str, str]:
    """The caller's, but what a program itself starts (ufw: iptables, ip) is found where it was found, and its
    extensions where it was built to look for them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_PROGRAMS)}
    return kept | {"PATH": ":".join(_PATH.get())}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code, standard output (`raw_text`) and standard error."""

    code: int
    output: str
    errors: str

    @property
    def complaint(self) -> str:
        """Its own message, or how it ended: a signal that killed it is a code below 0."""
        ended = f"killed by {signal.Signals(-self.code).name}" if self.code < 0 else f"exit code {self.code}"
        return self.errors.strip() or ended


@dataclass(frozen=True, slots=True)
class Bounds:
    """For a program that is fed by anybody: its working directory, bytes of memory, bytes of either output."""

    directory: str
    memory: int
    output: int


def attempt(
    argv: Sequence[str],
    *,
    text: str | None = None,
    netns: str | None = None,
    timeout: float = 60,
    bounds: Bounds | None = None,
) -> Ended:
    """Run a program to its end with `text` on its standard input, whatever its exit code.

    HostError where it is not installed, cannot be started or takes longer than `timeout` seconds. With bounds it has no
    terminal, and ends where it wants more.
    """
    program = find(argv[0])
    if program is None:
        package = PACKAGES.get(argv[0], argv[0])
        raise HostError(argv[0], "this program is not installed", advice=f"Debian's package {package} has it")
    try:
        with entered(netns), _kept(bounds) as (output, errors):
            done = subprocess.run(  # one system call, and conntrim has no threads here
                [program, *argv[1:]],
                input=None if text is None else bytes_of(text),
                stdout=output or subprocess.PIPE,
                stderr=errors or subprocess.PIPE,
                timeout=timeout,
                check=False,
                cwd=bounds.directory if bounds else None,
                start_new_session=bounds is not None,
                env=environment(),
                preexec_fn=partial(_begin, os.getpid(), bounds),
            )
            if output and errors:
                output.seek(0)
                errors.seek(0)
                return Ended(done.returncode, text_of(output.read()), text_of(errors.read()))
    except subprocess.TimeoutExpired as error:
        raise HostError(" ".join(argv), f"did not end within {timeout:g} s") from error
    except (OSError, subprocess.SubprocessError) as error:  # replaced amid an upgrade, no memory to start it
        raise HostError(" ".join(argv), f"could not be started: {error}") from error
    return Ended(done.returncode, text_of(done.stdout), text_of(done.stderr))


@contextmanager
def _kept(bounds: Bounds | None) -> Iterator[tuple[IO[bytes] | None, IO[bytes] | None]]:
    """Where both outputs go: into files, whose size the kernel bounds, or into pipes."""
    if bounds is None:
        yield None, None
    else:
        with TemporaryFile() as output, TemporaryFile() as errors:
            yield output, errors


def _begin(parent: int, bounds: Bounds | None) -> None:
    """In the child: be killed when conntrim is, so that no rule is loaded after a later run has looked."""
    if bounds:
        resource.setrlimit(resource.RLIMIT_AS, (bounds.memory, bounds.memory))
        resource.setrlimit(resource.RLIMIT_FSIZE, (bounds.output, bounds.output))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def run(argv: Sequence[str], *, text: str | None = None, netns: str | None = None, timeout: float = 60) -> str:
    """As `attempt`, and return the standard output; HostError with the program's own message where it fails."""
    ended = attempt(argv, text=text, netns=netns, timeout=timeout)
    if ended.code:
        known = DYING.get((argv[0], -ended.code), "")
        raise HostError(" ".join(argv), ended.complaint, advice=known)
    return ended.output
