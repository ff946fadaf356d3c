"""Another effort on the state of an earlier one decides as if it had been the first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import pipeline
from modules.progress import SilentProgress
from modules.settings import AzureCredentials, Settings
from tests.drawings import leaves
from tests.edits import EDITS

NAMES = ("mirror", "rotate5", "stretch", "crop20", "crop50", "rotate25", "perspective", "combined")


def run(source: Path, output: Path, effort: str, features: str) -> str:
    """The report of a dry run, wherever its output lies."""
    asked = {"source": str(source), "output": str(output), "effort": effort, "dry_run": True, "num_process_workers": 1}
    settings = Settings.model_validate(asked | {"features": (features,)})
    summary = pipeline.run(settings, AzureCredentials(), SilentProgress(), threading.Event())
    return Path(summary.report).read_text("utf-8").replace(str(output), "output")


@pytest.mark.parametrize("features", ["perceptual", "descriptor"])
@pytest.mark.parametrize(("first", "second"), [("fast", "balanced"), ("balanced", "fast")])
def test_verdicts_of_one_effort_are_not_believed_by_another(
    tmp_path: Path, first: str, second: str, features: str
) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    for seed in range(3):
        picture = leaves(seed, (480, 360))
        picture.save(source / f"{seed}.png")
        for name in NAMES:
            (source / f"{seed} {name}{EDITS[name].suffix}").write_bytes(EDITS[name].apply(picture, seed))
    before = run(source, tmp_path / "one", first, features)
    alone = run(source, tmp_path / "other", second, features)
    assert alone != before
    assert run(source, tmp_path / "one", second, features) == alone
