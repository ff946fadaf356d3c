"""The same scene: verdicts from vectors alone, groups without chains, nothing that hangs on order or batches."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from modules.deduplication import same_scene
from modules.features.perceptual import Perceptual
from modules.matching.relations import holds, orient
from modules.matching.scenes import SceneVerifier, cosines
from modules.matching.thresholds import Thresholds
from modules.records import Kind
from tests.unit.test_candidates import Turning, unit
from tests.unit.test_deduplication import pictures


class Plain(Turning):
    """Without a mirror image."""

    def variants(self, vectors: np.ndarray) -> list[np.ndarray]:
        return [vectors]


def fan(*degrees: float) -> np.ndarray:
    """Vectors in a plane, at these angles."""
    turned = np.radians(degrees)
    rows = np.zeros((len(degrees), 32))
    rows[:, 0], rows[:, 1] = np.cos(turned), np.sin(turned)
    return unit(rows)


def judged(_: int) -> None: ...


def pairs(*wanted: tuple[int, int]) -> np.ndarray:
    return np.array(wanted, np.int32)


def test_cosines_are_exact_whatever_else_is_compared() -> None:
    rng = np.random.default_rng(1)
    left, right = unit(rng.normal(size=(300, 228))), unit(rng.normal(size=(300, 228)))
    found = cosines(Perceptual(), left, right)
    assert np.array_equal(found[7:8], cosines(Perceptual(), left[7:8], right[7:8]))
    assert np.array_equal(found, cosines(Perceptual(), right, left))
    plain = (left.astype(np.float64) * right.astype(np.float64)).sum(axis=1)
    assert (found >= plain).all()
    assert np.array_equal(cosines(Plain(), left, right), plain)


def test_a_mirrored_picture_is_compared_in_its_best_variant() -> None:
    vectors = unit(np.random.default_rng(2).normal(size=(2, 32)))
    vectors[1] = vectors[0][::-1]
    assert cosines(Turning(), vectors[:1], vectors[1:])[0] == pytest.approx(1, abs=0.001)
    assert cosines(Plain(), vectors[:1], vectors[1:])[0] < 0.6


def test_the_mean_of_cosine_less_threshold_decides() -> None:
    vectors = {"sure": (fan(0, 20, 20), Plain()), "doubting": (fan(0, 60, 75), Plain())}
    # cos 20 = .940, cos 60 = .5, cos 75 = .259
    verify = SceneVerifier(pictures([1, 1, 1]), vectors, {"sure": 0.8, "doubting": 0.6}, judged)
    found = verify(pairs((0, 1), (0, 2)))
    assert found["kind"].tolist() == [Kind.SCENE, Kind.NONE]
    assert found["agreement"].tolist() == pytest.approx([0.72, 0.599], abs=0.002)


def test_a_verdict_reads_the_same_from_both_sides_and_either_may_stand_for_the_other() -> None:
    verify = SceneVerifier(pictures([1, 1]), {"one": (fan(0, 10), Plain())}, {"one": 0.9}, judged)
    forth = verify(pairs((0, 1)))
    back = orient(verify(pairs((1, 0))))
    assert forth == back
    assert holds(forth, (Kind.SCENE,)).all()
    assert holds(orient(forth), (Kind.SCENE,)).all()
    assert not holds(forth, (Kind.COPY, Kind.PART, Kind.EMBEDDED)).any()


def test_every_pair_is_counted_and_what_the_counter_raises_ends_the_work() -> None:
    counted: list[int] = []
    verify = SceneVerifier(pictures([1, 1]), {"one": (fan(0, 10), Plain())}, {"one": 0.9}, counted.append)
    assert len(verify(np.repeat(pairs((0, 1)), 2500, axis=0))) == 2500
    assert sum(counted) == 2500
    assert len(counted) > 1

    def stop(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        SceneVerifier(pictures([1, 1]), {"one": (fan(0, 10), Plain())}, {"one": 0.9}, stop)(pairs((0, 1)))


def test_groups_are_stars_around_the_best_not_chains() -> None:
    # A burst that pans: each shot is near the next one, the ends are far from each other.
    quality = [3.0, 2.0, 9.0, 1.0, 4.0]
    thresholds = Thresholds({"one": float(np.cos(np.radians(25)))})
    found = same_scene(pictures(quality), {"one": (fan(0, 20, 40, 60, 80), Plain())}, thresholds, 20, judged=judged)
    assert found.keeper.tolist() == [0, 2, 2, 2, 4]
    assert set(found.verdict["kind"].tolist()) == {Kind.SCENE, Kind.NONE}


def test_a_scene_of_more_pictures_than_neighbours_stays_together() -> None:
    rng = np.random.default_rng(3)
    vectors = unit(np.eye(32)[0] + rng.normal(scale=0.02, size=(200, 32)))
    quality = rng.uniform(0, 100, 200).tolist()
    found = same_scene(pictures(quality), {"one": (vectors, Plain())}, Thresholds({"one": 0.9}), 5, judged=judged)
    assert set(found.keeper.tolist()) == {int(np.argmax(quality))}


def test_only_vectors_propose() -> None:
    counted: list[int] = []
    alike = replace(pictures([1.0, 2.0]), phash=np.zeros(2, np.uint64))
    vectors = {"one": (fan(0, 80), Plain())}
    found = same_scene(alike, vectors, Thresholds({"one": 0.9}), 20, judged=counted.append)
    assert found.keeper.tolist() == [0, 1]
    assert counted == []


def test_the_log_says_what_is_uncalibrated_and_what_perceptual_alone_cannot_see(
    caplog: pytest.LogCaptureFixture,
) -> None:
    vectors = fan(0, 80)
    with caplog.at_level(logging.INFO):
        same_scene(pictures([1, 2]), {"one": (vectors, Plain())}, Thresholds({"one": 0.9}, ("one",)), 20, judged=judged)
    assert "one 0.90 (uncalibrated)" in caplog.text
    assert "the thresholds of one are uncalibrated" in caplog.text
    assert "perceptual" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        same_scene(
            pictures([1, 2]), {"perceptual": (vectors, Plain())}, Thresholds({"perceptual": 0.9}), 20, judged=judged
        )
    assert "perceptual alone sees where edges and light lie" in caplog.text
    assert "uncalibrated" not in caplog.text
