"""What compression left in two copies, and what it says of which was saved anew of which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modules.matching.ledger import Pairs
from modules.records import Pictures

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

# What was saved less strongly counts in full from this step on.
_STEP = 0.03
# Compression can be compared only where blocks of 8 x 8 pixels lie alike, and nothing else was done to them unless one
# is compressed badly, or both are well: elsewhere an edit may have wiped away the traces of what came before it.
_SAME_NOISE, _BADLY, _WELL = 0.2, 0.5, 0.9
# Compression sharpens what it spoils, by less than the second one.
_SAME_SHARPNESS, _SPOILED = 0.1, 0.25
# Neighbouring qualities are taken for each other.
_SAME_TRACES = 0.03


def generations(
    pictures: Pictures, pairs: Pairs, *, upright: Flags, same: Flags, sharper: Values, calmer: Values
) -> dict[str, Values]:
    """Signs that b was made from a, (m,) each.

    A file that shows traces of a stronger compression than its own is a copy; where the other one was compressed just
    so, a copy of that one. upright: blocks of pixels lie alike. same: so do light, colour, every place and the strength
    of edges. sharper, calmer: by how much a has more sharpness and less noise.
    """
    own, traces = pictures.saved.astype(np.float64), pictures.earlier.astype(np.float64)
    shown = np.minimum(own, traces)
    a, b = pairs[:, 0], pairs[:, 1]
    child = [_is_child(own, traces, parent, copy) for parent, copy in ((b, a), (a, b))]
    stray = [(traces[one] < 1) & (traces[other] >= 1) for one, other in ((a, b), (b, a))]
    lighter, worse = shown[a] - shown[b], np.minimum(shown[a], shown[b])
    # Compression takes noise away, and its own counts as sharpness.
    grain = (np.abs(calmer) < _SAME_NOISE) | (calmer * lighter < 0)
    apart = np.abs(sharper)
    detail = (apart < _SAME_SHARPNESS) | ((sharper * lighter < 0) & (apart < _SPOILED))
    comparable = upright & ((same & grain & detail) | (worse > _WELL) | (worse < _BADLY)) & ~child[0] & ~child[1]
    return {
        "saved_better": np.where(comparable, np.clip(lighter / _STEP, -1, 1), 0),
        "saved_better_by": np.where(comparable, lighter, 0),
        "parent": child[1].astype(np.float64) - child[0],
        "untraced": (stray[1] & ~child[1]).astype(np.float64) - (stray[0] & ~child[0]),
    }


def _is_child(own: Values, traces: Values, parent: NDArray[np.integer], copy: NDArray[np.integer]) -> Flags:
    """Whether the traces in each ``copy`` are those of what its ``parent`` shows, and the parent's are not, (m,)."""
    found, shown = traces[copy], np.minimum(own, traces)[parent]
    alike = np.minimum(np.abs(own[parent] - found), np.abs(shown - found)) < _SAME_TRACES
    return np.asarray((found < 1) & alike & (np.abs(traces[parent] - found) >= _SAME_TRACES))
