"""A record as one SQLite file: written frame by frame, so that a run that is killed loses one frame at most; and read
as what it is, anybody's bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import msgspec
import numpy as np

from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.facts import HostFacts, Reading
from conntrim.core.model.flows import SHAPES, FlowTable, table_of
from conntrim.core.model.panel import Frame
from conntrim.core.model.record import Listed, Record
from conntrim.store.trusted import OPEN

MAGIC, APPLICATION = b"SQLite format 3\0", 0x434E_5452
SCHEMA = 1
"""Counts up when an older conntrim could misread a record."""

LARGEST_RECORD, LARGEST_BLOB, MOST_ROWS = 1 << 30, 256 << 20, 1 << 23
"""Bytes of a file, bytes of one value in it, entries of one frame: what is read is bounded before it is believed."""

TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE frames (number INTEGER PRIMARY KEY, told TEXT NOT NULL, rows INTEGER NOT NULL, flows BLOB NOT NULL)",
    "CREATE TABLE texts (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL)",
)
SUPER_JOURNAL = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
"""The end of a journal that names another one: ours never do, and SQLite might delete what a forged one names."""

ADVICE = "conntrim record -o FILE makes one"
T = TypeVar("T")


class RecordWriter:
    """Writes one new file; `most` bounds its bytes: beyond, the oldest frames but the first go."""

    def __init__(self, path: str, most: int, *, hidden: bool) -> None:
        self.path, self._most = path, most
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN, 0o600))
        except FileExistsError as error:
            raise InputError(path, "there is a file already", advice="name another, or take it away") from error
        except OSError as error:
            raise HostError(f"writing {path}", error.strerror or str(error)) from error
        self._base = sqlite3.connect(path, isolation_level=None)
        self._run(
            f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {SCHEMA}", "PRAGMA synchronous = FULL"
        )
        self._run("BEGIN", *TABLES, "COMMIT")
        self._put("INSERT INTO meta VALUES (?, ?)", ("hidden", str(int(hidden))))

    def _run(self, *statements: str) -> None:
        for each in statements:
            self._put(each, ())

    def _put(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._base.execute(statement, values)
        except sqlite3.Error as error:
            raise HostError(f"writing {self.path}", str(error)) from error

    def text(self, kind: str, name: str, body: str) -> None:
        """A text of the host: `facts`, or `rules` by the program that printed them."""
        packed = zlib.compress(body.encode("utf-8", "surrogateescape"), 6)
        self._put("INSERT INTO texts (kind, name, body) VALUES (?, ?, ?)", (kind, name, packed))

    def facts(self, facts: HostFacts) -> None:
        """The host's facts."""
        self.text("facts", "", json.dumps(msgspec.to_builtins(facts, str_keys=True)))

    def interfaces(self, interfaces: Mapping[str, str]) -> None:
        """The devices behind which addresses are."""
        self.text("interfaces", "", json.dumps(dict(interfaces)))

    def frame(self, frame: Frame, reading: Reading) -> None:
        """One frame, and the changing numbers of its time."""
        told = {name: value for name, value in asdict(replace(frame, flows=table_of(0, frozenset(), {}))).items()}
        told.pop("flows")
        told |= {"reading": msgspec.to_builtins(reading), "columns": sorted(frame.flows.columns), "at": time.time()}
        packed = zlib.compress(_packed(frame.flows), 1)
        self._put(
            "INSERT INTO frames (told, rows, flows) VALUES (?, ?, ?)", (json.dumps(told), len(frame.flows), packed)
        )
        while self.bytes() > self._most and self._count() > 2:  # the first and the last always stay
            self._put(
                "DELETE FROM frames WHERE number IN (SELECT number FROM frames ORDER BY number LIMIT 1 OFFSET 1)", ()
            )

    def bytes(self) -> int:
        """Bytes of the file that are in use."""
        size, pages, free = (self._base.execute(f"PRAGMA {what}").fetchone()[0] for what in USE)
        return int(size * (pages - free))

    def _count(self) -> int:
        return int(self._base.execute("SELECT count(*) FROM frames").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._base.close()


USE = ("page_size", "page_count", "freelist_count")


def _packed(flows: FlowTable) -> bytes:
    """The columns one after the other, little-endian, in the order of their names."""
    columns = (np.ascontiguousarray(getattr(flows, name)) for name in sorted(flows.columns))
    return b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in columns)


def is_record(path: str) -> bool:
    """Whether a regular file of that name begins as SQLite's do; anything else is somebody else's to open."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.pread(descriptor, len(MAGIC), 0) == MAGIC
    finally:
        os.close(descriptor)


class RecordReader:
    """Reads one record. InputError, naming the file, for whatever is none."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> Record:
        """Everything but the frames before the last."""
        with self._opened() as base:
            hidden = self._rows(base, "SELECT value FROM meta WHERE name = 'hidden'", (str,), most=1)
            texts = self._rows(base, "SELECT kind, name, body FROM texts ORDER BY number", (str, str, bytes), most=100)
            bodies = [(kind, name, self._text(body)) for kind, name, body in texts]
            told = next((body for kind, _, body in bodies if kind == "facts"), None)
            if told is None:
                raise InputError(self.path, "the record holds no facts: it was cut off at its beginning", advice=ADVICE)
            rules = tuple(Listed(name, body) for kind, name, body in bodies if kind == "rules")
            numbers = self._rows(base, "SELECT number FROM frames ORDER BY number", (int,), most=1_000_000)
            last = self._frame(base, numbers[-1][0]) if numbers else None
            frame, later = last or (None, None)
            devices = next((body for kind, _, body in bodies if kind == "interfaces"), "{}")
            facts = replace(self._value(told, HostFacts), interfaces=self._value(devices, dict[str, str]))
            return Record(self.path, hidden == [("1",)], facts, later, rules, len(numbers), frame)

    def frames(self) -> Iterator[Frame]:
        """All frames, the oldest first."""
        with self._opened() as base:
            for (number,) in self._rows(base, "SELECT number FROM frames ORDER BY number", (int,), most=1_000_000):
                yield self._frame(base, number)[0]

    def _frame(self, base: sqlite3.Connection, number: int) -> tuple[Frame, Reading]:
        query = "SELECT told, rows, flows FROM frames WHERE number = ?"
        told, rows, flows = self._rows(base, query, (str, int, bytes), 1, number)[0]
        fields = self._value(told, _Told)
        table = self._table(rows, fields.columns, flows)
        frame = Frame(
            fields.seconds, fields.took, fields.cpu, fields.population, table, fields.whole, fields.settled,
            fields.buckets, fields.remarks, fields.incomplete,
        )  # fmt: skip
        return frame, fields.reading

    def _table(self, rows: int, columns: tuple[str, ...], packed: bytes) -> FlowTable:
        if not 0 <= rows <= MOST_ROWS or list(columns) != sorted(set(columns) & set(SHAPES)):
            raise self._damaged("a frame of an unknown shape")
        shapes = {name: np.dtype(SHAPES[name][0]).newbyteorder("<") for name in columns}
        size = sum(rows * shapes[name].itemsize * SHAPES[name][1] for name in columns)
        data, at, filled = self._unpacked(packed, size), 0, {}
        if len(data) != size:
            raise self._damaged("a frame of the wrong length")
        for name, dtype in shapes.items():
            width = SHAPES[name][1]
            column = np.frombuffer(data, dtype, rows * width, at).astype(dtype.newbyteorder("="))
            filled[name] = column if width == 1 else column.reshape(rows, width)
            at += rows * width * dtype.itemsize
        return table_of(rows, frozenset(columns), filled)

    def _text(self, packed: bytes) -> str:
        return self._unpacked(packed, LARGEST_BLOB).decode("utf-8", "surrogateescape")

    def _unpacked(self, packed: bytes, most: int) -> bytes:
        """A value, of at most so many bytes."""
        unpacking = zlib.decompressobj()
        try:
            data = unpacking.decompress(packed, most + 1)
        except zlib.error as error:
            raise self._damaged(str(error)) from error
        if len(data) > most:
            raise self._damaged(f"a value of more than {most:,} bytes")
        return data

    def _value(self, text: str, kind: type[T]) -> T:
        try:
            return msgspec.convert(json.loads(text), kind, strict=False)
        except (ValueError, RecursionError, OverflowError) as error:
            raise self._damaged(str(error)) from error

    def _rows(
        self, base: sqlite3.Connection, query: str, kinds: tuple[type, ...], most: int, *given: int
    ) -> list[tuple[Any, ...]]:
        rows = base.execute(query, given).fetchmany(most + 1)
        if len(rows) > most or any(not isinstance(v, k) for row in rows for v, k in zip(row, kinds, strict=True)):
            raise self._damaged("values of other types or numbers than a record has")
        return rows

    def _damaged(self, why: str) -> InputError:
        return InputError(self.path, f"this record is damaged: {why}", advice=ADVICE)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The database, from a copy in a directory of our own: SQLite looks for files beside the one that it opens."""
        with TemporaryDirectory(prefix="conntrim-") as own:
            self._copied(f"{own}/record")
            try:
                base = sqlite3.connect(f"{own}/record", isolation_level=None)
                try:
                    self._checked(base)
                    yield base
                finally:
                    base.close()
            except (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError) as error:
                raise self._damaged(str(error)) from error

    def _checked(self, base: sqlite3.Connection) -> None:
        """Nothing but our own tables, and sound pages."""
        base.text_factory = _replaced
        base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_BLOB)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
            base.execute(f"PRAGMA {pragma}")
        if base.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise InputError(self.path, "this is a database, but no record of conntrim", advice=ADVICE)
        version = base.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            message = f"written by a newer conntrim (schema {version}, this one reads {SCHEMA})"
            raise InputError(self.path, message, advice="use that conntrim")
        there = {sql for (sql,) in base.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}
        if there != set(TABLES):
            raise self._damaged("other tables than a record has")
        if base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise self._damaged("its pages do not fit together")
        base.execute("PRAGMA query_only = ON")

    def _copied(self, to: str) -> None:
        """The file, and what a run that was killed left beside it: SQLite undoes the half-written frame with that."""
        try:
            self._copy(self.path, os.O_NONBLOCK | os.O_CLOEXEC, to)
            if not os.path.lexists(f"{self.path}-journal"):
                return
            self._copy(f"{self.path}-journal", OPEN, f"{to}-journal")
        except FileNotFoundError as error:
            raise InputError(self.path, "no such file, or it was taken away", advice=ADVICE) from error
        except OSError as error:
            raise InputError(self.path, error.strerror or str(error)) from error
        with open(f"{to}-journal", "rb") as journal:
            if SUPER_JOURNAL in journal.read()[-8:]:
                raise self._damaged("its journal names another file")

    def _copy(self, name: str, flags: int, to: str) -> None:
        with open(os.open(name, os.O_RDONLY | flags), "rb") as file, open(to, "xb") as copy:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST_RECORD:
                message = f"no regular file, or more than {LARGEST_RECORD >> 30} GiB"
                raise InputError(self.path, message, advice=ADVICE)
            shutil.copyfileobj(file, copy, 1 << 20)


def _replaced(data: bytes) -> str:
    """What is no UTF-8 is damage, which shows where the text is looked at."""
    return data.decode("utf-8", "replace")


class _Told(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    seconds: float
    took: float
    cpu: float
    population: int
    whole: bool
    settled: bool
    incomplete: bool
    columns: tuple[str, ...]
    reading: Reading
    at: float
    buckets: int | None = None
    remarks: tuple[str, ...] = ()
