"""The weights that an image is to hold: fetched into the hub's cache and tried, or the build of the image ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import CLEAN, ROOT
from tests.weights import SMALL_TIMM, save_timm

MODEL = f"{SMALL_TIMM}.r160_in1k"


def bake(cache: Path, names: str) -> subprocess.CompletedProcess[str]:
    """Run the script as the Dockerfile does, without a hub."""
    environ = {**CLEAN, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "scripts.bake_weights", names]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A hub's cache with weights of timm's smallest model, made by a seed."""
    repository = tmp_path / "hub" / f"models--timm--{MODEL}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40, encoding="ascii")
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_timm(snapshot / "model.safetensors", 3)
    return tmp_path


def test_weights_in_the_cache_are_tried(cache: Path) -> None:
    ended = bake(cache, f"timm:{MODEL}, perceptual")
    assert (ended.returncode, ended.stdout.splitlines()) == (0, [f"timm:{MODEL}: ready", "perceptual: ready"]), ended


@pytest.mark.parametrize(
    ("names", "part"), [("auto", "clip: its weights are not at hand"), ("magic", "unknown extractor 'magic'")]
)
def test_what_cannot_be_had_ends_the_build(tmp_path: Path, names: str, part: str) -> None:
    ended = bake(tmp_path, names)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert part in ended.stderr
