"""The state's format: the Arrow schema of every family, and records to tables and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modules.errors import StateError
from modules.records import VERDICT_DTYPE, BlobInfo, Facts, Float32Array, Keypoints, UInt8Array

_SHA = pa.binary(32)


def _column_type(kind: np.dtype[Any]) -> pa.DataType:
    """Of a field of a record: a number, or an array of numbers as a list of fixed size."""
    base = pa.from_numpy_dtype(kind.base)
    return base if kind.subdtype is None else pa.list_(base, int(np.prod(kind.shape)))


CATALOGUE = pa.schema(
    [
        ("key", pa.string()),
        ("validator", pa.string()),
        ("sha", _SHA),
        ("failure", pa.string()),
        ("decoder", pa.string()),
        ("claimed", pa.bool_()),
        ("families", pa.list_(pa.string())),
    ]
)
FACTS = pa.schema(
    [
        ("sha", _SHA),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("size", pa.int64()),
        ("sharpness", pa.float32()),
        ("exposure", pa.float32()),
        ("contrast", pa.float32()),
        ("noise", pa.float32()),
        ("compression", pa.float32()),
        ("content", pa.float32()),
        ("texture", pa.float32()),
        ("steepness", pa.float32()),
        ("saved", pa.float32()),
        ("earlier", pa.float32()),
        ("chroma", pa.float32()),
        ("described", pa.float32()),
        ("dominant_colours", pa.int32()),
        ("palette", pa.binary()),
        ("phash", pa.uint64()),
        ("hsv_histogram", pa.binary(128)),
        ("taken", pa.string()),
        ("camera", pa.string()),
        ("gps", pa.bool_()),
        ("damaged", pa.bool_()),
        ("indexed", pa.bool_()),
    ]
)
KEYPOINTS = pa.schema(
    [("sha", _SHA)] + [(name, pa.binary()) for name in ("points", "descriptors", "thumb", "alpha", "frames")]
)
CODES = pa.schema([("sha", _SHA), ("codes", pa.binary())])
VERDICTS = pa.schema(
    [("sha_a", _SHA), ("sha_b", _SHA)]
    + [(name, _column_type(VERDICT_DTYPE[name])) for name in VERDICT_DTYPE.names or ()]
)
LISTING = pa.schema(
    [
        ("key", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("md5", pa.binary()),
        ("content_type", pa.string()),
        ("archived", pa.bool_()),
        ("modified_ns", pa.int64()),
    ]
)
JOURNAL = pa.schema(
    [
        ("target", pa.string()),
        ("source", pa.string()),
        ("source_etag", pa.string()),
        ("target_etag", pa.string()),
        ("removed", pa.bool_()),
        ("sha", _SHA),
    ]
)


def vectors_schema(dim: int) -> pa.Schema:
    """Vectors of one extractor: float16, ``dim`` numbers each."""
    return pa.schema([("sha", _SHA), ("vector", pa.list_(pa.float16(), dim))])


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """What is known of one version of a blob.

    sha: SHA-256 of its bytes (32), None when a failure came before them. failure: why no picture came of it, by the
    decoder of that version. claimed: taken from a blob of equal size and Content-MD5, not read. families: names of
    the shard families that got this SHA-256's row in the same commit.
    """

    key: str
    validator: str
    sha: bytes | None
    failure: str | None
    decoder: str
    claimed: bool = False
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One act of publishing.

    target_etag: None for an intent. removed: the target is ours no more. sha: of its bytes.
    """

    target: str
    source: str
    source_etag: str
    target_etag: str | None
    removed: bool = False
    sha: bytes | None = None


def to_table(schema: pa.Schema, rows: Iterable[Sequence[Any]]) -> pa.Table:
    """Rows of plain values, in the schema's order, as a table. StateError for text that is not valid UTF-8."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def catalogue_table(rows: Iterable[CatalogueRow]) -> pa.Table:
    """CATALOGUE."""
    return to_table(
        CATALOGUE,
        ((r.key, r.validator, r.sha, r.failure, r.decoder, r.claimed, r.families) for r in rows),
    )


def catalogue_rows(table: pa.Table) -> Iterator[CatalogueRow]:
    """The inverse of :func:`catalogue_table`."""
    for key, validator, sha, failure, decoder, claimed, families in _rows(table, CATALOGUE):
        yield CatalogueRow(key, validator, sha, failure, decoder, claimed, tuple(families))


def facts_table(rows: Iterable[tuple[bytes, Facts]]) -> pa.Table:
    """FACTS of (sha, facts) pairs."""
    names = [field.name for field in fields(Facts)]
    return to_table(FACTS, ((sha, *(getattr(facts, name) for name in names)) for sha, facts in rows))


def keypoints_table(rows: Iterable[tuple[bytes, Keypoints]]) -> pa.Table:
    """KEYPOINTS of (sha, keypoints) pairs; points as little-endian uint16."""
    return to_table(
        KEYPOINTS,
        (
            (sha, k.points.astype("<u2").tobytes(), k.descriptors.tobytes(), k.thumb, k.alpha, k.frames)
            for sha, k in rows
        ),
    )


def codes_table(rows: Iterable[tuple[bytes, UInt8Array]]) -> pa.Table:
    """CODES of (sha, codes uint8 (n, 20)) pairs."""
    return to_table(CODES, ((sha, codes.tobytes()) for sha, codes in rows))


def keypoints_of(points: bytes, descriptors: bytes, thumb: bytes, alpha: bytes, frames: bytes) -> Keypoints:
    """Keypoints of their stored bytes."""
    return Keypoints(
        np.frombuffer(points, "<u2").astype(np.uint16).reshape(-1, 4),
        np.frombuffer(descriptors, np.uint8).reshape(-1, 128),
        thumb,
        alpha,
        frames,
    )


def vectors_table(shas: Sequence[bytes], vectors: Float32Array) -> pa.Table:
    """Vectors float32 (n, dim), stored as float16, of n SHA-256 sums."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float16).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.Table.from_arrays([pa.array(shas, _SHA), column], schema=vectors_schema(vectors.shape[1]))


def vectors_of(table: pa.Table) -> tuple[UInt8Array, NDArray[np.float16]]:
    """SHA-256 sums uint8 (n, 32) and vectors float16 (n, dim) of a vectors table."""
    column = table.column("vector").combine_chunks()
    vectors: NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
    return shas_of(table), vectors.reshape(-1, column.type.list_size)


def verdicts_table(sha_a: UInt8Array, sha_b: UInt8Array, verdicts: NDArray[np.void]) -> pa.Table:
    """VERDICTS of pairs: SHA-256 sums uint8 (m, 32) each, verdicts VERDICT_DTYPE (m,), as verified from a to b."""
    columns = [_sha_array(sha_a), _sha_array(sha_b)]
    for name in VERDICT_DTYPE.names or ():
        values = np.ascontiguousarray(verdicts[name])
        flat = pa.array(values.reshape(-1))
        columns.append(
            pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:]))) if values.ndim > 1 else flat
        )
    return pa.Table.from_arrays(columns, schema=VERDICTS)


def verdicts_of(table: pa.Table) -> tuple[UInt8Array, UInt8Array, NDArray[np.void]]:
    """The inverse of :func:`verdicts_table`."""
    verdicts = np.zeros(len(table), VERDICT_DTYPE)
    for name in VERDICT_DTYPE.names or ():
        column = table.column(name).combine_chunks()
        if VERDICT_DTYPE[name].subdtype is not None:
            column = column.flatten()
        verdicts[name] = column.to_numpy(zero_copy_only=False).reshape(verdicts[name].shape)
    return shas_of(table, "sha_a"), shas_of(table, "sha_b"), verdicts


def listing_table(blobs: Iterable[BlobInfo]) -> pa.Table:
    """LISTING."""
    return to_table(LISTING, map(attrgetter(*LISTING.names), blobs))


def listing_rows(table: pa.Table) -> list[BlobInfo]:
    """The inverse of :func:`listing_table`."""
    return [BlobInfo(*values) for values in _rows(table, LISTING)]


def journal_table(rows: Iterable[JournalRow]) -> pa.Table:
    """JOURNAL."""
    return to_table(JOURNAL, (astuple(row) for row in rows))


def journal_rows(table: pa.Table) -> Iterator[JournalRow]:
    """The inverse of :func:`journal_table`."""
    return (JournalRow(*values) for values in _rows(table, JOURNAL))


def shas_of(table: pa.Table, column: str = "sha") -> UInt8Array:
    """A column of SHA-256 sums without nulls as uint8 (n, 32)."""
    array = table.column(column).combine_chunks()
    joined = b"".join(array.to_pylist())
    return np.frombuffer(joined, np.uint8).reshape(-1, 32)


def _sha_array(shas: UInt8Array) -> pa.Array:
    data = np.ascontiguousarray(shas, dtype=np.uint8).tobytes()
    return pa.Array.from_buffers(_SHA, len(shas), [None, pa.py_buffer(data)])


def _rows(table: pa.Table, schema: pa.Schema) -> Iterator[tuple[Any, ...]]:
    return zip(*(table.column(name).to_pylist() for name in schema.names), strict=True)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError as error:
        raise StateError(f"the name {error.object!r} is not valid UTF-8 and cannot be kept in the state") from error
