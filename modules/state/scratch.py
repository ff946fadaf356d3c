"""The SQLite file behind the index: tables, one connection, one lock, questions answered in pages.

It lies in the scratch folder and is built anew at every start, so nothing in it needs to outlive a crash: no journal
on disk, no syncs. Everything that grows with the collection is on disk; Python sees a page at a time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.errors import StateError

CACHE_KIB = 64 * 1024
"""Memory that SQLite may use for pages, in KiB."""

PAGE = 1000
"""Rows that a streamed answer holds in memory at once."""

# A blob's id is its place in the listing (part * 2^32 + position), so that ids rise in the store's key order
# whichever part is loaded first. `known`: the catalogue has an outcome (picture or failure) for this version of it.
# `have` is a bit set over family names. A failure of bytes is kept with the picture, one that came before the
# bytes were read with the blob. phash is stored as a signed number: SQLite has no unsigned 64 bit ones.
_TABLES = """
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
    etag TEXT NOT NULL, md5 BLOB, content_type TEXT, archived INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    known INTEGER NOT NULL DEFAULT 0, picture INTEGER, claimed INTEGER NOT NULL DEFAULT 0, failure TEXT,
    unfetched TEXT);
CREATE TABLE pictures (id INTEGER PRIMARY KEY, sha BLOB NOT NULL UNIQUE, have INTEGER NOT NULL, failure TEXT);
CREATE TABLE facts (
    picture INTEGER PRIMARY KEY, width INTEGER, height INTEGER, format TEXT, size INTEGER, sharpness REAL,
    exposure REAL, contrast REAL, noise REAL, compression REAL, content REAL, texture REAL,
    steepness REAL, saved REAL, earlier REAL, chroma REAL, described REAL, dominant_colours INTEGER, palette BLOB,
    phash INTEGER, hsv_histogram BLOB, taken TEXT, camera TEXT, gps INTEGER,
    damaged INTEGER, indexed INTEGER);
CREATE TABLE companions (stem TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE numbered (idx INTEGER PRIMARY KEY, picture INTEGER NOT NULL UNIQUE, key TEXT NOT NULL);
CREATE TABLE grouping (
    idx INTEGER PRIMARY KEY, keeper INTEGER NOT NULL, kind INTEGER NOT NULL, similarity REAL NOT NULL,
    confidence REAL, quality REAL NOT NULL);
CREATE TABLE chosen (idx INTEGER PRIMARY KEY, blob INTEGER NOT NULL, place INTEGER NOT NULL);
CREATE TABLE groups (
    keeper INTEGER PRIMARY KEY, number INTEGER NOT NULL, size INTEGER NOT NULL, best INTEGER NOT NULL);
CREATE TABLE ordered (place INTEGER PRIMARY KEY, blob INTEGER NOT NULL, idx INTEGER NOT NULL, best INTEGER NOT NULL);
CREATE VIEW outcomes AS
    SELECT b.*, p.sha, p.have, coalesce(
        CASE WHEN b.archived THEN 'archived: rehydrate it to hot or cool and run again' END,
        b.unfetched, b.failure, p.failure) AS reason
    FROM blobs b LEFT JOIN pictures p ON p.id = b.picture;
"""

# Made when first asked for: building them at once is several times faster than keeping them up during the load.
_INDICES = """
CREATE INDEX IF NOT EXISTS blobs_equal ON blobs (md5, size, known) WHERE md5 IS NOT NULL;
CREATE INDEX IF NOT EXISTS blobs_picture ON blobs (picture) WHERE picture IS NOT NULL;
"""


class Scratch:
    """One SQLite connection that several threads share under a lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
            f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = FILE;"
        )
        self._connection.executescript(_TABLES)
        self._indexed = False

    def close(self) -> None:
        """Close the file; the caller removes it with its folder."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            except UnicodeEncodeError as error:
                self._connection.execute("ROLLBACK")
                message = f"the name {error.object!r} is not valid UTF-8 and cannot be kept in the state"
                raise StateError(message) from error
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _ask(self, question: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a bounded answer."""
        with self._lock:
            return self._connection.execute(question, tuple(values)).fetchall()

    def _one(self, question: str, values: Iterable[Any] = ()) -> Any:
        """The only value of the only row; None when there is no row."""
        rows = self._ask(question, values)
        return rows[0][0] if rows else None

    def _pages(self, question: str, start: Any) -> Iterator[tuple[Any, ...]]:
        """Rows of an unbounded answer, a page at a time, so that others may read and write in between.

        The question has two parameters: ?1, the first column of the last row seen, by which it is ordered and behind
        which the next page begins, and ?2, the number of rows.
        """
        while rows := self._ask(question, (start, PAGE)):
            yield from rows
            start = rows[-1][0]

    def _index(self) -> None:
        with self._lock:
            if not self._indexed:
                self._connection.executescript(_INDICES)
                self._indexed = True
