"""What extractors share that look at a picture's grey levels, small, square, and rid of plain borders."""

from __future__ import annotations

import cv2
import numpy as np

from modules.features.borders import trim
from modules.features.decode import SMALL_SIDE, shrink, to_grey
from modules.records import UInt8Array


class FromTrimmed:
    """Prepares squares of ``side`` pixels."""

    side: int

    def prepare(self, rgb: UInt8Array) -> UInt8Array:
        """The working picture as grey, plain borders cut, stretched to a square: uint8 (side, side, 1).

        What is already as small as SMALL_SIDE gives the same as the picture that it was made of.
        """
        return self.prepare_trimmed(trim(to_grey(shrink(rgb, SMALL_SIDE))))

    def prepare_trimmed(self, grey: UInt8Array) -> UInt8Array:
        """The same of a picture that was made small, grey, uint8 (h, w), and rid of its borders already."""
        small = cv2.resize(np.ascontiguousarray(grey), (self.side, self.side), interpolation=cv2.INTER_AREA)
        return np.asarray(small[:, :, None], np.uint8)
