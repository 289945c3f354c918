"""Saved conntrack tables: a file or standard input, plain or compressed, read in pieces."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from io import BufferedReader
from types import ModuleType
from typing import BinaryIO

from conntrim.core.model.errors import InputError
from conntrim.core.model.flows import FlowTable
from conntrim.core.parse.conntrack_text import Prepared, TextTable, prepare
from conntrim.host.sources import Patient, opened, regular
from conntrim.host.workers import THREADS, workers


def _zstd() -> ModuleType | None:
    """Python's own zstd (since 3.14) or its backport, None where there is neither."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


zstd = _zstd()
DAMAGED: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile, *((zstd.ZstdError,) if zstd else ()))

DAMAGE = "the compressed file is cut off or damaged"

PIECE = 2 << 20
"""Bytes a read."""

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
FOREIGN = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip"}
"""Compressions that we do not read, and the program that does."""


class FileFlows:
    """One saved table; `path` may be `-`."""

    def __init__(self, path: str) -> None:
        self.source, self._text = path, TextTable(path)
        self._cut = self._why = ""

    @property
    def bad_lines(self) -> int:
        """Lines that could not be read."""
        return self._text.bad_lines

    @property
    def remarks(self) -> tuple[str, ...]:
        """Bad lines with their places, and whether the file was cut off."""
        return (self._cut, *self._text.remarks) if self._cut else self._text.remarks

    @property
    def incomplete(self) -> bool:
        """Whether the file was cut off, or conntrack itself counted more entries or failed; else nobody can tell."""
        return bool(self._cut) or self._text.incomplete

    def population(self) -> int | None:
        """Only reading the file can tell."""
        return None

    def blocks(self, columns: frozenset[str], *, few: bool = False) -> Iterator[FlowTable]:
        """Read the file from its beginning to its end."""
        self._text.columns = columns
        with self._opened() as stream:
            with workers("conntrim-text") as threads:
                waiting: deque[Future[Prepared]] = deque()
                for part in self._parts(stream):
                    waiting.append(threads.submit(prepare, part))
                    if len(waiting) > THREADS:
                        yield from self._text.take(waiting.popleft().result(), last=False)
                while waiting:
                    yield from self._text.take(waiting.popleft().result(), last=not waiting and not self._cut)
            if self._cut and not self._text.entries:
                raise InputError(self.source, f"{DAMAGE}, and nothing came before", advice=self._why)
            if not self._text.entries:
                yield self._empty()

    def _empty(self) -> FlowTable:
        """What a file without any text comes to: InputError."""
        return self._text.feed(b"", last=True)

    def _parts(self, stream: BinaryIO) -> Iterator[tuple[bytes | memoryview, ...]]:
        """The file in parts that end with an entry."""
        piece = self._read(stream)
        while piece:
            following = self._read(stream)
            yield self._text.cut(piece, last=not following, torn=not following and bool(self._cut))
            piece = following

    def _read(self, stream: BinaryIO) -> bytes:
        """The next piece; a compressed file that was cut off ends there, with a remark."""
        parts: list[bytes] = []
        while sum(map(len, parts)) < PIECE:
            try:
                part = stream.read1(PIECE)  # type: ignore[attr-defined]  # all of ours are buffered
            except DAMAGED as error:
                self._why = str(error)
                self._cut = f"{self.source}: {DAMAGE}: what came before is used ({error})"
                break
            except OSError as error:
                raise InputError(self.source, error.strerror or str(error)) from error
            if not part:
                break
            parts.append(part)
        return b"".join(parts)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with opened(self.source) as raw:
            yield decompressed(self.source, raw)


def begins(path: str, start: bytes) -> bool:
    """Whether there is a regular file of that name that begins so, unpacked. InputError where it is damaged."""
    if not regular(path):
        return False
    with opened(path) as raw:
        try:
            return decompressed(path, raw).read(len(start)) == start
        except DAMAGED as error:
            raise InputError(path, DAMAGE, advice=str(error)) from error


def decompressed(source: str, raw: BufferedReader[Patient]) -> BinaryIO:
    """The stream itself, or what it unpacks to."""
    try:
        start = raw.peek(6)[:6]
    except OSError as error:
        raise InputError(source, error.strerror or str(error)) from error
    for magic, name in FOREIGN.items():
        if start.startswith(magic):
            raise InputError(source, f"{name} is not read here", advice="unpack it first, or use gzip or zstd")
    if start.startswith(GZIP):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]  # it is one, typeshed says otherwise
    if start.startswith(ZSTD):
        if zstd is None:
            advice = "pip install 'conntrim[zstd]', or zstdcat FILE | conntrim census -"
            raise InputError(source, "zstd needs a package", advice=advice)
        stream: BinaryIO = zstd.ZstdFile(raw)
        return stream
    return raw
