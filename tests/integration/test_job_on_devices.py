"""Whole jobs with small models on one replica, on two, and on devices that fail: what a person finds is the same."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline
from modules.errors import RetryLaterError, UsageError
from modules.features.model_base import ModelExtractor
from modules.progress import SilentProgress
from modules.records import Float32Array, RunSummary, UInt8Array
from modules.settings import AzureCredentials, Settings
from tests.lost_devices import lose_gpu
from tests.pictures import collection
from tests.weights import SMALL_CLIP, SMALL_TIMM, save_clip, save_timm

CLIP, TIMM = f"clip:{SMALL_CLIP}", f"timm:{SMALL_TIMM}"
#: Columns whose numbers may differ in the last digits between devices.
NUMBERS = ("Quality Score", "Avg Color Correlation", "Similarity")

Embed = Callable[[ModelExtractor, UInt8Array], Float32Array]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("weights")
    clip = save_clip(folder / "clip.safetensors", 1)
    timm = save_timm(folder / "timm.safetensors", 2)
    return (f"{CLIP}={clip}", f"{TIMM}={timm}")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "photos"
    for name, data in collection(18).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


class Runs:
    """Jobs on one source, each with an output of its own."""

    def __init__(self, source: Path, weights: tuple[str, ...], folder: Path) -> None:
        self.source = source
        self.weights = weights
        self.folder = folder

    def __call__(self, name: str, **settings: Any) -> RunSummary:
        asked = Settings(
            source=str(self.source),
            output=str(self.folder / name),
            features=(CLIP, TIMM),
            weights=self.weights,
            num_process_workers=2,
            **{"batch_size": 8, **settings},
        )
        return pipeline.run(asked, AzureCredentials(), SilentProgress(), threading.Event())

    def report(self, name: str) -> list[dict[str, str]]:
        """The report's rows in their order; output paths below the output."""
        text = (self.folder / name / "image_report.csv").read_text("utf-8")
        rows = list(csv.DictReader(io.StringIO(text)))
        return [{key: value.replace(str(self.folder / name), "") for key, value in row.items()} for row in rows]


@pytest.fixture
def runs(source: Path, weights: tuple[str, ...], tmp_path: Path) -> Runs:
    return Runs(source, weights, tmp_path)


@pytest.fixture(scope="module")
def expected(source: Path, weights: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The report of a run on one healthy device."""
    healthy = Runs(source, weights, tmp_path_factory.mktemp("healthy"))
    assert healthy("one", devices=("cpu",)).duplicates > 0
    return healthy.report("one")


def assert_alike(rows: list[dict[str, str]], others: list[dict[str, str]]) -> None:
    """Equal, numbers within 0.001."""
    assert len(rows) == len(others) > 0
    for row, other in zip(rows, others, strict=True):
        for name, value in row.items():
            if name in NUMBERS and value:
                assert float(value) == pytest.approx(float(other[name]), abs=1e-3)
            else:
                assert other[name] == value, (row["Image Path"], name)


def failing(
    monkeypatch: pytest.MonkeyPatch, fail: Callable[[ModelExtractor, UInt8Array], None]
) -> list[ModelExtractor]:
    """Make replicas do what ``fail`` does before they embed; all that were asked, in the order of their first call."""
    embed = ModelExtractor.embed
    asked: list[ModelExtractor] = []

    def instead(self: ModelExtractor, batch: UInt8Array) -> Float32Array:
        if not any(one is self for one in asked):
            asked.append(self)
        fail(self, batch)
        return embed(self, batch)

    monkeypatch.setattr(ModelExtractor, "embed", instead)
    return asked


def test_two_replicas_find_what_one_finds(
    runs: Runs, expected: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    first = threading.local()

    def meet(extractor: ModelExtractor, batch: UInt8Array) -> None:
        if not hasattr(first, "over"):  # each worker waits once for the other: neither does all the work
            first.over = True
            both.wait(120.0)

    asked = failing(monkeypatch, meet)
    runs("two", devices=("cpu", "cpu"))
    assert [extractor.name for extractor in asked].count(CLIP) == 2
    assert_alike(runs.report("two"), expected)


def test_lost_device_costs_nothing_but_itself(
    runs: Runs,
    expected: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import torch

    lost: list[ModelExtractor] = []  # the replica, once for every time that it was asked
    lock = threading.Lock()

    def lose_one(extractor: ModelExtractor, batch: UInt8Array) -> None:
        with lock:
            if not lost or extractor is lost[0]:
                lost.append(extractor)
        if extractor is lost[0]:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    failing(monkeypatch, lose_one)
    summary = runs("lost", devices=("cpu", "cpu"))
    assert summary.failed == 0
    assert len(lost) == 1
    assert "is lost (CUDA error: unspecified launch failure); its 8 pictures go to the 1 device(s) left" in caplog.text
    assert_alike(runs.report("lost"), expected)


def test_stand_in_takes_over_from_a_gpu_that_is_lost(
    runs: Runs,
    expected: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lose_gpu(monkeypatch)
    summary = runs("lost")
    assert summary.failed == 0
    assert "no other device is left, the CPU goes on" in caplog.text
    assert_alike(runs.report("lost"), expected)


def test_short_memory_halves_the_batch_and_changes_no_decision(
    runs: Runs,
    expected: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import torch

    def no_room(extractor: ModelExtractor, batch: UInt8Array) -> None:
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    failing(monkeypatch, no_room)
    runs("tight", devices=("cpu",))
    said = [record.message for record in caplog.records if "short of memory" in record.message]
    assert said == [f"device cpu is short of memory: batches of {size} from now on" for size in (4, 2)]
    assert_alike(runs.report("tight"), expected)


def test_run_without_any_device_left_is_resumed_by_the_next_one(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    with monkeypatch.context() as patched:

        def lose(extractor: ModelExtractor, batch: UInt8Array) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        failing(patched, lose)
        with pytest.raises(RetryLaterError, match=r"device cpu has too little memory .*no other device is left"):
            runs("again", devices=("cpu",))
    summary = runs("again", devices=("cpu",))
    assert summary.resumed
    assert summary.failed == 0


def test_device_that_is_not_there_ends_the_run_before_anything_is_written(runs: Runs) -> None:
    with pytest.raises(UsageError, match="devices: cuda:77 is asked for, but"):
        runs("none", devices=("cuda:77",))
    assert not (runs.folder / "none").exists()
