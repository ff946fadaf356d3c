"""Counting a listing against what a state has cached, on the local scratch disk: memory stays flat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modules.records import BlobInfo
from modules.state.work_index import WorkIndex

_TABLES = """
CREATE TABLE there (key TEXT, size INTEGER, PRIMARY KEY (key, size)) WITHOUT ROWID;
CREATE TABLE grouped (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""

# Of blobs that are claimed equal, all but one are duplicates for sure, as far as the claim is true.
_CLAIMED = """
SELECT coalesce(sum(n - 1), 0), coalesce(sum((n - 1) * size), 0) FROM (
    SELECT count(*) AS n, size FROM blobs WHERE md5 IS NOT NULL AND archived = 0 GROUP BY md5, size HAVING n > 1)
"""

# A blob that has a duplicate for sure: the last run found one, or another blob is claimed equal to it.
_PAIRED = """
SELECT count(*), coalesce(sum(b.size), 0),
    coalesce(sum(t.key IS NOT NULL), 0), coalesce(sum(CASE WHEN t.key IS NOT NULL THEN b.size END), 0)
FROM outcomes b LEFT JOIN there t ON t.key = b.key AND t.size = b.size
WHERE b.reason IS NULL AND b.size <= ?1 AND (
    b.key IN (SELECT key FROM grouped) OR (b.md5 IS NOT NULL AND EXISTS (
        SELECT 1 FROM blobs o WHERE o.md5 = b.md5 AND o.size = b.size AND o.id <> b.id AND o.archived = 0)))
"""

_USABLE = """
SELECT count(*), coalesce(sum(b.size), 0),
    coalesce(sum(t.key IS NOT NULL), 0), coalesce(sum(CASE WHEN t.key IS NOT NULL THEN b.size END), 0)
FROM outcomes b LEFT JOIN there t ON t.key = b.key AND t.size = b.size
WHERE b.reason IS NULL AND b.size <= ?1
"""


@dataclass(frozen=True, slots=True)
class Amount:
    """So many files, and their bytes."""

    count: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        """Both together."""
        return Amount(self.count + other.count, self.bytes + other.bytes)

    def __sub__(self, other: Amount) -> Amount:
        """What is left without ``other``."""
        return Amount(self.count - other.count, self.bytes - other.bytes)


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies that publishing makes of so many pictures, and how many of them lie in the output already."""

    all: Amount
    there: Amount

    @property
    def left(self) -> Amount:
        """What is still to be copied."""
        return self.all - self.there


class Census(WorkIndex):
    """A :class:`WorkIndex` that answers how many and how much. max_bytes: larger files are never read."""

    def __init__(self, path: Path, decoder_version: str, max_bytes: int) -> None:
        super().__init__(path, decoder_version)
        self._max_bytes = max_bytes
        with self._lock:
            self._connection.executescript(_TABLES)

    def add_there(self, blobs: Iterable[BlobInfo], prefix: str, source: str) -> None:
        """What lies below ``prefix`` of the output, by the source key that its path stands for."""
        rows = ((source + blob.key[len(prefix) :], blob.size) for blob in blobs)
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO there VALUES (?, ?)", rows)

    def add_grouped(self, keys: Iterable[str]) -> None:
        """Pictures that the last run found a duplicate of."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO grouped VALUES (?)", ((key,) for key in keys))

    def pictures(self) -> Amount:
        """Every picture of the listing, also those that cannot be used."""
        return self._amount("SELECT count(*), coalesce(sum(size), 0) FROM blobs")

    def unusable(self) -> Amount:
        """Pictures that are known to fail: archived, too large, or found broken by an earlier run."""
        question = "SELECT count(*), coalesce(sum(size), 0) FROM outcomes WHERE reason IS NOT NULL OR size > ?"
        return self._amount(question, self._max_bytes)

    def claimed(self) -> Amount:
        """Files beyond the first of equal size and Content-MD5: they are not read, and are exact duplicates."""
        return self._amount(_CLAIMED)

    def copies(self, uniques: str) -> Copies:
        """Copies of ``uniques="copy"`` (all that can be used), or those that ``skip`` makes at least."""
        self._index()
        count, size, there, there_size = self._ask(_USABLE if uniques == "copy" else _PAIRED, (self._max_bytes,))[0]
        return Copies(Amount(count, size), Amount(there, there_size or 0))

    def _amount(self, question: str, *values: object) -> Amount:
        return Amount(*self._ask(question, values)[0])
