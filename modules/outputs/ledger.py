"""The books of one publishing in a local SQLite file: plan, journal and listing set against each other.

Scratch only, built anew at every start; memory stays flat however many pictures there are.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from modules.outputs.plan import PlanRow
from modules.records import BlobInfo, Failure
from modules.state.schemas import JournalRow

PAGE = 1000

_TABLES = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32768; PRAGMA temp_store = FILE;
CREATE TABLE plan (target TEXT PRIMARY KEY, source TEXT, etag TEXT, size INTEGER, md5 BLOB, sha BLOB) WITHOUT ROWID;
CREATE TABLE listed (target TEXT PRIMARY KEY, etag TEXT, size INTEGER, md5 BLOB) WITHOUT ROWID;
CREATE TABLE done (target TEXT PRIMARY KEY, source TEXT, source_etag TEXT, etag TEXT, sha BLOB) WITHOUT ROWID;
CREATE TABLE intents (target TEXT, source TEXT, source_etag TEXT, sha BLOB, PRIMARY KEY (target, source_etag, source))
    WITHOUT ROWID;
CREATE TABLE adopted (target TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE failures (key TEXT PRIMARY KEY, size INTEGER, reason TEXT) WITHOUT ROWID;
"""

# Ours is what lies there with the ETag that the journal says. Every target that the plan and the listing know falls
# into exactly one of: right already, to copy, not ours.
_DECIDE = """
CREATE TABLE copies AS
    SELECT p.target, p.source, p.etag AS source_etag, p.size, p.sha, l.etag AS replaces
    FROM plan p LEFT JOIN listed l ON l.target = p.target LEFT JOIN done d ON d.target = p.target
    WHERE l.etag IS NULL OR (l.etag = d.etag AND (d.source <> p.source OR d.source_etag <> p.etag))
    ORDER BY p.target;
CREATE TABLE foreigners AS
    SELECT p.target, p.source, p.size
    FROM plan p JOIN listed l ON l.target = p.target LEFT JOIN done d ON d.target = p.target
    WHERE l.etag IS NOT d.etag;
CREATE TABLE outdated AS
    SELECT d.target, d.source, d.source_etag, d.etag, d.sha
    FROM done d JOIN listed l ON l.target = d.target LEFT JOIN plan p ON p.target = d.target
    WHERE p.target IS NULL AND l.etag = d.etag ORDER BY d.target;
CREATE TABLE altered AS
    SELECT d.target, d.source, d.source_etag, d.etag, d.sha
    FROM done d JOIN listed l ON l.target = d.target LEFT JOIN plan p ON p.target = d.target
    WHERE p.target IS NULL AND l.etag <> d.etag ORDER BY d.target;
"""

_UNSETTLED = """
SELECT i.target, i.source, i.source_etag, i.sha, l.etag, l.size, l.md5, p.size, p.md5
FROM intents i JOIN listed l ON l.target = i.target
LEFT JOIN done d ON d.target = i.target
LEFT JOIN plan p ON p.target = i.target AND p.source = i.source AND p.etag = i.source_etag
WHERE l.etag IS NOT d.etag
"""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy to make. replaces: ETag of our outdated copy that lies there, None where nothing does."""

    target: str
    source: str
    source_etag: str
    size: int
    sha: bytes
    replaces: str | None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An intent without an end, and what lies at its target now.

    size, md5: of the source, None where the plan does not have this version of it any more.
    """

    intent: JournalRow
    found: BlobInfo
    size: int | None
    md5: bytes | None


class Ledger:
    """The books; a context manager. Filled by one thread; failures may then be added while others are read."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the caller removes it with its folder."""
        self._connection.close()

    def add_plan(self, rows: Iterable[PlanRow]) -> None:
        """What is to lie in the output; rows without a target are passed over."""
        values = ((r.target, r.key, r.etag, r.size, r.md5, r.sha) for r in rows if r.target is not None)
        self._add("INSERT INTO plan VALUES (?, ?, ?, ?, ?, ?)", values)

    def add_listed(self, blobs: Iterable[BlobInfo]) -> None:
        """What lies in the output."""
        self._add("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?)", ((b.key, b.etag, b.size, b.md5) for b in blobs))

    def replay(self, rows: Iterable[JournalRow]) -> None:
        """What the journal says, oldest row first: an end settles the intents before it."""
        self._connection.execute("BEGIN")
        for row in rows:
            if row.target_etag is None and not row.removed:
                self._intend(row)
            else:
                self._connection.execute("DELETE FROM intents WHERE target = ?", (row.target,))
                self._connection.execute("DELETE FROM done WHERE target = ?", (row.target,))
                if not row.removed:
                    self._finish(row)
        self._connection.execute("COMMIT")

    def unsettled(self) -> list[Unsettled]:
        """Intents whose target holds something that the journal does not know: at most a batch for every kill."""
        found = []
        for target, source, source_etag, sha, etag, size, md5, *expected in self._connection.execute(_UNSETTLED):
            intent = JournalRow(target, source, source_etag, None, sha=sha)
            found.append(Unsettled(intent, BlobInfo(target, size, etag, md5), *expected))
        return found

    def adopt(self, row: JournalRow) -> None:
        """An intent turns out to have been carried out."""
        self._connection.execute("DELETE FROM done WHERE target = ?", (row.target,))
        self._finish(row)
        self._connection.execute("INSERT OR REPLACE INTO adopted VALUES (?)", (row.target,))

    def reopen(self, target: str) -> None:
        """What lies at an intent's target is no finished copy: if the plan still has it, it is to copy."""
        self._connection.execute("DELETE FROM listed WHERE target = ?", (target,))

    def decide(self) -> None:
        """Set the books against each other; comes once, when all is in."""
        self._connection.executescript(_DECIDE)

    def count(self, table: str) -> int:
        """Rows of ``copies``, ``foreigners``, ``outdated``, ``altered`` or ``failures``."""
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def adopted(self) -> Iterator[JournalRow]:
        """Copies of killed attempts that the journal lacks; by target."""
        return self._past("(SELECT d.* FROM adopted JOIN done d USING (target))")

    def copies(self) -> Iterator[Copy]:
        """Copies to make, by target."""
        for values in self._pages("SELECT target, source, source_etag, size, sha, replaces FROM copies", "target"):
            yield Copy(*values)

    def foreigners(self) -> Iterator[tuple[str, str, int]]:
        """Target, source and size of planned copies in whose place lies something that is not ours."""
        yield from self._pages("SELECT target, source, size FROM foreigners", "target")

    def outdated(self) -> Iterator[JournalRow]:
        """Copies that an earlier plan had and this one has not, still as we left them; by target."""
        return self._past("outdated")

    def altered(self) -> Iterator[JournalRow]:
        """The same, but changed by somebody since."""
        return self._past("altered")

    def add_failure(self, failure: Failure) -> None:
        """A picture that could not be published; from any thread."""
        values = (failure.key, failure.size, failure.reason)
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", values)

    def failures(self) -> Iterator[Failure]:
        """Pictures that could not be published, by key."""
        for values in self._pages("SELECT key, size, reason FROM failures", "key"):
            yield Failure(*values)

    def has_failed(self, key: str) -> bool:
        """Whether this picture could not be published."""
        return self._connection.execute("SELECT 1 FROM failures WHERE key = ?", (key,)).fetchone() is not None

    def _intend(self, row: JournalRow) -> None:
        values = (row.target, row.source, row.source_etag, row.sha)
        self._connection.execute("INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?)", values)

    def _finish(self, row: JournalRow) -> None:
        values = (row.target, row.source, row.source_etag, row.target_etag, row.sha)
        self._connection.execute("INSERT INTO done VALUES (?, ?, ?, ?, ?)", values)

    def _add(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(statement, rows)
        self._connection.execute("COMMIT")

    def _past(self, table: str) -> Iterator[JournalRow]:
        question = f"SELECT target, source, source_etag, etag, sha FROM {table}"
        for target, source, source_etag, etag, sha in self._pages(question, "target"):
            yield JournalRow(target, source, source_etag, etag, sha=sha)

    def _pages(self, question: str, key: str) -> Iterator[tuple[Any, ...]]:
        """Rows by ``key``, the first column, a page at a time, so that others may write in between."""
        last = ""
        asked = f"{question} WHERE {key} > ? ORDER BY {key} LIMIT {PAGE}"
        while True:
            with self._lock:
                rows = self._connection.execute(asked, (last,)).fetchall()
            yield from rows
            if len(rows) < PAGE:
                return
            last = rows[-1][0]
