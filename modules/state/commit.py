"""Committing processed rows, and reading the committed state back at a start.

Order is what makes a kill at any moment harmless: vectors, keypoints, facts, and the catalogue last. A catalogue row
therefore means that everything it names exists. A kill before it leaves shards whose rows are computed once more; of
two rows for one SHA-256 the first counts, and both say the same.

Which SHA-256 has which family must be known at every start, but keypoints (5 to 25 kB a row) and vectors are too
large to be read for that, and a store has no partial reads. So a catalogue row names the families that were
committed with it, and shards of one commit share the stem of their names: a family named by a row counts if a shard
of that family with the row's stem is listed. That costs no request beyond listing the family, cannot run ahead of
the data, and when a damaged shard is deleted its rows are missed and computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from modules.features.base import fingerprint
from modules.features.codes import VERSION as CODES_VERSION
from modules.features.codes import codes
from modules.records import Processed
from modules.state.index import ScratchIndex
from modules.state.schemas import (
    CatalogueRow,
    catalogue_table,
    codes_table,
    facts_table,
    keypoints_table,
    vectors_table,
)
from modules.state.shards import ShardName, ShardWriter, list_shards, read_family, read_shards
from modules.state.work_index import WorkIndex
from modules.store_thread import StoreThread

CATALOGUE_FAMILY = "catalogue"

_CLAIM_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Families:
    """Names of a run's shard families. vectors: by extractor name."""

    facts: str
    keypoints: str
    vectors: Mapping[str, str]

    @classmethod
    def of(cls, facts_fingerprint: str, keypoints_fingerprint: str, extractors: Mapping[str, str]) -> Families:
        """``extractors``: family and fingerprint, as in ``perceptual/0f…``, by extractor name."""
        return cls(
            f"facts/{facts_fingerprint}",
            f"keypoints/{keypoints_fingerprint}",
            {name: f"vectors/{family}" for name, family in extractors.items()},
        )

    @property
    def codes(self) -> str:
        """Binary codes of the keypoints, small enough to be read of all pictures at once."""
        return f"codes/{fingerprint('codes', CODES_VERSION, self.keypoints)}"

    @property
    def all(self) -> frozenset[str]:
        """Every one of them, as WorkItem.families and the index speak of them."""
        return frozenset((self.facts, self.keypoints, self.codes, *self.vectors.values()))


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit wrote, for :func:`add_commit`: CATALOGUE and FACTS rows, and the families that got a shard."""

    catalogue: pa.Table
    facts: pa.Table | None
    families: frozenset[str]


def commit_rows(
    writer: ShardWriter, families: Families, part: int, rows: Sequence[Processed], decoder_version: str
) -> Commit:
    """Commit processed rows of a listing part; families without a row get no shard.

    A failure that is not permanent is left out: it is for ScratchIndex.set_unfetched. Raises what
    :meth:`ShardWriter.write` raises; nothing counts as committed then.
    """
    rows = [row for row in rows if row.permanent or row.failure is None]
    tables = _tables(families, rows)
    stem = writer.stem(part)
    named: dict[bytes, list[str]] = {}
    for family, (shas, table) in tables.items():
        writer.write(family, part, table, stem=stem)
        for sha in shas:
            named.setdefault(sha, []).append(family)
    catalogue = catalogue_table(_catalogue_row(row, named, decoder_version) for row in rows)
    if rows:
        writer.write(CATALOGUE_FAMILY, part, catalogue, stem=stem)
    return Commit(catalogue, tables[families.facts][1] if families.facts in tables else None, frozenset(tables))


def add_commit(index: ScratchIndex, families: Families, commit: Commit) -> None:
    """Tell the index what a commit wrote."""
    if commit.facts is not None:
        index.add_facts(families.facts, commit.facts)
    index.add_catalogue(commit.catalogue, commit.families)


def commit_claims(writer: ShardWriter, index: ScratchIndex, part: int = 0) -> int:
    """Commit a catalogue row for every blob that is claimed equal to a known one, tell the index; how many."""
    count = 0
    rows: list[CatalogueRow] = []
    for row in index.claims():
        rows.append(row)
        if len(rows) == _CLAIM_ROWS:
            count += _commit_claims(writer, index, part, rows)
            rows = []
    return count + (_commit_claims(writer, index, part, rows) if rows else 0)


def load_index(index: ScratchIndex, thread: StoreThread, state_prefix: str, families: Families) -> None:
    """Add all committed facts and catalogue shards to an index that holds the listing.

    Reads no vectors and no keypoints. Raises StateError for a damaged shard.
    """
    load_catalogue(index, thread, state_prefix, families.all - {families.facts})
    for table in read_family(thread, state_prefix, families.facts):
        index.add_facts(families.facts, table)


def load_catalogue(index: WorkIndex, thread: StoreThread, state_prefix: str, families: frozenset[str]) -> int:
    """Add all committed catalogue shards to an index that holds the listing; how many there are.

    families: those of which a row is believed that names them, if their shard is there; they are not read. Raises
    StateError for a damaged shard.
    """
    # The catalogue is listed first: what a row of it names was written before, so it is in the later listings.
    catalogue = list_shards(thread, state_prefix, CATALOGUE_FAMILY)
    stems = {family: set(map(_stem, list_shards(thread, state_prefix, family))) for family in families}
    for key, table in read_shards(thread, catalogue):
        stem = _stem(key)
        index.add_catalogue(table, [family for family in families if stem in stems[family]])
    return len(catalogue)


def _tables(families: Families, rows: Sequence[Processed]) -> dict[str, tuple[list[bytes], pa.Table]]:
    """SHA-256 sums and table by family, in the order of writing; of equal bytes the first row."""
    first: dict[bytes, Processed] = {}
    for row in rows:
        if row.sha is not None and (row.analysis is not None or row.vectors):
            first.setdefault(row.sha, row)
    tables: dict[str, tuple[list[bytes], pa.Table]] = {}
    for name, family in families.vectors.items():
        vectors = [(sha, row.vectors[name]) for sha, row in first.items() if name in row.vectors]
        if vectors:
            shas = [sha for sha, _ in vectors]
            tables[family] = shas, vectors_table(shas, np.stack([vector for _, vector in vectors]))
    analysed = [(sha, row.analysis) for sha, row in first.items() if row.analysis is not None]
    keypoints = [(sha, analysis.keypoints) for sha, analysis in analysed if analysis.keypoints is not None]
    if keypoints:
        shas = [sha for sha, _ in keypoints]
        tables[families.keypoints] = shas, keypoints_table(keypoints)
        tables[families.codes] = shas, codes_table((sha, codes(one)) for sha, one in keypoints)
    facts = [(sha, analysis.facts) for sha, analysis in analysed if analysis.facts is not None]
    if facts:
        tables[families.facts] = [sha for sha, _ in facts], facts_table(facts)
    return tables


def _catalogue_row(row: Processed, named: Mapping[bytes, Sequence[str]], decoder_version: str) -> CatalogueRow:
    blob = row.item.blob
    families = named.get(row.sha, ()) if row.sha is not None else ()
    return CatalogueRow(blob.key, blob.validator, row.sha, row.failure, decoder_version, families=tuple(families))


def _commit_claims(writer: ShardWriter, index: ScratchIndex, part: int, rows: Iterable[CatalogueRow]) -> int:
    table = catalogue_table(rows)
    writer.write(CATALOGUE_FAMILY, part, table)
    index.add_catalogue(table, ())
    return len(table)


def _stem(key: str) -> str:
    name = ShardName.of(key)
    assert name is not None, key  # list_shards yields nothing else
    return name.stem
