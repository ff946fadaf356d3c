"""The story of one picture: bytes → header check → decoded working picture → facts, keypoints, extractor inputs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cv2

from modules.features import decode, formats, keypoints
from modules.features.base import Extractor, fingerprint
from modules.features.decode import Decoded
from modules.features.hashes import phash
from modules.hardware import PICTURE_MEMORY, keep_freed_memory
from modules.quality import colour, measures
from modules.quality.compression import compression
from modules.records import Analysis, Facts, Keypoints

#: Raised by hand when a column of facts changes its meaning.
FACTS_VERSION = 2
#: A failure is only believed by the decoder that had it: a newer library may read what an older one did not.
DECODER_VERSION = f"{decode.VERSION}-{formats.LIBRARIES}"
FACTS_FINGERPRINT = fingerprint("facts", FACTS_VERSION, decode.VERSION)
KEYPOINTS_FINGERPRINT = fingerprint("keypoints", keypoints.VERSION, decode.VERSION)


def init_worker() -> None:
    """Make this process a decode worker: one thread each, because there are as many workers as cores.

    Clearing the pages of every picture's decoded pixels anew would cost a fifth of the time of looking at it.
    """
    import sklearn.cluster  # noqa: F401, PLC0415 - loads its thread pools, so that the limit below reaches them
    import threadpoolctl  # noqa: PLC0415 - only decode workers need it

    # What Pillow logs of broken files comes as an exception too, and that one reaches failed.csv.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    cv2.setNumThreads(1)
    keep_freed_memory(PICTURE_MEMORY)
    threadpoolctl.threadpool_limits(limits=1)


@dataclass(frozen=True, slots=True)
class Analyser:
    """Everything that decode workers do to a picture. Picklable, and knows nothing of processes.

    max_pixels: a picture with more is refused by its header.
    """

    extractors: tuple[Extractor, ...]
    max_pixels: int

    def analyse(self, data: bytes, *, facts: bool, keypoints: bool, extractors: frozenset[str]) -> Analysis:
        """Decode once and compute just what is asked; ``extractors`` names those whose inputs are wanted.

        Raises PictureError, its text one line, for bytes that cannot be used as a picture.
        """
        decoded = decode.decode(data, self.max_pixels)
        return Analysis(
            facts=measure(decoded, len(data)) if facts else None,
            keypoints=find_keypoints(decoded) if keypoints else None,
            pixels={e.name: e.prepare(decoded.rgb) for e in self.extractors if e.name in extractors},
        )


def measure(decoded: Decoded, size: int) -> Facts:
    """Facts of a decoded picture whose file has ``size`` bytes."""
    header, rgb = decoded.header, decoded.rgb
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    sigma = measures.noise_level(grey)
    palette = colour.palette(rgb)
    return Facts(
        width=header.width,
        height=header.height,
        format=header.format,
        size=size,
        sharpness=measures.sharpness(grey, decoded.native, header.width * header.height, sigma),
        exposure=measures.exposure(grey),
        contrast=measures.contrast(rgb),
        noise=measures.noise(sigma),
        compression=compression(header, decoded.native),
        texture=measures.texture(grey),
        dominant_colours=len(palette) // 4,
        palette=palette,
        phash=phash(grey),
        hsv_histogram=colour.hsv_histogram(rgb),
        taken=decoded.metadata.taken,
        camera=decoded.metadata.camera,
        gps=decoded.metadata.gps,
    )


def find_keypoints(decoded: Decoded) -> Keypoints:
    """Keypoints and thumbnail of a decoded picture."""
    return keypoints.keypoints(decoded.rgb)
