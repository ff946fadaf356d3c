"""Verdicts of this and earlier runs by pair of pictures, on the local disk; rebuilt from shards at every start."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.records import VERDICT_DTYPE

#: Pairs of one query; bounds the memory of a look-up.
CHUNK = 10_000


class VerdictCache:
    """Pairs are rows (i, j) of Pictures with i < j; the verdict kept is the one of (lower SHA-256, higher SHA-256).

    The order of pictures changes when files come and go, that of their SHA-256 never does.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16000;"
            "CREATE TABLE verdict(pair INTEGER PRIMARY KEY, record BLOB NOT NULL);"
            "CREATE TEMP TABLE asked(n INTEGER PRIMARY KEY, pair INTEGER NOT NULL);"
        )

    def add(self, pairs: NDArray[np.int32], verdicts: NDArray[Any]) -> None:
        """Remember canonical verdicts, (m,), of pairs, (m, 2)."""
        records = (record.tobytes() for record in verdicts)
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT OR IGNORE INTO verdict VALUES (?, ?)", zip(_keys(pairs).tolist(), records, strict=True)
            )

    def look_up(self, pairs: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Which pairs, (m, 2), are known, bool (m,), and their canonical verdicts, (m,) (zeros where unknown)."""
        known = np.zeros(len(pairs), np.bool_)
        verdicts = np.zeros(len(pairs), VERDICT_DTYPE)
        for start in range(0, len(pairs), CHUNK):
            keys = _keys(pairs[start : start + CHUNK]).tolist()
            self._db.execute("BEGIN")
            self._db.execute("DELETE FROM asked")
            self._db.executemany("INSERT INTO asked VALUES (?, ?)", enumerate(keys, start))
            self._db.execute("COMMIT")
            for n, record in self._db.execute("SELECT n, record FROM asked JOIN verdict USING (pair)"):
                known[n] = True
                verdicts[n] = np.frombuffer(record, VERDICT_DTYPE)[0]
        return known, verdicts

    def close(self) -> None:
        """Close the database; its file goes with the scratch folder."""
        self._db.close()


def _keys(pairs: NDArray[np.int32]) -> NDArray[np.int64]:
    wide = pairs.astype(np.int64)
    return (wide[:, 0] << 32) | wide[:, 1]
