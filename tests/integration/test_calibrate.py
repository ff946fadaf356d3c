"""``calibrate`` on real files, in a folder and in Azurite: what it prints, each time the same, and writes nothing."""

from __future__ import annotations

import io
import json
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline
from modules.calibration.edits import EDITS
from modules.calibration.page import Page
from modules.commands import calibrate
from modules.errors import InterruptedRunError, RetryLaterError, UsageError
from modules.progress import SilentProgress, page_fields, print_page
from modules.settings import AzureCredentials, Settings
from tests.azurite import Azurite
from tests.command import ROOT, imgsieve
from tests.drawings import leaves
from tests.integration.test_main_job import rows
from tests.lost_devices import leave_no_room, lose_gpu
from tests.pictures import encode
from tests.weights import save_torchscript


def look(
    source: str | Path, credentials: AzureCredentials | None = None, *, sample: int = 100, **settings: Any
) -> Page:
    asked = Settings.model_validate({"source": str(source), "features": ("perceptual",), **settings})
    return calibrate.run(asked, credentials or AzureCredentials(), SilentProgress(), threading.Event(), sample=sample)


def printed(page: Page) -> str:
    out = io.StringIO()
    print_page(page, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Pictures of which one is there smaller, one to the byte and one under an odd name; a broken one; a text."""
    found = {f"sub/{seed:02d}.jpg": encode(leaves(seed, (240, 180))) for seed in range(14)}
    found["00 small.jpg"] = encode(leaves(0, (240, 180)).resize((160, 120)))
    found["again.jpg"] = found["sub/01.jpg"]
    found["=straße 100%.jpg"] = encode(leaves(20, (240, 180)))
    found["broken.jpg"] = found["sub/02.jpg"][:500]
    found["notes.txt"] = b"no picture"
    return found


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path) -> Path:
    source = tmp_path / "photos"
    for name, data in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return source


def test_it_measures_copies_and_different_pictures_and_suggests(folder: Path) -> None:
    page = look(folder)
    assert (page.listed, len(page.names), page.unusable, page.repeated, page.same) == (18, 16, 1, 1, 1)
    assert len(page.spread.pairs) == 16 * 15 // 2 - 1
    copies = page.spread.copies["perceptual"]
    assert list(copies) == [edit.name for edit in EDITS]
    assert all(len(found) == 16 for found in copies.values())
    # The same code as a job's: what a job proposes, a mirrored picture among it, is found here.
    assert copies["flip"].min() > 0.98
    assert copies["re-encoded"].min() > 0.98
    assert page.spread.different["perceptual"].max() < 0.9
    suggested = {match: page.suggested(match)["perceptual"] for match in ("same-picture", "same-scene")}
    assert (page.spread.all_copies("perceptual") >= suggested["same-picture"]).mean() >= 0.99
    assert (page.spread.different["perceptual"] < suggested["same-scene"]).all()


def test_a_source_full_of_duplicates_is_calibrated_by_its_different_pictures(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for seed in range(4):
        for quality in (60, 70, 80, 90):  # 24 of the 120 pairs are the same picture
            path = tmp_path / "photos" / f"{seed} {quality}.jpg"
            path.write_bytes(encode(leaves(seed, (240, 180)), quality=quality))
    page = look(tmp_path / "photos")
    assert (page.same, len(page.spread.pairs)) == (24, 96)
    assert page.spread.different["perceptual"].max() < 0.9


def test_it_prints_the_same_for_a_folder_and_its_copy_in_azure(
    folder: Path, files: dict[str, bytes], azurite: Azurite
) -> None:
    container = f"calibrate{uuid.uuid4().hex[:8]}"
    azurite.make_container(container)
    with azurite.service() as service:
        for name, data in reversed(files.items()):
            service.get_blob_client(container, f"in/photos/{name}").upload_blob(data)
        source = f"az://{container}/in/photos"
        in_azure = look(source, azurite.credentials, sample=9)
        held = sorted(blob.name for blob in service.get_container_client(container).list_blobs())
    in_folder = look(folder, sample=9)
    assert len(in_folder.names) + in_folder.unusable + in_folder.repeated == 9
    # Batches of another size and another order of the files change nothing.
    other = look(folder, sample=9, batch_size=5)
    assert page_fields(other) == page_fields(in_folder)
    texts = [_flat(printed(page).split("measured", 1)[1]) for page in (in_azure, in_folder)]
    assert texts[0] == texts[1]
    assert held == sorted(f"in/photos/{name}" for name in files)


def test_a_thresholds_effect_can_be_looked_at(folder: Path) -> None:
    page = look(folder, match="same-scene", threshold=("-1",))
    outcomes = {one.label: one for one in page.outcomes("same-scene")}
    assert outcomes["set"].copies == 1
    assert outcomes["set"].wrong == len(page.spread.pairs)
    assert [one.label for one in page.outcomes("same-picture")] == ["default", "suggested"]
    assert [one.label for one in look(folder).outcomes("same-scene")] == ["default", "suggested"]


def test_the_command_prints_a_page_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    before = sorted(os.walk(tmp_path))
    ended = imgsieve(tmp_path, "calibrate", str(folder), "--features", "perceptual")
    assert ended.returncode == 0, ended.stderr
    assert f"{folder}/: 16 of its 18 pictures were measured, with {len(EDITS)} edited copies of each" in _flat(
        ended.stdout
    )
    for words in ("crop to 50 %", "different pictures", "Threshold", "--match same-scene --threshold perceptual=0."):
        assert words in ended.stdout
    assert "left out, broken.jpg: truncated" in ended.stderr
    assert sorted(os.walk(tmp_path)) == before


#: For every process that Python starts: a decoder that fails as native code does, at the last bytes of a file.
BAD_DECODER = f"""
import os, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from modules.features import decode as module
good = module.decode
def decode(data, max_pixels):
    if data.endswith(b"dies"):
        os._exit(70)
    if data.endswith(b"hangs"):
        threading.Event().wait()
    if data.endswith(b"needs much"):
        raise MemoryError
    return good(data, max_pixels)
module.decode = decode
"""


def test_a_picture_that_kills_or_hangs_its_decoder_is_left_out(folder: Path, tmp_path: Path) -> None:
    expected = page_fields(look(folder))
    (tmp_path / "decoder").mkdir()
    (tmp_path / "decoder" / "sitecustomize.py").write_text(BAD_DECODER)
    for name in ("dies", "hangs", "needs much"):
        (folder / f"{name}.jpg").write_bytes(encode(leaves(30, (240, 180))) + name.encode())
    environ = {"PYTHONPATH": str(tmp_path / "decoder"), "IMGSIEVE_PICTURE_TIMEOUT": "5"}
    options = ("--features", "perceptual", "--workers", "2", "--log-format", "json")
    ended = imgsieve(tmp_path, "calibrate", str(folder), *options, **environ)
    assert ended.returncode == 0, ended.stderr
    assert "left out, dies.jpg: decoding it: the worker process died (exit code 70)" in ended.stderr
    assert "left out, hangs.jpg: decoding it: took longer than 5 s" in ended.stderr
    assert "left out, needs much.jpg: there is too little memory to decode it: try fewer --workers" in ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert (found["listed"], found["pictures"], found["unusable"], found["repeated"]) == (21, 16, 4, 1)
    assert found["percentiles"] == expected["percentiles"]


def test_machines_get_the_page_as_json(folder: Path, tmp_path: Path) -> None:
    arguments = ("--features", "perceptual", "--sample", "6", "--log-format", "json", "--quiet")
    ended = imgsieve(tmp_path, "calibrate", str(folder), *arguments)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["event"] == "calibrate"
    assert found["pictures"] + found["unusable"] + found["repeated"] == 6
    assert set(found["percentiles"]["perceptual"]) == {
        *(edit.name for edit in EDITS),
        "all copies",
        "different pictures",
    }
    assert set(found["flags"]) == {"same-picture", "same-scene"}


def test_several_extractors_are_measured_each_and_together(folder: Path, tmp_path: Path) -> None:
    model = f"torchscript:{save_torchscript(tmp_path / 'program.pt', 1)}"
    page = look(folder, sample=8, features=("perceptual", model), devices=("cpu",))
    assert list(page.spread.copies) == ["perceptual", model]
    alone = look(folder, sample=8)
    assert np.array_equal(alone.spread.different["perceptual"], page.spread.different["perceptual"])
    labels = [(one.extractor, one.label) for one in page.outcomes("same-scene")]
    assert labels[2:] == [(model, "default, uncalibrated"), (model, "suggested"), ("", "now"), ("", "suggested")]
    assert f"perceptual={page.suggested('same-scene')['perceptual']:.2f},{model}=" in page.flags("same-scene")
    assert "together" in printed(page)


def test_where_a_device_is_lost_the_next_one_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = f"torchscript:{save_torchscript(tmp_path / 'program.pt', 1)}"
    asked: dict[str, Any] = {"sample": 8, "features": (model,)}
    expected = page_fields(look(folder, devices=("cpu", "cpu"), **asked))
    with monkeypatch.context() as patched:
        leave_no_room(patched, 1)
        assert page_fields(look(folder, devices=("cpu", "cpu"), **asked)) == expected
    assert "device cpu has too little memory (CUDA out of memory.); cpu goes on" in caplog.text
    with monkeypatch.context() as patched:
        lose_gpu(patched)
        found = page_fields(look(folder, **asked))
    assert (found["pictures"], found["unusable"]) == (expected["pictures"], expected["unusable"])
    assert "illegal memory access was encountered); no other device is left, the CPU goes on" in caplog.text
    leave_no_room(monkeypatch, 2)
    with pytest.raises(RetryLaterError, match=r"cpu has too little memory .*no other device is left: free memory"):
        look(folder, devices=("cpu",), **asked)


@pytest.mark.parametrize("flag", ["--scratch=.", "--max-download-workers=2"])
def test_flags_that_would_change_nothing_are_not_taken(tmp_path: Path, flag: str) -> None:
    ended = imgsieve(tmp_path, "calibrate", "photos", flag)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "No such option" in ended.stderr


def test_vectors_are_those_of_a_job(folder: Path, tmp_path: Path) -> None:
    """The cosine of a pair in the report of a job is the one that was measured."""
    model = f"torchscript:{save_torchscript(tmp_path / 'program.pt', 1)}"
    settings: dict[str, Any] = {"features": (model,), "devices": ("cpu",), "match": "same-scene"}
    page = look(folder, **settings)
    left, right, cosine = page.spread.most_alike(model, 1)[0]
    pair = {f"{folder}/{page.names[left]}", f"{folder}/{page.names[right]}"}
    asked = Settings(source=str(folder), num_process_workers=2, threshold=(f"{cosine - 1e-6:.9f}",), **settings)
    pipeline.run(asked, AzureCredentials(), SilentProgress(), threading.Event())
    report = rows(folder.with_name("photos_deduplicated") / "image_report.csv")
    found = {row["Image Path"]: row for row in report}
    grouped = [found[name] for name in pair if found[name]["Kept Witness"] in pair]
    assert [row["Similarity"] for row in grouped] == [f"{cosine:.4f}"]


def test_a_source_that_is_too_small_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError, match="needs two pictures that can be read"):
        look(tmp_path)
    picture = leaves(1, (240, 180))
    (tmp_path / "one.jpg").write_bytes(encode(picture))
    with pytest.raises(UsageError, match="needs two pictures"):
        look(tmp_path)
    (tmp_path / "two.jpg").write_bytes(encode(picture, quality=60))
    with pytest.raises(UsageError, match="needs different pictures"):
        look(tmp_path)
    (tmp_path / "three.jpg").write_bytes(encode(leaves(2, (240, 180))))
    assert "That is little" in printed(look(tmp_path))


@pytest.mark.parametrize("threshold", ["2", "clip=0.5"])
def test_what_a_run_would_refuse_is_refused_here(folder: Path, threshold: str) -> None:
    with pytest.raises(UsageError, match="threshold: "):
        look(folder, threshold=(threshold,))


def test_it_can_be_interrupted(folder: Path) -> None:
    stop = threading.Event()
    stop.set()
    asked = Settings(source=str(folder), features=("perceptual",))
    with pytest.raises(InterruptedRunError):
        calibrate.run(asked, AzureCredentials(), SilentProgress(), stop, sample=2)


def _flat(text: str) -> str:
    return " ".join(text.split())
