"""How sure it is that two pictures are the same: the probability that a small model gives the evidence of a pair.

The model is boosted trees (J. Friedman, "Greedy function approximation: a gradient boosting machine", 2001), monotone
where reason says so, fitted by ``python -m training.confidence`` and shipped as plain numbers in ``confidence.json``.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.matching.look import FEATURES, Look
from modules.matching.relations import Verdicts
from modules.records import Float32Array, Method

FILE = Path(__file__).with_name("confidence.json")
#: What the verdict itself tells, behind the features of a look.
CONTEXT = ("agreement", "inliers", "cover_low", "cover_high", "method", "scale", "mirrored", "bend")
INPUTS = (*FEATURES, *CONTEXT)
#: Confidence from which on a pair that was looked at counts.
SURE = 0.8
#: Confidence by the thumbnails between which the pictures themselves are looked at.
DOUBT = (0.015, 0.98)


@dataclass(frozen=True, slots=True)
class Model:
    """Trees, one node after the other. roots: (trees,). feature, left, right: int32 (nodes,), left -1 of a leaf.

    threshold: float64 (nodes,), the greatest value that goes left. missing_left: where NaN goes. value: float64
    (nodes,), what a leaf adds. slope, offset: from the sum to the logarithm of the odds (J. Platt 1999).
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    slope: float
    offset: float

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> Model:
        """Of what the file holds. Raises KeyError or ValueError for what is none."""
        if tuple(numbers["inputs"]) != INPUTS:
            raise ValueError("the model was fitted to other inputs; fit it anew: python -m training.confidence")
        return cls(
            roots=np.array(numbers["roots"], np.int32),
            feature=np.array(numbers["feature"], np.int32),
            threshold=np.array(numbers["threshold"], np.float64),
            missing_left=np.array(numbers["missing_left"], np.bool_),
            left=np.array(numbers["left"], np.int32),
            right=np.array(numbers["right"], np.int32),
            value=np.array(numbers["value"], np.float64),
            slope=numbers["slope"],
            offset=numbers["offset"],
        )

    def probability(self, inputs: Float32Array) -> float:
        """Of one pair; inputs: float32 (len(INPUTS),), NaN where nothing is known."""
        node = self.roots
        while (inner := self.left[node] >= 0).any():
            values = inputs[self.feature[node]]
            goes_left = np.where(np.isnan(values), self.missing_left[node], values <= self.threshold[node])
            node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)
        odds = self.slope * float(self.value[node].sum()) + self.offset
        return 1 / (1 + math.exp(-min(max(odds, -30.0), 30.0)))


@functools.lru_cache(maxsize=1)
def _model() -> Model:
    return Model.of(json.loads(FILE.read_text(encoding="utf-8")))


def confidence(look: Look | None, verdict: Verdicts) -> float:
    """Probability that two pictures are the same. look: None where no one transform lays them on each other."""
    return _model().probability(inputs_of(look, verdict))


def inputs_of(look: Look | None, verdict: Verdicts) -> Float32Array:
    """What the model is asked, float32 (len(INPUTS),); verdict: VERDICT_DTYPE without dimensions."""
    features = np.full(len(FEATURES), np.nan, np.float32) if look is None else look.features
    covers = sorted((float(verdict["cover_a"]), float(verdict["cover_b"])))
    scale = abs(math.log(max(float(verdict["scale"]), 1e-3)))
    values = [verdict["agreement"], verdict["inliers"], *covers, verdict["method"], scale]
    return np.concatenate([features, np.array([*values, verdict["mirrored"], verdict["bend"]], np.float32)])


def in_doubt(verdicts: Verdicts) -> NDArray[np.bool_]:
    """Which of verdicts, VERDICT_DTYPE of any shape, looked at by their thumbnails, the pictures must tell."""
    sure = (verdicts["confidence"] <= DOUBT[0]) | (verdicts["confidence"] >= DOUBT[1])
    return np.asarray(~sure & (verdicts["method"] != Method.PIECES))
