"""Which of two copies was made smaller from the other, whatever else speaks for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.matching.ledger import Pairs
from modules.matching.relations import Verdicts
from modules.records import Kind, Pictures

#: Pixels along a side of the larger for one of the smaller from which on it has about four times as many.
_TWICE = 1.9
#: Sharpness from which on a picture was not enlarged to that: 19 of 20 photographs have .66 and more, and 19 of 20 that
#: were enlarged to twice their sides, sharpened or not and saved as JPEG, at most .56.
_NOT_ENLARGED = 0.57
#: The same of pictures without loss and any noise: enlarging what a JPEG or a scaler left shows its ripples.
_CLEAN, _LARGER = 0.9999, 1.08


def reduced(pictures: Pictures, pairs: Pairs, verdicts: Verdicts) -> NDArray[np.bool_]:
    """Which pictures, (n,), are no origins: a copy has four times their pixels, and no signs of enlargement.

    A drawing of flat tones has none where it is kept without loss and the smaller one is not.
    """
    scale = verdicts["scale"].astype(np.float64)
    a, b = pairs[:, 0], pairs[:, 1]
    small, large = np.where(scale < 1, b, a), np.where(scale < 1, a, b)
    times = np.maximum(scale, 1 / np.maximum(scale, 1e-3))
    lossless = pictures.saved >= 1
    clean = lossless[large] & ~lossless[small] & (pictures.noise[large] >= _CLEAN) & (times > _LARGER)
    whole = verdicts["kind"] == Kind.COPY
    made_of = whole & (clean | ((times >= _TWICE) & (pictures.sharpness[large] >= _NOT_ENLARGED)))
    found = np.zeros(len(pictures), np.bool_)
    found[small[made_of]] = True
    return found
