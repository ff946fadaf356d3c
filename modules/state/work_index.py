"""What the streaming phase asks: which blobs are work, what their bytes lack, which are claimed equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modules.records import BlobInfo, WorkItem
from modules.state.schemas import FACTS, LISTING, CatalogueRow, catalogue_rows
from modules.state.scratch import Scratch

_LISTED = attrgetter(*LISTING.names)

_ADD_PICTURE = """
INSERT INTO pictures (sha, have, failure) VALUES (?1, ?2, ?3) ON CONFLICT (sha) DO UPDATE
SET have = have | excluded.have, failure = coalesce(failure, excluded.failure)
"""

# A proven SHA-256 beats a claimed one, whichever row comes first.
_ADD_OUTCOME = """
UPDATE blobs SET
    picture = CASE WHEN picture IS NOT NULL AND claimed < ?4 THEN picture
              ELSE coalesce((SELECT id FROM pictures WHERE sha = ?3), picture) END,
    failure = coalesce(failure, ?5),
    claimed = CASE WHEN known THEN min(claimed, ?4) ELSE ?4 END,
    known = 1
WHERE key = ?1 AND etag || ':' || size = ?2
"""

_ADD_FACTS = f"""
INSERT OR IGNORE INTO facts SELECT id, {", ".join(f"?{n}" for n in range(2, len(FACTS) + 1))}
FROM pictures WHERE sha = ?1
"""

# New bytes: no outcome yet. ?2 = exact pass: leave it to a blob of equal size and MD5 that has one, or comes first.
# Known bytes that lack a family: one blob of those bytes is enough, the first that can be read.
_WORK = """
SELECT b.key, b.size, b.etag, b.md5, b.content_type, b.have
FROM outcomes b
WHERE b.id BETWEEN ?1 << 32 AND (?1 << 32) | 0xFFFFFFFF AND b.reason IS NULL
AND CASE WHEN b.picture IS NULL THEN
    NOT ?2 OR b.md5 IS NULL OR NOT (
        EXISTS (SELECT 1 FROM blobs o WHERE o.md5 = b.md5 AND o.size = b.size AND o.known = 1)
        OR EXISTS (SELECT 1 FROM blobs o WHERE o.md5 = b.md5 AND o.size = b.size AND o.known = 0
                   AND o.id < b.id AND o.archived = 0 AND o.unfetched IS NULL))
ELSE
    b.have & ?3 <> ?3 AND (NOT ?2 OR NOT EXISTS (
        SELECT 1 FROM blobs o WHERE o.picture = b.picture AND o.id < b.id AND o.archived = 0 AND o.unfetched IS NULL
        AND o.failure IS NULL))
END
ORDER BY b.key
"""

_CLAIMS = """
SELECT b.key, b.etag || ':' || b.size, p.sha, coalesce(o.failure, p.failure)
FROM blobs b
JOIN blobs o ON o.id = (
    SELECT e.id FROM blobs e WHERE e.md5 = b.md5 AND e.size = b.size AND e.known = 1 LIMIT 1)
LEFT JOIN pictures p ON p.id = o.picture
WHERE b.key > ?1 AND b.known = 0 AND b.md5 IS NOT NULL AND b.archived = 0 AND b.unfetched IS NULL
ORDER BY b.key LIMIT ?2
"""


class WorkIndex(Scratch):
    """The listing, the catalogue and who has which families. Every method may be called from any thread."""

    def __init__(self, path: Path, decoder_version: str) -> None:
        """``path``: a file that does not exist yet. Failures of another ``decoder_version`` do not count."""
        super().__init__(path)
        self._decoder = decoder_version
        self._bits: dict[str, int] = {}

    def add_listing(self, part: int, blobs: Iterable[BlobInfo]) -> None:
        """Add one listing part, whole, in the store's order. All parts come before any catalogue table.

        A key that an earlier part holds counts once. Raises StateError for a name that is not valid UTF-8.
        """
        first = part << 32
        rows = ((first + n, *_LISTED(blob)) for n, blob in enumerate(blobs))
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT INTO blobs (id, {', '.join(LISTING.names)})"
                f" VALUES (?{', ?' * len(LISTING)}) ON CONFLICT (key) DO NOTHING",
                rows,
            )

    def add_companions(self, stems: Iterable[str]) -> None:
        """Add what the names of a listing part's companions share with their pictures', in any order."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO companions VALUES (?)", ((stem,) for stem in stems))

    def add_catalogue(self, table: pa.Table, committed: Iterable[str]) -> None:
        """Add CATALOGUE rows, in any order and more than once.

        ``committed``: the families whose shard of the same commit is present; a row's own list of families counts
        only as far as these go, so a shard that was taken away is computed again. Rows of blobs or versions that are
        not listed only tell what is known of their bytes.
        """
        present = frozenset(committed)
        rows = [r for r in catalogue_rows(table) if r.failure is None or r.decoder == self._decoder]
        masks = {names: self._mask(present.intersection(names)) for names in {r.families for r in rows}}
        with self._transaction() as connection:
            connection.executemany(
                _ADD_PICTURE,
                ((r.sha, masks[r.families], r.failure) for r in rows if r.sha is not None),
            )
            connection.executemany(
                _ADD_OUTCOME,
                ((r.key, r.validator, r.sha, r.claimed, None if r.sha is not None else r.failure) for r in rows),
            )

    def add_facts(self, family: str, table: pa.Table) -> None:
        """Add FACTS rows; of one SHA-256 the first counts."""
        columns = [_plain(table.column(name)) for name in FACTS.names]
        self.add_keys(family, columns[0])
        with self._transaction() as connection:
            connection.executemany(_ADD_FACTS, zip(*columns, strict=True))

    def add_keys(self, family: str, shas: Iterable[bytes]) -> None:
        """Note that ``family`` has a row for each of these SHA-256 sums."""
        mask = self._mask([family])
        with self._transaction() as connection:
            connection.executemany(_ADD_PICTURE, ((sha, mask, None) for sha in shas))

    def listed(self) -> int:
        """Blobs of the listing."""
        return int(self._one("SELECT count(*) FROM blobs"))

    def parts(self) -> list[int]:
        """Listing parts that hold a blob, in order."""
        return [part for (part,) in self._ask("SELECT DISTINCT id >> 32 FROM blobs ORDER BY 1")]

    def work(self, part: int, families: frozenset[str], *, exact_pass: bool = True) -> Iterator[WorkItem]:
        """Blobs of a part to download, by key, with the families that their bytes lack (all, for unknown bytes).

        Left out: archived blobs, those that could not be fetched in this attempt, cached failures, and, in the exact
        pass, all but the first in the listing of those with equal size and Content-MD5, and all but the first of
        known bytes. When everything of that pass is through and :meth:`claims` are committed, what ``exact_pass=False``
        still yields is each blob whose first one could not be fetched. The answer is fixed when the first item is
        taken.
        """
        self._index()
        mask = self._mask(families)
        rows = self._ask(_WORK, (part, exact_pass, mask))
        lacking = {have: self._lacking(have or 0, families) for have in {row[-1] for row in rows}}
        for key, size, etag, md5, content_type, have in rows:
            yield WorkItem(part, BlobInfo(key, size, etag, md5, content_type), lacking[have])

    def pending(self, families: frozenset[str]) -> int:
        """Blobs without an outcome: work of either pass, and those that wait for a claimed-equal one.

        Also makes the indices that :meth:`work` needs: there it would hold up the event loop, for a minute and more
        where the listing is long.
        """
        self._index()
        question = "SELECT count(*) FROM outcomes WHERE reason IS NULL AND (picture IS NULL OR have & ?1 <> ?1)"
        return int(self._one(question, (self._mask(families),)))

    def missing(self, sha: bytes, families: frozenset[str]) -> frozenset[str]:
        """Those of ``families`` that have no committed row for these bytes; all for unknown ones."""
        have = self._one("SELECT have FROM pictures WHERE sha = ?", (sha,))
        return self._lacking(have or 0, families)

    def failure_of(self, sha: bytes) -> str | None:
        """Why these bytes make no picture, when this decoder version has found that before."""
        reason: str | None = self._one("SELECT failure FROM pictures WHERE sha = ?", (sha,))
        return reason

    def claims(self) -> Iterator[CatalogueRow]:
        """Catalogue rows for blobs without one whose size and Content-MD5 equal those of a blob that has one.

        By key. The caller commits them and adds them here, while it iterates or afterwards.
        """
        self._index()
        for key, validator, sha, failure in self._pages(_CLAIMS, ""):
            yield CatalogueRow(key, validator, sha, failure, self._decoder, claimed=True)

    def set_unfetched(self, key: str, reason: str) -> None:
        """Note that a blob could not be read in this attempt (network, changed, vanished); kept in no state."""
        with self._transaction() as connection:
            connection.execute("UPDATE blobs SET unfetched = ? WHERE key = ?", (reason, key))

    def _mask(self, families: Iterable[str]) -> int:
        """Bits of families; SQLite's numbers have room for 63."""
        with self._lock:
            return sum(1 << self._bits.setdefault(family, len(self._bits)) for family in families)

    def _lacking(self, have: int, families: frozenset[str]) -> frozenset[str]:
        return frozenset(family for family in families if not have & self._mask([family]))


def _plain(column: Any) -> list[Any]:
    """A column as what SQLite stores: unsigned 64 bit numbers as signed ones of the same bits."""
    if pa.types.is_uint64(column.type):
        signed: list[Any] = column.to_numpy().view(np.int64).tolist()
        return signed
    plain: list[Any] = column.to_pylist()
    return plain
