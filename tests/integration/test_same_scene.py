"""``--match same-scene`` on real files: a burst comes together, the settings of it make the run."""

from __future__ import annotations

import io
import json
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pipeline
from modules.calibration.edits import EDITS, NEXT_SHOT
from modules.errors import InterruptedRunError, UsageError
from modules.progress import SilentProgress
from modules.records import RunSummary
from modules.settings import AzureCredentials, Settings
from tests.drawings import as_png, leaves
from tests.integration.test_main_job import rows
from tests.pictures import encode
from tests.weights import save_torchscript

SHOT = next(edit for edit in EDITS if edit.name == NEXT_SHOT)


def run(source: Path, *, stopped: bool = False, **settings: Any) -> RunSummary:
    given = {"source": str(source), "num_process_workers": 2, "features": ("perceptual",), **settings}
    asked = Settings.model_validate(given)
    stop = threading.Event()
    if stopped:
        stop.set()
    return pipeline.run(asked, AzureCredentials(), SilentProgress(), stop)


def stirred(seed: int) -> Image.Image:
    """The scene of ``seed`` with everything in it moved a little, each cell elsewhere: no transform lays it on that."""
    scene, rng, side = leaves(seed), random.Random(seed), 60
    moved = scene.copy()
    for left in range(0, scene.width, side):
        for top in range(0, scene.height, side):
            x, y = left + rng.choice([-14, 14]), top + rng.choice([-14, 14])
            moved.paste(scene.crop((x, y, x + side, y + side)), (left, top))
    return moved


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two scenes of three shots each, one of them twice to the byte, and two pictures on their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in (1, 2):
        scene = leaves(seed)
        (folder / f"scene{seed} a.png").write_bytes(as_png(scene))
        (folder / f"scene{seed} b.jpg").write_bytes(SHOT.apply(np.asarray(scene), "b"))
        (folder / f"scene{seed} c.jpg").write_bytes(encode(stirred(seed)))
    (folder / "scene1 again.png").write_bytes((folder / "scene1 a.png").read_bytes())
    for seed in (3, 4):
        (folder / f"alone{seed}.jpg").write_bytes(encode(leaves(seed)))
    return folder


def groups(source: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows(source.with_name("photos_deduplicated") / "image_report.csv"):
        found.setdefault(row["Group ID"], []).append(row)
    return found


def members(source: Path) -> set[frozenset[str]]:
    return {frozenset(Path(row["Image Path"]).name for row in group) for group in groups(source).values()}


def manifest(source: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((source.with_name("photos_deduplicated") / "_state/manifest.json").read_bytes())
    return found


def request(source: Path) -> dict[str, Any]:
    found: dict[str, Any] = manifest(source)["request"]
    return found


def test_shots_of_one_scene_come_together_by_their_vectors(source: Path) -> None:
    run(source, match="same-scene", threshold=("0.75",), keep=("lexi",))
    scenes = {
        frozenset({"scene1 a.png", "scene1 again.png", "scene1 b.jpg", "scene1 c.jpg"}),
        frozenset({"scene2 a.png", "scene2 b.jpg", "scene2 c.jpg"}),
    }
    assert members(source) == scenes | {frozenset({"alone3.jpg"}), frozenset({"alone4.jpg"})}
    for row in (row for group in groups(source).values() for row in group if row["Status"] == "Duplicate"):
        assert row["Relation"] in {"scene", "exact"}
        assert 0.75 <= float(row["Similarity"]) <= 1
        assert Path(row["Kept Witness"]).name.startswith(Path(row["Image Path"]).name.split()[0])
    relations = [row["Relation"] for group in groups(source).values() for row in group if row["Relation"]]
    assert sorted(relations) == ["exact", "scene", "scene", "scene", "scene"]


def test_several_extractors_decide_together(source: Path, tmp_path: Path) -> None:
    model = f"torchscript:{save_torchscript(tmp_path / 'program.pt', 1)}"
    both: dict[str, Any] = {"match": "same-scene", "features": ("perceptual", model), "devices": ("cpu",)}
    # One that passes everything and one that passes nothing: their mean decides.
    run(source, **both, threshold=("perceptual=0.75", f"{model}=1"))
    assert request(source)["threshold"] == {"perceptual": 0.75, model: 1.0}
    few = members(source)
    again = run(source, **both, threshold=("perceptual=0.75", f"{model}=-1"))
    assert again.downloaded == 0
    assert max(map(len, members(source))) > max(map(len, few))


def test_the_match_can_change_without_reading_a_picture_again(source: Path) -> None:
    first = run(source)
    assert first.downloaded > 0
    strict = members(source)
    assert frozenset({"scene2 a.png", "scene2 b.jpg"}) in strict
    loose = run(source, match="same-scene", threshold=("perceptual=0.75",))
    assert (loose.downloaded, loose.epoch) == (0, 2)
    assert members(source) != strict
    assert run(source).downloaded == 0
    assert members(source) == strict


def test_a_threshold_that_nothing_reaches_leaves_only_equal_bytes(source: Path) -> None:
    summary = run(source, match="same-scene", threshold=("1",))
    assert summary.duplicates == 1


@pytest.mark.parametrize(
    ("changed", "resumed"),
    [
        ({}, True),
        ({"batch_size": 7}, True),
        ({"relations": ("embedded",)}, True),  # does not apply to scenes
        ({"threshold": ("0.8",)}, False),
        ({"k": 3}, False),
        ({"match": "same-picture"}, False),
    ],
)
def test_match_threshold_and_k_are_part_of_what_a_run_is(source: Path, changed: dict[str, Any], resumed: bool) -> None:
    asked: dict[str, Any] = {"match": "same-scene", "threshold": ("0.75",), "k": 5}
    with pytest.raises(InterruptedRunError):
        run(source, stopped=True, **asked)
    begun = request(source)
    assert (begun["match"], begun["k"], begun["threshold"]) == ("same-scene", 5, {"perceptual": 0.75})
    with pytest.raises(InterruptedRunError):
        run(source, stopped=True, **{**asked, **changed})
    last = manifest(source)
    assert (last["epoch"], last["attempt"]) == (1 if resumed else 2, 2)


@pytest.mark.parametrize("threshold", [("2",), ("clip=0.5",)])
def test_a_wrong_threshold_is_refused_before_anything_is_read(source: Path, threshold: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="threshold: "):
        run(source, match="same-scene", threshold=threshold)


def test_a_picture_of_one_tone_is_no_scene(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, tone in enumerate((20, 120, 220)):
        out = io.BytesIO()
        Image.new("RGB", (90, 90), (tone, tone, tone)).save(out, "PNG")
        (folder / f"{number}.png").write_bytes(out.getvalue())
    assert run(folder, match="same-scene").groups == 3
