"""What is compared of one picture: its keypoints as numbers and its thumbnail as pixels, read once for many pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from modules.errors import ImgsieveError
from modules.features import sequences
from modules.features.borders import inner
from modules.features.sequences import Frames
from modules.matching.board import Board, board_of
from modules.matching.likeness import coarse_of
from modules.records import Float32Array, Keypoints, UInt8Array

FRAME = 512.0
#: Long side of the pictures whose differences are told: drawing shows there, noise and compression do not.
SMALL = 64

Size = tuple[int, int]
#: left, top, right and bottom in pixels, the last two exclusive.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One picture, ready to be laid on others.

    size: (width, height) of the stored picture, pixels. places: float32 (n, 2), x and y of its keypoints in frame
    units. descriptors: float32 (n, 128), whole numbers. norms: float32 (n,), their squared lengths. thumb: BGR
    uint8 (h, w, 3). grey: float32 (h, w), its grey levels. flatness: share of its four most frequent of 32 tones, 0 to
    1: of drawings nearly all. coarse: float32 (256,), grey levels for likeness. small: Y Cr Cb uint8 (h, w, 3), the
    thumbnail with a long side of at most SMALL. content: where the thumbnail is no plain border. tones: float32
    (3, 32), share of the thumbnail's pixels up to each of 32 levels of blue, green and red. board: of a picture without
    keypoints, for registration. alpha: uint8 (h, w), opacity of the thumbnail's pixels, None of an opaque picture.
    frames: what its file holds beside it, None of a still picture.
    """

    size: Size
    places: Float32Array
    descriptors: Float32Array
    norms: Float32Array
    thumb: UInt8Array
    grey: Float32Array
    flatness: float
    coarse: Float32Array
    small: UInt8Array
    content: Box
    tones: Float32Array
    board: Board | None = None
    alpha: UInt8Array | None = None
    frames: Frames | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it holds, but for a board's few."""
        arrays = (self.places, self.descriptors, self.norms, self.thumb, self.grey, self.coarse, self.small)
        planes = (self.frames.planes or ()) if self.frames else ()
        return sum(array.nbytes for array in arrays) + sum(plane.nbytes for plane in planes)


def frame(size: Size) -> tuple[float, float]:
    """Width and height of the frame of a picture of ``size`` (width, height) pixels: its longer side is FRAME."""
    longest = max(size)
    return FRAME * size[0] / longest, FRAME * size[1] / longest


def evidence_of(keypoints: Keypoints, size: Size) -> Evidence:
    """``keypoints`` of a picture of ``size`` (width, height) pixels, unpacked. Raises ImgsieveError for a bad thumb."""
    thumb = decode_thumb(keypoints.thumb)
    descriptors = keypoints.descriptors.astype(np.float32)
    scale = np.asarray(frame(size), dtype=np.float32) / np.float32(65535)
    levels = np.asarray(cv2.cvtColor(thumb, cv2.COLOR_BGR2GRAY), np.uint8)
    grey = levels.astype(np.float32)
    return Evidence(
        size,
        keypoints.points[:, :2].astype(np.float32) * scale,
        descriptors,
        # Whole numbers below 2^24 all the way, so that no order of summation changes a bit of it.
        np.einsum("ij,ij->i", descriptors, descriptors),
        thumb,
        grey,
        flatness(levels),
        coarse_of(grey),
        np.asarray(cv2.cvtColor(reduced(thumb, min(1.0, SMALL / max(thumb.shape[:2]))), cv2.COLOR_BGR2YCrCb), np.uint8),
        _content(levels),
        _tones(thumb),
        None if len(descriptors) else board_of(levels, frame(size)),
        sequences.decoded(keypoints.alpha) if keypoints.alpha else None,
        sequences.unpacked(keypoints.frames),
    )


def _content(grey: UInt8Array) -> Box:
    rows, columns = inner(grey, captions=True)
    return columns.start, rows.start, columns.stop, rows.stop


def flatness(grey: UInt8Array) -> float:
    """Share of the four most frequent of 32 tones of a picture, grey uint8 (h, w)."""
    tones = cv2.calcHist([grey], [0], None, [32], [0, 256]).ravel()
    return float(np.sort(tones)[-4:].sum() / grey.size)


def _tones(thumb: UInt8Array) -> Float32Array:
    counts = [cv2.calcHist([thumb], [channel], None, [32], [0, 256]).ravel() for channel in range(3)]
    return np.asarray(np.cumsum(counts, axis=1) / (thumb.size / 3), np.float32)


def reduced(picture: UInt8Array, factor: float) -> UInt8Array:
    """A picture, uint8 (h, w, 3), area-averaged to ``factor`` of its size, but to 2 pixels at least."""
    if factor == 1:
        return picture
    size = max(2, round(picture.shape[1] * factor)), max(2, round(picture.shape[0] * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def with_board(picture: Evidence) -> Evidence:
    """The same picture, ready for registration too."""
    if picture.board is not None:
        return picture
    return replace(picture, board=board_of(picture.grey.astype(np.uint8), frame(picture.size)))


def decode_thumb(thumb: bytes) -> UInt8Array:
    """A thumbnail's pixels, BGR uint8 (h, w, 3). Raises ImgsieveError when it is not a picture."""
    pixels: UInt8Array | None = cv2.imdecode(np.frombuffer(thumb, dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ImgsieveError("a cached thumbnail cannot be decoded; remove the keypoints shards to make them anew")
    return pixels
