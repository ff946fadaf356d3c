"""Small typed records that pass between the stages. This file imports nothing of the project."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: How much work is done of a picture and of a pair: less than usual, as usual, more.
Effort = Literal["fast", "balanced", "thorough"]
#: How sure a match must be: see Grade.
Strictness = Literal["lenient", "normal", "strict"]
UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One blob of a listing.

    key: the store's own name of it (``container/name`` or an absolute path). etag: normalised, without quotes.
    size: bytes. md5: the Content-MD5 that the listing claims, None where it has none. archived: in the archive
    tier, so it cannot be read. modified_ns: when it was changed last, nanoseconds since 1970 in UTC, 0 if unknown.
    """

    key: str
    size: int
    etag: str
    md5: bytes | None = None
    content_type: str | None = None
    archived: bool = False
    modified_ns: int = 0

    @property
    def validator(self) -> str:
        """What tells this version of the blob from any other one under the same key."""
        return f"{self.etag}:{self.size}"


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a listing; ``marker`` continues behind it and is None on the last one."""

    blobs: list[BlobInfo]
    marker: str | None


@dataclass(frozen=True, slots=True)
class Content:
    """A blob's bytes and the ETag of the version that they belong to."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A blob to look at, with the listing part that it belongs to and the families that its bytes may lack.

    families: names of shard families to compute; empty means that only the bytes' SHA-256 is wanted so far.
    """

    part: int
    blob: BlobInfo
    families: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A downloaded picture: its bytes and their SHA-256 (32 bytes)."""

    item: WorkItem
    sha: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What is measured of a decoded picture, as a person sees it (orientation applied).

    width, height: pixels. sharpness, exposure, contrast, noise, compression: 0 (bad) to 1 (good). content: share of the
    picture that is not plain border, 0 to 1. texture: share of the tiles of the working picture that carry texture, 0
    to 1. steepness: logarithm of the strength of its edges, 0 to about 4. saved: like compression, by what the file
    itself says. earlier: by the traces of a stronger one than the file's own, 1 where there are none. chroma: linear
    resolution of its colours beside that of its light: 1 where it shows, else 0.5 or what its file keeps. described:
    share of the kinds of metadata that its file has. dominant_colours: count. palette: those colours, most first, four
    bytes each: R, G, B and round(255 * share). phash: 64 bit DCT hash. hsv_histogram: 128 bytes, 8 hue x 4 saturation x
    4 value bins, uint8 = round(255 * sqrt(share)). taken: when, by its EXIF data (``2024-05-01 12:00:00``, local time
    of the camera), camera: make and model, both empty where it does not say. gps: it says where. damaged: some of a
    JPEG's pixels were lost. indexed: its file keeps a palette of at most 256 colours.
    """

    width: int
    height: int
    format: str
    size: int
    sharpness: float
    exposure: float
    contrast: float
    noise: float
    compression: float
    content: float
    texture: float
    steepness: float
    saved: float
    earlier: float
    chroma: float
    described: float
    dominant_colours: int
    palette: bytes
    phash: int
    hsv_histogram: bytes
    taken: str
    camera: str
    gps: bool
    damaged: bool
    indexed: bool


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Local evidence of one picture, enough to compare it with another one without its pixels.

    points: uint16 (n, 4): x, y (0..65535 over the picture's width and height), scale, angle (0..65535 over a
    full turn). descriptors: uint8 (n, 128) root-SIFT. thumb: an encoded picture, long side at most 128 pixels. alpha:
    its opacity, an encoded grey picture of the same size, empty of an opaque one. frames: what its file holds beside
    it, packed by ``modules.features.sequences``, empty of a still picture.
    """

    points: NDArray[np.uint16]
    descriptors: UInt8Array
    thumb: bytes
    alpha: bytes = b""
    frames: bytes = b""


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that one decode yields. pixels: per extractor, the small uint8 (h, w, c) input that it asked for."""

    facts: Facts | None
    keypoints: Keypoints | None
    pixels: dict[str, UInt8Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Processed:
    """A picture that left the process stage: its analysis, or the reason why there is none.

    failure: the reason for failed.csv; analysis is None then, and also when the bytes were known already.
    permanent: a failure of these bytes (cached), not of this attempt (tried again on the next start).
    vectors: per extractor, float32 (d,), filled by the device stage.
    """

    item: WorkItem
    sha: bytes | None
    analysis: Analysis | None
    failure: str | None = None
    permanent: bool = True
    vectors: dict[str, Float32Array] = field(default_factory=dict)


class Kind(enum.IntEnum):
    """How two pictures relate; the numbers are part of the state's format."""

    NONE = 0
    COPY = 1
    PART = 2
    EMBEDDED = 3
    RELATED = 4
    EXACT = 5
    SCENE = 6
    COLLAGE = 7


class Grade(enum.IntEnum):
    """The strictest demand that a verdict meets; the numbers are part of the state's format."""

    NONE = 0
    LENIENT = 1
    NORMAL = 2
    STRICT = 3

    @classmethod
    def of(cls, strictness: Strictness) -> Grade:
        """The least grade that counts."""
        return cls[strictness.upper()]


class Method(enum.IntEnum):
    """How one picture was laid on another one; the numbers are part of the state's format."""

    NONE = 0
    KEYPOINTS = 1
    PATCHES = 2
    COVERED = 3
    PIECES = 4
    BOARD = 5
    PLAIN = 6


class LookLevel(enum.IntEnum):
    """How closely a pair was looked at; numbers of the state's format."""

    NONE = 0
    THUMBNAILS = 1
    PICTURES = 2


class Margin(enum.IntEnum):
    """What of a picture lies beyond what another one shows of it; the numbers are part of the state's format."""

    NONE = 0
    PICTURE = 1
    PLAIN = 2
    BORDER = 3
    GROUND = 4


#: One verdict on a pair (a, b). cover_a: share of a that b shows; cover_b: share of b that a shows, both 0 to 1.
#: scale: pixels of b (as stored) for one pixel of a. turn: degrees that a is turned to lie on b. agreement: share
#: of the textured tiles of the aligned overlap that agree. inliers: matched places that do. grade: a Grade.
#: What parts them on their common ground, measured unless they are only related: area_a, area_b: like cover_a, cover_b,
#: plain borders and all. margin_a, margin_b: what of each lies beyond the other, a Margin. light, colour: median
#: difference of Y and of Cr or Cb, levels. grey_a, grey_b: it has lost the colour that the other one has. bend: percent
#: by which lengths along the sides change differently. drawn_a, drawn_b: thousandths of the overlap drawn over on each.
#: transform: the frame of a to that of b (see matching.geometry), row by row, all 0 where there is none. method: how it
#: was found. looked: a LookLevel; confidence: probability of one picture; box_a, box_b: of what disagrees, in shares.
VERDICT_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("kind", np.uint8),
        ("cover_a", np.float32),
        ("cover_b", np.float32),
        ("scale", np.float32),
        ("mirrored", np.bool_),
        ("turn", np.float32),
        ("agreement", np.float32),
        ("inliers", np.uint16),
        ("grade", np.uint8),
        ("area_a", np.float16),
        ("area_b", np.float16),
        ("margin_a", np.uint8),
        ("margin_b", np.uint8),
        ("light", np.uint8),
        ("colour", np.uint8),
        ("grey_a", np.bool_),
        ("grey_b", np.bool_),
        ("bend", np.uint8),
        ("drawn_a", np.uint8),
        ("drawn_b", np.uint8),
        ("transform", np.float32, (3, 3)),
        ("method", np.uint8),
        ("looked", np.uint8),
        ("confidence", np.float32),
        ("box_a", np.float16, (4,)),
        ("box_b", np.float16, (4,)),
    ]
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """The distinct pictures (by SHA-256) of a run as columns, ordered by the first locator of each.

    Every array has n rows. sha: uint8 (n, 32). width, height: int32 pixels. size: int64 bytes. quality: float32, 0 to
    100. sharpness, exposure, noise, compression, content, texture, steepness, saved, earlier, chroma, described:
    float32, as in :class:`Facts`. damaged, indexed: bool, as there. told: float32, how many of time, camera and place
    its EXIF data tell. accompanied: bool, a file that belongs to it lies beside one of its blobs. phash: uint64. rank:
    int32, each of 0 to n - 1 once, by the keep policies: 0 for the one to keep before all others.
    """

    sha: UInt8Array
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    size: NDArray[np.int64]
    quality: Float32Array
    sharpness: Float32Array
    exposure: Float32Array
    noise: Float32Array
    compression: Float32Array
    content: Float32Array
    texture: Float32Array
    steepness: Float32Array
    saved: Float32Array
    earlier: Float32Array
    chroma: Float32Array
    described: Float32Array
    damaged: NDArray[np.bool_]
    indexed: NDArray[np.bool_]
    told: Float32Array
    accompanied: NDArray[np.bool_]
    phash: NDArray[np.uint64]
    rank: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.sha)


@dataclass(frozen=True, slots=True)
class Copy:
    """One blob among the copies of a picture: what keep policies choose by.

    path: relative to the source, with ``/``. size: bytes. modified_ns: nanoseconds since 1970 in UTC, 0 if unknown.
    width, height: pixels. quality: 0 to 100. metadata: how many of time, camera and place its EXIF data tell, 0 to 3.
    damaged: some of its pixels were lost. accompanied: a file that belongs to it lies beside it under the same base
    name: a camera's raw file, a sidecar, the film of a live photo.
    """

    path: str
    size: int
    modified_ns: int
    width: int
    height: int
    quality: float
    metadata: int
    damaged: bool = False
    accompanied: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided of one blob, and the facts that the report shows of it.

    group: 1-based, in the order of the groups' best blobs. witness: key of the kept blob that a duplicate was matched
    with, None for the best one. relation: None for the best one. claimed: it or its witness was not read: equal to one
    that was, by the listing's size and Content-MD5. similarity: 0 to 1. confidence: probability that it and its
    witness are the same, 1 for equal bytes, None where nothing was looked at. From ``width`` on: as in :class:`Facts`.
    """

    key: str
    etag: str
    size: int
    md5: bytes | None
    sha: bytes
    group: int
    group_size: int
    best: bool
    witness: str | None
    relation: Kind | None
    claimed: bool
    similarity: float
    confidence: float | None
    width: int
    height: int
    format: str
    quality: float
    sharpness: float
    exposure: float
    contrast: float
    noise: float
    compression: float
    dominant_colours: int
    palette: bytes
    taken: str
    camera: str
    gps: bool
    damaged: bool


@dataclass(frozen=True, slots=True)
class Decision(Decided):
    """As the matching hands it on, with the colours that are still to be compared: as in :class:`Facts`."""

    hsv_histogram: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """A blob that could not be used, with the reason that failed.csv shows."""

    key: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did, for the table at the end and for run.json. Counts are blobs unless named otherwise."""

    run_id: str
    epoch: int
    resumed: bool
    listed: int
    downloaded: int
    pictures: int
    groups: int
    duplicates: int
    bytes_saved: int
    failed: int
    copied: int
    removed: int
    requests: int
    seconds: float
    dry_run: bool
    output: str
    report: str
    failed_report: str | None
