"""The journal as one JSON file per network namespace, replaced atomically and flushed to the disk."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from conntrim.app.ports.journal import HeldError
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.rollout.record import Journal

STATE = "/var/lib/conntrim"
"""Where journals are kept unless `--state` or $CONNTRIM_STATE says otherwise."""
PATIENCE = 5.0
"""Seconds to wait for the lock of a run that was killed."""
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
    """The journal of one namespace in the directory `state`; None: the namespace we are in."""

    def __init__(self, state: str, netns: str | None) -> None:
        name = "host" if netns is None else "netns-" + re.sub(r"[^\w.-]", "_", netns)
        self.state, self.path, self.lock_path = state, f"{state}/{name}.json", f"{state}/{name}.lock"

    def read(self) -> Journal:
        """The journal; an empty one where there is none. InputError where it is damaged or of a newer version."""
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return Journal()
        except OSError as error:
            raise HostError(f"reading {self.path}", error.strerror or str(error)) from error
        return self._decode(data)

    def _decode(self, data: bytes) -> Journal:
        advice = "conntrim rollback --without-journal takes out every rule of ours by its mark"
        try:
            envelope = msgspec.json.decode(data, type=_Envelope)
            if envelope.kind != "journal":
                raise InputError(self.path, "this is no journal of conntrim", advice=advice)
            if envelope.schema > SCHEMA:
                message = f"written by a newer conntrim (schema {envelope.schema}, this one reads {SCHEMA})"
                raise InputError(self.path, message, advice="use that conntrim")
            return msgspec.json.decode(data, type=_File).journal
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InputError(self.path, f"the journal is damaged: {error}", advice=advice) from error

    def write(self, journal: Journal) -> None:
        """Replace it: written beside, flushed, renamed, the directory flushed."""
        document = {"kind": "journal", "schema": SCHEMA, "journal": journal}
        data = msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=1)
        try:
            os.makedirs(self.state, mode=0o700, exist_ok=True)
            _replace(self.path, data)
        except OSError as error:
            raise HostError(f"writing {self.path}", error.strerror or str(error)) from error

    @contextmanager
    def lock(self, verb: str) -> Iterator[None]:
        """Hold the journal for this run; HeldError, naming the holder, where another run does."""
        try:
            os.makedirs(self.state, mode=0o700, exist_ok=True)
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            advice = "the journal belongs to root" if error.errno in (1, 13) else ""
            raise HostError(f"opening {self.lock_path}", error.strerror or str(error), advice=advice) from error
        try:
            self._hold(descriptor, verb)
            yield
        finally:
            os.close(descriptor)

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
        aside = f"{self.path}.{datetime.now(UTC):%Y%m%dT%H%M%S}"
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise HostError(f"renaming {self.path}", error.strerror or str(error)) from error
        return aside


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


def _replace(path: str, data: bytes) -> None:
    beside = f"{path}.new"
    with open(beside, "wb", opener=lambda p, flags: os.open(p, flags | os.O_CLOEXEC, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
