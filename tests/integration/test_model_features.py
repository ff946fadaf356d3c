"""Whole jobs with models: what is computed again and what is not when extractors or weights change."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import pipeline
from modules.errors import MissingWeightsError
from modules.progress import SilentProgress
from modules.records import RunSummary
from modules.settings import AzureCredentials, Settings
from tests import weights
from tests.command import imgsieve
from tests.pictures import collection

CLIP = f"clip:{weights.SMALL_CLIP}"
TIMM = f"timm:{weights.SMALL_TIMM}.r160_in1k"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Seven pictures: two originals, three copies of one of them, and two more of its kind."""
    folder = tmp_path / "photos"
    for name, content in collection(3).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def run(source: Path, *features: str, **settings: Any) -> RunSummary:
    asked = Settings(source=str(source), num_process_workers=1, features=features, devices=("cpu",), **settings)
    return pipeline.run(asked, AzureCredentials(), SilentProgress(), threading.Event())


def state(source: Path) -> Path:
    return source.with_name("photos_deduplicated") / "_state"


def shards(source: Path) -> set[str]:
    """The families of features and their shards, by path."""
    folder = state(source)
    found = [path for name in ("facts", "keypoints", "vectors") for path in (folder / name).rglob("*.parquet")]
    return {str(path.relative_to(folder)) for path in found}


def request(source: Path) -> dict[str, Any]:
    return dict(json.loads((state(source) / "manifest.json").read_text())["request"])


def test_an_added_extractor_and_changed_weights_compute_just_themselves(source: Path, tmp_path: Path) -> None:
    clip = f"{CLIP}={weights.save_clip(tmp_path / 'clip.pth', 1)}"
    first, second = (f"{TIMM}={weights.save_timm(tmp_path / f'{seed}.pth', seed)}" for seed in (1, 2))
    run(source, "perceptual", CLIP, weights=(clip,))
    alone = shards(source)
    assert {name.split("/")[1] for name in alone if name.startswith("vectors/")} == {"perceptual", "clip-ViT-S-32-alt"}

    added = run(source, "perceptual", CLIP, TIMM, weights=(clip, first))
    both = shards(source)
    assert alone < both
    assert {name.split("/")[1] for name in both - alone} == {"timm-test_efficientnet.r160_in1k"}
    assert added.groups > 0

    run(source, "perceptual", CLIP, TIMM, weights=(clip, second))
    changed = shards(source)
    assert both < changed
    assert {name.split("/")[1] for name in changed - both} == {"timm-test_efficientnet.r160_in1k"}
    before = {name.split("/")[2] for name in both - alone}
    assert {name.split("/")[2] for name in changed - both}.isdisjoint(before)

    again = run(source, "perceptual", CLIP, TIMM, weights=(clip, second))
    assert shards(source) == changed
    assert again.downloaded == 0


def test_what_auto_came_to_is_kept_in_the_state(source: Path, tmp_path: Path) -> None:
    run(source, "auto")
    assert (request(source)["asked"], request(source)["features"]) == (["auto"], ["efficientnet-lite0", "descriptor"])
    path = state(source) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["request"]["features"] = ["clip", "efficientnet", "descriptor"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(MissingWeightsError, match=r"^clip: its weights are not at hand"):
        run(source, "auto")
    run(source, "perceptual")
    assert request(source)["features"] == ["perceptual"]


def test_perceptual_alone_loads_no_torch(source: Path) -> None:
    ended = imgsieve(source.parent, "photos", "--features", "perceptual", PYTHONPROFILEIMPORTTIME="1")
    assert ended.returncode == 0, ended.stderr[-2000:]
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")}
    assert "modules.features.perceptual" in loaded
    assert not loaded & {"torch", "timm", "open_clip", "kornia", "huggingface_hub"}


def test_unusable_weights_end_the_command_before_the_source_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    ended = imgsieve(tmp_path, "no/such/folder", "--features", TIMM, "--weights", f"{TIMM}={tmp_path}/text.pth")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert f"{tmp_path}/text.pth cannot be used as weights" in line
