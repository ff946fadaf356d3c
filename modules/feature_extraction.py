"""The story of one picture: bytes → header check → decoded working picture → facts, keypoints, extractor inputs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cv2
import numpy as np

from modules.features import decode, formats, keypoints
from modules.features.base import Extractor, fingerprint
from modules.features.borders import inner
from modules.features.decode import Decoded
from modules.features.hashes import phash
from modules.features.perceptual import Perceptual
from modules.hardware import PICTURE_MEMORY, keep_freed_memory
from modules.quality import colour, measures
from modules.quality.compression import compression
from modules.records import Analysis, Effort, Facts, Keypoints, UInt8Array

#: Raised by hand when a column of facts changes its meaning.
FACTS_VERSION = 4
#: Side of the part of a picture at its own size that a fast run looks at, pixels.
_QUARTER = 256
#: A failure is only believed by the decoder that had it: a newer library may read what an older one did not.
DECODER_VERSION = f"{decode.VERSION}-{formats.LIBRARIES}"


def facts_fingerprint(effort: Effort) -> str:
    """Of the facts that today's code measures with this effort."""
    return fingerprint("facts", FACTS_VERSION, decode.VERSION, effort == "fast")


def keypoints_fingerprint(effort: Effort) -> str:
    """Of the keypoints, thumbnails and codes that today's code finds with this effort."""
    return fingerprint("keypoints", keypoints.VERSION, decode.VERSION, effort)


def init_worker() -> None:
    """Make this process a decode worker: one thread each, because there are as many workers as cores.

    Clearing the pages of every picture's decoded pixels anew would cost a fifth of the time of looking at it.
    """
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

    def analyse(self, data: bytes, *, facts: bool, keypoints: bool, extractors: frozenset[str]) -> Analysis:
        """Decode once and compute just what is asked; ``extractors`` names those whose inputs are wanted.

        Raises PictureError, its text one line, for bytes that cannot be used as a picture.
        """
        decoded = decode.decode(data, self.max_pixels)
        small = decode.shrink(decoded.rgb, decode.SMALL_SIDE)  # once, for all that is looked at in it
        return Analysis(
            facts=measure(decoded, small, len(data), self.effort) if facts else None,
            keypoints=find_keypoints(decoded.rgb, small, self.effort) if keypoints else None,
            pixels={
                extractor.name: extractor.prepare(small if isinstance(extractor, Perceptual) else decoded.rgb)
                for extractor in self.extractors
                if extractor.name in extractors
            },
        )


def measure(decoded: Decoded, small: UInt8Array, size: int, effort: Effort) -> Facts:
    """Facts of a decoded picture whose file has ``size`` bytes. small: the same made smaller, RGB uint8 (h, w, 3).

    A fast run looks at a quarter of the native part, and for noise and borders at that or the small picture alone.
    """
    header = decoded.header
    grey = _grey(decoded.rgb)
    native, small_grey = decoded.native, _grey(small)
    fast = effort == "fast"
    if fast and native is not None:
        native = _middle(native)
    sigma = measures.noise_level(native if fast and native is not None else grey)
    square = colour.square(small)
    palette = colour.palette(square)
    inside = inner(small_grey)  # a border is no contrast of the picture's
    whole = small[inside].shape == small.shape
    grey_square = _grey(square)
    return Facts(
        width=header.width,
        height=header.height,
        format=header.format,
        size=size,
        sharpness=measures.sharpness(grey, native, header.width * header.height, sigma),
        exposure=measures.exposure(small_grey[inside]),
        contrast=measures.contrast(square if whole else small[inside]),
        noise=measures.noise(sigma),
        compression=compression(header, native),
        content=measures.content(small_grey if fast else grey),
        texture=measures.texture(grey_square),
        dominant_colours=len(palette) // 4,
        palette=palette,
        phash=phash(grey_square),
        hsv_histogram=colour.hsv_histogram(square),
        taken=decoded.metadata.taken,
        camera=decoded.metadata.camera,
        gps=decoded.metadata.gps,
    )


def find_keypoints(rgb: UInt8Array, small: UInt8Array, effort: Effort) -> Keypoints:
    """Keypoints and thumbnail of a working picture, RGB uint8 (h, w, 3); small: the same made smaller."""
    return keypoints.keypoints(rgb if effort == "thorough" else small, effort)


def _middle(native: UInt8Array) -> UInt8Array:
    """The middle of a native part, sides at most _QUARTER, on the same grid of 8 x 8 blocks."""
    top, left = (max(0, side - _QUARTER) // 16 * 8 for side in native.shape)
    return np.ascontiguousarray(native[top : top + _QUARTER, left : left + _QUARTER])


def _grey(rgb: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
