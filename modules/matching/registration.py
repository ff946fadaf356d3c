"""How one picture lies on another one where there are no keypoints: their boards, laid on each other directly.

Some guesses (mirrored, turned by quarters, cropped, pasted) are tried on coarse squares, the best one is then refined
to an affine transform by least squares. Reaches what is close to a guess, and needs nothing but thumbnails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.matching.board import EDGES, GRID, NOISE, SIDE, Board
from modules.matching.geometry import Alignment, Matrix, inverse, is_sane
from modules.records import Float32Array

#: Correlation of the best of the eight symmetries from which on crops are not tried; from which on it may be right as
#: it is, whatever else is found; and of any guess, below which there is none.
_GOOD, _PERHAPS, _LEAST = 0.8, 0.6, 0.3
#: Rounds of least squares; a step, in pixels, that ends them; share of the square that must overlap.
_ROUNDS, _STEP, _OVERLAP = 12, 0.04, 1 / 12
#: Gain by which the light of one copy may differ from the other's.
_GAINS = (0.4, 2.5)
#: Residuals beyond so many times their mean, and levels, are another thing (a text, a sticker) and do not count.
_OUTLIER, _LEVELS = 2.1, 8.0
#: Pixels by which rounding may put a place outside of a square.
_ROUNDING = 1e-3
#: Steps of a pixel between places at which levels are sampled.
_FINEST = 256
#: Pairs at a time: what they need of memory stays in the CPU's cache.
_BATCH = 32
#: Guesses, the likeliest in some places, that are looked at in all of them.
_LIKELY = 6

_CENTRE = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
_CORNER = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])


def register(pairs: Sequence[tuple[Board, Board]]) -> list[tuple[Alignment, ...]]:
    """The transforms that may lay the first picture of each pair on the second, at most two, the likelier one first.

    ``inliers`` is 0: there are none. Each is a pure function of its two pictures: many are done at once only because
    that is several times faster. Whether the pixels agree under it is not asked here. The second one is as simple as
    can be: what is drawn over a copy may have led the first one astray.
    """
    found: list[tuple[Alignment, ...]] = []
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        guesses = [_guess(*pair) for pair in batch]
        begun = {number: best for number, (best, _) in enumerate(guesses) if best is not None}
        refined = _refined([batch[number] for number in begun], list(begun.values()))
        placed = dict(zip(begun, refined, strict=True))
        for number, (pair, (_, simple)) in enumerate(zip(batch, guesses, strict=True)):
            likely = (_aligned(*pair, matrix) for matrix in (placed.get(number), simple))
            found.append(tuple(alignment for alignment in likely if alignment is not None))
    return found


def _aligned(a: Board, b: Board, matrix: Matrix | None) -> Alignment | None:
    """``matrix``, unit square of a to that of b, between their frames; None where no picture undergoes it."""
    if matrix is None:
        return None
    whole = b.box @ matrix @ inverse(a.box)
    mirrored = bool(whole[0, 0] * whole[1, 1] < whole[0, 1] * whole[1, 0])
    if mirrored:
        # The frame of a begins at 0: mirrored left to right, x becomes its width less x.
        whole = whole @ np.array([[-1.0, 0.0, a.width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return Alignment(whole, mirrored, 0) if is_sane(whole) else None


@dataclass(frozen=True, slots=True)
class _Guesses:
    """Where one unit square may lie on another one, looked at in some places of its coarse square.

    matrices: float64 (n, 3, 3). places: int64 (m,), of the coarse square's levels. x, y: float32 (n, m), pixels of the
    other one's levels under them. inside: float32 (n, m), 1 where there are any; counts: float32 (n,), of those.
    """

    matrices: Matrix
    places: NDArray[np.int64]
    x: Float32Array
    y: Float32Array
    inside: Float32Array
    counts: Float32Array

    @classmethod
    def of(cls, matrices: Matrix, step: int = 1) -> _Guesses:
        """Looked at in every place, or in every other one of every other row where ``step`` is 2."""
        numbers = np.arange(GRID * GRID).reshape(GRID, GRID)[::step, ::step].ravel()
        places = (np.arange(GRID) + 0.5) / GRID
        across, down = (axis.ravel()[numbers] for axis in np.meshgrid(places, places))
        points = np.stack([across, down, np.ones(len(numbers))])
        x, y = (np.stack([(matrix @ points)[axis] for matrix in matrices]) for axis in (0, 1))
        inside = ((np.minimum(x, y) >= 0) & (np.maximum(x, y) <= 1)).astype(np.float32)
        places_x, places_y = ((axis * SIDE - 0.5).astype(np.float32) for axis in (x, y))
        return cls(matrices, numbers, places_x, places_y, inside, inside.sum(axis=1))

    def few(self, which: NDArray[np.int64]) -> _Guesses:
        """Some of them."""
        arrays = (self.x[which], self.y[which], self.inside[which], self.counts[which])
        return _Guesses(self.matrices[which], self.places, *arrays)

    def correlations(self, a: Board, b: Board) -> Float32Array:
        """Of every guess: the correlation of what both squares show, float32 (n,)."""
        here = a.coarse[self.places]
        there = cv2.remap(b.levels, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) * self.inside
        mean_a, mean_b = self.inside @ here / self.counts, there.sum(axis=1) / self.counts
        var_a = self.inside @ (here * here) / self.counts - mean_a * mean_a
        var_b = np.einsum("ij,ij->i", there, there) / self.counts - mean_b * mean_b
        covariance = there @ here / self.counts - mean_a * mean_b
        return np.asarray(covariance / np.sqrt((var_a + NOISE) * (var_b + NOISE)), np.float32)


def _around(scale: float, degrees: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> Matrix:
    """The unit square scaled and turned around its middle, then shifted, float64 (3, 3)."""
    angle = math.radians(degrees)
    across, down = scale * math.cos(angle), scale * math.sin(angle)
    turned = np.array([[across, -down, shift[0]], [down, across, shift[1]], [0.0, 0.0, 1.0]])
    return np.asarray(_CORNER @ turned @ _CENTRE, np.float64)


def _symmetries() -> list[Matrix]:
    mirror = np.array([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    turns = [_around(1.0, degrees) for degrees in (0, 90, 180, 270)]
    return [*turns, *(turn @ mirror for turn in turns)]


def _parts() -> Matrix:
    """What is no symmetry, of the first square or of the second: crops, in many places; a little turned, or far,
    between corners of one tone; in a border that was not seen as one; above or below a band."""
    guesses = [_around(scale) for scale in (0.9, 1 / 0.9)]
    guesses += [_around(scale, degrees) for scale in (0.9, 1.0, 1 / 0.9) for degrees in (-7, 7)]
    pieces = [_turned(degrees, aspect) for degrees in (-38, -26, -15, 15, 26, 38) for aspect in (0.75, 4 / 3)]
    for scale, places in ((0.8, 3), (0.66, 3), (0.55, 4)):
        shifts = np.linspace((scale - 1) / 2, (1 - scale) / 2, places)
        pieces += [_around(scale, shift=(x, y)) for y in shifts for x in shifts]
    pieces += [_banded(share, start) for share in (0.6, 0.8) for start in (0.0, 1 - share)]
    return np.stack([*guesses, *pieces, *(inverse(piece) for piece in pieces)])


def _turned(degrees: float, aspect: float) -> Matrix:
    """A picture of this width / height turned within the smallest one that holds it, both as unit squares."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    width, height = aspect * cosine + abs(sine), aspect * abs(sine) + cosine
    turned = np.array(
        [[aspect * cosine / width, -sine / width, 0.0], [aspect * sine / height, cosine / height, 0.0], [0.0, 0.0, 1.0]]
    )
    return np.asarray(_CORNER @ turned @ _CENTRE, np.float64)


def _banded(share: float, start: float) -> Matrix:
    """The unit square brought to a share of its height, below ``start``."""
    return np.array([[1.0, 0.0, 0.0], [0.0, share, start], [0.0, 0.0, 1.0]])


def _cells(symmetries: list[Matrix]) -> NDArray[np.int64]:
    """Which cell of a coarse square lies under each of another one's, (n, GRID * GRID)."""
    guesses = _Guesses.of(np.stack(symmetries))
    columns, rows = (np.rint((axis + 0.5) * GRID / SIDE - 0.5).astype(np.int64) for axis in (guesses.x, guesses.y))
    return np.asarray(rows * GRID + columns)


_SYMMETRIES = _symmetries()
_PARTS, _SKETCH = _Guesses.of(_parts()), _Guesses.of(_parts(), step=2)
_CELLS = _cells(_SYMMETRIES)


def _guess(a: Board, b: Board) -> tuple[Matrix | None, Matrix | None]:
    """The best of all guesses and the best symmetry if it is good, unit square of a to that of b, or None."""
    if not (a.textured and b.textured):
        return None, None
    symmetric = b.unit[_CELLS] @ a.unit
    place = int(symmetric.argmax())
    best = float(symmetric[place])
    matrix = simple = _SYMMETRIES[place]
    if best < _GOOD:
        parts = _PARTS.few(np.argsort(-_SKETCH.correlations(a, b), kind="stable")[:_LIKELY])
        alike = parts.correlations(a, b)
        place = int(alike.argmax())
        if alike[place] > best:
            best, matrix = float(alike[place]), parts.matrices[place]
    return matrix if best >= _LEAST else None, simple if symmetric.max() >= _PERHAPS else None


def _refined(pairs: Sequence[tuple[Board, Board]], guesses: Sequence[Matrix]) -> list[Matrix | None]:
    """The guesses moved to where the two squares differ least, but for light and outliers; None where they part.

    Source: S. Baker, I. Matthews, "Lucas-Kanade 20 years on: a unifying framework", IJCV 2004 (the inverse
    compositional algorithm, with outliers left out).
    """
    if not pairs:
        return []
    matrices = np.stack(guesses)
    squares = np.concatenate([b.levels for _, b in pairs])
    places, levels, slopes = (
        np.stack([getattr(a.edges, name) for a, _ in pairs]) for name in ("places", "levels", "slopes")
    )
    moving, lost = np.arange(len(pairs)), np.zeros(len(pairs), np.bool_)
    for _ in range(_ROUNDS):
        there, inside = _sampled(squares, moving, matrices[moving], places[moving])
        lost[moving] = inside.sum(axis=1) < _OVERLAP * EDGES
        steps = _steps(levels[moving], there, inside, slopes[moving])
        matrices[moving] = _moved(matrices[moving], steps.reshape(-1, 2, 3))
        moving = moving[(np.abs(steps).max(axis=1) * SIDE >= _STEP) & ~lost[moving]]
        if not len(moving):
            break
    return [None if gone else matrix for matrix, gone in zip(matrices, lost, strict=True)]


def _moved(matrices: Matrix, steps: Matrix) -> Matrix:
    """``matrices``, (n, 3, 3), with changes (n, 2, 3) around the middle of the unit square taken back before them.

    Written out: matrix products of many at once may round otherwise than those of one.
    """
    # The way back of a small change is the change the other way.
    turn = np.eye(2) - steps[:, :, :2]
    shift = 0.5 - 0.5 * (turn[:, :, 0] + turn[:, :, 1]) - steps[:, :, 2]
    moved = matrices.copy()
    for row in range(2):
        x, y = matrices[:, row, 0], matrices[:, row, 1]
        for column in range(2):
            moved[:, row, column] = x * turn[:, 0, column] + y * turn[:, 1, column]
        moved[:, row, 2] += x * shift[:, 0] + y * shift[:, 1]
    return moved


def _sampled(
    squares: Float32Array, numbers: NDArray[np.int64], matrices: Matrix, places: Float32Array
) -> tuple[Float32Array, NDArray[np.bool_]]:
    """Levels of squares, one below the other, float32 (m * SIDE, SIDE), where places (n, 2, EDGES) lie, and if inside.

    numbers: which of the squares, (n,). Both results (n, EDGES).
    """
    x, y = (
        (row[:, :1] * places[:, 0] + row[:, 1:2] * places[:, 1] + row[:, 2:]) * SIDE - 0.5
        for row in (matrices[:, 0], matrices[:, 1])
    )
    inside = (np.minimum(x, y) >= -_ROUNDING) & (np.maximum(x, y) <= SIDE - 1 + _ROUNDING)
    # In steps that float32 holds exactly wherever a square lies.
    x, y = (np.rint(np.clip(axis, 0, SIDE - 1) * _FINEST) / _FINEST for axis in (x, y))
    below = y + SIDE * numbers[:, None]
    there = cv2.remap(squares, x.astype(np.float32), below.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(there, np.float32), inside


def _steps(here: Float32Array, there: Float32Array, inside: NDArray[np.bool_], slopes: Float32Array) -> Matrix:
    """Changes of the six numbers of affine transforms that bring the one nearer to the other, float64 (n, 6).

    here, there: levels, (n, EDGES). slopes: how ``here`` changes with each of the six, (n, EDGES, 6).
    """
    weight = inside.astype(np.float32)
    here, there = _centred(here, weight), _centred(there, weight)
    gain = (here * there).sum(axis=1) / np.maximum((there * there).sum(axis=1), 1)
    residuals = np.clip(gain, *_GAINS)[:, None] * there - here
    size = np.abs(residuals)
    for _ in range(2):  # the mean of what is no outlier, once it is known what that is
        limit = np.maximum(_LEVELS, _OUTLIER * (size * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1))
        weight = (inside & (size <= limit[:, None])).astype(np.float32)
    weighted = (slopes * weight[:, :, None]).swapaxes(1, 2)
    normal = (weighted @ slopes).astype(np.float64)
    normal += np.eye(6) * (1e-3 / 6 * np.trace(normal, axis1=1, axis2=2) + 1e-6)[:, None, None]
    wanted = weighted @ _centred(residuals, weight)[:, :, None]
    return np.asarray(np.linalg.solve(normal, wanted.astype(np.float64))[:, :, 0], np.float64)


def _centred(values: Float32Array, weight: Float32Array) -> Float32Array:
    """Rows less their weighted mean, 0 where the weight is."""
    mean = (values * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1)
    return np.asarray((values - mean[:, None]) * weight, np.float32)
