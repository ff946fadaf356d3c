"""Colour: HSV histograms and their correlation, and the number of dominant colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.records import Float32Array, UInt8Array

BINS = (8, 4, 4)
_SIDE = 128
_SAMPLES = 16
_CLUSTERS, _ROUNDS = 5, 12
_MIN_SHARE = 0.05
_MIN_DISTANCE = 12.0
_CHUNK = 4096


def square(rgb: UInt8Array) -> UInt8Array:
    """A picture, uint8 (h, w, 3), area-averaged to 128 x 128: all that histogram and palette look at."""
    if rgb.shape[:2] == (_SIDE, _SIDE):
        return rgb
    return np.asarray(cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def hsv_histogram(rgb: UInt8Array) -> bytes:
    """128 bytes: 8 hue x 4 saturation x 4 value bins of a picture, uint8 (h, w, 3), round(255 * sqrt(share))."""
    hsv = cv2.cvtColor(square(rgb), cv2.COLOR_RGB2HSV_FULL)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, list(BINS), [0, 256] * 3).ravel()
    return bytes(np.rint(255 * np.sqrt(counts / counts.sum())).astype(np.uint8).tobytes())


def palette(rgb: UInt8Array) -> bytes:
    """The 1 to 5 dominant colours of a picture, uint8 (h, w, 3), most first: R, G, B, round(255 * share) each.

    K-means in CIE Lab on 16 x 16 averaged pixels, begun with those that are farthest from each other (T. Gonzalez,
    "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 1985); centres nearer than
    12 (about five just noticeable differences) count as one, those with less than 5 % of the pixels not at all.
    """
    small = cv2.resize(square(rgb), (_SAMPLES, _SAMPLES), interpolation=cv2.INTER_AREA)
    lab = np.asarray(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab).reshape(-1, 3), np.float32)
    labels, clusters = _farthest(np.rint(lab))
    if clusters > 1:
        rounds = (cv2.TERM_CRITERIA_MAX_ITER, _ROUNDS, 0)
        _, labels, _ = cv2.kmeans(np.rint(lab), clusters, labels, rounds, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    home = labels.ravel()
    shares = np.bincount(home, minlength=clusters) / len(lab)
    members = home == np.arange(clusters)[:, None]
    kept = _merged(list(members.astype(np.float64) @ lab / members.sum(axis=1, keepdims=True)), shares)
    centres = np.array([[centre for centre, _ in kept]], np.float32)
    colours = np.clip(np.rint(cv2.cvtColor(centres, cv2.COLOR_Lab2RGB)[0] * 255), 0, 255)
    weights = np.rint(255 * np.array([share for _, share in kept]))
    return np.column_stack([colours, weights]).astype(np.uint8).tobytes()


def _farthest(points: Float32Array) -> tuple[NDArray[np.int32], int]:
    """The nearest of at most 5 of the points, (n, 3), each chosen farthest from those before; labels (n, 1), and count.

    points: whole numbers, so that all squares and sums of them are exact. The first is the one nearest to their mean.
    """
    squares = np.einsum("ij,ij->i", points, points)
    chosen = int((squares - points @ (2 * points.mean(axis=0))).argmin())
    nearest = squares + squares[chosen] - 2 * (points @ points[chosen])
    labels = np.zeros((len(points), 1), np.int32)
    for count in range(1, _CLUSTERS):
        chosen = int(nearest.argmax())
        if nearest[chosen] == 0:
            return labels, count
        distance = squares + squares[chosen] - 2 * (points @ points[chosen])
        labels[distance < nearest] = count
        nearest = np.minimum(nearest, distance)
    return labels, _CLUSTERS


def dominant_colours(rgb: UInt8Array) -> int:
    """Number of colours, 1 to 5, that make up a picture, uint8 (h, w, 3): the entries of its :func:`palette`."""
    return len(palette(rgb)) // 4


def _merged(
    centres: Sequence[NDArray[np.floating]], shares: NDArray[np.float64]
) -> list[tuple[NDArray[np.floating], float]]:
    """Largest first, each centre joins a kept one nearby or is kept; those with a share worth naming, most first."""
    kept: list[tuple[NDArray[np.floating], float]] = []
    for i in np.argsort(-shares, kind="stable"):
        near = next((k for k, (c, _) in enumerate(kept) if math.dist(centres[i], c) < _MIN_DISTANCE), None)
        if near is None:
            kept.append((centres[i], float(shares[i])))
        else:
            kept[near] = (kept[near][0], kept[near][1] + float(shares[i]))
    kept.sort(key=lambda colour: -colour[1])
    return [colour for colour in kept if colour[1] >= _MIN_SHARE] or kept[:1]


def _standardised(histograms: UInt8Array) -> Float32Array:
    """Shares, centred and of length 1; rows without any variance become zeros."""
    shares = (histograms.astype(np.float32) / 255) ** 2
    centred = shares - shares.mean(axis=1, keepdims=True)
    length = np.sqrt((centred * centred).sum(axis=1, keepdims=True))
    return np.where(length > 1e-7, centred / np.maximum(length, 1e-7), np.float32(0))


def correlation(hist_a: bytes, hist_b: bytes) -> float:
    """Correlation of two HSV histograms, -1 to 1, as OpenCV's HISTCMP_CORREL defines it (1 if one is flat)."""
    rows = _standardised(np.stack([np.frombuffer(hist, np.uint8) for hist in (hist_a, hist_b)]))
    if not rows.any(axis=1).all():
        return 1.0
    return float(np.clip(rows[0] @ rows[1], -1, 1))


def mean_correlation(histograms: UInt8Array) -> Float32Array:
    """Each histogram's mean correlation with all others of its group, uint8 (n, 128) to float32 (n,), in O(n).

    1.0 for a group of one. The sum of correlations with all others is one product with the sum of all others. Works
    in chunks: a group of any size needs 4 bytes a member beside its histograms.
    """
    count = len(histograms)
    if count < 2:
        return np.ones(count, np.float32)
    chunks = [histograms[start : start + _CHUNK] for start in range(0, count, _CHUNK)]
    total = np.zeros(histograms.shape[1])
    flat = 0
    for chunk in chunks:
        rows = _standardised(chunk).astype(np.float64)
        total += rows.sum(axis=0)
        flat += int((~rows.any(axis=1)).sum())
    return np.concatenate([_mean_with_others(chunk, total, flat, count) for chunk in chunks])


def _mean_with_others(histograms: UInt8Array, total: NDArray[np.float64], flat: int, count: int) -> Float32Array:
    """For some of a group of ``count``: total is the sum of all standardised rows, flat the number of flat ones."""
    rows = _standardised(histograms).astype(np.float64)
    sums = (rows * total).sum(axis=1) - (rows * rows).sum(axis=1) + flat
    means = np.where(rows.any(axis=1), np.clip(sums / (count - 1), -1, 1), 1.0)
    return means.astype(np.float32)
