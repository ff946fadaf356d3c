"""Pictures of which patches lie elsewhere than the rest: a warp that no single transform follows, blocks moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.matching.geometry import Matched, Matrix, moved

#: Frame units within which matches are displaced alike.
_ALIKE = 7.0
#: Matches that make a patch, and patches that are looked at.
_LEAST, _MOST = 2, 24

Displacements = NDArray[np.floating]


def displaced(found: Matched, matrix: Matrix) -> Displacements:
    """How patches of b are displaced against where ``matrix`` (3, 3) puts them, frame units, float64 (k, 2)."""
    rest = found.target - moved(matrix, found.source)
    centres: list[Displacements] = []
    while len(rest) >= _LEAST and len(centres) < _MOST:
        near = ((rest[:, None] - rest[None]) ** 2).sum(axis=2) <= _ALIKE**2
        members = near[int(near.sum(axis=1).argmax())]
        if np.count_nonzero(members) < _LEAST:
            break
        centres.append(rest[members].mean(axis=0))
        rest = rest[~members]
    return np.asarray(centres, dtype=np.float64).reshape(-1, 2)
