"""The story of one picture: bytes → header check → decoded working picture → facts, keypoints, extractor inputs."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace

import cv2
import numpy as np

from modules.errors import PictureError
from modules.features import decode, formats, keypoints, sequences
from modules.features.base import Extractor, fingerprint
from modules.features.borders import inner
from modules.features.decode import Decoded
from modules.features.hashes import phash
from modules.features.trimmed import FromTrimmed
from modules.hardware import PICTURE_MEMORY, keep_freed_memory
from modules.quality import colour, measures
from modules.quality.chroma import chroma
from modules.quality.compression import compression, earlier, saved
from modules.records import Analysis, Effort, Facts, Keypoints, UInt8Array

#: Raised by hand when a column of facts changes its meaning.
FACTS_VERSION = 7
#: Rows and columns, at most, of the part of a picture at its own size that a fast run looks at.
_PART = (128, 256)
#: Bytes of a picture that are kept as they are until it is looked at a second time.
LOOK_BYTES = 1 << 19
#: Niceness of processes that give way.
LEAST_PRIORITY = 19
#: A failure is only believed by the decoder that had it: a newer library may read what an older one did not.
DECODER_VERSION = f"{decode.VERSION}-{formats.LIBRARIES}"


def facts_fingerprint(effort: Effort) -> str:
    """Of the facts that today's code measures with this effort."""
    return fingerprint("facts", FACTS_VERSION, decode.VERSION, effort == "fast")


def keypoints_fingerprint(effort: Effort) -> str:
    """Of the keypoints, thumbnails and codes that today's code finds with this effort."""
    return fingerprint("keypoints", keypoints.VERSION, decode.VERSION, effort)


def init_worker(*, give_way: bool = False) -> None:
    """Make this process a decode worker: one thread each, because there are as many workers as cores.

    give_way: models run on the same cores. Clearing the pages of every picture's decoded pixels anew would cost a fifth
    of the time of looking at it.
    """
    if give_way:
        # A model's threads wait for each other at every step: one that is held up holds up all.
        os.nice(LEAST_PRIORITY)
    import threadpoolctl  # noqa: PLC0415 - only decode workers need it

    # What Pillow logs of broken files comes as an exception too, and that one reaches failed.csv.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    cv2.setNumThreads(1)
    keep_freed_memory(PICTURE_MEMORY)
    threadpoolctl.threadpool_limits(limits=1)


@dataclass(frozen=True, slots=True)
class Analyser:
    """Everything that decode workers do to a picture. Picklable, and knows nothing of processes.

    max_pixels: a picture with more is refused by its header. effort: how much is found.
    """

    extractors: tuple[Extractor, ...]
    max_pixels: int
    effort: Effort = "balanced"

    @decode.memory_errors()
    def analyse(self, data: bytes, *, facts: bool, keypoints: bool, extractors: frozenset[str]) -> Analysis:
        """Decode once and compute just what is asked; ``extractors`` names those whose inputs are wanted.

        Raises PictureError, its text one line, for bytes that cannot be used as a picture, and MemoryError.
        """
        decoded = decode.decode(data, self.max_pixels)
        small = Small.of(decoded)  # once, for all that is looked at in it
        return Analysis(
            facts=measure(decoded, small, len(data), self.effort) if facts else None,
            keypoints=self._find_keypoints(data, decoded, small) if keypoints else None,
            pixels={
                extractor.name: _input(extractor, decoded, small)
                for extractor in self.extractors
                if extractor.name in extractors
            },
        )

    def _find_keypoints(self, data: bytes, decoded: Decoded, small: Small) -> Keypoints:
        found = find_keypoints(decoded.rgb, small.rgb, self.effort)
        alpha = b"" if decoded.alpha is None else keypoints.encoded_alpha(decoded.alpha)
        frames = sequences.packed(data, decoded.ground, self.max_pixels) if decoded.several else b""
        return replace(found, alpha=alpha, frames=frames) if alpha or frames else found


def small_enough(data: bytes, max_pixels: int) -> bytes | PictureError:
    """A picture's bytes; of a large file those of its working picture, as a PNG: the same pixels when it is decoded.

    What cannot be decoded is returned as the reason: it was decoded once, so this is no failure of the picture.
    """
    if len(data) <= LOOK_BYTES:
        return data
    try:
        rgb = decode.decode(data, max_pixels).rgb
    except PictureError as error:
        return error
    return bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])


@dataclass(frozen=True, slots=True)
class Small:
    """A picture made smaller. rgb: uint8 (h, w, 3), long side at most SMALL_SIDE. grey: uint8 (h, w), the same.

    inside: its rows and columns that are no plain border.
    """

    rgb: UInt8Array
    grey: UInt8Array
    inside: tuple[slice, slice]

    @classmethod
    def of(cls, decoded: Decoded) -> Small:
        """A decoded picture made smaller."""
        rgb = decode.shrink(decoded.rgb, decode.SMALL_SIDE)
        grey = decode.to_grey(rgb)
        return cls(rgb, grey, inner(grey))


def _input(extractor: Extractor, decoded: Decoded, small: Small) -> UInt8Array:
    if isinstance(extractor, FromTrimmed):
        return extractor.prepare_trimmed(small.grey[small.inside])
    return extractor.prepare(decoded.rgb)


def measure(decoded: Decoded, small: Small, size: int, effort: Effort) -> Facts:
    """Facts of a decoded picture whose file has ``size`` bytes.

    A fast run looks at less of the native part and of the working picture, for noise and borders at that or the
    small picture alone, and believes what the file says of its colours.
    """
    header = decoded.header
    grey, native, inside = decoded.grey, decoded.native, small.inside
    pixels, fast = header.width * header.height, effort == "fast"
    if fast and native is not None:
        native = _middle(native)
    sigma = measures.noise_level(native if fast and native is not None else grey)
    square = colour.square(small.rgb)
    palette = colour.palette(square)
    content = small.rgb[inside]  # a border is no contrast of the picture's
    grey_square = decode.to_grey(square)
    traces = earlier(header, native)
    steep = measures.steepness(_heart(grey) if fast else grey, sigma, max(grey.shape))
    return Facts(
        width=header.width,
        height=header.height,
        format=header.format,
        size=size,
        sharpness=measures.sharpness(steep, native, pixels, sigma),
        exposure=measures.exposure(small.grey[inside]),
        contrast=measures.contrast(square if content.shape == small.rgb.shape else content),
        noise=measures.noise(sigma),
        compression=compression(header, native, traces),
        content=measures.content(small.grey, inside) if fast else measures.content(grey),
        texture=measures.texture(grey_square),
        steepness=steep,
        saved=saved(header),
        earlier=traces,
        chroma=chroma(header.chroma, decoded.colour if header.lossless or not fast else None),
        described=header.described,
        dominant_colours=len(palette) // 4,
        palette=palette,
        phash=phash(grey_square),
        hsv_histogram=colour.hsv_histogram(square),
        taken=decoded.metadata.taken,
        camera=decoded.metadata.camera,
        gps=decoded.metadata.gps,
        damaged=header.damaged,
        indexed=header.palette,
    )


def find_keypoints(rgb: UInt8Array, small: UInt8Array, effort: Effort) -> Keypoints:
    """Keypoints and thumbnail of a working picture, RGB uint8 (h, w, 3); small: the same made smaller."""
    return keypoints.keypoints(rgb if effort == "thorough" else small, effort)


def _heart(grey: UInt8Array) -> UInt8Array:
    """The middle half of a picture, (h, w), along both sides."""
    top, left = (side // 4 for side in grey.shape)
    return grey[top : grey.shape[0] - top, left : grey.shape[1] - left]


def _middle(native: UInt8Array) -> UInt8Array:
    """The middle of a native part, at most _PART, on the same grid of 8 x 8 blocks."""
    rows, columns = (
        slice(max(0, side - most) // 16 * 8, max(0, side - most) // 16 * 8 + most)
        for side, most in zip(native.shape, _PART, strict=True)
    )
    return np.ascontiguousarray(native[rows, columns])
