"""Pictures that share local detail, by votes of their keypoints' binary codes: these survive crops, turns and frames.

Distances are whole numbers and every picture's votes are counted apart: threads change nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.features.codes import CODE_BYTES, MAX_CODES, mirror_codes
from modules.matching.ledger import Found, best_partners
from modules.matching.votes import Votes, count
from modules.records import Float32Array, UInt8Array

#: Codes in an inverted list, but in large sets at most so many lists for each root of the number of codes.
_LIST_CODES, _ROOTS = 256, 4
#: Codes that one question may look at: what all pictures show is in one list.
_MAX_CODES = 50_000
#: A vote weaker than this is chance.
_LEAST_VOTE = 0.15
#: Where the last answer is no farther than the first of these bits, a code is too common to count; from the second on
#: it counts in full.
_COMMON, _RARE = 20, 32
#: Bits beyond which a code is another one for certain, and up to which it is the same; questions all of whose answers
#: are the same code, from which on a picture has more copies than could answer.
_FAR, _NEAR, _MANY = 44, 16, 4
_BATCH = 256
_SEED = 20_240_501

Rows = NDArray[np.int32]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LocalCodes:
    """Rows of :func:`modules.features.codes.codes` of all pictures.

    codes: uint8 (n, MAX_CODES, 20), an array or a memory map. counts: uint8 (n,), how many of them a picture has.
    """

    codes: UInt8Array
    counts: UInt8Array

    def of(self, rows: Rows, most: int = MAX_CODES) -> tuple[UInt8Array, Int64Array]:
        """The first codes of some pictures, uint8 (k, 20), and for each its picture's place in ``rows`` (k,)."""
        there = np.arange(most) < self.counts[rows][:, None]
        return self.codes[rows, :most][there], np.nonzero(there)[0]


@dataclass(frozen=True, slots=True)
class Poll:
    """How votes are taken.

    asking, mirrored: codes of a picture that ask, as they are and mirrored; all of its codes answer. answers: codes
    that answer one question. probes: inverted lists that it looks into. least: votes that make a partner; a code at no
    distance gives one. partners: of a picture, at most.
    """

    asking: int = 48
    mirrored: int = 24
    answers: int = 16
    probes: int = 12
    least: float = 0.5
    partners: int = 6


def local_neighbours(local: LocalCodes, sizes: Rows, rows: Rows, asking: Rows, poll: Poll) -> Iterator[Found]:
    """Partners of pictures by detail in common that lies alike in both, in pieces.

    sizes: (width, height) of all pictures, (n, 2). rows: those that answer, ascending. asking: those of them that ask.
    A code votes for the owners of its nearest codes, the more the farther the last of these is beyond them: what is
    common to many pictures (a logo, a frame) has them all at one distance and gives no votes. Memory: some 36 bytes
    a code beside the codes.
    """
    if len(rows) < 2 or not len(asking):
        return
    import faiss  # noqa: PLC0415 - the processes that verify pairs import this package and need no FAISS

    with _index(local, rows, poll) as index:
        ballot = _Ballot(index, local, _frames(sizes), rows, poll)
        pieces = [asking[start : start + _BATCH] for start in range(0, len(asking), _BATCH)]
        # One thread a piece, counting included; FAISS itself would leave the counting to one.
        with ThreadPoolExecutor(
            faiss.omp_get_max_threads(), initializer=faiss.omp_set_num_threads, initargs=(1,)
        ) as pool:
            yield from pool.map(ballot, pieces)


@contextlib.contextmanager
def _index(local: LocalCodes, rows: Rows, poll: Poll) -> Iterator[Any]:
    """FAISS's inverted lists of binary codes, around codes drawn at random; ids: MAX_CODES * place in rows + number."""
    import faiss  # noqa: PLC0415 - as above

    codes = int(local.counts[rows].sum(dtype=np.int64))
    quantiser = faiss.IndexBinaryFlat(8 * CODE_BYTES)
    quantiser.add(_drawn(local, rows, max(1, min(codes // _LIST_CODES, _ROOTS * math.isqrt(codes)))))
    index = faiss.IndexBinaryIVF(quantiser, 8 * CODE_BYTES, quantiser.ntotal)
    index.is_trained = True
    index.nprobe = min(poll.probes, quantiser.ntotal)
    index.max_codes = _MAX_CODES
    for start in range(0, len(rows), _BATCH):
        batch, places = local.of(rows[start : start + _BATCH])
        if len(batch):
            number = np.arange(len(batch)) - np.searchsorted(places, places)
            index.add_with_ids(_bits(batch), MAX_CODES * (places + start) + number)
    yield index
    del quantiser  # FAISS does not hold it, so it must live until here


def _drawn(local: LocalCodes, rows: Rows, wanted: int) -> UInt8Array:
    """Codes that lists are made around, uint8 (wanted or fewer, 16), each once."""
    rng = np.random.default_rng(_SEED)
    textured = rows[local.counts[rows] > 0]
    if not len(textured):
        return np.zeros((1, CODE_BYTES), np.uint8)
    pictures = np.resize(rng.permutation(textured), wanted)
    numbers = rng.integers(0, 2**31, wanted) % local.counts[pictures]
    return np.unique(local.codes[pictures, numbers, :CODE_BYTES], axis=0)


@dataclass(frozen=True, slots=True)
class _Ballot:
    """Everything that a piece of the asking pictures needs. frames: float32 (n, 2), as :func:`_frames` makes them."""

    index: Any
    local: LocalCodes
    frames: Float32Array
    rows: Rows
    poll: Poll

    def __call__(self, asking: Rows) -> Found:
        bits, asked, own = self._questions(asking)
        if not len(bits):
            return Found(asking[:0], asking[:0], asking, np.zeros(len(asking), np.bool_))
        # The own code is among the answers; it takes one place and gives votes to nobody else.
        distances, ids = self.index.search(bits, min(self.poll.answers + 1, self.index.ntotal))
        full = asked[distances[:, -1] <= _NEAR] // 2
        crowded = np.bincount(full, minlength=len(asking)) >= _MANY
        pairs, weight = count(self._votes(asking, asked, own, distances, ids))
        left, right = np.divmod(pairs, len(self.frames))
        good = weight >= self.poll.least
        left, right, weight = left[good] // 2, right[good].astype(np.int32), weight[good]
        best, cut = best_partners(left, right, weight, self.poll.partners)
        crowded[cut] = True
        return Found(asking[left[best]], right[best], asking, crowded)

    def _questions(self, asking: Rows) -> tuple[UInt8Array, Int64Array, Float32Array]:
        """Codes that ask, uint8 (q, 16), for whom, 2 * place in ``asking`` + mirrored (q,), and their places (q, 4).

        As it is and mirrored are two questions: a picture is one or the other, and their votes do not add up.
        """
        plain, places = self.local.of(asking, self.poll.asking)
        turned, turned_places = self.local.of(asking, self.poll.mirrored)
        frames = self.frames[asking]
        mirrored = _mirrored(_framed(turned, frames[turned_places]), frames[turned_places, 0])
        return (
            np.concatenate([_bits(plain), mirror_codes(_bits(turned))]),
            np.concatenate([2 * places, 2 * turned_places + 1]),
            np.concatenate([_framed(plain, frames[places]), mirrored]),
        )

    def _votes(self, asking: Rows, asked: Int64Array, own: Float32Array, distances: Rows, ids: Int64Array) -> Votes:
        """Of all answers (q, k); a vote is for (who asked, row of the other one)."""
        last = np.minimum(distances[:, -1:], _FAR).astype(np.float32)
        # The nearer the last one, the more pictures have this code.
        rare = np.clip((last - _COMMON) / (_RARE - _COMMON), 0, 1)
        weights = (rare * (last - distances) / np.maximum(last, 1)).astype(np.float32)
        question, answer = np.nonzero((weights >= _LEAST_VOTE) & (ids >= 0))
        owner, number = np.divmod(ids[question, answer], MAX_CODES)
        foreign = self.rows[owner] != asking[asked[question] // 2]
        question, answer, other, number = question[foreign], answer[foreign], self.rows[owner[foreign]], number[foreign]
        return Votes(
            np.asarray(asked[question] * len(self.frames) + other, np.int64),
            weights[question, answer],
            own[question],
            _framed(self.local.codes[other, number], self.frames[other]),
        )


def _bits(codes: UInt8Array) -> UInt8Array:
    return np.ascontiguousarray(codes[:, :CODE_BYTES])


def _frames(sizes: Rows) -> Float32Array:
    """Width and height of all pictures with the long side 1, float32 (n, 2)."""
    return np.asarray(sizes / np.maximum(sizes.max(axis=1, keepdims=True), 1), np.float32)


def _framed(codes: UInt8Array, frames: Float32Array) -> Float32Array:
    """Places (k, 4), as votes have them, of codes (k, 20) in pictures of such frames (k, 2)."""
    places = codes[:, CODE_BYTES:].astype(np.float32)
    places[:, :2] *= frames
    return places


def _mirrored(places: Float32Array, width: Float32Array) -> Float32Array:
    """Places in pictures that are mirrored left to right."""
    mirrored = places.copy()
    mirrored[:, 0] = 255 * width - places[:, 0]
    mirrored[:, 3] = (128 - places[:, 3]) % 256
    return mirrored
