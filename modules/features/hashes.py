"""Perceptual hashes: short bit strings whose Hamming distance tells how alike two pictures are."""

from __future__ import annotations

import cv2
import numpy as np

from modules.records import UInt8Array


def phash(grey: UInt8Array) -> int:
    """64 bit DCT hash of a grey picture, uint8 (h, w).

    The picture is brought to 32 x 32; the bits tell which of the 8 x 8 lowest frequencies, those constant
    along an axis (and so the mean) left out, lie above their median; the lowest vertical frequency gives the
    highest bits. Source: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions",
    2010 (pHash's DCT hash).
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    # Rounded, so that a flat picture's noise of the last float digits cannot turn bits.
    low = np.rint(cv2.dct(small)[1:9, 1:9] * 16).ravel()
    ordered = np.sort(low)  # np.median takes five times as long
    bits = np.packbits(2 * low > ordered[31] + ordered[32])
    return int.from_bytes(bits.tobytes(), "big")
