"""Pictures whose pieces were moved about: blocks in another order, or a warp that no single transform follows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.matching.evidence import Evidence
from modules.matching.geometry import Matched, Matrix, moved, of_one_shape

#: Frame units within which matches are displaced alike.
_ALIKE = 7.0
#: Matches that make a patch beside an alignment, and without one; patches that are looked at.
_BESIDE, _ALONE = 2, 3
_MOST = 24
#: Without an alignment: places of each picture, patches, and matches in them at least, and their share of all matches.
_PLACES, _PATCHES, _LEAST, _SHARE = 80, 4, 30, 0.7

Displacements = NDArray[np.floating]


def displaced(found: Matched, matrix: Matrix) -> Displacements:
    """How patches of b are displaced against where ``matrix`` (3, 3) puts them, frame units, float64 (k, 2)."""
    return _clusters(found.target - moved(matrix, found.source), _BESIDE)[0]


def scattered(found: Matched, a: Evidence, b: Evidence) -> tuple[Displacements, int] | None:
    """The same for two pictures of one shape laid on each other as they are, and how many matches speak for it.

    None where too few of the matches do: charts and forms share labels that lie in other places.
    """
    if len(found.source) < _LEAST or not of_one_shape(a, b) or min(len(a.places), len(b.places)) < _PLACES:
        return None
    patches, count = _clusters(found.target - found.source, _ALONE)
    enough = len(patches) >= _PATCHES and count >= max(_LEAST, _SHARE * len(found.source))
    return (patches, count) if enough else None


def _clusters(displacements: Displacements, least: int) -> tuple[Displacements, int]:
    """Centres of the densest places among displacements (n, 2), densest first, and how many lie around them."""
    centres: list[Displacements] = []
    taken = 0
    rest = displacements
    while len(rest) >= least and len(centres) < _MOST:
        near = ((rest[:, None] - rest[None]) ** 2).sum(axis=2) <= _ALIKE**2
        densest = int(near.sum(axis=1).argmax())
        members = near[densest]
        if np.count_nonzero(members) < least:
            break
        centres.append(rest[members].mean(axis=0))
        taken += int(np.count_nonzero(members))
        rest = rest[~members]
    return np.asarray(centres, dtype=np.float64).reshape(-1, 2), taken
