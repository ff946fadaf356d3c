"""What matching, publishing and the report ask: pictures by number, decisions in order, failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modules.errors import StateError
from modules.records import BlobInfo, Decision, Failure, Float32Array, Kind, LookLevel, Pictures, UInt8Array
from modules.state.ranking import RankIndex, SortKey, chunks
from modules.state.scratch import PAGE

# A blob is either numbered (its bytes are a picture with every family) or has a reason; never both, never neither.
_NUMBER = """
INSERT INTO numbered (idx, picture, key)
SELECT row_number() OVER (ORDER BY key) - 1, picture, key
FROM (SELECT picture, min(key) AS key FROM outcomes WHERE reason IS NULL GROUP BY picture)
"""

_PICTURES = """
SELECT n.idx, p.sha, f.width, f.height, f.size, f.sharpness, f.exposure, f.contrast, f.noise, f.compression,
    f.content, f.texture, f.steepness, f.saved, f.earlier, f.chroma, f.described, f.damaged, f.indexed,
    (f.taken <> '') + (f.camera <> '') + f.gps, f.phash
FROM numbered n JOIN pictures p ON p.id = n.picture JOIN facts f ON f.picture = n.picture
WHERE n.idx > ?1 ORDER BY n.idx LIMIT ?2
"""

# Equal bytes: any blob that was read shows the picture; the first one by its name.
_BLOB = """
SELECT b.key, b.size, b.etag FROM numbered n JOIN outcomes b ON b.picture = n.picture
WHERE n.idx = ? AND b.reason IS NULL ORDER BY b.claimed, b.key LIMIT 1
"""

_GROUPS = """
INSERT INTO groups (keeper, number, size, best)
SELECT s.keeper, row_number() OVER (ORDER BY k.key), s.size, k.id
FROM (
    SELECT g.keeper, count(*) AS size
    FROM outcomes b JOIN numbered n ON n.picture = b.picture JOIN grouping g ON g.idx = n.idx
    WHERE b.reason IS NULL GROUP BY g.keeper) s
JOIN chosen c ON c.idx = s.keeper
JOIN blobs k ON k.id = c.blob
"""

_ORDER = """
INSERT INTO ordered (blob, idx, best)
SELECT b.id, n.idx, b.id = s.best
FROM outcomes b
JOIN numbered n ON n.picture = b.picture
JOIN grouping g ON g.idx = n.idx
JOIN groups s ON s.keeper = g.keeper
WHERE b.reason IS NULL ORDER BY s.number, b.id <> s.best, b.key
"""

_DECISION_FIELDS = tuple(field.name for field in fields(Decision))

_DECISIONS = f"""
SELECT o.place, b.key, b.etag, b.size, b.md5, p.sha, s.number, s.size, o.best,
    CASE WHEN NOT o.best THEN w.key END,
    CASE WHEN NOT o.best THEN CASE WHEN o.idx = g.keeper THEN {Kind.EXACT.value} ELSE g.kind END END,
    b.claimed OR w.claimed, CASE WHEN o.idx = g.keeper THEN 1.0 ELSE g.similarity END,
    CASE WHEN o.idx = g.keeper THEN 1.0 ELSE g.confidence END,
    f.width, f.height, f.format, g.quality, f.sharpness, f.exposure, f.contrast, f.noise, f.compression,
    f.dominant_colours, f.palette, f.taken, f.camera, f.gps, f.damaged,
    f.hsv_histogram
FROM ordered o
JOIN blobs b ON b.id = o.blob
JOIN pictures p ON p.id = b.picture
JOIN facts f ON f.picture = b.picture
JOIN grouping g ON g.idx = o.idx
JOIN groups s ON s.keeper = g.keeper
JOIN blobs w ON w.id = s.best
WHERE o.place > ?1 ORDER BY o.place LIMIT ?2
"""

_FAILURES = "SELECT key, size, reason FROM outcomes WHERE key > ?1 AND reason IS NOT NULL ORDER BY key LIMIT ?2"

_MEASURES = ("sharpness", "exposure", "contrast", "noise", "compression", "content")
_TRAITS = ("texture", "steepness", "saved", "earlier", "chroma", "described")
_FACTS_DTYPE = np.dtype(
    [(name, np.int64) for name in ("width", "height", "size")]
    + [(name, np.float32) for name in (*_MEASURES, *_TRAITS)]
    + [("damaged", np.bool_), ("indexed", np.bool_), ("told", np.float32), ("phash", np.int64)]
)


class Score(Protocol):
    """modules.quality.score.score: one number from 0 to 100 per picture."""

    def __call__(
        self,
        width: NDArray[np.int32],
        height: NDArray[np.int32],
        *,
        sharpness: Float32Array,
        exposure: Float32Array,
        contrast: Float32Array,
        noise: Float32Array,
        compression: Float32Array,
        content: Float32Array,
    ) -> Float32Array:
        """All arrays (n,)."""


class ScratchIndex(RankIndex):
    """The whole index: first listing and catalogue, then work, then pictures, groups and decisions."""

    _sorted_shas: NDArray[np.bytes_] | None = None
    _sorted_numbers: NDArray[np.int32] | None = None

    def number_pictures(self, families: frozenset[str]) -> int:
        """Number the distinct pictures of the listing from 0 by their first key; returns how many.

        Comes after streaming; may be repeated. Raises StateError when a blob has neither a picture with every one of
        ``families`` nor a reason why not: then a stage has lost it.
        """
        if count := self.pending(families):
            raise StateError(f"{count} pictures were left without a result; run again")
        with self._transaction() as connection:
            for table in ("numbered", "chosen", "grouping", "groups", "ordered"):
                connection.execute(f"DELETE FROM {table}")
            connection.execute(_NUMBER)
        self._sorted_shas = self._sorted_numbers = None
        return self.numbered()

    def numbered(self) -> int:
        """Distinct pictures, as numbered last."""
        return int(self._one("SELECT count(*) FROM numbered"))

    def pictures(self, score: Score, keep: Sequence[SortKey], source: str) -> Pictures:
        """The numbered pictures as columns: 115 bytes of memory each, and 24 more while they are read.

        keep, source: as in :meth:`rank`, which this does too.
        """
        count = self.numbered()
        shas = np.empty((count, 32), np.uint8)
        facts = np.empty(count, _FACTS_DTYPE)
        for start, rows in chunks(self._pages(_PICTURES, -1)):
            stop = start + len(rows)
            shas[start:stop] = np.frombuffer(b"".join(row[1] for row in rows), np.uint8).reshape(-1, 32)
            facts[start:stop] = np.array([row[2:] for row in rows], _FACTS_DTYPE)
        width, height = facts["width"].astype(np.int32), facts["height"].astype(np.int32)
        columns = {name: np.ascontiguousarray(facts[name]) for name in _FACTS_DTYPE.names or ()}
        del facts
        measured = {name: columns.pop(name) for name in _MEASURES}
        quality = score(width, height, **measured)
        del measured["contrast"]
        rank, accompanied = self.rank(quality, keep, source)
        hashes = columns["phash"].view(np.uint64)
        traits = {name: columns[name] for name in (*_TRAITS, "damaged", "indexed", "told")}
        return Pictures(
            shas,
            width,
            height,
            columns["size"],
            quality,
            **measured,
            **traits,
            accompanied=accompanied,
            phash=hashes,
            rank=rank,
        )

    def indices(self, shas: UInt8Array) -> NDArray[np.int32]:
        """Numbers of pictures by SHA-256, uint8 (k, 32) to int32 (k,); -1 for bytes that are none of this run's."""
        known, numbers = self._lookup()
        if not len(known) or not len(shas):
            return np.full(len(shas), -1, np.int32)
        wanted = np.ascontiguousarray(shas).view("S32").reshape(-1)
        places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[places] == wanted, numbers[places], np.int32(-1))

    def blobs_of(self, numbers: NDArray[np.int32]) -> list[BlobInfo]:
        """The first blob of each of these pictures, (k,), of those that were read."""
        found = []
        for number in numbers.tolist():
            ((key, size, etag),) = self._ask(_BLOB, (number,))
            found.append(BlobInfo(key, size, etag))
        return found

    def set_grouping(self, keeper: NDArray[np.int32], verdict: NDArray[np.void], quality: Float32Array) -> None:
        """Keep the groups: per picture its keeper (itself for a keeper), the verdict of (picture, keeper), its quality.

        Comes after :meth:`pictures`, which chooses the blob of each. Similarity of a duplicate is the share of it that
        the keeper shows, times the agreement of that share.
        """
        similarity = np.minimum(verdict["agreement"] * verdict["cover_a"], np.float32(1))
        # What rests on vectors alone was never looked at.
        confidence = verdict["confidence"].astype(object)
        confidence[verdict["looked"] == LookLevel.NONE] = None
        columns = (np.arange(len(keeper)), keeper, verdict["kind"], similarity, confidence, quality)
        with self._transaction() as connection:
            for table in ("grouping", "groups", "ordered"):
                connection.execute(f"DELETE FROM {table}")
            for start in range(0, len(keeper), PAGE):
                rows = zip(*(column[start : start + PAGE].tolist() for column in columns), strict=True)
                connection.executemany("INSERT INTO grouping VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.execute(_GROUPS)
            connection.execute(_ORDER)

    def decisions(self) -> Iterator[Decision]:
        """Every blob that is a picture, by group, the best one first, then by key.

        Groups are numbered from 1 in the order of their best blobs' keys. The best blob is the one of the keeper's that
        the keep policies chose; other blobs of the keeper's bytes are exact duplicates of it.
        """
        for row in self._pages(_DECISIONS, 0):
            yield _decision(row[1:])

    def failures(self) -> Iterator[Failure]:
        """Every blob that is none, by key: archived, not fetched in this attempt, or not decodable."""
        for row in self._pages(_FAILURES, ""):
            yield Failure(*row)

    def failed(self) -> int:
        """How many :meth:`failures` there are."""
        return int(self._one("SELECT count(*) FROM outcomes WHERE reason IS NOT NULL"))

    def _lookup(self) -> tuple[NDArray[np.bytes_], NDArray[np.int32]]:
        """SHA-256 sums sorted, (n,) S32, and their pictures' numbers: 36 bytes a picture.

        NumPy ignores trailing zero bytes of an S string when it compares; between strings of one length that is exact.
        """
        with self._lock:
            if self._sorted_shas is None or self._sorted_numbers is None:
                shas = np.empty(self.numbered(), "S32")
                question = "SELECT n.idx, p.sha FROM numbered n JOIN pictures p ON p.id = n.picture"
                pages = self._pages(f"{question} WHERE n.idx > ?1 ORDER BY n.idx LIMIT ?2", -1)
                for start, rows in chunks(pages):
                    shas[start : start + len(rows)] = [row[1] for row in rows]
                order = np.argsort(shas, kind="stable")
                self._sorted_shas, self._sorted_numbers = shas[order], order.astype(np.int32)
            return self._sorted_shas, self._sorted_numbers


def _decision(row: tuple[Any, ...]) -> Decision:
    """A row of _DECISIONS: Decision's fields in order, as SQLite has them."""
    values = dict(zip(_DECISION_FIELDS, row, strict=True))
    relation = values["relation"]
    values["relation"] = None if relation is None else Kind(relation)
    return Decision(**values | {name: bool(values[name]) for name in ("best", "claimed", "gps", "damaged")})
