"""The journal as one JSON file per network namespace, replaced atomically and flushed to the disk."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from conntrim.app.ports.journal import HeldError
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.json import read_json
from conntrim.core.model.plan import PROGRAMS
from conntrim.core.rollout.record import Journal
from conntrim.render.json import json_text
from conntrim.store.trusted import OPEN, Trust, host_error, keepers

STATE = "/var/lib/conntrim"
"""Where journals are kept unless `--state` or $CONNTRIM_STATE says otherwise."""
PATIENCE = 5.0
"""Seconds to wait for the lock of a run that was killed."""
LARGEST = 64 << 20
"""Bytes that a journal may have."""
BY_MARK = "conntrim rollback --without-journal takes out every rule of ours by its mark"
FOREIGN = f"look at what it says, then chown it or take it away; {BY_MARK}"
FOREIGN_STATE = "chown root and chmod 700 it once you know what is in it, or name another with --state"
SCHEMA = 1
"""Counts up when an older conntrim could misread the journal."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What every journal file says of itself; read before the journal, whose schema may be unknown."""

    kind: str = ""
    schema: int = 0


@dataclass(frozen=True, slots=True)
class _File(_Envelope):
    """A journal file of a schema that this version reads."""

    journal: Journal = field(default_factory=Journal)


def state_directory(option: str | None) -> str:
    """`--state`, else $CONNTRIM_STATE, else the default."""
    return option or os.environ.get("CONNTRIM_STATE") or STATE


class JournalFile:
    """The journal of one namespace in the directory `state`; None: the namespace we are in.

    It holds the texts that confirm and rollback load, so it is believed only where nobody else can have written it.
    """

    def __init__(self, state: str, netns: str | None) -> None:
        self.name = "host" if netns is None else "netns-" + re.sub(r"[^\w.-]", "_", netns)
        self.state, self.path, self.lock_path = state, f"{state}/{self.name}.json", f"{state}/{self.name}.lock"
        self._trust = Trust(keepers(), FOREIGN)

    def read(self) -> Journal:
        """The journal; an empty one where there is none.

        InputError where it is damaged, of a newer version, or may be another user's work.
        """
        try:
            with self._directory() as at:
                data = self._trust.read(at, f"{self.name}.json", self.path, LARGEST)
        except FileNotFoundError:
            return Journal()
        except OSError as error:
            raise host_error("reading", self.path, error) from error
        return self._decode(data)

    def _directory(self) -> AbstractContextManager[int]:
        return Trust(keepers(), FOREIGN_STATE).directory(self.state)

    def _decode(self, data: bytes) -> Journal:
        try:
            envelope = read_json(data, _Envelope)
            if envelope.kind != "journal":
                raise InputError(self.path, "this is no journal of conntrim", advice=BY_MARK)
            if envelope.schema > SCHEMA:
                message = f"written by a newer conntrim (schema {envelope.schema}, this one reads {SCHEMA})"
                raise InputError(self.path, message, advice="use that conntrim")
            journal = read_json(data, _File).journal
        except ValueError as error:
            raise InputError(self.path, f"the journal is damaged: {error}", advice=BY_MARK) from error
        if unknown := _unknown_programs(journal):
            raise InputError(self.path, f"the journal is damaged: no rules are loaded with {unknown}", advice=BY_MARK)
        return journal

    def write(self, journal: Journal) -> None:
        """Replace it: written beside, flushed, renamed, the directory flushed."""
        document = {"kind": "journal", "schema": SCHEMA, "journal": journal}
        data = json_text(msgspec.to_builtins(document, enc_hook=str), indent=1).encode()
        try:
            os.makedirs(self.state, mode=0o700, exist_ok=True)
            with self._directory() as at:
                _replace(at, f"{self.name}.json", data)
        except OSError as error:
            raise host_error("writing", self.path, error) from error

    @contextmanager
    def lock(self, verb: str) -> Iterator[None]:
        """Hold the journal for this run; HeldError, naming the holder, where another run does."""
        descriptor = self._lock_file()
        try:
            self._hold(descriptor, verb)
            yield
        finally:
            os.close(descriptor)

    def _lock_file(self) -> int:
        """The lock file, open. InputError where it is not ours: a lock that others can take stops us for good."""
        name = os.path.basename(self.lock_path)
        try:
            os.makedirs(self.state, mode=0o700, exist_ok=True)
            with self._directory() as at:
                with suppress(FileNotFoundError):
                    self._trust.refuse_other_kinds(self.lock_path, os.stat(name, dir_fd=at, follow_symlinks=False))
                descriptor = os.open(name, os.O_RDWR | os.O_CREAT | OPEN, 0o600, dir_fd=at)
        except OSError as error:
            advice = "the journal belongs to root" if error.errno in (1, 13) else ""
            raise HostError(f"opening {self.lock_path}", error.strerror or str(error), advice=advice) from error
        try:
            self._trust.refuse_writable(self.lock_path, os.fstat(descriptor))
        except InputError:
            os.close(descriptor)
            raise
        return descriptor

    def _hold(self, descriptor: int, verb: str) -> None:
        end = time.monotonic() + PATIENCE
        while not _taken(descriptor):
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another conntrim"
            if _alive(holder) or time.monotonic() > end:
                raise HeldError(f"{holder} is at work on this journal; try again when it has ended")
            time.sleep(0.01)
        os.ftruncate(descriptor, 0)
        now = datetime.now(UTC).strftime("%H:%M:%S UTC")
        os.pwrite(descriptor, f"conntrim {verb} (process {os.getpid()}, since {now})".encode(), 0)

    def set_aside(self) -> str:
        """Move a journal that cannot be read out of the way; its new name, "" where there was none."""
        aside = f"{self.name}.json.{datetime.now(UTC):%Y%m%dT%H%M%S}"
        try:
            with self._directory() as at:
                os.rename(f"{self.name}.json", aside, src_dir_fd=at, dst_dir_fd=at)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise host_error("renaming", self.path, error) from error
        return f"{self.state}/{aside}"


def _unknown_programs(journal: Journal) -> str:
    """The programs that load no rules, "" where there are none such."""
    plan = journal.plan
    batches = (*plan.trial, *plan.confirm, *plan.rollback_trial, *plan.rollback_confirmed) if plan else ()
    return ", ".join(sorted({repr(batch.program) for batch in batches if batch.program not in PROGRAMS}))


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(holder: str) -> bool:
    """Does the process that a lock names run? One that was killed holds it until its last child is on its way."""
    named = re.search(r"process (\d+)", holder)
    return named is None or os.path.exists(f"/proc/{named[1]}")


def _replace(at: int, name: str, data: bytes) -> None:
    beside = f"{name}.new"
    with suppress(FileNotFoundError):  # a run that was killed may have left one
        os.unlink(beside, dir_fd=at)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN, 0o600, dir_fd=at), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, name, src_dir_fd=at, dst_dir_fd=at)
    os.fsync(at)
