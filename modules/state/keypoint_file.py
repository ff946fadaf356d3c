"""A flat scratch file of keypoints, so that verifying processes read just the two pictures that they compare."""

from __future__ import annotations

import functools
import os
import struct
import weakref
from collections.abc import Callable, Iterable
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modules.errors import StateError
from modules.records import Keypoints, UInt8Array
from modules.state.schemas import KEYPOINTS, keypoints_of, shas_of

_COLUMNS = KEYPOINTS.names[1:]
_HEADER = struct.Struct(f"<{len(_COLUMNS)}I")  # bytes of each column, which follow in this order
_ABSENT = -1


class KeypointFile:
    """Keypoints by picture number, readable from any thread and process; pickles as its path and a number.

    The offsets (8 bytes a picture) lie beside it and are mapped into memory, one copy for all processes. A grown file
    equals the one that it grew from: what was read of that one is as good.
    """

    def __init__(self, path: Path, grown: int = 0) -> None:
        """``path``: as given to :meth:`build`; grown: how often it did."""
        self._path = path
        self._grown = grown

    @classmethod
    def build(
        cls,
        path: Path,
        tables: Iterable[pa.Table],
        indices: Callable[[UInt8Array], NDArray[np.int32]],
        wanted: NDArray[np.bool_],
    ) -> KeypointFile:
        """Write the keypoints of the ``wanted`` (bool (n,), by number) out of all ``tables`` of the family.

        path: a file that does not exist yet. indices: SHA-256 sums uint8 (k, 32) to numbers int32 (k,), -1 for unknown
        ones. Memory: one table and 8 bytes a picture. Raises StateError when a wanted picture has none.
        """
        path.touch(exist_ok=False)
        return cls(path)._write(tables, indices, wanted, np.full(len(wanted), _ABSENT, np.int64))

    def grow(
        self,
        tables: Iterable[pa.Table],
        indices: Callable[[UInt8Array], NDArray[np.int32]],
        wanted: NDArray[np.bool_],
    ) -> KeypointFile:
        """The same with those of the ``wanted`` that it lacks, as :meth:`build` takes them; this one stays readable."""
        larger = type(self)(self._path, self._grown + 1)
        return larger._write(tables, indices, wanted, np.load(_offsets_path(self._path, self._grown)))

    def _write(
        self,
        tables: Iterable[pa.Table],
        indices: Callable[[UInt8Array], NDArray[np.int32]],
        wanted: NDArray[np.bool_],
        offsets: NDArray[np.int64],
    ) -> KeypointFile:
        with self._path.open("ab") as file:
            for table in tables:
                numbers = indices(shas_of(table))
                columns = [table.column(name) for name in _COLUMNS]
                for row in np.flatnonzero(numbers >= 0):
                    i = numbers[row]
                    if wanted[i] and offsets[i] == _ABSENT:
                        offsets[i] = file.tell()
                        values = [column[int(row)].as_py() for column in columns]
                        file.write(_HEADER.pack(*map(len, values)) + b"".join(values))
        if lost := int(np.count_nonzero(wanted & (offsets == _ABSENT))):
            raise StateError(f"the keypoints of {lost} pictures are missing from the state; run again")
        np.save(_offsets_path(self._path, self._grown), offsets)
        return self

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, KeypointFile) and self._path == other._path

    def __hash__(self) -> int:
        return hash(self._path)

    def read(self, i: int) -> Keypoints:
        """Keypoints of picture ``i``. Raises KeyError when it was not wanted."""
        return _reader(self._path, self._grown).read(i)


class _Reader:
    def __init__(self, path: Path, grown: int) -> None:
        self._offsets = np.load(_offsets_path(path, grown), mmap_mode="r")
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, i: int) -> Keypoints:
        offset = int(self._offsets[i])
        if offset == _ABSENT:
            raise KeyError(i)
        lengths = _HEADER.unpack(os.pread(self._descriptor, _HEADER.size, offset))
        data = os.pread(self._descriptor, sum(lengths), offset + _HEADER.size)
        ends = list(accumulate(lengths, initial=0))
        return keypoints_of(*(data[start:end] for start, end in pairwise(ends)))


@functools.lru_cache(maxsize=8)
def _reader(path: Path, grown: int) -> _Reader:
    """One open file per process and path: a handle comes anew with every task."""
    return _Reader(path, grown)


def _offsets_path(path: Path, grown: int) -> Path:
    return path.with_name(f"{path.name}.offsets-{grown}.npy")
