"""Which copy is kept: the blobs of a run sorted by the keep policies, on disk, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.records import Copy, Float32Array
from modules.state.companions import stems_of
from modules.state.scratch import PAGE
from modules.state.work_index import WorkIndex

#: A sort key of one copy: the smaller, the sooner it is kept.
SortKey = Callable[[Copy], int | float | str]

_COPIES = """
SELECT b.id, n.idx, b.key, b.size, b.modified_ns, f.width, f.height,
    (f.taken <> '') + (f.camera <> '') + f.gps, f.damaged
FROM outcomes b JOIN numbered n ON n.picture = b.picture JOIN facts f ON f.picture = b.picture
WHERE b.id > ?1 AND b.reason IS NULL ORDER BY b.id LIMIT ?2
"""

# Of the rows of one picture, SQLite takes the other columns from the one with the least place.
_CHOOSE = """
INSERT INTO chosen (idx, blob, place)
SELECT idx, blob, min(place) FROM (
    SELECT c.idx, c.blob, row_number() OVER (ORDER BY {keys}, b.key) AS place
    FROM copies c JOIN blobs b ON b.id = c.blob)
GROUP BY idx
"""


class RankIndex(WorkIndex):
    """Chooses the best blob of every picture, and says which picture is better than which."""

    def rank(
        self, quality: Float32Array, keep: Sequence[SortKey], source: str
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Rank of each numbered picture, int32 (n,), each of 0 to n - 1 once, 0 for the best; which are accompanied.

        quality: float32 (n,). keep: sort keys, the first one counts first; blobs that are equal in all of them are
        taken by key. source: the prefix that a copy's path leaves out. A picture ranks as the best of its blobs, which
        is its blob from now on. Keys of different types sort as SQLite has it: numbers before texts.
        """
        names = [f"k{number}" for number in range(len(keep))]
        with self._transaction() as connection:
            connection.execute("DELETE FROM chosen")
            connection.execute("DROP TABLE IF EXISTS copies")
            connection.execute(f"CREATE TABLE copies ({', '.join(['blob INTEGER PRIMARY KEY', 'idx', *names])})")
        insert = f"INSERT INTO copies VALUES (?, ?{', ?' * len(keep)})"
        accompanied = np.zeros(len(quality), np.bool_)
        for _, rows in chunks(self._pages(_COPIES, -1)):
            beside = self._accompanied([row[2] for row in rows])
            accompanied[[row[1] for row, has in zip(rows, beside, strict=True) if has]] = True
            made = [
                (blob, idx, *_keys(keep, quality, source, idx, *values, has))
                for (blob, idx, *values), has in zip(rows, beside, strict=True)
            ]
            with self._transaction() as connection:
                connection.executemany(insert, made)
        with self._transaction() as connection:
            connection.execute(_CHOOSE.format(keys=", ".join(f"c.{name}" for name in names) or "NULL"))
            connection.execute("DROP TABLE copies")
        return self._ranks(len(quality)), accompanied

    def _accompanied(self, keys: Sequence[str]) -> list[bool]:
        """Whether a companion of each picture is listed."""
        stems = [stems_of(key) for key in keys]
        asked = {stem for pair in stems for stem in pair}
        question = f"SELECT stem FROM companions WHERE stem IN (?{', ?' * (len(asked) - 1)})"
        found = {stem for (stem,) in self._ask(question, asked)}
        return [not found.isdisjoint(pair) for pair in stems]

    def _ranks(self, count: int) -> NDArray[np.int32]:
        places = np.empty(count, np.int64)
        question = "SELECT idx, place FROM chosen WHERE idx > ?1 ORDER BY idx LIMIT ?2"
        for start, rows in chunks(self._pages(question, -1)):
            places[start : start + len(rows)] = [place for _, place in rows]
        ranks = np.empty(count, np.int32)
        ranks[np.argsort(places)] = np.arange(count, dtype=np.int32)
        return ranks


def chunks(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Lists of at most PAGE rows with the place of the first one."""
    start = 0
    chunk: list[tuple[Any, ...]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == PAGE:
            yield start, chunk
            start, chunk = start + PAGE, []
    if chunk:
        yield start, chunk


def _keys(
    keep: Sequence[SortKey], quality: Float32Array, source: str, idx: int, key: str, *facts: int
) -> list[int | float | str]:
    size, modified_ns, width, height, metadata, damaged, accompanied = facts
    copy = Copy(
        path=key[len(source) :],
        size=size,
        modified_ns=modified_ns,
        width=width,
        height=height,
        quality=float(quality[idx]),
        metadata=metadata,
        damaged=bool(damaged),
        accompanied=bool(accompanied),
    )
    return [sort_key(copy) for sort_key in keep]
